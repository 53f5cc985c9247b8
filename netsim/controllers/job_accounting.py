"""Counting every ended pod of a Job exactly once, whatever crashes in between.

An ended pod is first named in status.uncountedTerminatedPods (or its index in status.completedIndexes); only when that
is stored its finalizer is removed; only when that is seen the name becomes part of the counter. So a controller that
dies between two steps, or sees the pod again, finds out where it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from netsim.api.kinds import Obj
from netsim.api.objects import condition, dig, is_pod_ready, status_of, uid_of
from netsim.controllers.job_indexes import parse_indexes
from netsim.controllers.job_pods import (
    failures_of,
    has_failed,
    has_succeeded,
    index_of,
    is_indexed,
    is_tracked,
)
from netsim.controllers.job_policy import Verdict, judge
from netsim.controllers.pods import is_active, is_leaving

LIMIT = 500
"""Pods newly named in one round at most."""


@dataclass(slots=True)
class Tally:
    """A Job's pods, sorted out.

    `active` and `terminating` are alive. `succeeded` and `failed` are the counters as they can be stored now, the
    lists of uids `uncounted_succeeded` and `uncounted_failed` what goes beside them. `done` may lose their finalizer
    now. `succeeded_indexes` and `failed_indexes` include what this round found. `ended` says whether every pod has
    ended and been counted."""

    active: list[Obj] = field(default_factory=list)
    terminating: list[Obj] = field(default_factory=list)
    succeeded: int = 0
    failed: int = 0
    uncounted_succeeded: list[str] = field(default_factory=list)
    uncounted_failed: list[str] = field(default_factory=list)
    done: list[Obj] = field(default_factory=list)
    succeeded_indexes: set[int] = field(default_factory=set)
    failed_indexes: set[int] = field(default_factory=set)
    ignored: list[Obj] = field(default_factory=list)
    fatal: Verdict | None = None
    tracked: int = 0

    @property
    def ready(self) -> int:
        return sum(map(is_pod_ready, self.active))

    @property
    def all_succeeded(self) -> int:
        return self.succeeded + len(self.uncounted_succeeded)

    @property
    def all_failed(self) -> int:
        return self.failed + len(self.uncounted_failed)

    @property
    def ended(self) -> bool:
        uncounted = self.uncounted_succeeded or self.uncounted_failed
        return not (self.active or self.terminating or self.tracked or uncounted)


def completions_of(job: Obj) -> int | None:
    """spec.completions; None for a work queue."""
    value = job["spec"].get("completions")
    return None if value is None else int(value)


def tally(job: Obj, pods: Sequence[Obj]) -> Tally:
    """Sort out the Job's pods."""
    count = Tally(active=[pod for pod in pods if is_active(pod)], terminating=[p for p in pods if is_leaving(p)])
    tracked = {uid_of(pod): pod for pod in pods if is_tracked(pod)}
    count.tracked = len(tracked)
    _carry_over(job, count, tracked)
    named = {*count.uncounted_succeeded, *count.uncounted_failed}
    new = [pod for uid, pod in tracked.items() if uid not in named and not is_active(pod)]
    stored = set(count.succeeded_indexes)
    for pod in new[:LIMIT]:
        if has_succeeded(pod):
            _succeed(job, count, pod, stored)
        elif has_failed(job, pod):
            _fail(job, count, pod)
    if is_indexed(job):
        count.failed_indexes -= count.succeeded_indexes
        count.succeeded = len(count.succeeded_indexes)
    return count


def _carry_over(job: Obj, count: Tally, tracked: dict[str, Obj]) -> None:
    """What is stored already: the named pods whose finalizer is gone are counted, the others let go."""
    status = status_of(job)
    named = status.get("uncountedTerminatedPods") or {}
    for uid in named.get("succeeded") or ():
        if uid in tracked:
            count.uncounted_succeeded.append(uid)
        else:
            count.succeeded += 1
    for uid in named.get("failed") or ():
        if uid in tracked:
            count.uncounted_failed.append(uid)
        else:
            count.failed += 1
    count.done = [tracked[uid] for uid in (*count.uncounted_succeeded, *count.uncounted_failed)]
    count.succeeded += int(status.get("succeeded") or 0)
    count.failed += int(status.get("failed") or 0)
    total = completions_of(job) or 0
    if is_indexed(job):
        count.succeeded_indexes = parse_indexes(status.get("completedIndexes") or "", total)
        count.failed_indexes = parse_indexes(status.get("failedIndexes") or "", total)


def _succeed(job: Obj, count: Tally, pod: Obj, stored: set[int]) -> None:
    if not is_indexed(job):
        count.uncounted_succeeded.append(uid_of(pod))
        return
    index = index_of(pod)
    if index is None or index >= (completions_of(job) or 0) or index in stored:
        count.done.append(pod)
    else:
        count.succeeded_indexes.add(index)


def _fail(job: Obj, count: Tally, pod: Obj) -> None:
    verdict = judge(job, pod)
    if verdict.action == "Ignore":
        count.ignored.append(pod)
        count.done.append(pod)
        return
    if verdict.action == "FailJob" and count.fatal is None:
        count.fatal = verdict
    count.uncounted_failed.append(uid_of(pod))
    index, limit = index_of(pod), dig(job, "spec", "backoffLimitPerIndex")
    if limit is None or index is None or _is_failing(job):
        return
    if verdict.action == "FailIndex" or failures_of(pod)[0] >= int(limit):
        count.failed_indexes.add(index)


def _is_failing(job: Obj) -> bool:
    """Whether the Job's end is decided: the pods that it takes away then fail, but not their indexes."""
    return any((condition(job, kind) or {}).get("status") == "True" for kind in ("FailureTarget", "SuccessCriteriaMet"))
