"""`scripts/bench api`: reads, durable writes, watches, memory and start of the API server, on one core.

`netsim server` is pinned to CPU 0, the load to the others; every request goes over TLS with a client certificate. The
store is a SQLite file that is synced at every commit; beside it Debian's etcd does writes of the same size through its
HTTP gateway, on the same disk. kube-apiserver with etcd is measured in the same way when PATH has both; else its
figures are given, of 1.36 from a machine like this. Goals for what it was measured at are multiples of its figures, so
that a machine whose speed changes moves both.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shutil
import statistics
import subprocess
from dataclasses import asdict, dataclass

from api_servers import Measured, free_port, has_kube_apiserver, running_etcd, running_kube_apiserver
from load import Target, fan_out, rate, request

from lab import NETSIM

_PODS = "/api/v1/namespaces/default/pods"


@dataclass(frozen=True, slots=True)
class Row:
    """One line. `peer` and `etcd` are in the unit of `value`, 0 where there is none; `more` tells what is better.
    `capacity` is the work a second of the server's CPU time is good for, which other load on the machine changes less.
    """

    work: str
    unit: str
    value: float
    goal: float
    more: bool
    peer: float
    etcd: float = 0.0
    capacity: float = 0.0

    @property
    def met(self) -> bool:
        return self.value >= self.goal if self.more else self.value <= self.goal

    def _ratio(self, other: float) -> str:
        if not other:
            return "-"
        return f"{self.value / other if self.more else other / self.value:.1f} x"

    def render(self) -> str:
        sign, size = (">=" if self.more else "<="), (2 if self.unit in ("ms", "s") else 0)
        etcd, capacity = (f"{figure:.0f}" if figure else "-" for figure in (self.etcd, self.capacity))
        return (
            f"{self.work:<44} {self.value:>8.{size}f} {self.unit:<4} {capacity:>7} {f'{sign} {self.goal:.4g}':>8} "
            f"{'met' if self.met else 'MISSED':<6} {self.peer:>7.{size}f} {self._ratio(self.peer):>7} "
            f"{etcd:>6} {self._ratio(self.etcd):>6}"
        )


def pod(name: str, label: str = "") -> bytes:
    """A pod of 2.1 KB as answered, as those were that kube-apiserver was measured with; for no scheduler."""
    container = {"name": "web", "image": "nginx:1.27", "ports": [{"containerPort": 80}]}
    metadata = {"name": name, "labels": {"app": "bench", "change": label or "none"}}
    spec = {"schedulerName": "none", "containers": [container]}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}).encode()


def create_pod(prefix: str, number: int) -> bytes:
    return request("POST", _PODS, pod(f"{prefix}-{number:05d}"))


def change_pod(number: int) -> bytes:
    patch = json.dumps({"metadata": {"labels": {"change": f"c{number}"}}}).encode()
    return request("PATCH", f"{_PODS}/a-00000", patch, "application/merge-patch+json")


class Server(Measured):
    """`netsim server` in a lab of its own; `plain`: asked over its unix socket, without TLS."""

    def __init__(self, plain: bool) -> None:
        self._plain = plain
        self.lab, self.port = f"bench-{os.getpid()}", free_port()
        super().__init__(
            NETSIM, "server", "--lab", self.lab, "--advertise-address", "127.0.0.1", "--port", str(self.port)
        )

    @property
    def target(self) -> Target:
        if self._plain:
            return Target(f"/run/netsim/{self.lab}/api.sock")
        return Target.of_kubeconfig(f"/var/lib/netsim/{self.lab}/admin.conf")

    def remove(self) -> None:
        self.stop()
        subprocess.run([NETSIM, "down", "--lab", self.lab], check=False, stdout=subprocess.DEVNULL)


def etcd_rates(count: int) -> tuple[float, float]:
    """Durable creations a second of etcd, with 1 and with 16 connections."""
    if shutil.which("etcd") is None:
        return 0.0, 0.0
    value = base64.b64encode(os.urandom(2100)).decode()

    def put(prefix: str, number: int) -> bytes:
        key = base64.b64encode(f"/registry/pods/default/{prefix}-{number}".encode()).decode()
        compare = {"key": key, "target": "MOD", "result": "EQUAL", "mod_revision": 0}
        body = {"compare": [compare], "success": [{"request_put": {"key": key, "value": value}}]}
        return request("POST", "/v3/kv/txn", json.dumps(body).encode())

    with running_etcd() as etcd:
        one = rate(etcd.target, lambda n: put("a", n), 1, count)
        return one, rate(etcd.target, lambda n: put("b", n), 16, 4 * count)


_FAN = f"{_PODS}?watch=1&fieldSelector=metadata.name%3Da-00000"


Rates = tuple[float, float]
"""(a second, a second of CPU time)."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What is measured of any API server."""

    one: Rates
    many: Rates
    gets: Rates
    lists: Rates
    alone: float
    latency: float
    updates: Rates
    memory: float


