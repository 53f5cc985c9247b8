"""Rules of what is written to a Job's status (KEP-4368): who manages Jobs in the controller's place keeps to them.

A rule is judged only where something that it looks at has changed: a spec may have been changed just before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from netsim.api import causes
from netsim.api.errors import Cause
from netsim.api.go_text import quoted
from netsim.api.kinds import Obj
from netsim.api.times import parse_time

_COUNTS = ("active", "succeeded", "failed", "ready", "terminating")
_FINISHING = ("Failed", "Complete", "FailureTarget")
_MOST_ENDS = 2
_NUMBER = re.compile(r"\+?[0-9]{1,18}")
_CONDITIONS = "status.conditions"


def job_status(new: Obj, old: Obj) -> Iterator[Cause]:
    """Why the status of `old` may not become that of `new`."""
    status, before, spec = new.get("status") or {}, old.get("status") or {}, new.get("spec") or {}
    now, held = _true_conditions(status), _true_conditions(before)
    changed = {name for name in status.keys() | before.keys() if status.get(name) != before.get(name)}
    finished = now & {"Complete", "Failed"}
    ended = bool(finished) != bool(held & {"Complete", "Failed"})
    for name in _COUNTS:
        yield from causes.at_least(f"status.{name}", status.get(name))
    yield from _uncounted(status.get("uncountedTerminatedPods") or {})
    yield from _completion(status, now, now ^ held, changed)
    yield from _targets(now, now ^ held, changed)
    if finished:
        yield from _finished(status, spec, changed, ended)
    yield from _indexes(status, spec, changed)
    if finished and (ended or "terminating" in changed) and (status.get("terminating") or 0) > 0:
        yield causes.invalid("status.terminating", status["terminating"], "terminating>0 is invalid for finished job")
    if changed & {"ready", "active"} and (status.get("ready") or 0) > status.get("active", 0):
        yield causes.invalid("status.ready", status["ready"], "cannot set more ready pods than active")
    yield from _contradictions(now, spec)
    yield from _transitions(new, old, now, held)


def _true_conditions(status: Obj) -> set[str]:
    return {str(c.get("type")) for c in status.get("conditions") or () if c.get("status") == "True"}


def _uncounted(pods: Obj) -> Iterator[Cause]:
    """The pods that are gone and not yet counted, each once."""
    seen = set[str]()
    for side in ("succeeded", "failed"):
        for index, uid in enumerate(pods.get(side) or ()):
            field = f"status.uncountedTerminatedPods.{side}[{index}]"
            if not uid:
                yield causes.invalid(field, uid, "must not be empty")
            elif uid in seen:
                yield causes.duplicate(field, uid)
            seen.add(uid)


def _completion(status: Obj, now: set[str], turned: set[str], changed: set[str]) -> Iterator[Cause]:
    """When it was complete, and whether it can have been. `turned` are the conditions that came or went."""
    at, start = status.get("completionTime"), status.get("startTime")
    if turned & {"Complete", "Failed"} and {"Complete", "Failed"} <= now:
        yield causes.invalid_at(_CONDITIONS, "cannot set Complete=True and Failed=true conditions")
    if turned & {"Complete", "FailureTarget"} and {"Complete", "FailureTarget"} <= now:
        yield causes.invalid_at(_CONDITIONS, "cannot set Complete=True and FailureTarget=true conditions")
    if "Complete" in turned or "completionTime" in changed:
        if at is not None and "Complete" not in now:
            why = "cannot set completionTime when there is no Complete=True condition"
            yield causes.invalid("status.completionTime", at, why)
        if at is None and "Complete" in now:
            yield causes.required("status.completionTime", "completionTime is required for Complete jobs")
    if changed & {"startTime", "completionTime"} and start and at and parse_time(at) < parse_time(start):
        yield causes.invalid("status.completionTime", at, "must be equal to or after `startTime`")


def _targets(now: set[str], turned: set[str], changed: set[str]) -> Iterator[Cause]:
    """What a Job says before it says that it has ended."""
    if ("Failed" in turned or "failedIndexes" in changed) and "Failed" in now and "FailureTarget" not in now:
        why = "cannot set Failed=True condition without the FailureTarget=true condition"
        yield causes.invalid_at(_CONDITIONS, why)
    if turned & {"Complete", "SuccessCriteriaMet"} and "Complete" in now and "SuccessCriteriaMet" not in now:
        why = "cannot set Complete=True condition without the SuccessCriteriaMet=true condition"
        yield causes.invalid_at(_CONDITIONS, why)


def _finished(status: Obj, spec: Obj, changed: set[str], ended: bool) -> Iterator[Cause]:
    """What a Job that has ended has no more of. `ended` says whether it has ended, or begun anew, just now."""
    active, pods = status.get("active", 0), status.get("uncountedTerminatedPods") or {}
    if (ended or "active" in changed) and active > 0:
        yield causes.invalid("status.active", active, "active>0 is invalid for finished job")
    idle = spec.get("suspend") is True and spec.get("completions") == 0
    if (ended or "startTime" in changed) and status.get("startTime") is None and not idle:
        yield causes.required("status.startTime", "startTime is required for finished job")
    if (ended or "uncountedTerminatedPods" in changed) and (pods.get("succeeded") or pods.get("failed")):
        shown = {"Succeeded": pods.get("succeeded"), "Failed": pods.get("failed")}
        yield causes.invalid("status.uncountedTerminatedPods", shown, "must be empty for finished job")


def _indexes(status: Obj, spec: Obj, changed: set[str]) -> Iterator[Cause]:
    completed, failed = status.get("completedIndexes", ""), status.get("failedIndexes")
    limit, by_index = spec.get("completions"), spec.get("backoffLimitPerIndex") is not None
    if "completedIndexes" in changed and limit is not None and (why := _malformed(completed, limit)):
        yield causes.invalid("status.completedIndexes", completed, f"error parsing completedIndexes: {why}")
    if "failedIndexes" in changed and limit is not None and by_index and (why := _malformed(failed or "", limit)):
        yield causes.invalid("status.failedIndexes", failed, f"error parsing failedIndexes: {why}")
    if "completedIndexes" in changed and completed and spec.get("completionMode") != "Indexed":
        why = "cannot set non-empty completedIndexes when non-indexed completion mode"
        yield causes.invalid("status.completedIndexes", completed, why)
    if "failedIndexes" in changed and not by_index and failed is not None:
        why = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
        yield causes.invalid("status.failedIndexes", failed, why)
    if changed & {"failedIndexes", "completedIndexes"} and limit is not None and failed is not None:
        common = _overlap(_intervals(completed, limit), _intervals(failed, limit))
        if common is not None:
            why = f"failedIndexes and completedIndexes overlap at index: {common}"
            yield causes.invalid("status.failedIndexes", failed, why)


def _malformed(text: str, limit: int) -> str:
    """Why a text is no list of indexes below `limit`, such as "1,3-5"; "" if it is."""
    parts = [_interval(part, limit) for part in text.split(",")] if text else []
    for part in parts:
        if isinstance(part, str):
            return part
    found = [part for part in parts if isinstance(part, tuple)]
    for (_, last), (first, _) in pairwise(found):
        if last >= first:
            return f"non-increasing order, previous: {last}, current: {first}"
    return ""


def _interval(text: str, limit: int) -> tuple[int, int] | str:
    """The first and last index of "3" or "3-5", or what is wrong with it."""
    ends = text.split("-")
    if len(ends) > _MOST_ENDS:
        rule = "an index interval can have at most two parts separated by '-'"
        return f"the fragment {quoted(text)} violates the requirement that {rule}"
    for end in ends:
        if not _NUMBER.fullmatch(end):
            return f"cannot convert string to integer for index: {quoted(end)}"
        if int(end) >= limit:
            return f"too large index: {quoted(end)}"
    first, last = int(ends[0]), int(ends[-1])
    if len(ends) > 1 and first >= last:
        return f"non-increasing order, previous: {first}, current: {last}"
    return first, last


def _intervals(text: str, limit: int) -> list[tuple[int, int]]:
    """Those that can be read: what cannot is told elsewhere."""
    found = (_interval(part, limit) for part in text.split(",") if part)
    return [part for part in found if isinstance(part, tuple)]


def _overlap(some: list[tuple[int, int]], others: list[tuple[int, int]]) -> int | None:
    """The first index that is in both, of intervals in rising order."""
    at = other = 0
    while at < len(some) and other < len(others):
        (first, last), (begin, end) = some[at], others[other]
        if first <= end and begin <= last:
            return max(first, begin)
        if first <= begin:
            at += 1
        else:
            other += 1
    return None


def _contradictions(now: set[str], spec: Obj) -> Iterator[Cause]:
    for other, shown in (("Failed", "Failed=true"), ("FailureTarget", "FailureTarget=true")):
        if {"SuccessCriteriaMet", other} <= now:
            yield causes.invalid_at(_CONDITIONS, f"cannot set SuccessCriteriaMet=True and {shown} conditions")
    if spec.get("successPolicy") is not None and "Complete" in now and "SuccessCriteriaMet" not in now:
        why = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True"
        yield causes.invalid_at(_CONDITIONS, why)


def _transitions(new: Obj, old: Obj, now: set[str], held: set[str]) -> Iterator[Cause]:
    """What does not come back, and what does not shrink."""
    status, before, spec = new.get("status") or {}, old.get("status") or {}, new.get("spec") or {}
    for kind in _FINISHING:
        if kind in held and kind not in now:
            yield causes.invalid_at(_CONDITIONS, f"cannot disable the terminal {kind}=True condition")
    shrinks = spec.get("completionMode") == "Indexed" and spec.get("completions") == spec.get("parallelism")
    for name in ("failed",) if shrinks else ("failed", "succeeded"):
        if status.get(name, 0) < before.get(name, 0):
            yield causes.invalid(f"status.{name}", status.get(name, 0), f"cannot decrease the {name} counter")
    completed, started = status.get("completionTime"), before.get("startTime")
    if completed and before.get("completionTime") and completed != before["completionTime"]:
        yield causes.invalid("status.completionTime", completed, causes.IMMUTABLE)
    if started is not None and status.get("startTime") != started and not _rests(new, old):
        why = "field is immutable for unsuspended job once set"
        yield causes.invalid("status.startTime", status.get("startTime"), why)
    if "SuccessCriteriaMet" in held - now:
        yield causes.invalid_at(_CONDITIONS, "cannot disable the SuccessCriteriaMet=True condition")
    if "Complete" in held and "SuccessCriteriaMet" in now - held:
        why = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"
        yield causes.invalid_at(_CONDITIONS, why)


def _rests(new: Obj, old: Obj) -> bool:
    """Whether a Job is suspended, or goes on just now."""
    conditions = (new.get("status") or {}).get("conditions") or ()
    resumes = any(c.get("type") == "Suspended" and c.get("status") == "False" for c in conditions)
    return (new.get("spec") or {}).get("suspend") is True or (
        resumes and "Suspended" in _true_conditions(old.get("status") or {})
    )
