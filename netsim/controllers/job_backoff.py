"""How long a Job waits before it replaces a pod that failed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from netsim.api.kinds import Obj
from netsim.api.objects import key_of, uid_of
from netsim.controllers.job_pods import finish_time, has_failed, has_succeeded
from netsim.controllers.pods import is_finished

FIRST_DELAY, LONGEST_DELAY = 10.0, 600.0


def pause(failures: int, last: datetime | None, now: datetime) -> float:
    """Seconds left of 10 s after the last failure, doubled for each one before, 10 minutes at most."""
    if last is None or failures == 0:
        return 0.0
    delay = min(FIRST_DELAY * float(2 ** min(failures - 1, 20)), LONGEST_DELAY)
    return max(delay - (now - last) / timedelta(seconds=1), 0.0)


@dataclass(slots=True)
class _Past:
    """Of one Job (its uid): when its last pod succeeded, when each of its pods has failed since, and the pods of which
    nothing more is to be learnt."""

    job: str
    success: datetime | None = None
    failures: dict[str, datetime] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Backoffs:
    """The failures of all Jobs, also of pods that are gone since: who deletes one has its replacement wait, as in
    Kubernetes, whose controller forgets them too when it starts anew."""

    jobs: dict[str, _Past] = field(default_factory=dict)

    def forget(self, key: str) -> None:
        """The Job is over or gone."""
        self.jobs.pop(key, None)

    def seconds(self, job: Obj, pods: Iterable[Obj], now: datetime) -> float:
        """How long a new pod has to wait; to be asked in every round, for what pods leave behind. Failures that
        podFailurePolicy ignores make it wait as well."""
        past = self.jobs.get(key_of(job))
        if past is None or past.job != uid_of(job):
            past = self.jobs[key_of(job)] = _Past(uid_of(job))
        for pod in pods:
            if uid_of(pod) not in past.settled:
                _take_in(past, job, pod, now)
        return pause(len(past.failures), max(past.failures.values(), default=None), now)


def _take_in(past: _Past, job: Obj, pod: Obj, now: datetime) -> None:
    if is_finished(pod):
        past.settled.add(uid_of(pod))
    if has_succeeded(pod):
        success = finish_time(pod, now)
        past.success = success if past.success is None else max(past.success, success)
        past.failures = {uid: when for uid, when in past.failures.items() if when > past.success}
    elif has_failed(job, pod):
        when = finish_time(pod, now)
        if past.success is None or when > past.success:
            past.failures.setdefault(uid_of(pod), when)  # one that is ending fails when it is deleted, and once
