"""A proxy's programmer that loads Services and changes them without end, to be killed:
`python proxy_storm.py NETNS SEED iptables|nftables SERVICES`."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

from netsim.host import netns
from netsim_proxy.config import ProxyConfig
from netsim_proxy.desired import Input
from netsim_proxy.model import Node, ServicePort, Slice, SliceEndpoint
from netsim_proxy.nftables.programmer import NftablesProgrammer
from netsim_proxy.programmer import Programmer


def names(count: int) -> list[str]:
    return [f"s{number}" for number in range(count)]


def some_input(rng: random.Random, name: str) -> Input:
    """A Service with up to five endpoints, or none, or gone."""
    number = int(name[1:])
    if rng.random() < 0.1:
        return Input()
    address = f"10.96.{1 + number // 250}.{number % 250 + 1}"
    port = ServicePort("ns", name, "p", "TCP", address, 80, node_port=30000 + number)
    addresses = rng.sample(range(1, 20), rng.randint(0, 5))
    found = tuple(SliceEndpoint(f"10.180.0.{last}", "node1", True, True, False, ()) for last in addresses)
    return Input((port,), (Slice("ns", f"{name}-1", name, 4, (("p", "TCP", 8080),), found),))


def kill_storm(path: str, seed: int, mode: str, count: int, seconds: float) -> None:
    """Run a storm in a namespace, and kill it so many seconds after it was ready."""
    argv = [sys.executable, __file__, path, str(seed), mode, str(count)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": ":".join(sys.path)}) as storm:
        assert storm.stdout is not None and storm.stdout.readline() == b"ready\n"
        time.sleep(seconds)
        assert storm.poll() is None, "the storm died by itself"
        storm.send_signal(signal.SIGKILL)


def main(path: str, seed: int, mode: str, count: int) -> None:
    netns.enter(path)
    make = NftablesProgrammer if mode == "nftables" else Programmer
    programmer, rng, few = make(ProxyConfig("node1", mode=mode), 4), random.Random(seed), names(count)
    print("ready", flush=True)
    if mode == "nftables":
        programmer.sync({f"ns/{name}": some_input(rng, name) for name in few}, Node("node1"))
    while True:
        programmer.sync({f"ns/{name}": some_input(rng, name) for name in rng.sample(few, 20)}, Node("node1"))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
