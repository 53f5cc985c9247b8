"""Events about pods, written in the background: they never hold up a pod, and are dropped when too many wait."""

from __future__ import annotations

import asyncio
import logging

from netsim.agent.model import Obj
from netsim.agent.podspec import field_path
from netsim.client.events import record_event
from netsim.client.rest import Client

log = logging.getLogger(__name__)
MAX_WAITING = 5000
QUIET_SECONDS = 0.2


class EventLog:
    """A bounded queue of events and the task that sends them, one by one."""

    def __init__(self, client: Client, node: str) -> None:
        self.client, self.node = client, node
        self._queue: asyncio.Queue[tuple[Obj, str, str, str, str]] = asyncio.Queue(MAX_WAITING)

    def add(self, pod: Obj, reason: str, message: str, *, warning: bool = False, container: str = "") -> None:
        """Queue an event about a pod, or about one of its containers."""
        subject = {"apiVersion": "v1", "kind": "Pod", **pod}
        try:
            part = field_path(pod, container) if container else ""
            self._queue.put_nowait((subject, "Warning" if warning else "Normal", reason, message, part))
        except asyncio.QueueFull:
            log.warning(
                "event %s of pod %s dropped: %d events wait already", reason, pod["metadata"]["name"], MAX_WAITING
            )

    async def run(self) -> None:
        """Send for ever; pauses first, so that a burst of starting pods goes before its events."""
        while True:
            pod, kind, reason, message, part = await self._queue.get()
            await asyncio.sleep(QUIET_SECONDS if self._queue.empty() else 0.005)
            await record_event(
                self.client, pod, "Warning" if kind == "Warning" else "Normal", reason, message,
                component="kubelet", host=self.node, field_path=part,
            )  # fmt: skip
