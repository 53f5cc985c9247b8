"""`scripts/bench up`: start of a lab, 100 replicas, memory, removal, start of the command, beside their peers.

The peer "Mininet" is what Mininet does for bare hosts (a namespace, a veth pair, an address, with `ip` commands),
done in the same run on the same machine. Figures marked "published" are the projects' own, from other machines.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from dataclasses import asdict, dataclass
from functools import partial

from lab import NETSIM, Lab, inside, timed, wait_for, who_answers

_NODES = ("node-1", "node-2", "node-3")
_DEPLOYMENT = "/apis/apps/v1/namespaces/default/deployments/bench/scale"
_MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: bench}
spec:
  replicas: 1
  selector: {matchLabels: {app: bench}}
  template:
    metadata: {labels: {app: bench}}
    spec: {containers: [{name: web, image: nginx, ports: [{containerPort: 80}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: bench}
spec: {selector: {app: bench}, ports: [{port: 80}]}
"""
# Everything in namespaces and mounts of its own, which end with the shell: nothing is left on the machine.
_MININET = """
mount -t tmpfs none /run && mkdir /run/netns && ip link set lo up
for i in $(seq {n}); do
    ip netns add h$i
    ip link add h$i-eth0 type veth peer name eth0 netns h$i
    ip -n h$i address add 10.0.$((i / 250)).$((i % 250 + 1))/8 dev eth0
    ip -n h$i link set lo up
    ip -n h$i link set eth0 up
    ip link set h$i-eth0 up
done
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `peer` is in the unit of `value`, 0 if there is none; `rounds` are all measured values."""

    work: str
    unit: str
    value: float
    goal: float
    peer: float
    peer_name: str
    rounds: tuple[float, ...] = ()

    def render(self) -> str:
        ratio = f"{self.peer / self.value:.1f} x" if self.peer else ""
        verdict = "met" if self.value <= self.goal else "MISSED"
        size = {"s": 2, "MiB": 0, "ms": 0}[self.unit]
        value, goal, peer = f"{self.value:.{size}f}", f"<= {self.goal:g}", f"{self.peer:.{size}f}" if self.peer else "-"
        low, high = (f"{x:.{size}f}" for x in (min(self.rounds), max(self.rounds)))
        return (
            f"{self.work:<46} {value:>7} {self.unit:<4}{low + '-' + high:>11} {goal:>8} {verdict:<7}"
            f"{peer:>8} {ratio:>7}  {self.peer_name}"
        )


def _row(work: str, unit: str, rounds: list[float], goal: float, peer: float, peer_name: str) -> Row:
    return Row(work, unit, statistics.median(rounds), goal, peer, peer_name, tuple(rounds))


def bare_namespaces(count: int) -> float:
    """Seconds for `count` namespaces with a veth pair each, made with `ip` as Mininet makes its hosts."""
    return timed(["unshare", "--net", "--mount", "sh", "-ec", _MININET.replace("{n}", str(count))])


def _has_rules(lab: Lab, node: str, replicas: int) -> bool:
    return lab.rules(node, "default/bench") == replicas


def scale(lab: Lab, replicas: int) -> float:
    """Seconds from the write of `replicas` until slices and every node's rules have all, and every pod has answered."""
    with inside(lab.netns(_NODES[0])) as pool:
        start = time.perf_counter()
        lab.api("PATCH", _DEPLOYMENT, {"spec": {"replicas": replicas}})
        wait_for("EndpointSlices", lambda: len(lab.ready_addresses("bench")) == replicas)
        for node in _NODES:
            wait_for(f"rules of {node}", partial(_has_rules, lab, node, replicas))
        answered = set(pool.map(who_answers, lab.ready_addresses("bench")))
        seconds = time.perf_counter() - start
    if len(answered - {""}) != replicas:
        raise SystemExit(f"scripts/bench: only {len(answered - {''})} of {replicas} pods answered")
    return seconds


