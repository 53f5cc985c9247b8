"""Rules of what controllers write to the status of workloads: counts that are not negative, and fit one another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from netsim.api import causes, kinds, validate_job_status, validate_pod_status
from netsim.api.errors import Cause
from netsim.api.kinds import Kind, Obj


class _Counts(NamedTuple):
    """Fields that are not negative; those of them that are no more than the replicas; what Kubernetes calls the ready
    ones, where it compares the available ones with them."""

    known: tuple[str, ...]
    among_replicas: tuple[str, ...] = ()
    ready: str = ""


_MANY = ("updatedReplicas", "readyReplicas", "availableReplicas")
_LABELED = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")
_STATEFUL = ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
_COUNTS: dict[Kind, _Counts] = {
    kinds.DEPLOYMENTS: _Counts(
        ("observedGeneration", "replicas", *_MANY, "unavailableReplicas", "terminatingReplicas", "collisionCount"),
        _MANY,
        "readyReplicas",
    ),
    kinds.REPLICA_SETS: _Counts(
        ("replicas", *_LABELED, "observedGeneration", "terminatingReplicas"), _LABELED, "readyReplicas"
    ),
    kinds.REPLICATION_CONTROLLERS: _Counts(("replicas", *_LABELED, "observedGeneration"), _LABELED, "readyReplicas"),
    kinds.STATEFUL_SETS: _Counts(
        ("replicas", *_STATEFUL, "observedGeneration", "collisionCount"), _STATEFUL, "status.readyReplicas"
    ),
    kinds.DAEMON_SETS: _Counts(
        (
            "currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady",
            "observedGeneration", "updatedNumberScheduled", "numberAvailable", "numberUnavailable", "collisionCount",
        )
    ),
    kinds.POD_DISRUPTION_BUDGETS: _Counts(
        ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")
    ),
    kinds.HORIZONTAL_POD_AUTOSCALERS: _Counts(("currentReplicas", "desiredReplicas")),
}  # fmt: skip
_RISING = (kinds.DEPLOYMENTS, kinds.STATEFUL_SETS, kinds.DAEMON_SETS)


def status_update(kind: Kind, new: Obj, old: Obj) -> Iterator[Cause]:
    """Why the status of `old` may not become that of `new`; nothing where it stays as it was."""
    counts, status, before = _COUNTS.get(kind), new.get("status") or {}, old.get("status") or {}
    if kind is kinds.PODS and status != before:
        yield from validate_pod_status.pod_status(status, before)
    if kind is kinds.JOBS and status != before:
        yield from validate_job_status.job_status(new, old)
    if counts is None or status == before:
        return
    for name in counts.known:
        yield from causes.at_least(f"status.{name}", status.get(name))
    for name in counts.among_replicas:
        count = status.get(name, 0)
        if count > status.get("replicas", 0):
            yield causes.invalid(f"status.{name}", count, "cannot be greater than status.replicas")
    available = status.get("availableReplicas", 0)
    if counts.ready and available > status.get("readyReplicas", 0):
        yield causes.invalid("status.availableReplicas", available, f"cannot be greater than {counts.ready}")
    held, now = before.get("collisionCount"), status.get("collisionCount")
    if kind in _RISING and held is not None and (now is None or now < held):
        yield causes.invalid("status.collisionCount", now or 0, "cannot be decremented")
    if kind is kinds.POD_DISRUPTION_BUDGETS:
        yield from validate_pod_status.conditions(status.get("conditions") or [], "status.conditions")
