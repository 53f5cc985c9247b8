"""Events about objects (core/v1), aggregated as Kubernetes' recorders do: a repeat raises `count` of the first."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, TypeVar
from weakref import WeakKeyDictionary

from netsim.api.errors import StatusError
from netsim.api.kinds import EVENTS, Obj
from netsim.api.objects import name_of, namespace_of, object_reference, resource_version, uid_of
from netsim.api.times import format_micro_time, format_time
from netsim.client.event_correlation import COMBINED, Correlator, Key, Recent
from netsim.client.rest import Client

log = logging.getLogger(__name__)

EventType = Literal["Normal", "Warning"]
TOGETHER = 10
"""So many events written side by side share the server's commit; one after another, each would have its own."""
_T = TypeVar("_T")


@dataclass(slots=True)
class _Recorded:
    """An event seen `count` times; its `name` is "" until it is in the API. The lock keeps its writes in order."""

    name: str = ""
    count: int = 0
    told: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class _Recorder:
    """What one client has recorded, bounded, and how its further events are judged."""

    def __init__(self) -> None:
        self.correlator = Correlator()
        self._recorded: Recent[_Recorded] = Recent()

    def entry(self, key: Key) -> _Recorded:
        return self._recorded.get(key) or self._recorded.put(key, _Recorded())


_LONGEST, _MORE = 1024, " ..."
_TOLD_ONE_BY_ONE, _SERIES_SECONDS = 2, 360.0
_recorders: WeakKeyDictionary[Client, _Recorder] = WeakKeyDictionary()


def render_event(
    obj: Obj, name: str, type: EventType, reason: str, message: str, now: str, *, component: str, host: str = "",
    field_path: str = "", action: str = "", combined: bool = False,
) -> Obj:  # fmt: skip
    """The Event object; events about cluster-scoped objects live in namespace default. `now` is RFC 3339;
    `field_path` names a part of the object, such as "spec.containers{web}". With an `action` it is in the form of those
    who speak events.k8s.io/v1 (the scheduler): a time of its own, no source, and a series instead of a count. One
    `combined` of several tells of its component in the source only, as client-go's do."""
    source = {"component": component} | ({"host": host} if host else {})
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": namespace_of(obj) or "default"},
        "involvedObject": object_reference(obj) | ({"fieldPath": field_path} if field_path else {}),
        "type": type,
        "reason": reason,
        "message": _shortened(message) if action else message,
        "reportingComponent": "" if combined else component,
        "reportingInstance": host,
    } | (
        {"source": {}, "firstTimestamp": None, "lastTimestamp": None, "eventTime": now, "action": action}
        if action
        else {"source": source, "firstTimestamp": now, "lastTimestamp": now, "count": 1}
    )


def _shortened(message: str) -> str:
    """At most as much as an Event with a time of its own may say."""
    return message if len(message) <= _LONGEST else f"{message[: _LONGEST - len(_MORE)]}{_MORE}"


@dataclass(frozen=True, slots=True)
class Prepared:
    """An event that has been counted and is to be sent."""

    recorded: _Recorded
    about: Obj
    type: EventType
    reason: str
    message: str
    component: str
    host: str
    field_path: str = ""
    action: str = ""

    @property
    def combined(self) -> bool:
        return self.message.startswith(COMBINED)


def prepare_event(
    client: Client, obj: Obj, type: EventType, reason: str, message: str, *, component: str, host: str = "",
    field_path: str = "", action: str = "",
) -> Prepared | None:  # fmt: skip
    """Count an event about `obj` (which must carry apiVersion and kind); None if there were too many about it.

    The same event again (object, type, reason, message, component) raises the count of the first, and many similar
    ones are combined (see `event_correlation`). Those with an `action` are the same whatever they say, as long as the
    object has not changed, and make a series, as client-go's recorder of events.k8s.io/v1 has it.
    """
    recorder = _recorders.setdefault(client, _Recorder())
    about = (str(obj.get("kind")), namespace_of(obj), name_of(obj), uid_of(obj))
    if action:
        recorded = recorder.entry((*about, resource_version(obj), type, reason, action, component, host))
        sent = _counts_in_series(recorded, time.monotonic())
    else:
        verdict = recorder.correlator.judge((component, host), about, (type, reason), message, time.monotonic())
        recorded = recorder.entry((*verdict.key, field_path))
        recorded.count += 1
        sent, message = verdict.sent, verdict.message
    return Prepared(recorded, obj, type, reason, message, component, host, field_path, action) if sent else None


def _counts_in_series(recorded: _Recorded, seconds: float) -> bool:
    """Count one more event of a series, and whether that is to be told: of the first two, then every six minutes."""
    recorded.count += 1
    sent = recorded.count <= _TOLD_ONE_BY_ONE or seconds - recorded.told >= _SERIES_SECONDS
    if sent:
        recorded.told = seconds
    return sent


async def record_event(
    client: Client, obj: Obj, type: EventType, reason: str, message: str, *, component: str, host: str = "",
    field_path: str = "", action: str = "",
) -> None:  # fmt: skip
    """`prepare_event` and `send_event` in one."""
    prepared = prepare_event(
        client, obj, type, reason, message, component=component, host=host, field_path=field_path, action=action
    )
    if prepared is not None:
        await send_event(client, prepared)


async def send_event(client: Client, event: Prepared) -> None:
    """Create the event, or patch count, message and lastTimestamp of the one that is there. Events inform and must
    stop nothing: a failure to record is logged, not raised."""
    recorded, obj = event.recorded, event.about
    now = (format_micro_time if event.action else format_time)(datetime.now(UTC))
    async with recorded.lock:
        try:
            if recorded.name and await _repeat(client, event, now):
                return
            name = f"{name_of(obj)}.{time.time_ns():x}"
            wanted = render_event(
                obj, name, event.type, event.reason, event.message, now, component=event.component, host=event.host,
                field_path=event.field_path, action=event.action, combined=event.combined,
            )  # fmt: skip
            await client.create(EVENTS, wanted | ({} if event.action else {"count": recorded.count}))
            recorded.name = name
        except (StatusError, OSError) as error:
            # In a namespace that is going away every pod's end is an event that nobody can keep.
            ending = isinstance(error, StatusError) and error.code == 403 and "being terminated" in error.message
            level = logging.DEBUG if ending else logging.WARNING
            log.log(level, "event %s for %s not recorded: %s", event.reason, name_of(obj), error)


async def take_some(queue: asyncio.Queue[_T], most: int = TOGETHER) -> list[_T]:
    """What waits, when there is something, but no more than `most`."""
    taken = [await queue.get()]
    while len(taken) < most and not queue.empty():
        taken.append(queue.get_nowait())
    return taken


async def _repeat(client: Client, event: Prepared, now: str) -> bool:
    """Tell the new count of an event recorded before; False if the API has it no longer."""
    recorded = event.recorded
    patch: Obj = (
        {"series": {"count": recorded.count, "lastObservedTime": now}}
        if event.action
        else {"message": event.message, "count": recorded.count, "lastTimestamp": now}
    )
    try:
        await client.patch(EVENTS, recorded.name, patch, namespace_of(event.about) or "default")
    except StatusError as error:
        if error.code == 404:
            recorded.count = 1
            return False
        raise
    return True
