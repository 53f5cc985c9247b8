"""Events about objects (core/v1), aggregated as Kubernetes' recorders do: a repeat raises `count` of the first."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from weakref import WeakKeyDictionary

from netsim.api.errors import StatusError
from netsim.api.kinds import EVENTS, Obj
from netsim.api.objects import name_of, namespace_of, object_reference, uid_of
from netsim.api.times import format_time
from netsim.client.rest import Client

log = logging.getLogger(__name__)

EventType = Literal["Normal", "Warning"]
REMEMBERED = 4096

_Key = tuple[str, ...]


@dataclass(slots=True)
class _Recorded:
    """An event already in the API; `count` is the number of times it was seen."""

    name: str
    namespace: str
    count: int


class _Recorder:
    """What one client has recorded, newest last, bounded."""

    def __init__(self) -> None:
        self._recorded: OrderedDict[_Key, _Recorded] = OrderedDict()

    def find(self, key: _Key) -> _Recorded | None:
        found = self._recorded.get(key)
        if found is not None:
            self._recorded.move_to_end(key)
        return found

    def remember(self, key: _Key, recorded: _Recorded) -> None:
        self._recorded[key] = recorded
        while len(self._recorded) > REMEMBERED:
            self._recorded.popitem(last=False)

    def forget(self, key: _Key) -> None:
        self._recorded.pop(key, None)


_recorders: WeakKeyDictionary[Client, _Recorder] = WeakKeyDictionary()


def render_event(
    obj: Obj, name: str, type: EventType, reason: str, message: str, now: str, *, component: str, host: str = ""
) -> Obj:
    """The Event object; events about cluster-scoped objects live in namespace default. `now` is RFC 3339."""
    source = {"component": component} | ({"host": host} if host else {})
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": namespace_of(obj) or "default"},
        "involvedObject": object_reference(obj),
        "type": type,
        "reason": reason,
        "message": message,
        "source": source,
        "reportingComponent": component,
        "reportingInstance": host,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }


async def record_event(
    client: Client, obj: Obj, type: EventType, reason: str, message: str, *, component: str, host: str = ""
) -> None:
    """Record that something happened to `obj` (which must carry apiVersion and kind).

    The same event again (object, type, reason, message, component) patches count and lastTimestamp. Events inform
    and must stop nothing: a failure to record is logged, not raised.
    """
    recorder = _recorders.setdefault(client, _Recorder())
    key = (uid_of(obj) or name_of(obj), namespace_of(obj), type, reason, message, component, host)
    now = format_time(datetime.now(UTC))
    try:
        if not await _repeat(client, recorder, key, now):
            name = f"{name_of(obj)}.{time.time_ns():x}"
            event = render_event(obj, name, type, reason, message, now, component=component, host=host)
            # Remembered before the answer is there: a repeat meanwhile must not make a second one.
            recorder.remember(key, _Recorded(name, event["metadata"]["namespace"], 1))
            await client.create(EVENTS, event)
    except (StatusError, OSError) as error:
        recorder.forget(key)
        log.warning("event %s for %s not recorded: %s", reason, name_of(obj), error)


async def _repeat(client: Client, recorder: _Recorder, key: _Key, now: str) -> bool:
    """Count one more of an event recorded before; False if there is none (any more)."""
    recorded = recorder.find(key)
    if recorded is None:
        return False
    recorded.count += 1
    try:
        patch = {"count": recorded.count, "lastTimestamp": now}
        await client.patch(EVENTS, recorded.name, patch, recorded.namespace)
    except StatusError as error:
        if error.code != 404:
            raise
        recorder.forget(key)
        return False
    return True
