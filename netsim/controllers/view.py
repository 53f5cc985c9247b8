"""What a reconcile may look at: the caches, the time, and facts gathered for it beforehand. Nothing else."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from netsim.api.kinds import Kind, Obj
from netsim.api.load_balancer import is_balanced
from netsim.api.objects import controller_of, labels_of, metadata, namespace_of, owner_references, uid_of
from netsim.controllers.hints import wants_auto_hints

OWNER, UID, LABEL, NAMESPACE, NODE, SELECTOR = "owner", "uid", "label", "namespace", "node", "selector"
JOB, HINTS, BALANCED = "job", "hints", "balanced"
JOB_FINALIZER = "batch.kubernetes.io/job-tracking"
"""Keeps a Job's pod until its end has been counted."""
_START = datetime(1970, 1, 1, tzinfo=UTC)
_JOB_LABEL = "batch.kubernetes.io/job-name"


class Cached(Protocol):
    """The part of netsim.client.cache.Cache that reconciling needs."""

    def get(self, key: str) -> Obj | None: ...

    def values(self) -> Collection[Obj]: ...

    def by_index(self, name: str, value: str) -> Sequence[Obj]: ...


@dataclass(frozen=True, slots=True)
class View:
    """Read-only access to the cluster as last seen. `caches` is keyed by `Kind.resource`; `failure` is the message
    of this key's last round if its writes failed, "" otherwise; `facts` come from the controller's `observe`; `ticks`
    are seconds of a clock that nobody sets; in `noted` a wake leaves what the next one would find out again."""

    caches: Mapping[str, Cached]
    now: datetime
    failure: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    ticks: float | None = None
    noted: dict[str, Any] = field(default_factory=dict)

    @property
    def instant(self) -> datetime:
        """To measure by how long something lasts: `now` jumps whenever somebody sets the machine's clock."""
        return self.now if self.ticks is None else _START + timedelta(seconds=self.ticks)

    def get(self, kind: Kind, key: str) -> Obj | None:
        """The object by "namespace/name" or "name"."""
        return self.caches[kind.resource].get(key)

    def values(self, kind: Kind) -> Collection[Obj]:
        return self.caches[kind.resource].values()

    def by_index(self, kind: Kind, index: str, value: str) -> Sequence[Obj]:
        return self.caches[kind.resource].by_index(index, value)


IndexFunction = Callable[[Obj], list[str]]


def label_value(namespace: str, key: str, value: str) -> str:
    """The LABEL index's value for one label of the objects of a namespace."""
    return f"{namespace}|{key}={value}"


def _labels(obj: Obj) -> list[str]:
    namespace = namespace_of(obj)
    return [label_value(namespace, key, value) for key, value in labels_of(obj).items()]


def _node(pod: Obj) -> list[str]:
    name = (pod.get("spec") or {}).get("nodeName")
    return [name] if name else []


def _smallest_pair(service: Obj) -> list[str]:
    selector = (service.get("spec") or {}).get("selector")
    return [label_value(namespace_of(service), *min(selector.items()))] if selector else []


def _hints(service: Obj) -> list[str]:
    return ["auto"] if wants_auto_hints(service) else []


def _balanced(service: Obj) -> list[str]:
    return [BALANCED] if is_balanced(service) else []


def _job(pod: Obj) -> list[str]:
    if JOB_FINALIZER not in (metadata(pod).get("finalizers") or ()):
        return []
    owner = controller_of(pod)
    name = owner.get("name") if owner else labels_of(pod).get(_JOB_LABEL)
    return [f"{namespace_of(pod)}/{name}"]


COMMON_INDEXES: dict[str, IndexFunction] = {
    OWNER: lambda obj: [str(ref.get("uid", "")) for ref in owner_references(obj)],
    UID: lambda obj: [uid_of(obj)],
    NAMESPACE: lambda obj: [namespace_of(obj)],
}
"""Indexes of every cache. OWNER: the uids of the owners; UID; NAMESPACE."""

EXTRA_INDEXES: dict[str, dict[str, IndexFunction]] = {
    "pods": {LABEL: _labels, NODE: _node, JOB: _job},
    "replicasets.apps": {LABEL: _labels},
    "controllerrevisions.apps": {LABEL: _labels},
    "endpointslices.discovery.k8s.io": {LABEL: _labels},
    "services": {SELECTOR: _smallest_pair, HINTS: _hints, BALANCED: _balanced},
}
"""Further indexes by resource. LABEL: each "namespace|key=value"; NODE: spec.nodeName; JOB: the
"namespace/name" of the Job whose finalizer a pod carries; SELECTOR: one pair of a
Service's selector, which every selected pod must carry, so that a pod's labels lead to a few candidates; HINTS: "auto"
for the Services whose hints follow the nodes; BALANCED: "balanced" for those that have or should have a load balancer's
address."""


def indexes_of(kind: Kind) -> dict[str, IndexFunction]:
    return COMMON_INDEXES | EXTRA_INDEXES.get(kind.resource, {})


def selected(view: View, kind: Kind, namespace: str, selector: Mapping[str, str]) -> list[Obj]:
    """Objects of the namespace that carry every label of a non-empty equality selector."""
    candidates = view.by_index(kind, LABEL, label_value(namespace, *min(selector.items())))
    return [obj for obj in candidates if selector.items() <= labels_of(obj).items()]
