"""Events about pods, written in the background: they never hold up a pod, and are dropped when too many wait."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

from netsim.agent.model import Obj
from netsim.agent.podspec import field_path
from netsim.client.events import Prepared, prepare_event, send_event, take_some
from netsim.client.pace import Pace
from netsim.client.rest import Client

log = logging.getLogger(__name__)
MAX_WAITING = 5000
QUIET_SECONDS, SHARE_SECONDS, MOST_SECONDS = 0.2, 0.1, 2.0
BURST, RATE = 100, 50.0
"""So many at once, and then so many a second: kubelet's defaults of eventBurst and eventRecordQPS."""

Told = tuple[Obj, str, str, str, str]
"""The object an event is about, type, reason, message and the part of the object."""


class EventLog:
    """A bounded queue of events and the task that sends them, some at a time. `at_work` are the pods that something
    is being done for: the more they are, the longer events wait, as pods come before what is told of them."""

    def __init__(self, client: Client, node: str, at_work: Collection[str] = ()) -> None:
        self.client, self.node, self.at_work = client, node, at_work
        self._queue: asyncio.Queue[Told] = asyncio.Queue(MAX_WAITING)

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
        pace, clock = Pace(BURST, RATE), asyncio.get_running_loop().time
        while True:
            some = await take_some(self._queue)
            due = max(pace.delay(clock()) for _ in some)
            await asyncio.sleep(max(QUIET_SECONDS if self._queue.empty() else 0.02, self._courtesy(), due))
            await asyncio.gather(*(send_event(self.client, event) for one in some if (event := self._prepare(one))))

    def _courtesy(self) -> float:
        return min(MOST_SECONDS, SHARE_SECONDS * len(self.at_work))

    def _prepare(self, told: Told) -> Prepared | None:
        pod, kind, reason, message, part = told
        return prepare_event(
            self.client, pod, "Warning" if kind == "Warning" else "Normal", reason, message,
            component="kubelet", host=self.node, field_path=part,
        )  # fmt: skip
