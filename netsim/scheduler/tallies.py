"""How many pods of a sort there are in each part of a topology, counted once and then kept up with every change."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from netsim.scheduler.needs import PodNeeds
from netsim.scheduler.terms import Labels, NodeRules, PodTerm, Spread, Tolerations

REMEMBERED = 256
"""Counts kept; the least recently used is dropped and made anew when it is wanted."""


class Place(Protocol):
    """The part of a NodeState that is counted over."""

    @property
    def name(self) -> str: ...

    @property
    def labels(self) -> Mapping[str, str]: ...

    @property
    def taints(self) -> tuple[tuple[str, str, str], ...]: ...

    @property
    def pods(self) -> dict[str, PodNeeds]: ...


NamespaceLabels = Callable[[str], Labels]


@dataclass(frozen=True, slots=True)
class Sort:
    """Pods that match all of `terms`, or (if there are none) that belong to a controller; `settled` leaves out those
    that are being deleted."""

    terms: tuple[PodTerm, ...] = ()
    owner: str = ""
    settled: bool = False

    def covers(self, needs: PodNeeds, namespace_labels: NamespaceLabels) -> bool:
        if self.owner and needs.owner != self.owner:
            return False
        if self.settled and needs.going:
            return False
        labels = namespace_labels(needs.namespace)
        return all(term.covers(needs.namespace, labels, needs.labels) for term in self.terms)


@dataclass(frozen=True, slots=True)
class Scope:
    """The nodes that count: those with all `keys` among their labels which the rules allow and whose taints are
    tolerated (None: all)."""

    keys: tuple[str, ...] = ()
    rules: NodeRules | None = None
    tolerations: Tolerations | None = None

    def allows(self, node: Place) -> bool:
        if any(key not in node.labels for key in self.keys):
            return False
        if self.rules is not None and not self.rules.allow(node.name, node.labels):
            return False
        return self.tolerations is None or all(self.tolerations.cover(taint) for taint in node.taints)


def scope_of(needs: PodNeeds, spread: Spread, keys: tuple[str, ...]) -> Scope:
    """The nodes over which a constraint of the pod spreads."""
    rules = needs.nodes if spread.honour_affinity and not needs.nodes.empty else None
    return Scope(keys, rules, needs.tolerations if spread.honour_taints else None)


EVERYWHERE = Scope()


class Tallies:
    """Counts of pods by the value of a node's label. `nodes` is a live list. `clear` when a Node or namespace has
    changed: then all is counted anew when it is wanted."""

    def __init__(self, nodes: Sequence[Place], namespace_labels: NamespaceLabels) -> None:
        self._nodes, self._namespace_labels = nodes, namespace_labels
        self._known: OrderedDict[tuple[Sort, str, Scope], Counter[str]] = OrderedDict()

    def get(self, sort: Sort, key: str, scope: Scope = EVERYWHERE) -> Counter[str]:
        """Value of the label `key` -> pods of the sort there; also the values with none. Not to be changed."""
        wanted = (sort, key, scope)
        counts = self._known.get(wanted)
        if counts is None:
            counts = self._known[wanted] = self._count_all(*wanted)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(wanted)
        return counts

    def _count_all(self, sort: Sort, key: str, scope: Scope) -> Counter[str]:
        counts: Counter[str] = Counter()
        for node in self._nodes:
            if key in node.labels and scope.allows(node):
                found = sum(1 for needs in node.pods.values() if sort.covers(needs, self._namespace_labels))
                counts[node.labels[key]] += found
        return counts

    def count(self, node: Place, needs: PodNeeds, sign: int) -> None:
        """A pod came to a node, or left it."""
        for (sort, key, scope), counts in self._known.items():
            if sort.covers(needs, self._namespace_labels) and key in node.labels and scope.allows(node):
                counts[node.labels[key]] += sign

    def clear(self) -> None:
        self._known.clear()


class Standing:
    """The rules of pods that have a node about those that come: each different term once, with the weight it has in
    each part of its topology."""

    def __init__(self) -> None:
        self.apart: dict[PodTerm, Counter[str]] = {}
        self.preferred: dict[PodTerm, Counter[str]] = {}

    def count(self, node: Place, needs: PodNeeds, sign: int) -> None:
        """A pod came to a node, or left it."""
        rules = needs.pods
        if rules.empty:
            return
        for term in rules.apart:
            _add(self.apart, term, node, sign)
        for weight, term in (*rules.preferred, *((1, term) for term in rules.near)):
            _add(self.preferred, term, node, sign * weight)


def _add(table: dict[PodTerm, Counter[str]], term: PodTerm, node: Place, amount: int) -> None:
    value = node.labels.get(term.key)
    if value is None:
        return
    counts = table.setdefault(term, Counter())
    counts[value] += amount
    if not counts[value]:
        del counts[value]
        if not counts:
            del table[term]
