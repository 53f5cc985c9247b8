"""`scripts/bench scale`: 5,000 nodes without a data plane from one process, 10,000 pods on them, beside KWOK's gate.

KWOK's own continuous integration fails when 5,000 nodes or 10,000 pods take longer than 60 s with the real control
plane (its script test/kwokctl/kwokctl_benchmark_test.sh); here the same is asked of netsim, with all Leases renewed
every 10 s the whole time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import repeat

from lab import NETSIM, Lab

_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_PODS = "/api/v1/namespaces/default/pods"
_OTHERS = f"{_PODS}?limit=1&fieldSelector=status.phase%21%3DRunning"
_GATE = 60.0
_CONNECTIONS = 16
_RENEW_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    work: str
    unit: str
    value: float
    goal: float
    peer: str

    def render(self) -> str:
        verdict = "met" if self.value <= self.goal else "MISSED"
        return f"{self.work:<52} {self.value:>8.1f} {self.unit:<4} <= {self.goal:<6g} {verdict:<7} {self.peer}"


def pod(index: int) -> dict[str, object]:
    """A small pod for a fake node."""
    resources = {"requests": {"cpu": "100m", "memory": "64Mi"}}
    spec = {"containers": [{"name": "c", "image": "fake", "resources": resources}], "nodeSelector": {"type": "kwok"}}
    return {"metadata": {"name": f"scale-{index}", "labels": {"app": "scale"}}, "spec": spec}


def oldest_lease(lab: Lab) -> float:
    """Seconds since the least recently renewed Lease of a fake node was renewed."""
    leases = lab.api("GET", _LEASES)["items"]
    times = [lease["spec"]["renewTime"] for lease in leases if lease["metadata"]["name"].startswith("fake-")]
    first = min(datetime.fromisoformat(text.replace("Z", "+00:00")) for text in times)
    return (datetime.now(UTC) - first).total_seconds()


def create_pods(lab: Lab, count: int) -> float:
    """Seconds until all are acknowledged."""
    start = time.perf_counter()
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        list(pool.map(lab.api, repeat("POST"), repeat(_PODS), map(pod, range(count))))
    return time.perf_counter() - start


def wait_running(lab: Lab, seconds: float) -> None:
    end = time.monotonic() + seconds
    while lab.api("GET", _OTHERS)["items"]:
        if time.monotonic() > end:
            raise SystemExit(f"scripts/bench: not all pods run after {seconds:.0f} s")
        time.sleep(1)


def measure(lab: Lab, nodes: int, pods: int, patience: float) -> list[Row]:
    """Nodes, a round of Leases, pods; then the memory."""
    lab.up(1)
    start = time.perf_counter()
    command = [NETSIM, "node", "--fake", str(nodes), "--no-taint", "--lab", lab.name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as fake:
        try:
            assert fake.stdout is not None
            if not fake.stdout.readline():
                raise SystemExit("scripts/bench: the fake nodes did not start")
            registered = time.perf_counter() - start
            time.sleep(2 * _RENEW_SECONDS)
            idle = oldest_lease(lab)
            start = time.perf_counter()
            created = create_pods(lab, pods)
            wait_running(lab, patience)
            running = time.perf_counter() - start
            busy = oldest_lease(lab)
            server = max(lab.pss().values())  # by far the largest of a lab with one real node
        finally:
            fake.terminate()
    gate = f"KWOK's gate: {_GATE:.0f} s"
    return [
        Row(f"{nodes} nodes registered", "s", registered, _GATE, gate),
        Row("oldest Lease, nodes alone", "s", idle, _RENEW_SECONDS + 2, ""),
        Row(f"{pods} pods created (acknowledged)", "s", created, _GATE, ""),
        Row(f"{pods} pods running", "s", running, _GATE, gate),
        Row("oldest Lease right after", "s", busy, 40, "then a node is lost"),
        Row("memory of the control plane, PSS", "MiB", server, 250, "kube-apiserver alone with 1,000 pods: 277"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench scale", description=__doc__.partition("\n")[0])
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--pods", type=int, default=10_000)
    parser.add_argument("--patience", type=float, default=300, help="give up after so many seconds (default 300)")
    parser.add_argument("-o", dest="output", choices=("text", "json"), default="text")
    options = parser.parse_args()
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
