"""`scripts/bench scale`: 5,000 nodes without a data plane from one process, 10,000 pods on them, beside KWOK's gate.

KWOK's own continuous integration fails when 5,000 nodes or 10,000 pods take longer than 60 s with the real control
plane (its script test/kwokctl/kwokctl_benchmark_test.sh); here the same is asked of netsim, with all Leases renewed
every 10 s the whole time.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

from load import Target, rate, request

from lab import NETSIM, Lab

_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_PODS = "/api/v1/namespaces/default/pods"
_RUNNING = f"{_PODS}?watch=1&fieldSelector=status.phase%3DRunning&resourceVersion="
_GATE = 60.0
_CONNECTIONS = 16
_RENEW_SECONDS = 10.0
_SAMPLE_SECONDS = 5.0
_ENDS_WITH_US = ("setpriv", "--pdeathsig", "TERM")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; without a goal it only informs."""

    work: str
    unit: str
    value: float
    goal: float | None = None
    peer: str = ""

    def render(self) -> str:
        if self.goal is None:
            return f"{self.work:<52} {self.value:>8.1f} {self.unit:<25} {self.peer}".rstrip()
        verdict = "met" if self.value <= self.goal else "MISSED"
        return f"{self.work:<52} {self.value:>8.1f} {self.unit:<4} <= {self.goal:<6g} {verdict:<7} {self.peer}"


def pod(index: int) -> bytes:
    """The request for a small pod on a fake node."""
    resources = {"requests": {"cpu": "100m", "memory": "64Mi"}}
    spec = {"containers": [{"name": "c", "image": "fake", "resources": resources}], "nodeSelector": {"type": "kwok"}}
    body = {"metadata": {"name": f"scale-{index}", "labels": {"app": "scale"}}, "spec": spec}
    return request("POST", _PODS, json.dumps(body).encode())


def oldest_lease(lab: Lab) -> float:
    """Seconds since the least recently renewed Lease of a fake node was renewed."""
    leases = lab.api("GET", _LEASES)["items"]
    times = [lease["spec"]["renewTime"] for lease in leases if lease["metadata"]["name"].startswith("fake-")]
    first = min(datetime.fromisoformat(text.replace("Z", "+00:00")) for text in times)
    return (datetime.now(UTC) - first).total_seconds()


@dataclass(slots=True)
class Watcher:
    """Counts the pods that come to run, by a watch: to list thousands again and again would be most of the load. Looks
    at the Leases meanwhile."""

    lab: Lab
    count: int
    oldest: float = 0.0
    all_run: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def looking(self) -> Iterator[None]:
        """From the pods that are there now on, until the block ends."""
        ended = threading.Event()
        revision = self.lab.api("GET", f"{_PODS}?limit=1")["metadata"]["resourceVersion"]
        threading.Thread(target=self._watch, args=(revision,), daemon=True).start()
        leases = threading.Thread(target=self._look_at_leases, args=(ended,))
        leases.start()
        try:
            yield
        finally:
            ended.set()
            leases.join()

    def _watch(self, revision: str) -> None:
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(self.lab.socket)
        connection.request("GET", _RUNNING + revision)
        running = 0
        for line in connection.getresponse():
            running += line.startswith(b'{"type":"ADDED"')
            if running >= self.count:
                self.all_run.set()
                return

    def _look_at_leases(self, ended: threading.Event) -> None:
        while not ended.wait(_SAMPLE_SECONDS):
            self.oldest = max(self.oldest, oldest_lease(self.lab))


def cpu_seconds(pid: int) -> float:
    """What a process has used so far."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def fake_nodes(lab: Lab, count: int) -> Iterator[subprocess.Popen[str]]:
    """Their process, once all are registered; it ends with the block, and with us."""
    command = [*_ENDS_WITH_US, NETSIM, "node", "--fake", str(count), "--no-taint", "--lab", lab.name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as fake:
        try:
            assert fake.stdout is not None
            if not fake.stdout.readline():
                raise SystemExit("scripts/bench: the fake nodes did not start")
            yield fake
        finally:
            fake.terminate()


def measure(lab: Lab, nodes: int, pods: int, patience: float) -> list[Row]:
    """Nodes, a round of Leases, pods; then the memory."""
    lab.up(1)
    start = time.perf_counter()
    with fake_nodes(lab, nodes) as fake:
        registered = time.perf_counter() - start
        time.sleep(2 * _RENEW_SECONDS)
        rows = [
            Row(f"{nodes} nodes registered", "s", registered, _GATE, f"KWOK's gate: {_GATE:.0f} s"),
            Row("oldest Lease, nodes alone", "s", oldest_lease(lab), _RENEW_SECONDS + 2),
        ]
        return rows + measure_pods(lab, fake.pid, pods, patience)


def measure_pods(lab: Lab, fake: int, pods: int, patience: float) -> list[Row]:
    """Pods created side by side until all run, and what that cost."""
    watcher, server = Watcher(lab, pods), lab.largest()
    start, before = time.perf_counter(), (cpu_seconds(server), cpu_seconds(fake))
    with watcher.looking():
        created = pods / rate(Target(lab.socket), pod, _CONNECTIONS, pods)
        if not watcher.all_run.wait(patience):
            raise SystemExit(f"scripts/bench: not all pods run after {patience:.0f} s")
        running = time.perf_counter() - start
    return [
        Row(f"{pods} pods created (acknowledged)", "s", created, _GATE),
        Row(f"{pods} pods running", "s", running, _GATE, f"KWOK's gate: {_GATE:.0f} s"),
        Row("CPU time of the control plane for that", "s", cpu_seconds(server) - before[0]),
        Row("CPU time of the fake nodes for that", "s", cpu_seconds(fake) - before[1]),
        Row("oldest Lease meanwhile", "s", watcher.oldest, 40, "then a node is lost"),
        Row("memory of the control plane, PSS", "MiB", max(lab.pss().values()), 250, "kube-apiserver, 1,000 pods: 277"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench scale", description=__doc__.partition("\n")[0])
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--pods", type=int, default=10_000)
    parser.add_argument("--patience", type=float, default=300, help="give up after so many seconds (default 300)")
    parser.add_argument("-o", dest="output", choices=("text", "json"), default="text")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("scripts/bench: ended"))  # what was started is to be removed
    lab = Lab(f"bench-{os.getpid()}")
    try:
        rows = measure(lab, options.nodes, options.pods, options.patience)
    finally:
        if lab.exists():
            lab.down()
    if options.output == "json":
        print(json.dumps([asdict(row) for row in rows]))
        return
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}\n")
    print("\n".join(row.render() for row in rows))


if __name__ == "__main__":
    main()
