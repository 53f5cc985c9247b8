"""The status of a Deployment: counters and the conditions Available, Progressing and ReplicaFailure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from netsim.api.kinds import Obj
from netsim.api.objects import condition, dig, metadata, name_of, status_of
from netsim.api.times import format_time, seconds_between
from netsim.controllers.rollout import bounds_of, replicas_of

NEVER = 2**31 - 1
"""progressDeadlineSeconds that means no deadline."""
AVAILABLE, PROGRESSING, REPLICA_FAILURE = "Available", "Progressing", "ReplicaFailure"
_DONE, _UPDATED, _LATE = "NewReplicaSetAvailable", "ReplicaSetUpdated", "ProgressDeadlineExceeded"
_CREATED, _FOUND = "NewReplicaSetCreated", "FoundNewReplicaSet"
_PAUSED, _RESUMED = "DeploymentPaused", "DeploymentResumed"


def deployment_status(
    deployment: Obj, new: Obj | None, every: Sequence[Obj], now: datetime, *, created: str = "", scaling: bool = False
) -> Obj:
    """The whole new status. `created` names a ReplicaSet being created in this round; while paused or `scaling`
    nothing is said about progress."""
    old = status_of(deployment)
    status = _counters(deployment, new, every)
    conditions = _Conditions(list(old.get("conditions") or []), format_time(now))
    if created:  # told first, as in Kubernetes, so that it comes first among those of a new Deployment
        _progress(deployment, new, status, conditions, now, created)
    _available(deployment, status, conditions)
    _pausing(deployment, conditions)
    if not created and not scaling and not deployment["spec"].get("paused"):
        _progress(deployment, new, status, conditions, now, created)
    _failure(every, new, conditions)
    if old.get("collisionCount"):
        status["collisionCount"] = old["collisionCount"]
    return status | ({"conditions": conditions.items} if conditions.items else {})


def _sum(replica_sets: Sequence[Obj], field: str) -> int:
    return sum(int(dig(rs, "status", field) or 0) for rs in replica_sets)


def _counters(deployment: Obj, new: Obj | None, every: Sequence[Obj]) -> Obj:
    available = _sum(every, "availableReplicas")
    counters = {
        "observedGeneration": int(metadata(deployment).get("generation") or 0),
        "replicas": _sum(every, "replicas"),
        "updatedReplicas": _sum([new], "replicas") if new else 0,
        "readyReplicas": _sum(every, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(sum(replicas_of(rs) for rs in every) - available, 0),
    }
    leaving = [dig(rs, "status", "terminatingReplicas") for rs in every]
    told = {"terminatingReplicas": sum(leaving)} if leaving and None not in leaving else {}
    return {name: count for name, count in counters.items() if count} | told


class _Conditions:
    """Conditions under change: one of the same status and reason stays as it is."""

    def __init__(self, items: list[Obj], stamp: str) -> None:
        self.items, self._stamp = items, stamp

    def get(self, kind: str) -> Obj | None:
        return next((item for item in self.items if item.get("type") == kind), None)

    def drop(self, kind: str) -> None:
        self.items = [item for item in self.items if item.get("type") != kind]

    def set(self, kind: str, value: str, reason: str, message: str, *, renew: bool = False) -> None:
        old = self.get(kind)
        if old and not renew and (old.get("status"), old.get("reason")) == (value, reason):
            return
        since = old["lastTransitionTime"] if old and old.get("status") == value else self._stamp
        self.drop(kind)
        item = {"type": kind, "status": value, "lastUpdateTime": self._stamp, "lastTransitionTime": since}
        self.items.append({**item, "reason": reason, "message": message})


def _available(deployment: Obj, status: Obj, conditions: _Conditions) -> None:
    if status.get("availableReplicas", 0) >= bounds_of(deployment).least_available:
        conditions.set(AVAILABLE, "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        text = "Deployment does not have minimum availability."
        conditions.set(AVAILABLE, "False", "MinimumReplicasUnavailable", text)


def _pausing(deployment: Obj, conditions: _Conditions) -> None:
    if not _has_deadline(deployment):
        return
    found = conditions.get(PROGRESSING)
    reason = found.get("reason") if found else ""
    if reason == _LATE:
        return
    paused = bool(deployment["spec"].get("paused"))
    if paused and reason != _PAUSED:
        conditions.set(PROGRESSING, "Unknown", _PAUSED, "Deployment is paused")
    elif not paused and reason == _PAUSED:
        conditions.set(PROGRESSING, "Unknown", _RESUMED, "Deployment is resumed")


def deadline_of(deployment: Obj) -> int:
    """spec.progressDeadlineSeconds with its default, 600."""
    seconds = deployment["spec"].get("progressDeadlineSeconds")
    return 600 if seconds is None else int(seconds)


def _has_deadline(deployment: Obj) -> bool:
    return deadline_of(deployment) != NEVER


def _progress(
    deployment: Obj, new: Obj | None, status: Obj, conditions: _Conditions, now: datetime, created: str
) -> None:
    if not _has_deadline(deployment):
        conditions.drop(PROGRESSING)
        return
    found = conditions.get(PROGRESSING)
    subject = f'ReplicaSet "{name_of(new)}"' if new else f'Deployment "{name_of(deployment)}"'
    if created:
        conditions.set(PROGRESSING, "True", _CREATED, f'Created new replica set "{created}"', renew=True)
    elif found is None and new is not None:
        conditions.set(PROGRESSING, "True", _FOUND, f'Found new replica set "{name_of(new)}"')
    elif _finished_before(found, status):
        return
    elif is_complete(deployment, status):
        conditions.set(PROGRESSING, "True", _DONE, f"{subject} has successfully progressed.")
    elif _moved(status_of(deployment), status):
        conditions.set(PROGRESSING, "True", _UPDATED, f"{subject} is progressing.", renew=True)
    elif _timed_out(deployment, found, now):
        conditions.set(PROGRESSING, "False", _LATE, f"{subject} has timed out progressing.")


def _finished_before(found: Obj | None, status: Obj) -> bool:
    same = status.get("replicas", 0) == status.get("updatedReplicas", 0)
    return same and found is not None and found.get("reason") == _DONE


def is_complete(deployment: Obj, status: Obj) -> bool:
    """Whether all replicas are of the new template and available, and no old one is left."""
    desired = replicas_of(deployment)
    counts = (status.get("updatedReplicas", 0), status.get("replicas", 0), status.get("availableReplicas", 0))
    return counts == (desired, desired, desired)


def _moved(old: Obj, new: Obj) -> bool:
    def outdated(status: Obj) -> int:
        return int(status.get("replicas", 0)) - int(status.get("updatedReplicas", 0))

    grown = any(
        new.get(field, 0) > old.get(field, 0) for field in ("updatedReplicas", "readyReplicas", "availableReplicas")
    )
    return grown or outdated(new) < outdated(old)


def _timed_out(deployment: Obj, found: Obj | None, now: datetime) -> bool:
    if found is None or found.get("reason") == _DONE:
        return False
    return found.get("reason") == _LATE or seconds_between(found["lastUpdateTime"], now) > deadline_of(deployment)


def seconds_to_deadline(deployment: Obj, status: Obj, now: datetime) -> float | None:
    """When to look again whether progress has stopped; None if nothing is under way."""
    found = condition({"status": status}, PROGRESSING)
    if found is None or not _has_deadline(deployment) or deployment["spec"].get("paused"):
        return None
    if found.get("reason") in (_DONE, _LATE) or is_complete(deployment, status):
        return None
    return max(deadline_of(deployment) - seconds_between(found["lastUpdateTime"], now), 0) + 1


def _failure(every: Sequence[Obj], new: Obj | None, conditions: _Conditions) -> None:
    candidates = [new] if new else list(every)
    found = next((c for rs in candidates if (c := condition(rs, REPLICA_FAILURE)) is not None), None)
    if found is None:
        conditions.drop(REPLICA_FAILURE)
    else:
        conditions.set(REPLICA_FAILURE, found["status"], found["reason"], found["message"])
