"""A pod's rules about nodes and about other pods, read once into values that can be compared and remembered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from netsim.api.kinds import Obj
from netsim.api.objects import dig, labels_of, namespace_of, tolerates
from netsim.api.selectors import LabelSelector, Requirement, label_selector_of

HOSTNAME = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class NodeTerm:
    """A nodeSelectorTerm: all of both lists must hold; an empty term matches nothing."""

    labels: LabelSelector
    fields: LabelSelector

    def matches(self, name: str, labels: Labels) -> bool:
        if self.labels.empty and self.fields.empty:
            return False
        return self.labels.matches(labels) and self.fields.matches({"metadata.name": name})


@dataclass(frozen=True, slots=True)
class NodeRules:
    """Where a pod may run at all: its nodeSelector, and any one of `terms` (None: no such rule)."""

    selector: tuple[tuple[str, str], ...] = ()
    terms: tuple[NodeTerm, ...] | None = None

    @property
    def empty(self) -> bool:
        return not self.selector and self.terms is None

    def allow(self, name: str, labels: Labels) -> bool:
        if any(labels.get(key) != value for key, value in self.selector):
            return False
        return self.terms is None or any(term.matches(name, labels) for term in self.terms)

    @property
    def names(self) -> frozenset[str] | None:
        """The only nodes that every term allows by name, None when one does not say."""
        if not self.terms:
            return None
        found = [_named(term) for term in self.terms]
        return None if None in found else frozenset().union(*(names for names in found if names is not None))


def _named(term: NodeTerm) -> frozenset[str] | None:
    lists = [frozenset(r.values) for r in term.fields.requirements if r.key == "metadata.name" and r.op == "in"]
    return frozenset.intersection(*lists) if lists else None


def node_rules(spec: Obj) -> NodeRules:
    selector = tuple(sorted((spec.get("nodeSelector") or {}).items()))
    required = dig(spec, "affinity", "nodeAffinity", _REQUIRED)
    terms = None if required is None else tuple(node_term(term) for term in required.get("nodeSelectorTerms") or [])
    return NodeRules(selector, terms)


def node_term(term: Obj) -> NodeTerm:
    return NodeTerm(_expressions(term.get("matchExpressions")), _expressions(term.get("matchFields")))


def _expressions(expressions: Sequence[Obj] | None) -> LabelSelector:
    return label_selector_of({"matchExpressions": list(expressions or ())})


def preferred_nodes(spec: Obj) -> tuple[tuple[int, NodeTerm], ...]:
    """(weight, term) of the preferred node affinity; an empty term prefers nothing."""
    wanted = dig(spec, "affinity", "nodeAffinity", _PREFERRED) or ()
    return tuple((int(each.get("weight", 1)), node_term(each.get("preference") or {})) for each in wanted)


@dataclass(frozen=True, slots=True)
class PodTerm:
    """Which pods a rule speaks of, and over which topology. `namespaces` are joined by those whose labels
    `namespace_selector` matches."""

    namespaces: frozenset[str]
    selector: LabelSelector
    key: str
    namespace_selector: LabelSelector | None = None

    def covers(self, namespace: str, namespace_labels: Labels, labels: Labels) -> bool:
        inside = namespace in self.namespaces or (
            self.namespace_selector is not None and self.namespace_selector.matches(namespace_labels)
        )
        return inside and self.selector.matches(labels)


def _pod_term(term: Obj, pod: Obj) -> PodTerm:
    given, by_labels = term.get("namespaces") or (), term.get("namespaceSelector")
    namespaces = frozenset(given) if given or by_labels is not None else frozenset((namespace_of(pod),))
    selector = label_selector_of(term.get("labelSelector"))
    selector = with_keys(selector, term.get("matchLabelKeys"), labels_of(pod))
    selector = with_keys(selector, term.get("mismatchLabelKeys"), labels_of(pod), same=False)
    among = None if by_labels is None else label_selector_of(by_labels)
    return PodTerm(namespaces, selector, term.get("topologyKey", ""), among)


def with_keys(
    selector: LabelSelector, keys: Sequence[str] | None, labels: Labels, *, same: bool = True
) -> LabelSelector:
    """The selector that also asks for the pod's own values of these labels, those it has (KEP-3243, KEP-3633)."""
    if not keys or selector.nothing:
        return selector
    more = [Requirement(key, "in" if same else "notin", (labels[key],)) for key in keys if key in labels]
    fresh = [requirement for requirement in more if requirement not in selector.requirements]
    return LabelSelector((*selector.requirements, *fresh))


