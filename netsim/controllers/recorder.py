"""Events of the controllers: recorded in the background, never in the way of a reconcile, and never in floods."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable

from netsim.api.objects import uid_of
from netsim.client.events import record_event
from netsim.client.rest import Client
from netsim.controllers.writes import Note

log = logging.getLogger(__name__)

BURST = 25
REFILL_SECONDS = 300.0
"""Kubernetes' spam filter: 25 Events about an object from one source, then one every five minutes."""
_REMEMBERED = 4096
_WAITING = 1000


class EventRecorder:
    """Queues Events for one writer task. A full queue drops the newest and says so in the log."""

    def __init__(self, client: Client, component: str, seconds: Callable[[], float]) -> None:
        self._client, self._component, self._seconds = client, component, seconds
        self._queue: asyncio.Queue[Note] = asyncio.Queue(_WAITING)
        self._tokens: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def record(self, note: Note) -> None:
        """Queue an Event, unless its object has had too many."""
        if not self._allowed(uid_of(note.about)):
            return
        try:
            self._queue.put_nowait(note)
        except asyncio.QueueFull:
            log.warning("event dropped, %d are waiting: %s %s", _WAITING, note.reason, note.message)

    async def run(self) -> None:
        """Write queued Events one after another, until cancelled."""
        while True:
            note = await self._queue.get()
            await record_event(
                self._client, note.about, note.type, note.reason, note.message, component=self._component
            )

    def _allowed(self, uid: str) -> bool:
        now = self._seconds()
        tokens, since = self._tokens.pop(uid, (float(BURST), now))
        tokens = min(float(BURST), tokens + (now - since) / REFILL_SECONDS)
        allowed = tokens >= 1
        self._tokens[uid] = (tokens - 1 if allowed else tokens, now)
        while len(self._tokens) > _REMEMBERED:
            self._tokens.popitem(last=False)
        return allowed
