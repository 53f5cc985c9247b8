"""The status of a StatefulSet."""

from __future__ import annotations

from datetime import datetime

from netsim.api.kinds import Obj
from netsim.api.objects import deletion_timestamp, dig, is_pod_ready, labels_of, name_of, pod_phase, status_of
from netsim.controllers.history import REVISION_HASH, generation_of
from netsim.controllers.pods import is_available, ready_seconds


def is_rolling(stateful_set: Obj) -> bool:
    """Whether the update strategy is RollingUpdate."""
    return (dig(stateful_set, "spec", "updateStrategy", "type") or "RollingUpdate") == "RollingUpdate"


def is_running(pod: Obj) -> bool:
    """Whether it runs and is ready."""
    return pod_phase(pod) == "Running" and is_pod_ready(pod)


def is_steady(stateful_set: Obj, pod: Obj, now: datetime) -> bool:
    """Whether it runs and has been ready for minReadySeconds."""
    return is_running(pod) and is_available(pod, min_ready(stateful_set), now)


def min_ready(stateful_set: Obj) -> int:
    return int(stateful_set["spec"].get("minReadySeconds") or 0)


def seconds_to_available(stateful_set: Obj, pods: list[Obj], now: datetime) -> float | None:
    """Seconds until the next ready pod has been so for minReadySeconds."""
    waits = [min_ready(stateful_set) - ready_seconds(pod, now) for pod in pods if is_running(pod)]
    return min((wait for wait in waits if wait > 0), default=None)


def stateful_set_status(stateful_set: Obj, current: Obj, update: Obj, pods: list[Obj], now: datetime) -> Obj:
    """The whole new status; a rolling update that is complete makes the update revision the current one."""
    status: Obj = {
        "observedGeneration": generation_of(stateful_set),
        "replicas": len(pods),
        "readyReplicas": sum(map(is_running, pods)),
        "currentReplicas": _of_revision(pods, current),
        "updatedReplicas": _of_revision(pods, update),
        "availableReplicas": sum(is_steady(stateful_set, pod, now) for pod in pods),
        "currentRevision": name_of(current),
        "updateRevision": name_of(update),
        "collisionCount": int(status_of(stateful_set).get("collisionCount") or 0),
    }
    whole = status["replicas"] == status["readyReplicas"] == status["updatedReplicas"]
    if is_rolling(stateful_set) and whole:
        status |= {"currentReplicas": status["updatedReplicas"], "currentRevision": status["updateRevision"]}
    conditions = status_of(stateful_set).get("conditions")
    status |= {"conditions": conditions} if conditions else {}
    kept = ("replicas", "availableReplicas", "collisionCount")
    return {name: value for name, value in status.items() if value or name in kept}


def _of_revision(pods: list[Obj], revision: Obj) -> int:
    staying = (pod for pod in pods if deletion_timestamp(pod) is None)
    return sum(labels_of(pod).get(REVISION_HASH) == name_of(revision) for pod in staying)
