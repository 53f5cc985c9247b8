"""The proxy's Events, in events.k8s.io's form: told in the background, bounded, and never in the way of rules."""

from __future__ import annotations

import asyncio
import logging

from netsim.api.kinds import Obj
from netsim.client.events import EventType, record_event
from netsim.client.rest import Client

log = logging.getLogger(__name__)
_NAME = "kube-proxy"
_MOST_AT_ONCE = 100
_LAST_SECONDS = 2.0


class Reporter:
    """Tells of one node's proxy, in one event loop."""

    def __init__(self, client: Client, host: str) -> None:
        self._client, self._host = client, host
        self._tasks: set[asyncio.Task[None]] = set()

    def about_node(self, type: EventType, reason: str, message: str) -> None:
        """An Event about this node's start; kubectl finds those whose uid is the node's name, as kube-proxy's."""
        head = {"name": self._host, "uid": self._host}
        self._tell({"apiVersion": "v1", "kind": "Node", "metadata": head}, type, reason, "StartKubeProxy", message)

    def about_service(self, key: str, type: EventType, reason: str, action: str, message: str) -> None:
        """An Event about the Service "namespace/name"; `action` is what was being done."""
        namespace, _, name = key.partition("/")
        head = {"name": name, "namespace": namespace}
        self._tell({"apiVersion": "v1", "kind": "Service", "metadata": head}, type, reason, action, message)

    def _tell(self, about: Obj, type: EventType, reason: str, action: str, message: str) -> None:
        if len(self._tasks) >= _MOST_AT_ONCE:
            log.warning("event dropped, %d are on their way: %s %s", len(self._tasks), reason, message)
            return
        event = record_event(
            self._client, about, type, reason, message, component=_NAME, host=f"{_NAME}-{self._host}", action=action
        )
        task = asyncio.create_task(event)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self) -> None:
        """Until what was told has arrived, or cannot; for a process that is about to end."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_LAST_SECONDS)
