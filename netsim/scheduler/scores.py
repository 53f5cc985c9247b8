"""Which of the possible nodes is best. Every scorer gives 0 to 100 points, with the weights of Kubernetes' default
profile: NodeResourcesFit 1, NodeResourcesBalancedAllocation 1, NodeAffinity 2, PodTopologySpread 2, InterPodAffinity 2,
TaintToleration 3. Of the nodes with most points the one with the fewest pods is taken, then by name, so that equal
states give equal answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log

from netsim.api.selectors import LabelSelector
from netsim.scheduler.model import Cluster, NodeState
from netsim.scheduler.needs import PodNeeds
from netsim.scheduler.requests import CPU, MEMORY
from netsim.scheduler.situation import Counts, spread_sort
from netsim.scheduler.tallies import Sort, scope_of
from netsim.scheduler.terms import HOSTNAME, ZONE, PodTerm, Spread

BEST = 100.0
_EQUAL = 0.001
_CPU_IF_UNKNOWN, _MEMORY_IF_UNKNOWN = 64_000, 256 * 1024**3
_ZONE_SKEW, _HOST_SKEW = 3, 5
"""The soft constraints every pod of a controller or Service has (KEP-895)."""

_ANY = LabelSelector()
Scorer = Callable[[NodeState], float]


def ranked(needs: PodNeeds, nodes: Sequence[NodeState], cluster: Cluster) -> list[NodeState]:
    """Of the possible nodes (at least one) those with most points, the best first."""
    if len(nodes) == 1:
        return list(nodes)
    totals = [_room(needs, node) for node in nodes]
    for weight, points in _others(needs, nodes, cluster):
        totals = [total + weight * each for total, each in zip(totals, points, strict=True)]
    top = max(totals) - _EQUAL
    tied = [node for total, node in zip(totals, nodes, strict=True) if total >= top]
    return sorted(tied, key=lambda node: (len(node.pods), node.name))


def _room(needs: PodNeeds, node: NodeState) -> float:
    """The share of CPU and memory left with this pod, and how even the two are."""
    cpu = min((node.weight[0] + needs.weight[0]) / (node.allocatable.get(CPU) or _CPU_IF_UNKNOWN), 1.0)
    memory = min((node.weight[1] + needs.weight[1]) / (node.allocatable.get(MEMORY) or _MEMORY_IF_UNKNOWN), 1.0)
    return BEST * ((2 - cpu - memory) / 2 + 1 - abs(cpu - memory) / 2)


def _others(needs: PodNeeds, nodes: Sequence[NodeState], cluster: Cluster) -> list[tuple[int, list[float]]]:
    found: list[tuple[int, list[float]]] = []
    if any(node.unwelcome for node in nodes):
        found.append((3, _fewest([_unwelcome(needs, node) for node in nodes])))
    if needs.preferred_nodes:
        found.append((2, _most([_preferred(needs, node) for node in nodes])))
    spread = _spread_score(needs, nodes, cluster)
    if spread is not None:
        found.append((2, spread))
    near = _near_tables(needs, cluster)
    if near:
        found.append((2, _between([_near(near, node) for node in nodes])))
    return found


def _unwelcome(needs: PodNeeds, node: NodeState) -> float:
    return float(sum(1 for taint in node.unwelcome if not needs.tolerations.cover(taint)))


def _preferred(needs: PodNeeds, node: NodeState) -> float:
    return float(sum(weight for weight, term in needs.preferred_nodes if term.matches(node.name, node.labels)))


def _most(raw: list[float]) -> list[float]:
    top = max(raw)
    return [BEST * each / top for each in raw] if top > 0 else raw


def _fewest(raw: list[float]) -> list[float]:
    top = max(raw)
    return [BEST * (1 - each / top) if top > 0 else BEST for each in raw]


def _between(raw: list[float]) -> list[float]:
    low, high = min(0.0, *raw), max(0.0, *raw)
    return [BEST * (each - low) / (high - low) if high > low else 0.0 for each in raw]


def _near_tables(needs: PodNeeds, cluster: Cluster) -> list[tuple[str, int, Counts]]:
    """(label, weight, where) of the pod's own preferences, and of those which pods that stand have about it."""
    own = [(term.key, weight, cluster.tallies.get(Sort((term,)), term.key)) for weight, term in needs.pods.preferred]
    labels = cluster.namespace_labels(needs.namespace)
    theirs = [
        (term.key, 1, counts)
        for term, counts in cluster.standing.preferred.items()
        if term.covers(needs.namespace, labels, needs.labels)
    ]
    return [*own, *theirs]