@dataclass(frozen=True, slots=True)
class PodRules:
    """Affinity to other pods: required terms, and preferred ones with their weight (negative for anti-affinity)."""

    near: tuple[PodTerm, ...] = ()
    apart: tuple[PodTerm, ...] = ()
    preferred: tuple[tuple[int, PodTerm], ...] = ()

    @property
    def empty(self) -> bool:
        return not (self.near or self.apart or self.preferred)


NO_RULES = PodRules()


def pod_rules(pod: Obj) -> PodRules:
    affinity = pod["spec"].get("affinity")
    if not affinity or not (affinity.get("podAffinity") or affinity.get("podAntiAffinity")):
        return NO_RULES
    near, apart = affinity.get("podAffinity") or {}, affinity.get("podAntiAffinity") or {}
    preferred = [*_weighted(near, pod, 1), *_weighted(apart, pod, -1)]
    return PodRules(_required(near, pod), _required(apart, pod), tuple(preferred))


def _required(rules: Obj, pod: Obj) -> tuple[PodTerm, ...]:
    return tuple(_pod_term(term, pod) for term in rules.get(_REQUIRED) or ())


def _weighted(rules: Obj, pod: Obj, sign: int) -> list[tuple[int, PodTerm]]:
    wanted = rules.get(_PREFERRED) or ()
    return [(sign * int(w.get("weight", 1)), _pod_term(w.get("podAffinityTerm") or {}, pod)) for w in wanted]


@dataclass(frozen=True, slots=True)
class Spread:
    """A topologySpreadConstraint; `hard` ones forbid, others only weigh."""

    key: str
    max_skew: int
    hard: bool
    selector: LabelSelector
    min_domains: int = 1
    honour_affinity: bool = True
    honour_taints: bool = False


def spreads_of(pod: Obj) -> tuple[Spread, ...]:
    return tuple(_spread(each, labels_of(pod)) for each in pod["spec"].get("topologySpreadConstraints") or ())


def _spread(constraint: Obj, labels: Labels) -> Spread:
    selector = label_selector_of(constraint.get("labelSelector"))
    return Spread(
        constraint["topologyKey"],
        int(constraint.get("maxSkew", 1)),
        constraint.get("whenUnsatisfiable", "DoNotSchedule") == "DoNotSchedule",
        with_keys(selector, constraint.get("matchLabelKeys"), labels),
        int(constraint.get("minDomains") or 1),
        constraint.get("nodeAffinityPolicy", "Honor") == "Honor",
        constraint.get("nodeTaintsPolicy", "Ignore") == "Honor",
    )


Taint = tuple[str, str, str]
"""(key, value, effect)."""


@dataclass(frozen=True, slots=True)
class Tolerations:
    """A pod's tolerations; equal ones are the same key of a memory."""

    items: tuple[tuple[tuple[str, str], ...], ...] = ()

    def cover(self, taint: Taint) -> bool:
        return bool(self.items) and _covered(self.items, taint)


@lru_cache(4096)
def _covered(items: tuple[tuple[tuple[str, str], ...], ...], taint: Taint) -> bool:
    obj = {"key": taint[0], "value": taint[1], "effect": taint[2]}
    return any(tolerates(dict(item), obj) for item in items)


NO_TOLERATIONS = Tolerations()


def tolerations_of(spec: Obj) -> Tolerations:
    given = spec.get("tolerations")
    if not given:
        return NO_TOLERATIONS
    keep = ("key", "operator", "value", "effect")
    return Tolerations(tuple(tuple((k, str(each[k])) for k in keep if each.get(k)) for each in given))
