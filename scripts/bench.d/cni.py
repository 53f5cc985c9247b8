"""`scripts/bench cni`: the CNI plugin beside Debian's bridge + host-local, in turns; routed beside bridged pods.

Everything is in namespaces of its own. The peer's are made beforehand; ours within the time that counts, where the
first of a turn find one ready, as a pod does that comes alone.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from typing import Any

from scale import Row

from lab import NETSIM, wait_for

PEER = "/usr/lib/cni"
PEER_NAME = "bridge + host-local"
PORT = 5001
_CHUNK = 1 << 18
_TURN = 10
_READY = 4
"""So many namespaces a node process has ready: the first pods of a turn find one, the others have theirs made."""
_ADD = 1.2
"""Milliseconds that ADD may take with its namespace, whether that was ready or is made for it."""
_CLEANUP = 0.3
"""Seconds in which the kernel cleans up what a turn leaves: it would count for whoever comes next."""
_PEER_BRIDGE = {"bridge": "peer0", "isGateway": True}


class World:
    """A node's namespace and pods in one directory, which goes with everything in it."""

    def __init__(self, directory: str) -> None:
        from netsim.host import mount

        self.directory = directory
        os.makedirs(directory)
        mount.keep_in_memory(directory, 0o711)  # as a lab's directory is
        make_namespace(self.path("node"))

    def path(self, name: str) -> str:
        return f"{self.directory}/netns/{name}"

    def conf(self, kind: str, **more: Any) -> dict[str, Any]:
        subnet = {"netsim": "10.6.0.0/16", "routed": "10.7.0.0/16", "bridged": "10.8.0.0/16", "peer": "10.9.0.0/16"}
        ipam = {"type": "host-local", "ranges": [[{"subnet": subnet[kind]}]], "dataDir": f"{self.directory}/{kind}"}
        plugin = "bridge" if kind == "peer" else "netsim"
        return {"cniVersion": "1.0.0", "name": kind, "type": plugin, "ipam": ipam, **more}

    def env(self, command: str, pod: str) -> dict[str, str]:
        names = {"CNI_COMMAND": command, "CNI_CONTAINERID": f"id-{pod}", "CNI_NETNS": self.path(pod)}
        args = {"CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE=bench;K8S_POD_NAME={pod}"}
        return {**names, **args, "CNI_IFNAME": "eth0", "CNI_PATH": PEER}

    def links(self, start: str) -> list[str]:
        """Host-side interfaces of pods."""
        from netsim.host.netlink import Netlink

        with Netlink(self.path("node")) as netlink:
            return [link.name for link in netlink.links() if link.name.startswith(start)]

    def remove(self) -> None:
        from netsim.host import mount, netns

        for name in os.listdir(f"{self.directory}/netns"):
            netns.delete(self.path(name))
        mount.unmount(self.directory, lazy=True)
        shutil.rmtree(self.directory)


def make_namespace(path: str) -> None:
    from netsim.host import netns

    netns.create(path)


def milliseconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - start)


def execute(world: World, program: str, command: str, pod: str, conf: dict[str, Any]) -> None:
    """An executable of the CNI protocol, in the calling thread's namespace."""
    env = {**os.environ, **world.env(command, pod)}
    done = subprocess.run([program], input=json.dumps(conf).encode(), env=env, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"scripts/bench: {program} {command}: {done.stdout.decode()}{done.stderr.decode()}")


def measure_process(world: World, rounds: int) -> list[Row]:
    """ADD with its namespace, and DEL, as the node process does them; in turns of ten with the peer's executables."""
    from netsim.host import netns
    from netsim_cni.plugin import invoke
    from netsim_cni.reaper import start_reaper

    netns.keep_ready(_READY)
    start_reaper()
    collect_as_a_node_process()
    ours, theirs, peer = world.conf("netsim"), world.conf("peer", **_PEER_BRIDGE), f"{PEER}/bridge"
    times: dict[str, list[float]] = {"ADD": [], "burst": [], "DEL": [], "peer ADD": [], "peer DEL": []}

    def add(pod: str) -> None:
        netns.create(world.path(pod))
        invoke("ADD", ours, world.env("ADD", pod))

    spent: dict[str, float] = {}
    for start in range(0, rounds, _TURN):
        pods = [f"our-{number}" for number in range(start, start + _TURN)]
        with Processor(spent, "ours"):
            taken = [milliseconds(partial(add, pod)) for pod in pods]
        times["ADD"] += taken[:_READY]
        times["burst"] += taken[_READY:]
        times["DEL"] += [milliseconds(partial(invoke, "DEL", ours, world.env("DEL", pod))) for pod in pods]
        for pod in pods:
            netns.delete(world.path(pod))
        wait_for("the removal of our interfaces", lambda: not world.links("our-"))
        time.sleep(_CLEANUP)
        if os.path.exists(peer):
            others = [f"peer-{number}" for number in range(start, start + _TURN)]
            for pod in others:
                make_namespace(world.path(pod))
            for command in ("ADD", "DEL"):
                calls = [partial(execute, world, peer, command, pod, theirs) for pod in others]
                with Processor(spent, f"peer {command}"):
                    times[f"peer {command}"] += [milliseconds(call) for call in calls]
            for pod in others:
                netns.delete(world.path(pod))
            time.sleep(_CLEANUP)
    ours_ms, peers_ms = (1000 * spent.get(name, 0.0) / len(times["DEL"]) for name in ("ours", "peer ADD"))
    told = f"{PEER_NAME}: {peers_ms:.1f} ms" if peers_ms else ""
    processor = Row("ADD: processor time, ours with the namespace", "ms", ours_ms, None, told)
    made = Row("ADD in the node process, namespace made for it: median", "ms", statistics.median(times["burst"]), _ADD)
    return [*_process_rows("ADD", times, _ADD), made, processor, *_process_rows("DEL", times, None)]


