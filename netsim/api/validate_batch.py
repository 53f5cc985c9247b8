"""Rules of Jobs and CronJobs."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Iterator
from typing import Any

from netsim.api import causes, go_values, validate_job_policies, validate_workloads
from netsim.api.cron import CronError, parse_schedule
from netsim.api.errors import Cause
from netsim.api.kinds import Obj

_CRON_NAME_LIMIT = 52
_INDEXED_LIMIT = 100000
_MANAGER_LIMIT = 63
_PATH = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"
_COUNTS = (
    "parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished",
    "backoffLimitPerIndex", "maxFailedIndexes",
)  # fmt: skip
_FIXED = ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy")
_SCHEDULING = ("nodeSelector", "affinity", "tolerations", "schedulingGates")
_UID, _NAME = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"


def job(obj: Obj) -> Iterator[Cause]:
    spec = obj.get("spec") or {}
    yield from _generated(obj, spec)
    yield from _job_spec(spec, "spec")
    selector = spec.get("selector")
    if selector is None:
        yield causes.required("spec.selector")
        yield validate_workloads.mismatch(spec.get("template") or {})  # no selector selects nothing
        return
    yield from causes.selector_object("spec.selector", selector)
    yield from validate_workloads.selects(selector, spec.get("template") or {}, "")


def _generated(obj: Obj, spec: Obj) -> Iterator[Cause]:
    """Unless the author chose the selector, template and selector carry what was made from the Job's uid and name."""
    metadata = obj.get("metadata") or {}
    if spec.get("manualSelector") or spec.get("selector") is None or "uid" not in metadata:
        return
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    expected = {_UID: metadata["uid"], "controller-uid": metadata["uid"]}
    expected |= {_NAME: metadata.get("name"), "job-name": metadata.get("name")}
    for key, value in expected.items():
        if labels.get(key) != value:
            where = f"spec.template.metadata.labels[{key}]"
            shown = dict(sorted(labels.items())) if key in labels else ""
            yield causes.invalid(where, shown, f"must be '{value}'")
    wanted = (spec["selector"].get("matchLabels") or {}).items()
    if any(expected.get(key) != value for key, value in wanted) or spec["selector"].get("matchExpressions"):
        shown = {**spec["selector"], "matchLabels": dict(sorted(wanted))}
        yield causes.invalid("spec.selector", shown, "`selector` not auto-generated")


def _job_spec(spec: Obj, field: str) -> Iterator[Cause]:
    for name in _COUNTS:
        yield from causes.at_least(f"{field}.{name}", spec.get(name))
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        yield causes.required(f"{field}.backoffLimitPerIndex", "when maxFailedIndexes is specified")
    yield from _managed_by(f"{field}.managedBy", spec.get("managedBy"))
    yield from _modes(spec, field)
    yield from validate_job_policies.policies(spec, field)
    given = spec.get("template") or {}
    yield from validate_workloads.template(given, f"{field}.template")
    policy, where = (given.get("spec") or {}).get("restartPolicy"), f"{field}.template.spec.restartPolicy"
    if policy in ("Always", "", None):
        yield causes.required(where, 'valid values: "OnFailure", "Never"')
    elif policy not in ("Never", "OnFailure"):
        yield causes.unsupported(where, policy, ("OnFailure", "Never"), ordered=True)
    elif spec.get("podFailurePolicy") is not None and policy != "Never":
        yield causes.invalid(where, policy, 'only "Never" is supported when podFailurePolicy is specified')


def _modes(spec: Obj, field: str) -> Iterator[Cause]:
    mode = spec.get("completionMode")
    if mode not in (None, "Indexed", "NonIndexed"):
        yield causes.unsupported(f"{field}.completionMode", mode, ("NonIndexed", "Indexed"), ordered=True)
    if mode == "Indexed":
        if spec.get("completions") is None:
            yield causes.required(f"{field}.completions", "when completion mode is Indexed")
        if (spec.get("parallelism") or 0) > _INDEXED_LIMIT:
            why = f"must be less than or equal to {_INDEXED_LIMIT} when completion mode is Indexed"
            yield causes.invalid(f"{field}.parallelism", spec["parallelism"], why)
        most, completions = spec.get("maxFailedIndexes"), spec.get("completions")
        if most is not None and completions is not None and most > completions:
            yield causes.invalid(f"{field}.maxFailedIndexes", most, "must be less than or equal to completions")
        if (most or 0) > _INDEXED_LIMIT:
            why = f"must be less than or equal to {_INDEXED_LIMIT}"
            yield causes.invalid(f"{field}.maxFailedIndexes", most, why)
    for name in ("backoffLimitPerIndex", "maxFailedIndexes") if mode in (None, "NonIndexed") else ():
        if spec.get(name) is not None:
            yield causes.invalid(f"{field}.{name}", spec[name], "requires indexed completion mode")


