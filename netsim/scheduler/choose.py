"""The choice of a node for a pod, or why there is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from netsim.api.kinds import Obj
from netsim.scheduler.filters import Refusal, refusal_of
from netsim.scheduler.model import Cluster, NodeState
from netsim.scheduler.needs import PodNeeds, needs_of
from netsim.scheduler.scores import ranked
from netsim.scheduler.situation import Situation, situation_of

ENOUGH = 100
"""In a large cluster the search stops after so many possible nodes (the least that Kubernetes looks for)."""


@dataclass(frozen=True, slots=True)
class Decision:
    """`node` is the chosen one, "" if there is none; then `refused` says why of every one of the `total` nodes, or
    `problem` what keeps the pod off all of them (both where its devices do). `looked_at` is how many were examined,
    `ties` the nodes that were as good as the chosen one; `devices` says that the pod's claims for devices were looked
    at."""

    node: str
    total: int = 0
    looked_at: int = 0
    refused: dict[str, Refusal] = field(default_factory=dict)
    problem: str = ""
    ties: tuple[NodeState, ...] = ()
    devices: bool = False

    @property
    def message(self) -> str:
        """ "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable." """
        if not self.total:
            return "no nodes available to schedule pods"
        if self.problem:
            return f"0/{self.total} nodes are available: {self.problem}."
        return unavailable(self.total, [reason for each in self.refused.values() for reason in each.reasons])


def unavailable(total: int, reasons: Iterable[str]) -> str:
    """The sentence that counts the reasons, sorted as text."""
    listed = sorted(f"{count} {reason}" for reason, count in Counter(reasons).items())
    return f"0/{total} nodes are available: {', '.join(listed)}."


def choose_node(pod: Obj, nodes: Iterable[Obj], pods: Iterable[Obj]) -> Decision:
    """The node for a pod in a cluster given as API objects."""
    cluster = Cluster(nodes, pods)
    return decide(situation_of(needs_of(pod), cluster), cluster)


def decide(situation: Situation, cluster: Cluster, start: int = 0, first: str = "") -> Decision:
    """The best of the first ENOUGH possible nodes, looking from index `start` round; the node `first` (where the pod
    has made room for itself) before all others."""
    nominated = cluster.get(first) if first else None
    if nominated is not None and refusal_of(situation, nominated, cluster) is None:
        return Decision(first, len(cluster), 1)
    nodes = cluster.nodes()
    possible: list[NodeState] = []
    refused: dict[str, Refusal] = {}
    looked_at = 0
    for looked_at in range(1, len(nodes) + 1):
        node = nodes[(start + looked_at - 1) % len(nodes)]
        refusal = refusal_of(situation, node, cluster)
        if refusal is not None:
            refused[node.name] = refusal
            continue
        possible.append(node)
        if len(possible) >= ENOUGH:
            break
    if not possible:
        return Decision("", len(nodes), looked_at, refused)
    best, *ties = ranked(situation.needs, possible, cluster)
    return Decision(best.name, len(nodes), looked_at, ties=tuple(ties))


def place(needs: PodNeeds, cluster: Cluster, start: int = 0) -> Decision:
    """`decide` for a pod without volumes."""
    return decide(situation_of(needs, cluster), cluster, start)
