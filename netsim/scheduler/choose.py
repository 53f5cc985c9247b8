"""The choice of a node for a pod, or why there is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from netsim.api.kinds import Obj
from netsim.scheduler.filters import reasons_against
from netsim.scheduler.model import Cluster, NodeState, PodNeeds, needs_of
from netsim.scheduler.scores import score

ENOUGH = 100
"""In a large cluster the search stops after so many possible nodes."""


@dataclass(frozen=True, slots=True)
class Decision:
    """`node` is the chosen one, "" if there is none; then `reasons` counts what spoke against the `total` nodes.
    `looked_at` is how many were examined."""

    node: str
    reasons: tuple[tuple[str, int], ...] = ()
    total: int = 0
    looked_at: int = 0

    @property
    def message(self) -> str:
        """ "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable." """
        if not self.total:
            return "no nodes available to schedule pods"
        listed = sorted(f"{count} {reason}" for reason, count in self.reasons)
        return f"0/{self.total} nodes are available: {', '.join(listed)}."


def choose_node(pod: Obj, nodes: Iterable[Obj], pods: Iterable[Obj]) -> Decision:
    """The node for a pod in a cluster given as API objects."""
    return decide(needs_of(pod), Cluster(nodes, pods).nodes())


def decide(needs: PodNeeds, nodes: Sequence[NodeState], start: int = 0) -> Decision:
    """The best of the first ENOUGH possible nodes, looking from index `start` round."""
    possible: list[NodeState] = []
    against: Counter[str] = Counter()
    looked_at = 0
    for looked_at in range(1, len(nodes) + 1):
        node = nodes[(start + looked_at - 1) % len(nodes)]
        reasons = reasons_against(needs, node)
        against.update(reasons)
        if not reasons:
            possible.append(node)
            if len(possible) >= ENOUGH:
                break
    if not possible:
        return Decision("", tuple(sorted(against.items())), len(nodes), looked_at)
    best = min(possible, key=lambda node: score(needs, node))
    return Decision(best.name, (), len(nodes), looked_at)