def collect_as_a_node_process() -> None:
    """Have Python's collector look at what is new only, as the supervisor of a lab's processes does."""
    from netsim.lab.supervisor import COLLECT

    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT)


class Processor:
    """Processor time of what is done inside: this process' with all its threads, and that of its children."""

    def __init__(self, times: dict[str, float], name: str) -> None:
        self.times, self.name = times, name

    def __enter__(self) -> None:
        self._before = os.times()

    def __exit__(self, *_: object) -> None:
        spent = (now - before for now, before in zip(os.times()[:4], self._before[:4], strict=True))
        self.times[self.name] = self.times.get(self.name, 0.0) + sum(spent)


def _process_rows(command: str, times: dict[str, list[float]], goal: float | None) -> list[Row]:
    work = "ADD in the node process, namespace ready" if command == "ADD" else "DEL in the node process"
    ours = statistics.median(times[command])
    rows = [Row(f"{work}: median", "ms", ours, goal)]
    if not times[f"peer {command}"]:
        return rows
    theirs = statistics.median(times[f"peer {command}"])
    told = f"{PEER_NAME}: {theirs:.1f} ms, {1000 / theirs:.0f}/s; ours {1000 / ours:.0f}/s"
    return [*rows, Row(f"{command}: ours as part of the peer's time", "%", 100 * ours / theirs, 6.7, told)]


def measure_executable(world: World, rounds: int) -> list[Row]:
    """ADD and DEL by processes, ours with a node process to hand them to."""
    program = f"{os.path.dirname(os.path.realpath(NETSIM))}/netsim-cni"
    service = subprocess.Popen([sys.executable, "-B", __file__, "--part", "serve", world.path("node"), world.directory])
    try:
        wait_for("the node process", lambda: any(name.endswith(".sock") for name in os.listdir(world.directory)))
        ours, theirs = world.conf("netsim"), world.conf("peer", **_PEER_BRIDGE)
        found: dict[str, list[float]] = {program: [], f"{PEER}/bridge": []}
        for number in range(rounds):
            for executable, conf in ((program, ours), (f"{PEER}/bridge", theirs)):
                pod = f"exec-{number}-{conf['name']}"
                if os.path.exists(executable):
                    make_namespace(world.path(pod))
                    both = [milliseconds(partial(execute, world, executable, c, pod, conf)) for c in ("ADD", "DEL")]
                    found[executable].append(sum(both))
    finally:
        service.kill()
        service.wait()
    mine, peers = (statistics.median(times) if times else 0.0 for times in found.values())
    rows = [Row("netsim-cni with a node process, ADD + DEL: median", "ms", mine)]
    if peers:
        rows.append(
            Row("netsim-cni as part of the peer's time", "%", 100 * mine / peers, 90, f"{PEER_NAME}: {peers:.1f} ms")
        )
    return rows


def serve(node: str, directory: str) -> None:
    """The part of a node process that executables hand their commands to."""
    from netsim.host import netns
    from netsim_cni.reaper import start_reaper
    from netsim_cni.service import serve_cni

    netns.enter(node)
    start_reaper()
    asyncio.run(serve_cni(directory))


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
    me = [sys.executable, "-B", __file__, "--part"]
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
            with listener.accept()[0] as connection:
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
        socket.create_connection((target, PORT), timeout=10).close()
        made += 1
    print(made / (time.perf_counter() - start))


PARTS: dict[str, Callable[..., None]] = {"serve": serve, "sink": sink, "stream": stream, "connects": connects}


def measure(options: argparse.Namespace) -> list[Row]:
    from netsim.host import netns

    world = World(f"/run/netsim/bench-cni-{os.getpid()}")
    rows: list[Row] = []

    def inside() -> None:
        netns.enter(world.path("node"))
        rows.extend(measure_process(world, options.rounds))
        rows.extend(measure_executable(world, options.rounds))
        rows.extend(measure_modes(world, 3, options.seconds))

    try:
        with ThreadPoolExecutor(1) as alone:
            alone.submit(inside).result()  # what fails there is raised here
    finally:
        world.remove()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench cni", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=100, help="pods of each kind (default 100)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each stream between pods (default 1)")
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("-o", dest="output", choices=("text", "json"), default="text")
    options = parser.parse_args()
    if options.part:
        return PARTS[options.part[0]](*options.part[1:])
    rows = measure(options)
    if options.output == "json":
        return print(json.dumps([asdict(row) for row in rows]))
    if not os.path.exists(f"{PEER}/bridge"):
        print("no peer: apt-get install containernetworking-plugins\n")
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; in turns, {options.rounds} rounds\n")
    print("\n".join(row.render() for row in rows))


def in_netsims_interpreter() -> None:
    """The plugin is measured from inside: with the interpreter that `netsim` runs in."""
    try:
        import netsim_cni  # noqa: F401
    except ModuleNotFoundError:
        with open(shutil.which(NETSIM) or NETSIM, encoding="utf-8") as file:
            python = file.readline().removeprefix("#!").strip()
        if python == sys.executable:
            raise
        os.execv(python, [python, "-B", *sys.argv])


if __name__ == "__main__":
    in_netsims_interpreter()
    main()
