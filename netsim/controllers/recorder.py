"""Events of the controllers: recorded in the background, never in the way of a reconcile, and never in floods."""

from __future__ import annotations

import asyncio
import logging

from netsim.client.events import Prepared, prepare_event, send_event, take_some
from netsim.client.rest import Client
from netsim.controllers.writes import Note

log = logging.getLogger(__name__)

_WAITING = 1000


class EventRecorder:
    """Queues Events for one writer task. A full queue drops the newest and says so in the log."""

    def __init__(self, client: Client, component: str) -> None:
        self._client, self._component = client, component
        self._queue: asyncio.Queue[Prepared] = asyncio.Queue(_WAITING)

    def record(self, note: Note) -> None:
        """Queue an Event, unless its object has had too many."""
        event = prepare_event(self._client, note.about, note.type, note.reason, note.message, component=self._component)
        if event is None:
            return
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            log.warning("event dropped, %d are waiting: %s %s", _WAITING, note.reason, note.message)

    async def run(self) -> None:
        """Write queued Events, a few at a time, until cancelled."""
        while True:
            await asyncio.gather(*(send_event(self._client, event) for event in await take_some(self._queue)))
