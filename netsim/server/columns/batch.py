"""Columns of batch/v1."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from netsim.api import kinds
from netsim.api.kinds import Kind, Obj
from netsim.api.objects import condition
from netsim.api.times import parse_time, short_duration
from netsim.server.columns.base import (
    AGE,
    NAME,
    NONE,
    Printer,
    age,
    boolean,
    containers,
    name,
    number,
    selector,
    since,
    text,
    text_of_bool,
    wide,
)  # fmt: skip


def job_status(job: Obj) -> str:
    """The Status column: the first of the states that holds."""

    def holds(kind: str) -> bool:
        return (condition(job, kind) or {}).get("status") == "True"

    for kind in ("Complete", "Failed"):
        if holds(kind):
            return kind
    if job["metadata"].get("deletionTimestamp"):
        return "Terminating"
    return next((kind for kind in ("Suspended", "FailureTarget", "SuccessCriteriaMet") if holds(kind)), "Running")


def _completions(job: Obj) -> str:
    spec, done = job.get("spec") or {}, (job.get("status") or {}).get("succeeded", 0)
    if spec.get("completions") is not None:
        return f"{done}/{spec['completions']}"
    parallelism = spec.get("parallelism") or 0
    return f"{done}/1 of {parallelism}" if parallelism > 1 else f"{done}/1"


def _duration(job: Obj, now: datetime) -> str:
    status = job.get("status") or {}
    if not status.get("startTime"):
        return ""
    end = parse_time(status["completionTime"]) if status.get("completionTime") else now
    return short_duration((end - parse_time(status["startTime"])).total_seconds())


def _job(obj: Obj, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    return [
        name(obj), job_status(obj), _completions(obj), _duration(obj, now), age(obj, now),
        *containers(spec.get("template")), selector(spec.get("selector")),
    ]  # fmt: skip


def _cron_job(obj: Obj, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    jobs = (spec.get("jobTemplate") or {}).get("spec") or {}
    last = since(status["lastScheduleTime"], now) if status.get("lastScheduleTime") else NONE
    return [
        name(obj), spec.get("schedule", ""), spec.get("timeZone") or NONE, text_of_bool(spec.get("suspend")),
        len(status.get("active") or ()), last, age(obj, now), *containers(jobs.get("template")),
        selector(jobs.get("selector")),
    ]  # fmt: skip


_WIDE = (wide("Containers"), wide("Images"), wide("Selector"))

PRINTERS: dict[Kind, Printer] = {
    kinds.JOBS: Printer((NAME, text("Status"), text("Completions"), text("Duration"), AGE, *_WIDE), _job),
    kinds.CRON_JOBS: Printer(
        (
            NAME, text("Schedule"), text("Timezone"), boolean("Suspend"), number("Active"), text("Last Schedule"), AGE,
            *_WIDE,
        ),
        _cron_job,
    ),
}  # fmt: skip
