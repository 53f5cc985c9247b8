"""Rules of Events, in the form in which they are stored (v1); those written as events.k8s.io/v1 obey stricter ones."""

from __future__ import annotations

from collections.abc import Iterator

from netsim.api import causes
from netsim.api.errors import Cause
from netsim.api.kinds import Obj
from netsim.api.validate_metadata import object_name

_LONGEST = 128
_LONGEST_MESSAGE = 1024
_LEAST_SERIES = 2
_OLDER = ("firstTimestamp", "lastTimestamp", "count", "source")
_SYSTEM = ("default", "kube-system")
_FIXED = (
    "involvedObject", "reason", "message", "source", "firstTimestamp", "lastTimestamp", "count", "reason", "type",
    "eventTime", "action", "related", "reportingComponent", "reportingInstance",
)  # fmt: skip
"""What stays; Kubernetes tells the reason twice."""
_TEXTS = ("reason", "message", "type", "action", "reportingComponent", "reportingInstance")


def event(obj: Obj) -> Iterator[Cause]:
    yield from _event(obj, "reportingComponent")


def _event(obj: Obj, reporter: str) -> Iterator[Cause]:
    """`reporter`: how the version calls who tells of it. An Event with a time of its own says more."""
    namespace = (obj.get("metadata") or {}).get("namespace", "")
    involved = (obj.get("involvedObject") or {}).get("namespace", "")
    timed = bool(obj.get("eventTime"))
    if timed:
        fits = bool(involved) or namespace in _SYSTEM
    else:  # those of cluster-wide objects are in the default namespace
        fits = involved == namespace or (not involved and namespace == "default")
    if not fits:
        yield causes.invalid("involvedObject.namespace", involved, "does not match event.namespace")
    if timed:
        yield from _told(obj, reporter)


def _told(obj: Obj, reporter: str) -> Iterator[Cause]:
    if not obj.get("reportingComponent"):
        yield causes.required(reporter)
    yield from causes.qualified_name(reporter, obj.get("reportingComponent", ""))
    for field in ("reportingInstance", "action", "reason"):
        text = obj.get(field) or ""
        if not text:
            yield causes.required(field)
        elif len(text) > _LONGEST:
            yield causes.invalid(field, "", f"can have at most {_LONGEST} characters")
    if len(obj.get("message") or "") > _LONGEST_MESSAGE:
        yield causes.invalid("message", "", f"can have at most {_LONGEST_MESSAGE} characters")


def strict_event(obj: Obj) -> Iterator[Cause]:
    """A new one in the newer form, which has nothing of the older."""
    yield from _event(obj, "reportingController")
    yield from object_name(obj.get("metadata") or {}, causes.dns_subdomain)
    yield from _series(obj)
    if not obj.get("eventTime"):
        yield causes.required("eventTime")
    if obj.get("type") not in ("Normal", "Warning"):
        yield causes.invalid("type", "", f"has invalid value: {obj.get('type', '')}")
    for field in _OLDER:
        if obj.get(field):
            yield causes.invalid(field, "", "needs to be unset")


def strict_event_update(new: Obj, old: Obj) -> Iterator[Cause]:
    yield from _event(new, "reportingController")
    if new.get("series") != old.get("series"):
        yield from _series(new)
    for field in _FIXED:
        if (new.get(field) or None) != (old.get(field) or None):
            told = "reportingController" if field == "reportingComponent" else field
            yield causes.invalid(told, new.get(field, "" if field in _TEXTS else None), causes.IMMUTABLE)


def _series(obj: Obj) -> Iterator[Cause]:
    series = obj.get("series")
    if series is None:
        return
    if series.get("count", 0) < _LEAST_SERIES:
        yield causes.invalid("series.count", "", f"should be at least {_LEAST_SERIES}")
    if not series.get("lastObservedTime"):
        yield causes.required("series.lastObservedTime")
