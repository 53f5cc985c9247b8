"""What matters of a pod for its placement, read once."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeVar

from netsim.api.kinds import Obj
from netsim.api.objects import controller_of, deletion_timestamp, key_of, labels_of, namespace_of, pod_phase, uid_of
from netsim.scheduler.requests import (
    Amounts,
    HostPort,
    Resizing,
    host_ports_of,
    requests_of,
    resizing_of,
    weight_of,
)
from netsim.scheduler.terms import (
    Labels,
    NodeRules,
    NodeTerm,
    PodRules,
    Spread,
    Tolerations,
    node_rules,
    pod_rules,
    preferred_nodes,
    spreads_of,
    tolerations_of,
)

_V = TypeVar("_V", bound=Hashable)


@dataclass(slots=True, eq=False)
class PodNeeds:
    """A pod's demands. `pod` is replaced by later versions of it, the rest never changes. `weight` is its share of CPU
    and memory for the score, where a container without requests counts with defaults; `owner` is the uid of its
    controller, or "" for a bare pod; `resizing` says for which containers other amounts count than their spec's."""

    key: str
    uid: str
    namespace: str
    labels: Labels
    pod: Obj
    requests: Amounts
    weight: tuple[int, int]
    host_ports: frozenset[HostPort]
    owner: str
    priority: int
    nodes: NodeRules
    preferred_nodes: tuple[tuple[int, NodeTerm], ...]
    tolerations: Tolerations
    pods: PodRules
    spreads: tuple[Spread, ...]
    resizing: Resizing

    @property
    def going(self) -> bool:
        """Whether the pod is being deleted."""
        return deletion_timestamp(self.pod) is not None


def changed_needs(known: PodNeeds, pod: Obj) -> PodNeeds:
    """The needs of a later version of a pod whose spec has stayed the same, its node apart: what was read of that
    stands."""
    rules, spreads = _one(pod_rules(pod)), _one(spreads_of(pod))
    return replace(known, pod=pod, labels=labels_of(pod), owner=_owner(pod), pods=rules, spreads=spreads)


def needs_of(pod: Obj) -> PodNeeds:
    """Read a pod."""
    spec = pod["spec"]
    resizing = resizing_of(pod)
    requests = _amounts(tuple(requests_of(spec, resizing).items()))
    return PodNeeds(
        key_of(pod),
        uid_of(pod),
        namespace_of(pod),
        labels_of(pod),
        pod,
        requests,
        _one(weight_of(spec, requests)),
        host_ports_of(spec),
        _owner(pod),
        int(spec.get("priority") or 0),
        _one(node_rules(spec)),
        _one(preferred_nodes(spec)),
        _one(tolerations_of(spec)),
        _one(pod_rules(pod)),
        _one(spreads_of(pod)),
        resizing,
    )


def _owner(pod: Obj) -> str:
    owner = controller_of(pod)
    return "" if owner is None else str(owner.get("uid", ""))


@lru_cache(1024)
def _one(value: _V) -> _V:
    """The first of equal values: most pods are alike, and thousands are kept."""
    return value


@lru_cache(1024)
def _amounts(items: tuple[tuple[str, int], ...]) -> Amounts:
    return dict(items)


def is_pending(pod: Obj) -> bool:
    """Whether the pod waits for a node and nothing holds it back."""
    spec = pod["spec"]
    waiting = not spec.get("nodeName") and not spec.get("schedulingGates")
    return waiting and deletion_timestamp(pod) is None and not is_over(pod)


def is_over(pod: Obj) -> bool:
    """Whether the pod has ended and takes no room any more."""
    return pod_phase(pod) in ("Succeeded", "Failed")
