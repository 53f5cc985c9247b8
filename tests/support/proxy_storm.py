"""A proxy's programmer that changes rules without end, to be killed: `python proxy_storm.py NETNS SEED`."""

from __future__ import annotations

import random
import sys

from netsim.host import netns
from netsim_proxy.config import ProxyConfig
from netsim_proxy.desired import Input
from netsim_proxy.model import Node, ServicePort, Slice, SliceEndpoint
from netsim_proxy.programmer import Programmer

SERVICES = [f"s{number}" for number in range(60)]


def some_input(rng: random.Random, name: str) -> Input:
    """A Service with up to five endpoints, or none, or gone."""
    number = int(name[1:])
    if rng.random() < 0.1:
        return Input()
    port = ServicePort("ns", name, "p", "TCP", f"10.96.1.{number + 1}", 80, node_port=30000 + number)
    addresses = rng.sample(range(1, 20), rng.randint(0, 5))
    found = tuple(SliceEndpoint(f"10.180.0.{last}", "node1", True, True, False, ()) for last in addresses)
    return Input((port,), (Slice("ns", f"{name}-1", name, 4, (("p", "TCP", 8080),), found),))


def main(path: str, seed: int) -> None:
    netns.enter(path)
    programmer, rng = Programmer(ProxyConfig("node1"), 4), random.Random(seed)
    print("ready", flush=True)
    while True:
        names = rng.sample(SERVICES, 20)
        programmer.sync({f"ns/{name}": some_input(rng, name) for name in names}, Node("node1"))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