def _managed_by(field: str, name: str | None) -> Iterator[Cause]:
    if name is None:
        return
    domain, _, path = name.partition("/")
    if not name:
        yield causes.required(field)
    elif not domain or not path:
        yield causes.invalid(field, name, 'must be a domain-prefixed path (such as "acme.io/foo")')
    else:
        yield from causes.dns_subdomain(field, domain)
        if not re.fullmatch(_PATH, path):
            yield causes.invalid(field, path, f"Invalid path (regex used for validation is '{_PATH}')")
    if len(name) > _MANAGER_LIMIT:
        yield causes.too_long(field, _MANAGER_LIMIT)


def job_update(new: Obj, old: Obj) -> Iterator[Cause]:
    now, before = new.get("spec") or {}, old.get("spec") or {}
    yield from _completions_update(now, before)
    yield from causes.unchanged("spec.selector", now.get("selector"), before.get("selector"))
    fixed = _fixed_template(now, before) if _may_move(old, before) else before.get("template")
    if now.get("template") != fixed:
        shown = go_values.in_go("PodTemplateSpec", now.get("template") or {})
        yield causes.invalid("spec.template", shown, causes.IMMUTABLE)
    for name in _FIXED:
        yield from causes.unchanged(f"spec.{name}", now.get(name), before.get(name))


def _completions_update(now: Obj, before: Obj) -> Iterator[Cause]:
    asked, held = now.get("completions"), before.get("completions")
    if asked == held:
        return
    if now.get("completionMode") != "Indexed" or asked is None or held is None:
        yield causes.invalid("spec.completions", asked, causes.IMMUTABLE)
    elif held != before.get("parallelism") or asked != now.get("parallelism"):
        yield causes.invalid("spec.completions", asked, "can only be modified in tandem with spec.parallelism")


def _may_move(old: Obj, before: Obj) -> bool:
    """Whether the Job has not begun yet, so that where its pods run may still be chosen (KEP-2926)."""
    return bool(before.get("suspend")) and not (old.get("status") or {}).get("startTime")


def _fixed_template(now: Obj, before: Obj) -> Any:
    """The template as it was, with the scheduling directives, labels and annotations of the new one."""
    asked, held = now.get("template") or {}, before.get("template") or {}
    spec = {k: v for k, v in (held.get("spec") or {}).items() if k not in _SCHEDULING}
    spec |= {k: v for k, v in (asked.get("spec") or {}).items() if k in _SCHEDULING}
    metadata = {k: v for k, v in (held.get("metadata") or {}).items() if k not in ("labels", "annotations")}
    metadata |= {k: v for k, v in (asked.get("metadata") or {}).items() if k in ("labels", "annotations")}
    return {**held, "metadata": metadata, "spec": spec}


def cron_job(obj: Obj) -> Iterator[Cause]:
    name, spec = (obj.get("metadata") or {}).get("name", ""), obj.get("spec") or {}
    if len(name) > _CRON_NAME_LIMIT:
        yield causes.invalid("metadata.name", name, f"must be no more than {_CRON_NAME_LIMIT} characters")
    yield from _schedule(spec)
    for field in ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        yield from causes.at_least(f"spec.{field}", spec.get(field))
    yield from causes.one_of("spec.concurrencyPolicy", spec.get("concurrencyPolicy"), ("Allow", "Forbid", "Replace"))
    jobs = (spec.get("jobTemplate") or {}).get("spec") or {}
    yield from _job_spec(jobs, "spec.jobTemplate.spec")
    if jobs.get("selector") is not None:
        yield causes.invalid("spec.jobTemplate.spec.selector", jobs["selector"], "`selector` will be auto-generated")
    if jobs.get("manualSelector"):
        yield causes.unsupported("spec.jobTemplate.spec.manualSelector", True, ("nil", "false"), ordered=True)


def _schedule(spec: Obj) -> Iterator[Cause]:
    text, zone = spec.get("schedule", ""), spec.get("timeZone")
    if not text:
        yield causes.required("spec.schedule")
    elif "TZ" in text:
        why = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        yield causes.invalid("spec.schedule", text, why)
    else:
        try:
            parse_schedule(text)
        except CronError as refusal:
            yield causes.invalid("spec.schedule", text, str(refusal))
    if zone is not None:
        yield from _time_zone("spec.timeZone", zone)


def _time_zone(field: str, zone: str) -> Iterator[Cause]:
    if not zone:
        yield causes.invalid(field, zone, "timeZone must be nil or non-empty string")
        return
    if zone.lower() == "local":
        why = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        yield causes.invalid(field, zone, why)
    if zone not in ("UTC", "Local") and not _is_zone(zone):
        yield causes.invalid(field, zone, f"unknown time zone {zone}")


def _is_zone(zone: str) -> bool:
    try:
        return bool(zoneinfo.ZoneInfo(zone).key)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        return False
