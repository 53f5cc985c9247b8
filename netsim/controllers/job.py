"""The Job controller: pods until enough of them have succeeded, or too many have failed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial

from netsim.api.kinds import JOBS, PODS, Obj
from netsim.api.objects import (
    controller_of,
    deletion_timestamp,
    is_true,
    status_of,
    uid_of,
)
from netsim.controllers.controller import Controller
from netsim.controllers.job_accounting import Tally, completions_of, tally
from netsim.controllers.job_backoff import Backoffs, pause
from netsim.controllers.job_pods import (
    failures_of,
    finish_time,
    has_failed,
    index_of,
    is_indexed,
    is_tracked,
    job_pod,
    replaces_failed_only,
    untrack,
)
from netsim.controllers.job_policy import judge
from netsim.controllers.job_status import (
    COMPLETE,
    SUSPENDED,
    Ending,
    ending_of,
    is_finished,
    is_suspended,
    job_status,
    seconds_to_deadline,
)
from netsim.controllers.new_pod import announce_creation, announce_deletion
from netsim.controllers.queue import Backoff
from netsim.controllers.ranking import choose_victims
from netsim.controllers.refs import claim, selector_of
from netsim.controllers.view import JOB, JOB_FINALIZER, View
from netsim.controllers.wakes import by_own_key, by_owner_or_orphan
from netsim.controllers.writes import Create, Note, Requeue, Write, Writes, delete_of, status_of_object, typed

BURST = 500
"""Pods created or deleted in one round at most, as in Kubernetes."""
_REFUSED = Backoff(1.0, 60.0)
"""How pods that could not be made are tried again, in seconds, as in Kubernetes."""
_OWN = "kubernetes.io/job-controller"


def reconcile(key: str, view: View, backoffs: Backoffs | None = None) -> Writes:
    """Count what has ended, decide whether the Job is over, else start or stop pods. `backoffs` are kept from round to
    round."""
    backoffs = Backoffs() if backoffs is None else backoffs
    job = view.get(JOBS, key)
    if job is None or is_finished(job):
        backoffs.forget(key)
    strays = _strays(key, job, view)
    if job is None or job["spec"].get("managedBy") not in (None, "", _OWN):
        return strays
    claimed = claim(view, JOBS, job, PODS, selector_of(JOBS, job), finalizer=JOB_FINALIZER)
    if claimed.patches:
        return [*strays, *claimed.patches]
    if is_finished(job):
        return [*strays, *(untrack(pod) for pod in claimed.mine if is_tracked(pod))]
    count = tally(job, claimed.mine)
    ending = ending_of(job, count, view.now)
    wait = backoffs.seconds(job, claimed.mine, view.now)
    writes = _work(job, claimed.mine, count, ending, wait, view.now)
    held = _held(job, claimed.mine, count) if ending is None else set()
    released = [untrack(pod) for pod in count.done if uid_of(pod) not in held]
    return [*strays, *writes, *released, *_status(job, count, ending, view.now)]


def _strays(key: str, job: Obj | None, view: View) -> list[Write]:
    """Let go of pods whose Job is gone; a namesake is another Job."""
    return [untrack(pod) for pod in view.by_index(PODS, JOB, key) if job is None or _is_anothers(pod, job)]


def _is_anothers(pod: Obj, job: Obj) -> bool:
    owner = controller_of(pod)
    return owner is not None and owner.get("uid") != uid_of(job)


def _work(
    job: Obj, pods: Sequence[Obj], count: Tally, ending: Ending | None, wait: float, now: datetime
) -> list[Write]:
    if deletion_timestamp(job):
        return []
    if ending is not None:
        return _end(job, count.active[:BURST], ending)
    wanted = wanted_active(job, count)
    if len(count.active) > wanted:
        return _stop(job, count.active, len(count.active) - wanted, now)
    waiting = len(count.terminating) if replaces_failed_only(job) else 0
    missing = min(wanted - len(count.active) - waiting, BURST)
    return _start(job, pods, count, missing, wait, now) if missing > 0 else []


def _end(job: Obj, pods: Iterable[Obj], ending: Ending) -> list[Write]:
    """Pods that are left over when a success policy is met have not failed."""
    if ending.type == COMPLETE:
        return _let_go(job, pods)
    return [delete_of(PODS, pod, announce=announce_deletion(JOBS, job)) for pod in pods]


def _start(job: Obj, pods: Sequence[Obj], count: Tally, missing: int, wait: float, now: datetime) -> list[Write]:
    if is_indexed(job):
        return _start_indexes(job, pods, count, missing, wait, now)
    return [Requeue(wait)] if wait > 0 else [Create(PODS, job_pod(job), announce_creation(JOBS, job))] * missing


def wanted_active(job: Obj, count: Tally) -> int:
    """How many pods should be at work."""
    if is_suspended(job):
        return 0
    given = job["spec"].get("parallelism")
    parallelism = 1 if given is None else int(given)
    completions = completions_of(job)
    if completions is None:
        return min(len(count.active), parallelism) if count.all_succeeded else parallelism
    left = completions - count.all_succeeded - len(count.failed_indexes)
    return max(min(parallelism, left), 0)


def _stop(job: Obj, active: Sequence[Obj], surplus: int, now: datetime) -> list[Write]:
    """Pods that are too many go."""
    order = [*(pod for pod in active if not is_tracked(pod)), *_superfluous(active, completions_of(job))]
    chosen = {uid_of(pod): pod for pod in order}
    rest = [pod for pod in active if uid_of(pod) not in chosen]
    missing = max(min(surplus, BURST) - len(chosen), 0)
    chosen |= {uid_of(pod): pod for pod in choose_victims(rest, rest, missing, now)} if missing else {}
    return _let_go(job, list(chosen.values())[: min(surplus, BURST)])


def _let_go(job: Obj, pods: Iterable[Obj]) -> list[Write]:
    """Delete pods that do not count as failed: they lose their finalizer first. One that has ended meanwhile keeps it,
    and is counted; one that ends between the two is deleted all the same, as nobody would count it."""
    announce = announce_deletion(JOBS, job)
    return [delete_of(PODS, pod, announce=announce, first=untrack(pod) if is_tracked(pod) else None) for pod in pods]


def _superfluous(active: Sequence[Obj], completions: int | None) -> list[Obj]:
    """Pods of indexes that are no longer wanted, and all but the first pod of each index."""
    first: dict[int, str] = {}
    indexed = [(index, pod) for pod in active if (index := index_of(pod)) is not None]
    return [
        pod
        for index, pod in indexed
        if (completions is not None and index >= completions) or first.setdefault(index, uid_of(pod)) != uid_of(pod)
    ]


def _start_indexes(
    job: Obj, pods: Sequence[Obj], count: Tally, missing: int, wait: float, now: datetime
) -> list[Write]:
    """Pods for the lowest indexes that have none. With backoffLimitPerIndex each index waits for itself."""
    busy = [*count.active, *(count.terminating if replaces_failed_only(job) else ())]
    taken = {index_of(pod) for pod in busy} | count.succeeded_indexes | count.failed_indexes
    free = (index for index in range(completions_of(job) or 0) if index not in taken)
    per_index = job["spec"].get("backoffLimitPerIndex") is not None
    last = _last_failed(job, pods) if per_index else {}
    common = 0.0 if per_index else wait
    writes: list[Write] = []
    waits: list[float] = [common] if common else []
    for index in () if common else free:
        failures = _failures_before(job, last.get(index)) if per_index else None
        wait = pause(sum(failures), finish_time(last[index], now), now) if failures and index in last else 0.0
        if wait:
            waits.append(wait)
        else:
            writes.append(Create(PODS, job_pod(job, index, failures), announce_creation(JOBS, job)))
        if len(writes) == missing:
            break
    return [*writes, Requeue(min(waits))] if waits else writes


def _last_failed(job: Obj, pods: Iterable[Obj]) -> dict[int, Obj]:
    """The failed pod of each index that has the most failures behind it."""
    last: dict[int, Obj] = {}
    for pod in pods:
        index = index_of(pod)
        if index is None or not has_failed(job, pod):
            continue
        if index not in last or sum(failures_of(pod)) > sum(failures_of(last[index])):
            last[index] = pod
    return last


def _failures_before(job: Obj, last: Obj | None) -> tuple[int, int]:
    if last is None:
        return 0, 0
    counted, ignored = failures_of(last)
    return (counted, ignored + 1) if judge(job, last).action == "Ignore" else (counted + 1, ignored)


def _held(job: Obj, pods: Sequence[Obj], count: Tally) -> set[str]:
    """Failed pods that must outlast their deletion: their replacement will inherit the count of failures."""
    if job["spec"].get("backoffLimitPerIndex") is None:
        return set()
    over = count.succeeded_indexes | count.failed_indexes | {index_of(pod) for pod in count.active}
    return {uid_of(pod) for index, pod in _last_failed(job, pods).items() if index not in over}


def _status(job: Obj, count: Tally, ending: Ending | None, now: datetime) -> list[Write]:
    status = job_status(job, count, ending, now)
    writes: list[Write] = []
    if status != status_of(job):
        writes += [*_told(job, count, ending), status_of_object(JOBS, job, status)]
    started = {**job, "status": status}
    left = seconds_to_deadline(started, now) if ending is None else None
    return [*writes, Requeue(max(left, 0.0))] if left is not None else writes


def _told(job: Obj, count: Tally, ending: Ending | None) -> list[Write]:
    """The Events of what the new status says for the first time."""
    about = typed(JOBS, job)
    if ending is not None:
        if not count.ended:
            return []
        if ending.type == COMPLETE:
            return [Note(about, "Completed", "Job completed")]
        return [Note(about, ending.reason, ending.message, "Warning")]
    if is_suspended(job) and not is_true(job, SUSPENDED):
        return [Note(about, "Suspended", "Job suspended")]
    if not is_suspended(job) and is_true(job, SUSPENDED):
        return [Note(about, "Resumed", "Job resumed")]
    return []


def controller() -> Controller:
    """The controller, with failures of its own to remember."""
    watches = ((JOBS, by_own_key), (PODS, by_owner_or_orphan(JOBS)))
    return Controller("job-controller", partial(reconcile, backoffs=Backoffs()), watches, rest=0.01, backoff=_REFUSED)