def ask_service(lab: Lab, replicas: int) -> str:
    """Ask through the ClusterIP until every replica has answered."""
    address = lab.api("GET", "/api/v1/namespaces/default/services/bench")["spec"]["clusterIP"]
    asked, answered, failed = 0, set[str](), 0
    with inside(lab.netns(_NODES[0])) as pool:
        start = time.perf_counter()
        while len(answered) < replicas and asked < 50 * replicas:
            names = list(pool.map(who_answers, [address] * 50))
            asked, failed = asked + len(names), failed + names.count("")
            answered |= set(names) - {""}
        seconds = time.perf_counter() - start
    return f"ClusterIP: {len(answered)} of {replicas} pods seen in {asked} requests, {failed} failed, {seconds:.2f} s"


def measure_lab(lab: Lab, rounds: int, replicas: int, notes: list[str]) -> list[Row]:
    """Up, scale, memory and down, `rounds` times each."""
    ups, scales, bare, idle, full, downs = ([] for _ in range(6))
    for last in (*[False] * (rounds - 1), True):
        ups.append(lab.up())
        idle.append(sum((table := lab.pss()).values()))
        lab.kubectl("apply", "-f", "-", stdin=_MANIFEST)
        wait_for("first replica", lambda: len(lab.ready_addresses("bench")) == 1)
        wait_for("its rules", lambda: all(_has_rules(lab, n, 1) for n in _NODES))
        scales.append(scale(lab, replicas))
        bare.append(bare_namespaces(replicas))
        full.append(sum(lab.pss().values()))
        if last:
            notes.append(ask_service(lab, replicas))
            notes += ["", "PSS in MiB after `netsim up`:", *(f"  {mib:6.1f}  {name}" for name, mib in table.items())]
        downs.append(lab.down())
    mininet = statistics.median(bare)
    return [
        _row("netsim up --nodes 3 until DNS answers", "s", ups, 5, 19.9, "k3d (published; kind 33.0, minikube 50.8)"),
        _row(f"1 -> {replicas} replicas until all answer", "s", scales, 3, mininet, f"Mininet: {replicas} bare hosts"),
        _row("memory of the lab, PSS", "MiB", idle, 300, 1596 + 2 * 275, "k3s, server + 2 agents (published)"),
        _row(f"the same with {replicas} pods", "MiB", full, 300, 1596 + 2 * 275, "k3s without the pods (published)"),
        _row(f"netsim down with {replicas} pods", "s", downs, 2, 0, ""),
    ]


def measure_command(rounds: int) -> list[Row]:
    """Start of the command itself, in ms, beside kubectl's; after one run each to warm the caches."""

    def milliseconds(*command: str) -> list[float]:
        timed(list(command))
        return [1000 * timed(list(command)) for _ in range(rounds)]

    peer = statistics.median(milliseconds(find_kubectl(), "version", "--client"))
    commands = (("--help",), ("ls",), ("ls", "-o", "json"))
    return [
        _row(" ".join(("netsim", *words)), "ms", milliseconds(NETSIM, *words), 200, peer, "kubectl version --client")
        for words in commands
    ]


def find_kubectl() -> str:
    """The kubectl that `netsim kubectl` runs: the one beside it, else PATH's."""
    beside = os.path.join(os.path.dirname(os.path.realpath(NETSIM)), "kubectl")
    return beside if os.path.exists(beside) else "kubectl"


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench up", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="medians of so many rounds (default 3)")
    parser.add_argument("--replicas", type=int, default=100)
    parser.add_argument("-o", dest="output", choices=("text", "json"), default="text")
    options = parser.parse_args()
    lab = Lab(f"bench-{os.getpid()}")
    notes: list[str] = []
    try:
        rows = [*measure_lab(lab, options.rounds, options.replicas, notes), *measure_command(5 * options.rounds)]
    finally:
        if lab.exists():
            lab.down()
    if options.output == "json":
        print(json.dumps([asdict(row) for row in rows]))
        return
    load = f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}"
    print(f"{load}; medians of {options.rounds} rounds, of commands 5 times more\n")
    print(f"{'work':<46} {'netsim':>7} {'':<4}{'min-max':>11} {'goal':>8} {'':<7}{'peer':>8} {'ratio':>7}  who")
    print("\n".join([*(row.render() for row in rows), "", *notes]))


if __name__ == "__main__":
    main()
