"""Routed beside bridged pods: how much a stream carries, and how many connections are made."""

from __future__ import annotations

import socket
import statistics
import struct
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from cni_world import World, make_namespace
from scale import Row

PORT = 5001
_CHUNK = 1 << 18
_RESET = struct.pack("ii", 1, 0)


def measure_modes(world: World, rounds: int, seconds: float) -> list[Row]:
    """Two pods each, routed and bridged: how much one stream carries, how many connections one after another makes."""
    from netsim_cni.plugin import invoke

    modes = {"routed": {}, "bridged": {"mode": "bridge", "bridge": "bench0", "isDefaultGateway": True}}
    targets: dict[str, str] = {}
    for mode, more in modes.items():
        for pod in (f"{mode}-1", f"{mode}-2"):
            make_namespace(world.path(pod))
            result = invoke("ADD", world.conf(mode, **more), world.env("ADD", pod))
            targets[mode] = str((result or {})["ips"][0]["address"]).partition("/")[0]
    rows = []
    for part, unit, scale in (("stream", "Gbit/s", 8e-9), ("connects", "/s", 1.0)):
        rates: dict[str, list[float]] = {mode: [] for mode in modes}
        for _ in range(rounds):
            for mode, times in rates.items():
                times.append(scale * _rate(world, mode, targets[mode], part, seconds))
        routed, bridged = (statistics.median(times) for times in rates.values())
        told = f"routed {routed:.4g} {unit}, bridged {bridged:.4g} {unit}"
        rows.append(Row(f"{part} between two pods: bridged by routed", "%", 100 * bridged / routed, 110, told))
    return rows


def _rate(world: World, mode: str, target: str, part: str, seconds: float) -> float:
    """Bytes or connections in a second, from the first pod to a sink in the second."""
    me = [sys.executable, "-B", str(Path(__file__).with_name("cni.py")), "--part"]
    with subprocess.Popen([*me, "sink", world.path(f"{mode}-2")], stdout=subprocess.PIPE) as sink:
        assert sink.stdout is not None
        sink.stdout.readline()
        done = subprocess.run(
            [*me, part, world.path(f"{mode}-1"), target, str(seconds)], capture_output=True, text=True, check=True
        )
        sink.kill()
    return float(done.stdout)


def sink(node: str) -> None:
    """Take connections one after another, and read each to its end."""
    from netsim.host import netns

    netns.enter(node)
    buffer = bytearray(_CHUNK)
    with socket.create_server(("", PORT), backlog=512) as listener:
        print("ready", flush=True)
        while True:
            with listener.accept()[0] as connection, suppress(ConnectionResetError):
                while connection.recv_into(buffer):
                    pass


def stream(node: str, target: str, seconds: str) -> None:
    from netsim.host import netns

    netns.enter(node)
    data, sent = bytes(_CHUNK), 0
    with socket.create_connection((target, PORT), timeout=10) as connection:
        start = time.perf_counter()
        while time.perf_counter() - start < float(seconds):
            sent += connection.send(data)
        print(sent / (time.perf_counter() - start))


def connects(node: str, target: str, seconds: str) -> None:
    from netsim.host import netns

    netns.enter(node)
    made, start = 0, time.perf_counter()
    while time.perf_counter() - start < float(seconds):
        with socket.create_connection((target, PORT), timeout=10) as connection:
            # Ended by a reset: closed connections hold their ports for a minute, and from 14,000 on the kernel searches
            # for a free one 40 times as long as all else takes.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        made += 1
    print(made / (time.perf_counter() - start))
