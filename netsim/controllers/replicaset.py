"""The ReplicaSet controller: as many active pods as spec.replicas says. ReplicationControllers, their older form, work
the same way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial

from netsim.api.kinds import PODS, REPLICA_SETS, REPLICATION_CONTROLLERS, Kind, Obj
from netsim.api.objects import (
    controller_of,
    deletion_timestamp,
    dig,
    is_pod_ready,
    labels_of,
    metadata,
    status_of,
)
from netsim.api.times import format_time
from netsim.controllers.controller import Controller
from netsim.controllers.new_pod import announce_creation, announce_deletion, pod_of
from netsim.controllers.pods import is_active, is_available, is_leaving, ready_seconds
from netsim.controllers.ranking import choose_victims
from netsim.controllers.refs import claim, selector_of
from netsim.controllers.view import OWNER, View
from netsim.controllers.wakes import by_own_key, by_owner_or_orphan
from netsim.controllers.writes import Create, Requeue, Write, Writes, delete_of, status_of_object

BURST = 500
"""Pods created or deleted in one round at most, as in Kubernetes."""
_REPLICA_FAILURE = "ReplicaFailure"


def reconcile(key: str, view: View, kind: Kind = REPLICA_SETS) -> Writes:
    """Adopt and release pods, then create or delete what is missing or too much, and count."""
    replica_set = view.get(kind, key)
    if replica_set is None:
        return []
    claimed = claim(view, kind, replica_set, PODS, selector_of(kind, replica_set))
    if claimed.patches:
        return claimed.patches
    active = [pod for pod in claimed.mine if is_active(pod)]
    writes: list[Write] = []
    if not deletion_timestamp(replica_set):
        writes += _scale(kind, replica_set, active, view)
    leaving = None if kind is REPLICATION_CONTROLLERS else sum(map(is_leaving, claimed.mine))
    return [*writes, *_status(kind, replica_set, active, leaving, view)]


def _scale(kind: Kind, replica_set: Obj, active: Sequence[Obj], view: View) -> list[Write]:
    missing = wanted(replica_set) - len(active)
    if missing > 0:
        pod = pod_of(kind, replica_set, replica_set["spec"]["template"])
        return [Create(PODS, pod, announce_creation(kind, replica_set))] * min(missing, BURST)
    if missing == 0:
        return []
    victims = choose_victims(active, _related(replica_set, active, view), min(-missing, BURST), view.now)
    announce = announce_deletion(kind, replica_set)
    return [delete_of(PODS, pod, announce=announce) for pod in victims]


def wanted(replica_set: Obj) -> int:
    """spec.replicas with its default, 1."""
    replicas = replica_set["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def _related(replica_set: Obj, active: Sequence[Obj], view: View) -> Iterable[Obj]:
    """Active pods of all ReplicaSets with the same controller."""
    owner = controller_of(replica_set)
    if owner is None:
        return active
    siblings = view.by_index(REPLICA_SETS, OWNER, owner["uid"])
    pods = (pod for sibling in siblings for pod in view.by_index(PODS, OWNER, sibling["metadata"]["uid"]))
    return [pod for pod in pods if is_active(pod)]


def _status(kind: Kind, replica_set: Obj, active: Sequence[Obj], leaving: int | None, view: View) -> list[Write]:
    old = status_of(replica_set)
    status = replica_set_status(replica_set, active, leaving, view.now, view.failure)
    writes: list[Write] = []
    if status != old:
        writes.append(status_of_object(kind, replica_set, status))
    soonest = _next_available(replica_set, active, view.now)
    if soonest is not None:
        writes.append(Requeue(soonest))
    return writes


def replica_set_status(
    replica_set: Obj, active: Sequence[Obj], leaving: int | None, now: datetime, failure: str
) -> Obj:
    """status with its counters; those that are 0 are left out, except `replicas` and terminatingReplicas (KEP-3973;
    `leaving` is None for a kind that has none), as the API server would."""
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
    status |= {} if leaving is None else {"terminatingReplicas": leaving}
    conditions = _conditions(status_of(replica_set).get("conditions") or [], failure, wanted(replica_set) - len(active))
    stamp = format_time(now)
    stamped = [c if "lastTransitionTime" in c else {**c, "lastTransitionTime": stamp} for c in conditions]
    return status | ({"conditions": stamped} if stamped else {})


def _conditions(old: Sequence[Obj], failure: str, missing: int) -> list[Obj]:
    """ReplicaFailure, while pods cannot be created or deleted. It keeps the first message: each attempt has another
    pod's name, and a status that changes with it would wake this controller at once, for ever."""
    others = [condition for condition in old if condition.get("type") != _REPLICA_FAILURE]
    if not failure or missing == 0:
        return others
    reason = "FailedCreate" if missing > 0 else "FailedDelete"
    failed = {"type": _REPLICA_FAILURE, "status": "True", "reason": reason, "message": failure}
    first = next((condition for condition in old if condition.get("type") == _REPLICA_FAILURE), None)
    return [*others, first or failed]


def _next_available(replica_set: Obj, active: Sequence[Obj], now: datetime) -> float | None:
    """Seconds until the next ready pod has been so for minReadySeconds."""
    min_ready = int(replica_set["spec"].get("minReadySeconds") or 0)
    waits = [min_ready - ready_seconds(pod, now) for pod in active if min_ready and is_pod_ready(pod)]
    return min((wait for wait in waits if wait > 0), default=None)


def _controller(name: str, kind: Kind, reporter: str = "") -> Controller:
    watches = ((kind, by_own_key), (PODS, by_owner_or_orphan(kind)))
    return Controller(name, partial(reconcile, kind=kind), watches, rest=0.02, reporter=reporter)


CONTROLLER = _controller("replicaset-controller", REPLICA_SETS)
REPLICATION_CONTROLLER = _controller(
    "replicationcontroller-controller", REPLICATION_CONTROLLERS, "replication-controller"
)
