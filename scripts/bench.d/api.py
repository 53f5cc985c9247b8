"""`scripts/bench api`: reads, durable writes, watches, memory and start of the API server, on one core.

`netsim server` is pinned to CPU 0, the load to the others; every request goes over TLS with a client certificate. The
store is a SQLite file that is synced at every commit; beside it Debian's etcd does writes of the same size through its
HTTP gateway, on the same disk. Figures of kube-apiserver 1.36 with etcd are given, from a machine like this.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from load import Build, Target, fan_out, pss, rate, request

from lab import NETSIM, wait_for

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
            f"{self.work:<44} {self.value:>8.{size}f} {self.unit:<4} {capacity:>7} {f'{sign} {self.goal:g}':>8} "
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


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Server:
    """`netsim server` on CPU 0, in a lab of its own; `plain`: asked over its unix socket, without TLS."""

    def __init__(self, plain: bool) -> None:
        self._plain = plain
        self.lab, self.port = f"bench-{os.getpid()}", _free_port()
        self._command = [
            "taskset", "-c", "0", NETSIM, "server", "--lab", self.lab, "--advertise-address", "127.0.0.1",
            "--port", str(self.port),
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Seconds until it answers over TLS; the keys are made by the first start."""
        start = time.perf_counter()
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for("the API server", self._ready)
        return time.perf_counter() - start

    def _ready(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise SystemExit(f"scripts/bench: {' '.join(self._command)} ended")
        try:
            connection = self.target.connect()
            status, _ = connection.ask(request("GET", "/readyz"))
            connection.close()
        except (OSError, SystemExit):
            return False
        return status == 200

    @property
    def target(self) -> Target:
        if self._plain:
            return Target(f"/run/netsim/{self.lab}/api.sock")
        return Target.of_kubeconfig(f"/var/lib/netsim/{self.lab}/admin.conf")

    def cpu(self) -> float:
        """Seconds of CPU time that the server has used."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split() if self._process else []
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")

    def rates(self, build: Build, connections: int, count: int, rounds: int = 1) -> tuple[float, float]:
        """(requests a second, requests a second of the server's CPU time), medians of some rounds."""
        found = []
        for _ in range(rounds):
            before = self.cpu()
            found.append((rate(self.target, build, connections, count), count / (self.cpu() - before)))
        return statistics.median(r for r, _ in found), statistics.median(c for _, c in found)

    def memory(self) -> float:
        return pss(self._process.pid) if self._process is not None else 0.0

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None

    def remove(self) -> None:
        self.stop()
        subprocess.run([NETSIM, "down", "--lab", self.lab], check=False, stdout=subprocess.DEVNULL)


@contextmanager
def running_etcd() -> Iterator[Target]:
    """Debian's etcd on CPU 0, its data beside netsim's."""
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="netsim-bench-", dir="/var/lib") as directory:
        url, peer = f"http://127.0.0.1:{port}", "http://127.0.0.1:0"
        process = subprocess.Popen(
            ["taskset", "-c", "0", "etcd", "--name", "bench", "--data-dir", directory, "--listen-client-urls", url,
             "--advertise-client-urls", url, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
             "--initial-cluster", f"bench={peer}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            target = Target(port)
            wait_for("etcd", lambda: _answers(target))
            yield target
        finally:
            process.kill()
            process.wait(10)


def _answers(target: Target) -> bool:
    try:
        connection = target.connect()
        status, _ = connection.ask(request("POST", "/v3/kv/range", b'{"key":"AA=="}'))
        connection.close()
    except (OSError, SystemExit):
        return False
    return status == 200


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

    with running_etcd() as target:
        one = rate(target, lambda n: put("a", n), 1, count)
        return one, rate(target, lambda n: put("b", n), 16, 4 * count)


def measure(rounds: int, pods: int, plain: bool) -> list[Row]:
    """All rows; medians of `rounds` where something is repeated."""
    etcd_one, etcd_many = etcd_rates(1000)
    server = Server(plain)
    try:
        server.start()
        server.stop()
        starts = []
        for _ in range(rounds):
            starts.append(server.start())
            if len(starts) < rounds:
                server.stop()
        target = server.target
        one = server.rates(lambda n: create_pod("a", n), 1, 500)
        many = server.rates(lambda n: create_pod("b", n), 16, 500)
        small = server.memory()
        gets = server.rates(lambda n: request("GET", f"{_PODS}/a-00007"), 8, 5000, rounds)
        lists = server.rates(lambda n: request("GET", _PODS), 2, 300, rounds)
        path = f"{_PODS}?watch=1&fieldSelector=metadata.name%3Da-00000"
        alone = fan_out(target, path, change_pod, 1, 200)
        before = server.cpu()
        latency, updates = fan_out(target, path, change_pod, 50, 300)
        capacity = 600 / (server.cpu() - before)
        rate(target, lambda n: create_pod("c", n), 16, pods - 1000)
        large = server.memory()
        again = []
        server.stop()
        again.append(server.start())
    finally:
        server.remove()
    median = statistics.median
    return [
        Row("GET one pod", "/s", gets[0], 3 * 1610, True, 1610, capacity=gets[1]),
        Row("LIST 1,000 pods, 2.1 MB", "/s", lists[0], 270, True, 27, capacity=lists[1]),
        Row("create pods, 1 connection, durable", "/s", one[0], 486, True, 243, etcd_one, one[1]),
        Row("create pods, 16 connections, durable", "/s", many[0], 1500, True, 0, etcd_many, many[1]),
        Row("update until 1 watcher has it", "ms", alone[0], 2, False, 0),
        Row("update until 50 watchers have it", "ms", latency, 2, False, 8),
        Row("updates while 50 watch", "/s", updates, 600, True, 130, capacity=capacity),
        Row("memory with 1,000 pods, PSS", "MiB", small, 110, False, 314),
        Row(f"memory with {pods:,} pods, PSS", "MiB", large, 250, False, 0),
        Row("start until ready", "s", median(starts), 0.6, False, 1.5),
        Row(f"start with {pods:,} pods", "s", median(again), 2, False, 0),
    ]


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
    print("\nk8s: kube-apiserver 1.36 with etcd, as given; etcd: Debian's, through its HTTP gateway, measured now")


if __name__ == "__main__":
    main()
