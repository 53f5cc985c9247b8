"""The ReplicaSet controller: as many active pods as spec.replicas says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from netsim.api.kinds import PODS, REPLICA_SETS, Obj
from netsim.api.objects import (
    controller_of,
    deletion_timestamp,
    dig,
    is_pod_ready,
    labels_of,
    metadata,
    name_of,
    namespace_of,
    status_of,
)
from netsim.api.selectors import label_selector_of
from netsim.api.times import format_time
from netsim.controllers.controller import Controller
from netsim.controllers.pods import is_active, is_available, ready_seconds
from netsim.controllers.ranking import choose_victims
from netsim.controllers.refs import claim, controller_reference
from netsim.controllers.view import OWNER, View
from netsim.controllers.wakes import by_own_key, by_owner_or_orphan
from netsim.controllers.writes import Announce, Create, Requeue, Write, Writes, delete_of, status_of_object, typed

BURST = 500
"""Pods created or deleted in one round at most, as in Kubernetes."""
_REPLICA_FAILURE = "ReplicaFailure"


def reconcile(key: str, view: View) -> Writes:
    """Adopt and release pods, then create or delete what is missing or too much, and count."""
    replica_set = view.get(REPLICA_SETS, key)
    if replica_set is None:
        return []
    claimed = claim(view, REPLICA_SETS, replica_set, PODS, label_selector_of(replica_set["spec"].get("selector")))
    if claimed.patches:
        return claimed.patches
    active = [pod for pod in claimed.mine if is_active(pod)]
    writes: list[Write] = []
    if not deletion_timestamp(replica_set):
        writes += _scale(replica_set, active, view)
    return [*writes, *_status(replica_set, active, view)]


def _scale(replica_set: Obj, active: Sequence[Obj], view: View) -> list[Write]:
    missing = wanted(replica_set) - len(active)
    if missing > 0:
        return [_creation(replica_set)] * min(missing, BURST)
    if missing == 0:
        return []
    victims = choose_victims(active, _related(replica_set, active, view), min(-missing, BURST), view.now)
    announce = Announce(
        typed(REPLICA_SETS, replica_set),
        ("SuccessfulDelete", "Deleted pod: {name}"),
        ("FailedDelete", "Error deleting: {error}"),
    )
    return [delete_of(PODS, pod, announce=announce) for pod in victims]


def wanted(replica_set: Obj) -> int:
    """spec.replicas with its default, 1."""
    replicas = replica_set["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def _creation(replica_set: Obj) -> Create:
    template = replica_set["spec"]["template"]
    head = metadata(template)
    pod: Obj = {
        "apiVersion": PODS.api_version,
        "kind": PODS.kind,
        "metadata": {
            "generateName": f"{name_of(replica_set)}-",
            "namespace": namespace_of(replica_set),
            "labels": head.get("labels") or {},
            "ownerReferences": [controller_reference(REPLICA_SETS, replica_set)],
        },
        "spec": template["spec"],
    }
    pod["metadata"] |= {field: head[field] for field in ("annotations", "finalizers") if head.get(field)}
    announce = Announce(
        typed(REPLICA_SETS, replica_set),
        ("SuccessfulCreate", "Created pod: {name}"),
        ("FailedCreate", "Error creating: {error}"),
    )
    return Create(PODS, pod, announce)


def _related(replica_set: Obj, active: Sequence[Obj], view: View) -> Iterable[Obj]:
    """Active pods of all ReplicaSets with the same controller."""
    owner = controller_of(replica_set)
    if owner is None:
        return active
    siblings = view.by_index(REPLICA_SETS, OWNER, owner["uid"])
    pods = (pod for sibling in siblings for pod in view.by_index(PODS, OWNER, sibling["metadata"]["uid"]))
    return [pod for pod in pods if is_active(pod)]


def _status(replica_set: Obj, active: Sequence[Obj], view: View) -> list[Write]:
    old = status_of(replica_set)
    status = replica_set_status(replica_set, active, view.now, view.failure)
    writes: list[Write] = []
    if status != old:
        writes.append(status_of_object(REPLICA_SETS, replica_set, status))
    soonest = _next_available(replica_set, active, view.now)
    if soonest is not None:
        writes.append(Requeue(soonest))
    return writes


def replica_set_status(replica_set: Obj, active: Sequence[Obj], now: datetime, failure: str) -> Obj:
    """status with its counters; those that are 0 are left out, except `replicas`, as the API server would."""
    spec = replica_set["spec"]
    labels = dig(spec, "template", "metadata", "labels") or {}
    min_ready = int(spec.get("minReadySeconds") or 0)
    counters = {
        "fullyLabeledReplicas": sum(1 for pod in active if labels.items() <= labels_of(pod).items()),
        "readyReplicas": sum(1 for pod in active if is_pod_ready(pod)),
        "availableReplicas": sum(1 for pod in active if is_available(pod, min_ready, now)),
        "observedGeneration": int(metadata(replica_set).get("generation") or 0),
    }
    status: Obj = {"replicas": len(active)} | {name: count for name, count in counters.items() if count}
    conditions = _conditions(status_of(replica_set).get("conditions") or [], failure, wanted(replica_set) - len(active))
    stamp = format_time(now)
    stamped = [c if "lastTransitionTime" in c else {**c, "lastTransitionTime": stamp} for c in conditions]
    return status | ({"conditions": stamped} if stamped else {})


def _conditions(old: Sequence[Obj], failure: str, missing: int) -> list[Obj]:
    """ReplicaFailure, while pods cannot be created or deleted."""
    others = [condition for condition in old if condition.get("type") != _REPLICA_FAILURE]
    if not failure or missing == 0:
        return others
    reason = "FailedCreate" if missing > 0 else "FailedDelete"
    failed = {"type": _REPLICA_FAILURE, "status": "True", "reason": reason, "message": failure}
    same = next((condition for condition in old if failed.items() <= condition.items()), None)
    return [*others, same or failed]


def _next_available(replica_set: Obj, active: Sequence[Obj], now: datetime) -> float | None:
    """Seconds until the next ready pod has been so for minReadySeconds."""
    min_ready = int(replica_set["spec"].get("minReadySeconds") or 0)
    waits = [min_ready - ready_seconds(pod, now) for pod in active if min_ready and is_pod_ready(pod)]
    return min((wait for wait in waits if wait > 0), default=None)


CONTROLLER = Controller(
    "replicaset-controller",
    reconcile,
    ((REPLICA_SETS, by_own_key), (PODS, by_owner_or_orphan(REPLICA_SETS))),
    rest=0.02,
)