def _near(tables: list[tuple[str, int, Counts]], node: NodeState) -> float:
    labels = node.labels
    return float(sum(weight * counts.get(labels[key], 0) for key, weight, counts in tables if key in labels))


def _spread_score(needs: PodNeeds, nodes: Sequence[NodeState], cluster: Cluster) -> list[float] | None:
    if needs.spreads:
        soft = [spread for spread in needs.spreads if not spread.hard]
        return _explicit(needs, soft, nodes, cluster) if soft else None
    scorers = _default_scorers(needs, nodes, cluster)
    if not scorers:
        return None
    return _evenest([sum(scorer(node) for scorer in scorers) for node in nodes])


def _explicit(needs: PodNeeds, soft: list[Spread], nodes: Sequence[NodeState], cluster: Cluster) -> list[float]:
    """Nodes that lack one of the labels get nothing."""
    keys = tuple(sorted({spread.key for spread in soft}))
    whole = [all(key in node.labels for key in keys) for node in nodes]
    scored = [node for node, fits in zip(nodes, whole, strict=True) if fits]
    if not scored:
        return [0.0] * len(nodes)
    scorers = [_scorer(_counts(needs, spread, keys, cluster), spread, scored) for spread in soft]
    points = iter(_evenest([sum(scorer(node) for scorer in scorers) for node in scored]))
    return [next(points) if fits else 0.0 for fits in whole]


def _counts(needs: PodNeeds, spread: Spread, keys: tuple[str, ...], cluster: Cluster) -> Counts:
    return cluster.tallies.get(spread_sort(needs, spread), spread.key, scope_of(needs, spread, keys))


def _scorer(counts: Counts, spread: Spread, nodes: Sequence[NodeState]) -> Scorer:
    key, skew = spread.key, spread.max_skew - 1
    factor = log(len({node.labels[key] for node in nodes if key in node.labels}) + 2)
    return lambda node: counts.get(node.labels[key], 0) * factor + skew if key in node.labels else 0.0


def _default_scorers(needs: PodNeeds, nodes: Sequence[NodeState], cluster: Cluster) -> list[Scorer]:
    """Over zones and nodes: pods of the same controller, or of the same Services where the pod is bare."""
    if needs.owner:
        sort = Sort(owner=needs.owner, settled=True)
        scorers = [_by_owner(needs.owner, len(nodes))]
    else:
        selectors = cluster.services_of(needs)
        if not selectors:
            return []
        sort = Sort(tuple(PodTerm(frozenset((needs.namespace,)), each, HOSTNAME) for each in selectors), settled=True)
        scorers = [_by_label(cluster, sort, HOSTNAME, _HOST_SKEW, nodes)]
    if any(ZONE in node.labels for node in nodes):
        scorers.append(_by_label(cluster, sort, ZONE, _ZONE_SKEW, nodes))
    return scorers


def _by_owner(owner: str, count: int) -> Scorer:
    factor = log(count + 2)
    return lambda node: node.owners.get(owner, 0) * factor + _HOST_SKEW - 1


def _by_label(cluster: Cluster, sort: Sort, key: str, skew: int, nodes: Sequence[NodeState]) -> Scorer:
    spread = Spread(key, skew, False, sort.terms[0].selector if sort.terms else _ANY)
    return _scorer(cluster.tallies.get(sort, key), spread, nodes)


def _evenest(raw: list[float]) -> list[float]:
    high, low = max(raw), min(raw)
    return [BEST * (high + low - each) / high if high else BEST for each in raw]
