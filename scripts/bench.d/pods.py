"""`scripts/bench pods`: 1,000 pods over 5 nodes until each has answered through one Service; their memory; their end.

Then 5,000 pods, the peer (the hosts of Debian's package `mininet` where that is installed, else what it does for them
with `ip` commands), and the rows of `scripts/bench cni`. Phases are read from one watch of the pods.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

from pods_load import PodWatch, manifest, seen_through, service_address, translations
from pods_memory import Memory, read_memory, settle
from pods_peer import make_hosts
from scale import Row

from lab import Lab, wait_for

_REAL = "image: busybox, command: [sleep, infinity]"
_SERVED = "image: nginx, ports: [{containerPort: 80}]"
_NODE_PODS = 250
"""A node's /24 has addresses for so many pods, and for some of the cluster's own."""


class Bench:
    """One run: its options, and the rows and notes that it has made."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.rows, self.notes = options, list[Row](), list[str]()

    def row(self, work: str, unit: str, value: float, goal: float | None = None, peer: str = "") -> None:
        self.rows.append(Row(work, unit, value, goal, peer))
        print(self.rows[-1].render(), file=sys.stderr, flush=True)

    def thousand(self, lab: Lab) -> None:
        """Start, memory and end of many pods, then the memory of some with real processes."""
        count, nodes = self.options.pods, self.options.nodes
        lab.up(nodes)
        settle(lab)
        before = read_memory(lab)
        started = self._start(lab, count, nodes, 15.0)
        settle(lab)
        each = self._memory(f"memory of an in-process pod of {count}, all told", before, read_memory(lab), count, 450)
        self._delete(lab, count, nodes, started)
        settle(lab)
        if self.options.real:
            self._real(lab, each)

    def many(self, lab: Lab) -> None:
        """Several thousand pods: that they come, how long it takes, and their memory."""
        count = self.options.many
        nodes = -(-count // _NODE_PODS)
        lab.up(nodes)
        settle(lab)
        before = read_memory(lab)
        started = self._start(lab, count, nodes, None)
        settle(lab)
        self._memory(f"memory of an in-process pod of {count}", before, read_memory(lab), count, None)
        self._delete(lab, count, nodes, started, None)

    def _start(self, lab: Lab, count: int, nodes: int, goal: float | None) -> PodWatch:
        """From `kubectl apply` until every pod is Ready and has answered through the Service."""
        what = f"{count} pods over {nodes} nodes"
        watch = PodWatch(lab, "bench")
        begun = time.perf_counter()
        lab.kubectl("apply", "-f", "-", stdin=manifest("bench", count, _SERVED))
        self._wait(f"{what}: Ready", watch, "Ready", count)
        address = service_address(lab, "bench")
        for number in range(nodes):
            name = f"node-{number + 1}"
            wait_for(f"rules of {name}", partial(_translates, lab, name, address, count), self.options.timeout, 0.1)
        rules = time.perf_counter() - begun
        asked, failed = seen_through(lab.netns("node-1"), address, count)
        ended = time.perf_counter() - begun
        for phase, times in watch.times.items():
            span = [times[0], times[len(times) // 2], times[-1]]
            first, half, last = (f"{moment - begun:6.2f}" for moment in span)
            self.notes.append(f"{what}: {phase:<20} first {first} s, half {half} s, last {last} s")
        self.notes.append(f"{what}: in the rules of all nodes      {rules:6.2f} s; {asked} requests, {failed} failed")
        self.row(f"{what}: all Ready", "s", watch.times["Ready"][-1] - begun)
        self.row(f"{what}: Ready, and all answered", "s", ended, goal, "")
        return watch

    def _delete(self, lab: Lab, count: int, nodes: int, watch: PodWatch, goal: float | None = 5.0) -> None:
        begun = time.perf_counter()
        lab.kubectl("delete", "deployment", "bench", "--wait=false")
        self._wait(f"{count} pods deleted", watch, "gone", count)
        wait_for("namespaces gone", lambda: _namespaces(lab) <= watch.others, 60, 0.02)
        self.row(f"delete {count} pods, API and kernel", "s", time.perf_counter() - begun, goal)
        lab.kubectl("delete", "service", "bench")

    def _real(self, lab: Lab, each: float) -> None:
        """Idle pods of a real process: what they take beyond in-process ones."""
        count = self.options.real
        before, watch = read_memory(lab), PodWatch(lab, "real")
        lab.kubectl("apply", "-f", "-", stdin=manifest("real", count, _REAL))
        self._wait(f"{count} real pods", watch, "Ready", count)
        settle(lab)
        kib = read_memory(lab).since(before).total_kib / count
        self.row(f"idle real-process pod of {count}, beyond that", "KiB", kib - each, 1536)

    def _wait(self, what: str, watch: PodWatch, phase: str, count: int) -> None:
        """Until so many pods have come so far; else say how far all have come."""
        try:
            wait_for(what, lambda: watch.count(phase) >= count, self.options.timeout, 0.02)
        except SystemExit as error:
            reached = ", ".join(f"{len(times)} {name}" for name, times in watch.times.items())
            raise SystemExit(f"{error}; {reached or 'none was created'}") from None

    def _memory(self, work: str, before: Memory, after: Memory, count: int, goal: float | None) -> float:
        grown = after.since(before)
        parts = ", ".join(f"{name} {kib / count:.0f}" for name, kib in grown.parts().items())
        self.notes.append(f"{work}: KiB each: {parts}")
        self.row(work, "KiB", grown.total_kib / count, goal)
        return grown.total_kib / count

    def peer(self) -> None:
        """The hosts of Mininet, or of what it does."""
        count = self.options.hosts
        name, made, ended = make_hosts(count)
        self.row(f"{name}: {count} bare hosts, each with a link", "s", made)
        if ended:
            self.row(f"{name}: their end", "s", ended)


def _translates(lab: Lab, node: str, address: str, count: int) -> bool:
    return translations(lab, node, address) >= count


def _namespaces(lab: Lab) -> int:
    return sum(name.startswith("pod-") for name in os.listdir(f"/run/netsim/{lab.name}/netns"))


def cni_rows() -> list[Row]:
    """The rows of `scripts/bench cni`, which measures the plugin alone."""
    script = Path(__file__).parent / "cni.py"
    done = subprocess.run([sys.executable, "-B", str(script), "-o", "json"], check=True, stdout=subprocess.PIPE)
    return [Row(**row) for row in json.loads(done.stdout)]


def in_a_lab(name: str, measure: Callable[[Lab], None]) -> None:
    """Measure in a lab of its own, which goes whatever happens."""
    lab = Lab(name)
    try:
        measure(lab)
    finally:
        if lab.exists():
            lab.down()


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench pods", description=__doc__.partition("\n")[0])
    parser.add_argument("--pods", type=int, default=1000, help="0 for none (default 1000)")
    parser.add_argument("--nodes", type=int, default=5)
    parser.add_argument("--real", type=int, default=30, help="pods with real processes, 0 for none (default 30)")
    parser.add_argument("--many", type=int, default=5000, help="pods of the larger run, 0 for none (default 5000)")
    parser.add_argument("--hosts", type=int, default=500, help="Mininet's hosts, 0 for none (default 500)")
    parser.add_argument("--timeout", type=float, default=600, help="seconds that one phase may take (default 600)")
    parser.add_argument("--no-cni", action="store_true", help="leave the rows of scripts/bench cni out")
    parser.add_argument("-o", dest="output", choices=("text", "json"), default="text")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    bench = Bench(options)
    if options.pods:
        in_a_lab(f"bench-{os.getpid()}", bench.thousand)
    if options.hosts:
        bench.peer()
    if options.many:
        in_a_lab(f"bench-{os.getpid()}m", bench.many)
    if not options.no_cni:
        bench.rows += cni_rows()
    if options.output == "json":
        return print(json.dumps([asdict(row) for row in bench.rows]))
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}\n")
    print("\n".join([*(row.render() for row in bench.rows), "", *bench.notes]))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("scripts/bench: interrupted; its labs are gone")
