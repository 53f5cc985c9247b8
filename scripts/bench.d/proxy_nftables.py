"""The service proxy's nftables mode: a changed endpoint, full loads, memory, and what a connection takes.

A change counts from the watch event's object to the kernel's acknowledgement. Connections go from one pod to another
through the node, in turn to the pod itself and to the ClusterIP of the last Service.
"""

from __future__ import annotations

import json
import socket
import statistics
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial

from proxy_load import NODE, POD_CIDR, Feed, Row, alternate, cost_of, endpoint_slice, memory, namespace, service

from netsim.host import netns, sysctl
from netsim.host.exec import run
from netsim_proxy.config import ProxyConfig
from netsim_proxy.nftables.programmer import NftablesProgrammer

_CONFIG = ProxyConfig(NODE.name, mode="nftables", cluster_cidr=(POD_CIDR,))
_LOAD_GOALS = {1000: 150.0, 10000: 1500.0}
_CHANGED = 7
_CONNECTIONS = 150
_AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER: closing leaves nothing behind."""


class _Cluster:
    """A proxy with so many Services in the namespace of the calling thread."""

    def __init__(self, services: int) -> None:
        self.feed = Feed()
        self.given = self.feed.fill(services)
        self.programmer = NftablesProgrammer(_CONFIG, 4)

    def sync(self, *, check: bool = False) -> None:
        given, self.given = self.given or self.feed.take(), {}
        self.programmer.sync(given, NODE, check=check)

    def check(self) -> None:
        """Compare the kernel's table with ours, as if somebody had changed a rule somewhere."""
        self.programmer._generation = None
        self.sync(check=True)

    def change(self, endpoints: int) -> None:
        self.feed.change(_CHANGED, endpoints)
        self.sync()


def measure_one(services: int) -> Iterator[Row]:
    """All rows of one size, in this process, whose memory counts."""
    with namespace("node") as node:
        yield from netns.run_in(node, partial(_measure_rules, services))
        if services == 10000:
            yield from _measure_connections(node, services)


def _measure_rules(services: int) -> list[Row]:
    cluster = _Cluster(services)
    cpu, wall = cost_of(cluster.sync)
    rows = []
    if services in _LOAD_GOALS:
        rows.append(Row(f"full load, {services} Services", "ms", cpu, 0, _LOAD_GOALS[services], f"wall {wall:.0f} ms"))
    less, more = alternate(50, partial(cluster.change, 9), partial(cluster.change, 10))
    for what, (used, took) in (("goes", less), ("comes", more)):
        rows.append(Row(f"one endpoint {what}, {services} Services", "ms", used, 0, 1, f"wall {took:.2f} ms"))
    cluster.check()
    if services == 10000:
        most = f"at most {memory('VmHWM'):.0f} while it worked"
        rows.append(Row(f"memory, {services} Services, after a check", "MiB", memory("VmRSS"), 0, 200, most))
    cluster.programmer.close()
    return rows


def _measure_connections(node: str, services: int) -> Iterator[Row]:
    """Two pods, routed by the node; one has the addresses of the last Service's endpoints."""
    last = services - 1
    addresses = [endpoint["addresses"][0] for endpoint in endpoint_slice(last)["endpoints"]]
    with namespace("client") as client, namespace("server") as server:
        _wire(node, "client", client, ["10.255.0.2"])
        _wire(node, "server", server, addresses)
        netns.run_in(node, sysctl.write_sysctl, "net.ipv4.ip_forward", 1)
        with netns.open_socket(server, socket.AF_INET, socket.SOCK_STREAM) as listener:
            listener.bind(("0.0.0.0", 8080))
            listener.listen(4096)
            ways = {"direct": (addresses[0], 8080), "service": (service(last)["spec"]["clusterIP"], 80)}
            took: dict[str, list[float]] = {way: [] for way in ways}
            for _ in range(20):
                for way, target in ways.items():
                    took[way] += netns.run_in(client, _connect, target)
                    _drain(listener)
    direct, through = (1e6 * statistics.median(took[way]) for way in ways)
    yield Row(f"connect through the last of {services}", "us", through, direct, 1.15, "the pod itself")


def _wire(node: str, name: str, path: str, addresses: list[str]) -> None:
    """A veth between the node and a pod, with routes to the pod's addresses and from it to everything."""

    def ip(place: str, *words: str) -> None:
        run(["nsenter", f"--net={place}", "ip", *words])

    ip(node, "link", "add", name, "type", "veth", "peer", "name", f"{name}0")
    run(["nsenter", f"--net={node}", "ip", "link", "set", f"{name}0", "netns", path])
    ip(node, "link", "set", name, "up")
    ip(path, "link", "set", "lo", "up")
    ip(path, "link", "set", f"{name}0", "up")
    for address in addresses:
        ip(path, "address", "add", f"{address}/32", "dev", f"{name}0")
        ip(node, "route", "add", f"{address}/32", "dev", name)
    ip(path, "route", "add", "169.254.1.1", "dev", f"{name}0")
    ip(path, "route", "add", "default", "via", "169.254.1.1", "src", addresses[0])
    ip(node, "address", "add", "169.254.1.1/32", "dev", name)


def _connect(target: tuple[str, int]) -> list[float]:
    """Seconds that each of some new connections took."""
    took = []
    for _ in range(_CONNECTIONS):
        with socket.socket() as sock:
            sock.settimeout(5)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            start = time.perf_counter()
            sock.connect(target)
            took.append(time.perf_counter() - start)
    return took


def _drain(listener: socket.socket) -> None:
    listener.setblocking(False)
    try:
        while True:
            listener.accept()[0].close()
    except BlockingIOError:
        return


def measure(sizes: tuple[int, ...]) -> Iterator[Row]:
    """Rows of every size, each size in a process of its own."""
    for services in sizes:
        done = run([sys.executable, "-B", __file__, str(services)], timeout=300)
        yield from (Row(**row) for row in json.loads(done.stdout))


if __name__ == "__main__":
    print(json.dumps([asdict(row) for row in measure_one(int(sys.argv[1]))]))