def work(server: Measured, rounds: int) -> Figures:
    """All of it with the same clients: a thousand pods, watches of one, reads of them. Lists come last: kube-apiserver
    with Debian's etcd (3.4) gets no more events of it after some dozens of large ones."""
    target = server.target
    one = server.rates(lambda n: create_pod("a", n), 1, 500)
    many = server.rates(lambda n: create_pod("b", n), 16, 500)
    memory = server.memory()
    alone, _ = fan_out(target, _FAN, change_pod, 1, 200)
    before = server.cpu()
    latency, updates = fan_out(target, _FAN, change_pod, 50, 300)
    busy = server.cpu() - before
    gets = server.rates(lambda n: request("GET", f"{_PODS}/a-00007"), 8, 5000, rounds)
    lists = server.rates(lambda n: request("GET", _PODS), 2, 300, rounds)
    return Figures(one, many, gets, lists, alone, latency, (updates, 600 / busy), memory)


def given() -> Figures:
    """kube-apiserver 1.36 with etcd, from a machine like this."""
    return Figures((243, 0), (0, 0), (1610, 0), (27, 0), 0, 8, (130, 0), 314)


def measured_peer(server: Server, rounds: int) -> Figures:
    """kube-apiserver with etcd, both on CPU 0, with the keys of a netsim server that has been stopped."""
    with running_etcd() as etcd, running_kube_apiserver(server.lab, etcd) as peer:
        return work(peer, rounds)


def measure(rounds: int, pods: int, plain: bool) -> list[Row]:
    """All rows; medians of `rounds` where something is repeated."""
    etcd_one, etcd_many = etcd_rates(1000)
    server = Server(plain)
    try:
        server.start()
        server.stop()
        peer = measured_peer(server, rounds) if has_kube_apiserver() else given()
        starts = []
        for _ in range(rounds):
            starts.append(server.start())
            if len(starts) < rounds:
                server.stop()
        own = work(server, rounds)
        rate(server.target, lambda n: create_pod("c", n), 16, pods - 1000)
        large = server.memory()
        server.stop()
        again = server.start()
    finally:
        server.remove()
    return [
        rate_row("GET one pod", own.gets, peer.gets, 3),
        rate_row("LIST 1,000 pods, 2.1 MB", own.lists, peer.lists, 10),
        rate_row("create pods, 1 connection, durable", own.one, peer.one, 2, etcd_one),
        Row(
            "create pods, 16 connections, durable", "/s", own.many[0], 1500, True, peer.many[0], etcd_many, own.many[1]
        ),
        Row("update until 1 watcher has it", "ms", own.alone, 2, False, peer.alone),
        Row("update until 50 watchers have it", "ms", own.latency, peer.latency / 4, False, peer.latency),
        rate_row("updates while 50 watch", own.updates, peer.updates, 600 / 130),
        Row("memory with 1,000 pods, PSS", "MiB", own.memory, 110, False, peer.memory),
        Row(f"memory with {pods:,} pods, PSS", "MiB", large, 250, False, 0),
        Row("start until ready", "s", statistics.median(starts), 0.6, False, 1.5),
        Row(f"start with {pods:,} pods", "s", again, 2, False, 0),
    ]


def rate_row(work: str, own: Rates, peer: Rates, times: float, etcd: float = 0.0) -> Row:
    """A row whose goal is a multiple of the peer's rate."""
    return Row(work, "/s", own[0], times * peer[0], True, peer[0], etcd, own[1])


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench api", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="medians of so many rounds (default 3)")
    parser.add_argument("--pods", type=int, default=10_000, help="pods in the large cluster (default 10000)")
    parser.add_argument("--plain", action="store_true", help="over the unix socket, without TLS")
    parser.add_argument("-o", dest="output", choices=("text", "json"), default="text")
    options = parser.parse_args()
    if options.pods < 1001:
        parser.error("--pods: more than 1000")
    os.sched_setaffinity(0, os.sched_getaffinity(0) - {0} or {0})
    rows = measure(options.rounds, options.pods, options.plain)
    if options.output == "json":
        print(json.dumps([asdict(row) | {"met": row.met} for row in rows]))
        return
    how = "plain" if options.plain else "TLS"
    print(
        f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; server on CPU 0, {how}; medians of {options.rounds}\n"
    )
    heads = f"{'goal':>8} {'':<6} {'k8s':>7} {'ratio':>7} {'etcd':>6} {'ratio':>6}"
    print(f"{'work':<44} {'netsim':>8} {'':<4} {'/CPU-s':>7} {heads}")
    print("\n".join(row.render() for row in rows))
    source = "measured now, but for its start" if has_kube_apiserver() else "1.36, as given"
    print(f"\nk8s: kube-apiserver with etcd, {source}; etcd: Debian's, through its HTTP gateway, measured now")


if __name__ == "__main__":
    main()
