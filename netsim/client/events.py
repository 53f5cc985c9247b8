"""Events about objects (core/v1), aggregated as Kubernetes' recorders do: a repeat raises `count` of the first."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass, field
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
    """An event seen `count` times; its `name` is "" until it is in the API. The lock keeps its writes in order."""

    name: str = ""
    count: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class _Recorder:
    """What one client has recorded, bounded; the least recently repeated goes first."""

    def __init__(self) -> None:
        self._recorded: OrderedDict[_Key, _Recorded] = OrderedDict()

    def entry(self, key: _Key) -> _Recorded:
        recorded = self._recorded.setdefault(key, _Recorded())
        self._recorded.move_to_end(key)
        while len(self._recorded) > REMEMBERED:
            self._recorded.popitem(last=False)
        return recorded


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
    key = (uid_of(obj) or name_of(obj), namespace_of(obj), type, reason, message, component, host)
    recorded = _recorders.setdefault(client, _Recorder()).entry(key)
    now = format_time(datetime.now(UTC))
    async with recorded.lock:
        try:
            if recorded.name and await _repeat(client, recorded, namespace_of(obj) or "default", now):
                return
            name = f"{name_of(obj)}.{time.time_ns():x}"
            await client.create(
                EVENTS, render_event(obj, name, type, reason, message, now, component=component, host=host)
            )
            recorded.name, recorded.count = name, 1
        except (StatusError, OSError) as error:
            # In a namespace that is going away every pod's end is an event that nobody can keep.
            ending = isinstance(error, StatusError) and error.code == 403 and "being terminated" in error.message
            level = logging.DEBUG if ending else logging.WARNING
            log.log(level, "event %s for %s not recorded: %s", reason, name_of(obj), error)


async def _repeat(client: Client, recorded: _Recorded, namespace: str, now: str) -> bool:
    """Count one more of an event recorded before; False if the API has it no longer."""
    patch = {"count": recorded.count + 1, "lastTimestamp": now}
    try:
        await client.patch(EVENTS, recorded.name, patch, namespace)
    except StatusError as error:
        if error.code == 404:
            return False
        raise
    recorded.count += 1
    return True
