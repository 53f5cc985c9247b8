"""What the rest of the cluster means for one pod: gathered once before the nodes are looked at one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from netsim.scheduler.model import Cluster, NodeState
from netsim.scheduler.needs import PodNeeds
from netsim.scheduler.tallies import Sort, scope_of
from netsim.scheduler.terms import PodTerm, Spread

NodeCheck = Callable[[NodeState], tuple[str, ...]]
Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Skew:
    """A hard spread constraint: pods in each part of the topology, the least of them, and whether the pod itself
    counts."""

    spread: Spread
    counts: Counts
    least: int
    own: int

    def too_much(self, value: str) -> bool:
        return self.counts.get(value, 0) + self.own - self.least > self.spread.max_skew


@dataclass(slots=True, eq=False)
class Situation:
    """`banned`: (label, its values) where pods stand that want the pod away; `near`, `apart`: each of the pod's own
    terms with where matching pods stand; `alone`: nobody matches the pod's affinity but the pod itself;
    `volumes` and `devices`: why these keep it off a node, if it has any."""

    needs: PodNeeds
    banned: tuple[tuple[str, Counts], ...] = ()
    near: tuple[tuple[PodTerm, Counts], ...] = ()
    apart: tuple[tuple[PodTerm, Counts], ...] = ()
    alone: bool = False
    skews: tuple[Skew, ...] = ()
    volumes: NodeCheck | None = None
    devices: NodeCheck | None = None
    names: frozenset[str] | None = field(default=None)

    @property
    def simple(self) -> bool:
        """Whether no other pod matters."""
        return not (self.banned or self.near or self.apart or self.skews)


def situation_of(
    needs: PodNeeds, cluster: Cluster, volumes: NodeCheck | None = None, devices: NodeCheck | None = None
) -> Situation:
    near = _near(needs, cluster)
    return Situation(
        needs,
        _banned(needs, cluster),
        near,
        tuple((term, cluster.tallies.get(Sort((term,)), term.key)) for term in needs.pods.apart),
        bool(near) and _alone(needs, cluster, near),
        _skews(needs, cluster),
        volumes,
        devices,
        needs.nodes.names,
    )


def _banned(needs: PodNeeds, cluster: Cluster) -> tuple[tuple[str, Counts], ...]:
    if not cluster.standing.apart:
        return ()
    labels = cluster.namespace_labels(needs.namespace)
    return tuple(
        (term.key, counts)
        for term, counts in cluster.standing.apart.items()
        if term.covers(needs.namespace, labels, needs.labels)
    )


def _near(needs: PodNeeds, cluster: Cluster) -> tuple[tuple[PodTerm, Counts], ...]:
    """Only pods that match every term count for any of them."""
    every = Sort(needs.pods.near)
    return tuple((term, cluster.tallies.get(every, term.key)) for term in needs.pods.near)


def _alone(needs: PodNeeds, cluster: Cluster, near: tuple[tuple[PodTerm, Counts], ...]) -> bool:
    """The first pod of a group that wants to be together may go anywhere."""
    if any(any(counts.values()) for _, counts in near):
        return False
    return Sort(needs.pods.near).covers(needs, cluster.namespace_labels)


def _skews(needs: PodNeeds, cluster: Cluster) -> tuple[Skew, ...]:
    hard = [spread for spread in needs.spreads if spread.hard]
    keys = tuple(sorted({spread.key for spread in hard}))
    return tuple(_skew(needs, cluster, spread, keys) for spread in hard)


def _skew(needs: PodNeeds, cluster: Cluster, spread: Spread, keys: tuple[str, ...]) -> Skew:
    sort = spread_sort(needs, spread)
    counts = cluster.tallies.get(sort, spread.key, scope_of(needs, spread, keys))
    least = min(counts.values(), default=0) if len(counts) >= spread.min_domains else 0
    return Skew(spread, counts, least, int(spread.selector.matches(needs.labels)))


def spread_sort(needs: PodNeeds, spread: Spread) -> Sort:
    """The pods a constraint counts: those of the pod's namespace that its selector matches and that stay."""
    return Sort((PodTerm(frozenset((needs.namespace,)), spread.selector, spread.key),), settled=True)
