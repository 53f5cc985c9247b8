"""The CronJob controller: a Job at every time of a schedule.

The name of a Job is made from its time, so that none is ever started twice; status follows from the Jobs that are
there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from netsim.api.cron import Schedule, parse_schedule
from netsim.api.kinds import CRON_JOBS, JOBS, Obj
from netsim.api.objects import (
    annotations_of,
    deletion_timestamp,
    metadata,
    name_of,
    namespace_of,
    object_reference,
    status_of,
    uid_of,
)
from netsim.api.times import format_time, parse_time
from netsim.controllers.controller import Controller
from netsim.controllers.cron import count_times, last_time, next_time
from netsim.controllers.job_status import COMPLETE, finished_condition
from netsim.controllers.refs import controller_reference, is_controlled_by
from netsim.controllers.view import OWNER, View
from netsim.controllers.wakes import by_own_key, by_owner
from netsim.controllers.writes import (
    Announce,
    Create,
    Delete,
    Note,
    Requeue,
    Write,
    Writes,
    delete_of,
    status_of_object,
    typed,
)

SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
TOO_MANY = 100
"""Missed times from which on the user is told."""
_MARGIN = 0.02
"""Seconds by which a timer is set later than the time it is for."""


@dataclass(frozen=True, slots=True)
class Runs:
    """The Jobs of a CronJob: `active` ones it started, `strange` ones that run though it did not, `ended` ones."""

    active: list[Obj]
    strange: list[Obj]
    ended: list[Obj]

    @property
    def every(self) -> list[Obj]:
        return [*self.active, *self.strange, *self.ended]


def reconcile(key: str, view: View) -> Writes:
    """Take note of what has ended, clean up, and start a Job if one is due."""
    cron_job = view.get(CRON_JOBS, key)
    if cron_job is None:
        return []
    owned = [job for job in view.by_index(JOBS, OWNER, uid_of(cron_job)) if is_controlled_by(job, cron_job)]
    runs = _sort_out(cron_job, owned)
    status = cron_job_status(cron_job, runs)
    writes: list[Write] = [*_told(cron_job, runs), *_clean_up(cron_job, runs.ended)]
    if not deletion_timestamp(cron_job) and not cron_job["spec"].get("suspend"):
        writes += _schedule({**cron_job, "status": status}, runs, view)
        status = _without_deleted(status, writes)
    if status != status_of(cron_job):
        writes.append(status_of_object(CRON_JOBS, cron_job, status))
    return writes


def _sort_out(cron_job: Obj, jobs: Iterable[Obj]) -> Runs:
    known = {reference.get("uid") for reference in status_of(cron_job).get("active") or ()}
    runs = Runs([], [], [])
    for job in sorted(jobs, key=_started):
        if finished_condition(job) is not None:
            runs.ended.append(job)
        elif SCHEDULED in annotations_of(job) or uid_of(job) in known:
            runs.active.append(job)
        else:
            runs.strange.append(job)
    return runs


def _started(job: Obj) -> tuple[str, str]:
    start = status_of(job).get("startTime") or metadata(job).get("creationTimestamp") or ""
    return str(start), name_of(job)


def cron_job_status(cron_job: Obj, runs: Runs) -> Obj:
    """The whole new status."""
    old = status_of(cron_job)
    known = {reference.get("uid"): reference for reference in old.get("active") or ()}
    active = [known.get(uid_of(job)) or object_reference(typed(JOBS, job)) for job in runs.active]
    scheduled = [_normal(text) for job in runs.every if (text := annotations_of(job).get(SCHEDULED))]
    ends = [status_of(job).get("completionTime") for job in runs.ended]
    times = {
        "lastScheduleTime": max([*scheduled, old.get("lastScheduleTime") or ""], default=""),
        "lastSuccessfulTime": max([*(end for end in ends if end), old.get("lastSuccessfulTime") or ""], default=""),
    }
    return {name: value for name, value in ({"active": active} | times).items() if value}


def _without_deleted(status: Obj, writes: Iterable[Write]) -> Obj:
    """A Job deleted for the next one is active no more, and will not be missed."""
    deleted = {write.uid for write in writes if isinstance(write, Delete)}
    active = [reference for reference in status.get("active") or () if reference.get("uid") not in deleted]
    rest = {name: value for name, value in status.items() if name != "active"}
    return ({"active": active} if active else {}) | rest


def _normal(text: str) -> str:
    return format_time(parse_time(text))


def _told(cron_job: Obj, runs: Runs) -> Iterable[Note]:
    """The Events of Jobs that ended, went missing, or are none of ours."""
    about = typed(CRON_JOBS, cron_job)
    there = {uid_of(job): job for job in runs.every}
    for reference in status_of(cron_job).get("active") or ():
        job = there.get(reference.get("uid", ""))
        ended = finished_condition(job) if job is not None else None
        if job is None:
            yield Note(about, "MissingJob", f"Active job went missing: {reference.get('name')}")
        elif ended is not None:
            text = f"Saw completed job: {name_of(job)}, condition: {ended['type']}"
            yield Note(about, "SawCompletedJob", text)
    for job in runs.strange:
        text = f"Saw a job that the controller did not create or forgot: {name_of(job)}"
        yield Note(about, "UnexpectedJob", text, "Warning")


def _clean_up(cron_job: Obj, ended: Sequence[Obj]) -> list[Write]:
    """The oldest Jobs beyond the history limits go."""
    spec = cron_job["spec"]
    good = [job for job in ended if (finished_condition(job) or {}).get("type") == COMPLETE]
    bad = [job for job in ended if job not in good]
    surplus = [
        *_beyond(good, spec.get("successfulJobsHistoryLimit"), 3),
        *_beyond(bad, spec.get("failedJobsHistoryLimit"), 1),
    ]
    return [_deletion(cron_job, job) for job in surplus if not deletion_timestamp(job)]


def _beyond(jobs: Sequence[Obj], limit: int | None, default: int) -> Sequence[Obj]:
    return jobs[: max(len(jobs) - (default if limit is None else int(limit)), 0)]


def _deletion(cron_job: Obj, job: Obj) -> Write:
    announce = Announce(
        typed(CRON_JOBS, cron_job),
        ("SuccessfulDelete", "Deleted job {name}"),
        ("FailedDelete", "Deleted job: {error}"),
    )
    return delete_of(JOBS, job, propagation="Background", announce=announce)


def zone_of(name: str | None) -> tzinfo:
    """The time zone of a CronJob, UTC without one. Raises ValueError for one that is not known."""
    if not name:
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # few CronJobs name one

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"unknown time zone {name}") from error


def _schedule(cron_job: Obj, runs: Runs, view: View) -> list[Write]:
    """Start the Job that is due, and look again when the next one is."""
    spec, about = cron_job["spec"], typed(CRON_JOBS, cron_job)
    try:
        zone = zone_of(spec.get("timeZone"))
    except ValueError as error:
        return [Note(about, "UnknownTimeZone", f'invalid timeZone: "{spec.get("timeZone")}": {error}', "Warning")]
    try:
        schedule = parse_schedule(spec["schedule"])
    except ValueError as error:
        text = f'unparseable schedule: "{spec["schedule"]}" : {error}'
        return [Note(about, "UnparseableSchedule", text, "Warning")]
    writes: list[Write] = list(_start_due(cron_job, schedule, zone, runs, view))
    upcoming = next_time(schedule, _base(cron_job, schedule, view.now), zone)
    if upcoming is not None:
        writes.append(Requeue(max((upcoming - view.now) / timedelta(seconds=1), 0.0) + _MARGIN))
    else:  # such as 31 February: Kubernetes says it so
        text = f"invalid schedule: {spec['schedule']} : time difference between two schedules is less than 1 second"
        writes.append(Note(about, "InvalidSchedule", text, "Warning"))
    return writes


def _base(cron_job: Obj, schedule: Schedule, now: datetime) -> datetime:
    """From where the next time is sought: from now, or for an interval from the last time it was due."""
    return (last_time(schedule, _earliest(cron_job), now) or _earliest(cron_job)) if schedule.every else now


def _earliest(cron_job: Obj) -> datetime:
    """The last time a Job was started, else when the CronJob was created."""
    return parse_time(status_of(cron_job).get("lastScheduleTime") or metadata(cron_job)["creationTimestamp"])


def _start_due(cron_job: Obj, schedule: Schedule, zone: tzinfo, runs: Runs, view: View) -> Iterable[Write]:
    spec, now, about = cron_job["spec"], view.now, typed(CRON_JOBS, cron_job)
    deadline = spec.get("startingDeadlineSeconds")
    since = _earliest(cron_job)
    if deadline is not None and not schedule.every:
        since = max(since, now - timedelta(seconds=int(deadline)))
    due = last_time(schedule, since, now, zone)
    if due is None:
        return
    missed_times = count_times(schedule, since, now, zone, TOO_MANY + 1)
    if missed_times > TOO_MANY:
        text = f"too many missed start times: {missed_times}. Set or decrease .spec.startingDeadlineSeconds or check"
        yield Note(about, "TooManyMissedTimes", f"{text} clock skew", "Warning")
    if deadline is not None and now - due > timedelta(seconds=int(deadline)):
        text = f"Missed scheduled time to start a job: {due:%a, %d %b %Y %H:%M:%S %z}"
        yield Note(about, "MissSchedule", text, "Warning")
    elif view.get(JOBS, f"{namespace_of(cron_job)}/{job_name(cron_job, due)}") is None:
        yield from _start(cron_job, due, zone, runs)


def _start(cron_job: Obj, due: datetime, zone: tzinfo, runs: Runs) -> Iterable[Write]:
    policy, about = cron_job["spec"].get("concurrencyPolicy"), typed(CRON_JOBS, cron_job)
    if runs.active and policy == "Forbid":
        text = "Not starting job because prior execution is running and concurrency policy is Forbid"
        yield Note(about, "JobAlreadyActive", text)
        return
    if policy == "Replace":
        yield from (_deletion(cron_job, job) for job in runs.active if not deletion_timestamp(job))
    done, failed = ("SuccessfulCreate", "Created job {name}"), ("FailedCreate", "Error creating job: {error}")
    yield Create(JOBS, job_of(cron_job, due, zone), Announce(about, done, failed))


def job_name(cron_job: Obj, due: datetime) -> str:
    """NAME-MINUTES, in minutes since 1970."""
    return f"{name_of(cron_job)}-{int(due.timestamp()) // 60}"


def job_of(cron_job: Obj, due: datetime, zone: tzinfo) -> Obj:
    """The Job for a time of the schedule."""
    template = cron_job["spec"]["jobTemplate"]
    head = metadata(template)
    stamp = due.astimezone(zone).isoformat().replace("+00:00", "Z")
    return {
        "apiVersion": JOBS.api_version,
        "kind": JOBS.kind,
        "metadata": {
            "name": job_name(cron_job, due),
            "namespace": namespace_of(cron_job),
            "labels": head.get("labels") or {},
            "annotations": {**(head.get("annotations") or {}), SCHEDULED: stamp},
            "ownerReferences": [controller_reference(CRON_JOBS, cron_job)],
        },
        "spec": template["spec"],
    }


CONTROLLER = Controller(
    "cronjob-controller",
    reconcile,
    ((CRON_JOBS, by_own_key), (JOBS, by_owner(CRON_JOBS))),
)
