"""When a Job ends and why, and what its status says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from netsim.api.kinds import Obj
from netsim.api.objects import condition, dig, is_true, status_of
from netsim.api.times import format_time, seconds_between
from netsim.controllers.job_accounting import Tally, completions_of
from netsim.controllers.job_indexes import format_indexes
from netsim.controllers.job_pods import is_indexed, restarts
from netsim.controllers.job_policy import success_rule

COMPLETE, FAILED, SUSPENDED = "Complete", "Failed", "Suspended"
_CRITERIA_MET, _FAILURE_TARGET = "SuccessCriteriaMet", "FailureTarget"
_INTERIM = {COMPLETE: _CRITERIA_MET, FAILED: _FAILURE_TARGET}
_TOO_MANY = ("BackoffLimitExceeded", "Job has reached the specified backoff limit")
_TOO_LATE = ("DeadlineExceeded", "Job was active longer than specified deadline")
_TOO_MANY_INDEXES = ("MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes")
_BAD_INDEXES = ("FailedIndexes", "Job has failed indexes")
_REACHED = ("CompletionsReached", "Reached expected number of succeeded pods")


@dataclass(frozen=True, slots=True)
class Ending:
    """That a Job is over, as `type` (Complete or Failed); the condition follows when its last pod has ended."""

    type: str
    reason: str
    message: str


def is_finished(job: Obj) -> bool:
    """Whether the Job is Complete or Failed."""
    return is_true(job, COMPLETE) or is_true(job, FAILED)


def finished_condition(job: Obj) -> Obj | None:
    """The condition by which the Job is over."""
    return next((condition(job, kind) for kind in (COMPLETE, FAILED) if is_true(job, kind)), None)


def is_suspended(job: Obj) -> bool:
    return bool(job["spec"].get("suspend"))


def ending_of(job: Obj, tally: Tally, now: datetime) -> Ending | None:
    """Whether and why the Job is over. What has been decided once stays so; of several reasons the failing ones come
    first, as in Kubernetes."""
    if is_true(job, _FAILURE_TARGET):
        return _decided(job, FAILED)
    if tally.fatal is not None:
        return Ending(FAILED, "PodFailurePolicy", tally.fatal.message)
    if is_true(job, _CRITERIA_MET):
        return _decided(job, COMPLETE)
    reason = _failure(job, tally, now)
    return Ending(FAILED, *reason) if reason else _success(job, tally)


def _decided(job: Obj, kind: str) -> Ending:
    found = condition(job, _INTERIM[kind]) or {}
    return Ending(kind, str(found.get("reason", "")), str(found.get("message", "")))


def _failure(job: Obj, tally: Tally, now: datetime) -> tuple[str, str] | None:
    spec = job["spec"]
    limit = spec.get("backoffLimit")
    if limit is None:
        limit = 6 if spec.get("backoffLimitPerIndex") is None else 2**31 - 1
    if tally.all_failed > int(limit) or _restarted_too_often(job, tally, int(limit)):
        return _TOO_MANY
    left = seconds_to_deadline(job, now)
    if left is not None and left <= 0:
        return _TOO_LATE
    if spec.get("backoffLimitPerIndex") is None:
        return None
    most = spec.get("maxFailedIndexes")
    if most is not None and len(tally.failed_indexes) > int(most):
        return _TOO_MANY_INDEXES
    all_over = len(tally.failed_indexes) + len(tally.succeeded_indexes) >= (completions_of(job) or 0)
    return _BAD_INDEXES if tally.failed_indexes and all_over else None


def _restarted_too_often(job: Obj, tally: Tally, limit: int) -> bool:
    """With restartPolicy OnFailure a container's restarts count as failures."""
    if dig(job, "spec", "template", "spec", "restartPolicy") != "OnFailure":
        return False
    count = restarts(tally.active)
    return count > 0 if limit == 0 else count >= limit


def seconds_to_deadline(job: Obj, now: datetime) -> float | None:
    """What is left of activeDeadlineSeconds, None without one or before the Job starts."""
    deadline, start = job["spec"].get("activeDeadlineSeconds"), status_of(job).get("startTime")
    if deadline is None or not start or is_suspended(job):
        return None
    return float(deadline) - seconds_between(start, now)


def _success(job: Obj, tally: Tally) -> Ending | None:
    completions = completions_of(job)
    if is_indexed(job):
        rule = success_rule(job, tally.succeeded_indexes, completions or 0)
        if rule is not None:
            return Ending(COMPLETE, "SuccessPolicy", f"Matched rules at index {rule}")
    reached = tally.all_succeeded > 0 if completions is None else tally.all_succeeded >= completions
    return Ending(COMPLETE, *_REACHED) if reached and not tally.active else None


def job_status(job: Obj, tally: Tally, ending: Ending | None, now: datetime) -> Obj:
    """The whole new status. The final condition comes with the last pod's end, after the interim one."""
    old, stamp = status_of(job), format_time(now)
    status = _counters(job, tally) | {"uncountedTerminatedPods": _uncounted(tally)}
    conditions = list(old.get("conditions") or [])
    start = old.get("startTime") or stamp
    if ending is not None:
        conditions = _with(conditions, _INTERIM[ending.type], ending.reason, ending.message, stamp)
        if tally.ended:
            conditions = _with(conditions, ending.type, ending.reason, ending.message, stamp)
            status |= {"completionTime": stamp} if ending.type == COMPLETE else {}
    else:
        conditions = _suspension(job, conditions, stamp)
        resumed = is_true(job, SUSPENDED) and not is_suspended(job)
        start = None if is_suspended(job) else stamp if resumed else start
    status |= {"startTime": start} if start else {}
    return status | ({"conditions": conditions} if conditions else {})


def _counters(job: Obj, tally: Tally) -> Obj:
    """What is none is left out; Jobs with a limit for each index always tell of those that failed."""
    counters = {"active": len(tally.active), "succeeded": tally.succeeded, "failed": tally.failed}
    indexes = {
        "completedIndexes": format_indexes(tally.succeeded_indexes),
        "failedIndexes": format_indexes(tally.failed_indexes),
    }
    always: Obj = {"ready": tally.ready, "terminating": len(tally.terminating)}
    if job["spec"].get("backoffLimitPerIndex") is not None:
        always["failedIndexes"] = ""
    return always | {name: value for name, value in (counters | indexes).items() if value}


def _uncounted(tally: Tally) -> Obj:
    named = {"succeeded": tally.uncounted_succeeded, "failed": tally.uncounted_failed}
    return {name: uids for name, uids in named.items() if uids}


def _suspension(job: Obj, conditions: list[Obj], stamp: str) -> list[Obj]:
    """Suspended is told from the first suspension on."""
    if is_suspended(job):
        return _with(conditions, SUSPENDED, "JobSuspended", "Job suspended", stamp)
    if condition(job, SUSPENDED) is None:
        return conditions
    return _with(conditions, SUSPENDED, "JobResumed", "Job resumed", stamp, "False")


def _with(
    conditions: Sequence[Obj], kind: str, reason: str, message: str, stamp: str, value: str = "True"
) -> list[Obj]:
    """The conditions with that one, untouched if it says so already."""
    old = next((each for each in conditions if each.get("type") == kind), None)
    if old is not None and (old.get("status"), old.get("reason")) == (value, reason):
        return list(conditions)
    times = {"lastProbeTime": stamp, "lastTransitionTime": stamp}
    new = {"type": kind, "status": value, **times, "reason": reason, "message": message}
    return [*(each for each in conditions if each is not old), new]
