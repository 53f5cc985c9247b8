"""The scheduler's loop: pending pods are placed one after another in memory, and bound side by side."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

from netsim.api.errors import StatusError
from netsim.api.kinds import NODES, PODS, Obj
from netsim.api.objects import condition, key_of, name_of, namespace_of, set_condition, status_of, uid_of
from netsim.api.times import format_time
from netsim.client.cache import Cache
from netsim.client.events import record_event
from netsim.client.reflector import Reflector
from netsim.client.rest import Client
from netsim.scheduler.choose import Decision, decide
from netsim.scheduler.model import Cluster, PodNeeds, is_over, is_pending, needs_of

log = logging.getLogger(__name__)

NAME = "default-scheduler"
PARALLEL = 64
_SLICE = 64
"""Pods placed in one go before the event loop gets its turn."""
_FIRST_DELAY, _LAST_DELAY = 0.05, 10.0

Clock = Callable[[], datetime]
_Note = tuple[Obj, bool, str, str]


def utc_now() -> datetime:
    return datetime.now(UTC)


async def run_scheduler(client: Client, clock: Clock = utc_now) -> None:
    """Bind pending pods of scheduler "default-scheduler" until cancelled."""
    pods, nodes = Cache(), Cache()
    async with asyncio.TaskGroup() as group:
        group.create_task(Reflector(client, PODS, pods).run(), name="scheduler pods")
        group.create_task(Reflector(client, NODES, nodes).run(), name="scheduler nodes")
        await asyncio.gather(pods.wait_synced(), nodes.wait_synced())
        scheduler = Scheduler(client, pods, clock)
        nodes.on_change(scheduler.node_changed)
        pods.on_change(scheduler.pod_changed)
        group.create_task(scheduler.write_events(), name="scheduler events")
        group.create_task(scheduler.run(), name="scheduler")


class Scheduler:
    """Queue of pending pods, those that found no node, and the bindings under way."""

    def __init__(self, client: Client, pods: Cache, clock: Clock) -> None:
        self._client, self._pods, self._clock = client, pods, clock
        self._cluster = Cluster()
        self._pending: dict[str, None] = {}
        self._stuck: dict[str, None] = {}
        self._failures: dict[str, int] = {}
        self._turn = asyncio.Event()
        self._room = asyncio.Semaphore(PARALLEL)
        self._tasks: set[asyncio.Task[None]] = set()
        self._notes: asyncio.Queue[_Note] = asyncio.Queue(10_000)
        self._start = 0

    def node_changed(self, key: str, old: Obj | None, new: Obj | None) -> None:
        """Cache callback."""
        if new is None:
            self._cluster.remove_node(key)
        elif self._cluster.set_node(new):
            self._retry_stuck()

    def pod_changed(self, key: str, old: Obj | None, new: Obj | None) -> None:
        """Cache callback."""
        if new is None or is_over(new):
            self._forget(key, new or old or {})
            return
        self._cluster.set_pod(new)
        if not _is_ours(new) or self._cluster.is_placed(uid_of(new)):
            self._pending.pop(key, None)
            self._stuck.pop(key, None)
        elif key not in self._stuck or old is None or old["spec"] != new["spec"]:
            self._queue(key)

    def _forget(self, key: str, pod: Obj) -> None:
        self._pending.pop(key, None)
        self._stuck.pop(key, None)
        self._failures.pop(key, None)
        if self._cluster.remove_pod(uid_of(pod)):
            self._retry_stuck()

    def _queue(self, key: str) -> None:
        self._stuck.pop(key, None)
        self._pending[key] = None
        self._turn.set()

    def _retry_stuck(self) -> None:
        for key in list(self._stuck):
            self._queue(key)

    async def run(self) -> None:
        """Place what is pending, until cancelled."""
        try:
            while True:
                await self._turn.wait()
                self._turn.clear()
                while self._pending:
                    self._place_some()
                    await asyncio.sleep(0)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _place_some(self) -> None:
        batch = [key for key, _ in zip(list(self._pending), range(_SLICE), strict=False)]
        found = [(key, self._pods.get(key)) for key in batch]
        for key in batch:
            self._pending.pop(key, None)
        waiting = [needs_of(pod) for _, pod in found if pod is not None and _is_ours(pod)]
        for needs in sorted(waiting, key=lambda needs: -needs.priority):
            if not self._cluster.is_placed(needs.uid):
                self._place(needs)

    def _place(self, needs: PodNeeds) -> None:
        decision = decide(needs, self._cluster.nodes(), self._start)
        if len(self._cluster) > decision.looked_at:
            self._start = (self._start + decision.looked_at) % len(self._cluster)
        if decision.node:
            self._cluster.assume(needs, decision.node)
            self._spawn(self._bind(needs, decision.node))
        else:
            self._stuck[needs.key] = None
            if _is_news(needs.pod, decision):
                self._spawn(self._report(needs.pod, decision))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _bind(self, needs: PodNeeds, node: str) -> None:
        pod = needs.pod
        path = PODS.path(namespace_of(pod), name_of(pod), "binding")
        try:
            async with self._room:
                await self._client.post(path, binding(pod, node))
        except (StatusError, OSError) as error:
            self._unbound(needs, error)
            return
        self._failures.pop(needs.key, None)
        self._note(pod, True, "Scheduled", f"Successfully assigned {needs.key} to {node}")

    def _unbound(self, needs: PodNeeds, error: StatusError | OSError) -> None:
        """The binding was refused. 404 and 409: the pod is gone or bound already, and the watch will tell."""
        self._cluster.remove_pod(needs.uid)
        if isinstance(error, StatusError) and error.code in (404, 409):
            present = self._pods.get(needs.key)
            if present is not None:
                self._cluster.set_pod(present)
            return
        count = self._failures.get(needs.key, 0)
        self._failures[needs.key] = count + 1
        delay = min(_FIRST_DELAY * 2 ** min(count, 10), _LAST_DELAY)
        log.warning("binding %s failed, trying again in %.2f s: %s", needs.key, delay, error)
        asyncio.get_running_loop().call_later(delay, self._queue, needs.key)

    async def _report(self, pod: Obj, decision: Decision) -> None:
        """PodScheduled=False and an Event that say what the pod lacks."""
        stamp = format_time(self._clock())
        new = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": decision.message}
        conditions = set_condition(status_of(pod).get("conditions") or [], new, stamp)
        patch = {"status": {"conditions": conditions}}
        self._note(pod, False, "FailedScheduling", decision.message)
        try:
            async with self._room:
                await self._client.patch(PODS, name_of(pod), patch, namespace_of(pod), sub="status")
        except (StatusError, OSError) as error:
            log.info("the condition of %s could not be written: %s", key_of(pod), error)

    def _note(self, pod: Obj, good: bool, reason: str, message: str) -> None:
        try:
            self._notes.put_nowait((pod, good, reason, message))
        except asyncio.QueueFull:
            log.warning("event dropped, too many are waiting: %s %s", reason, message)

    async def write_events(self) -> None:
        """Write Events one after another, out of the bindings' way, until cancelled."""
        while True:
            pod, good, reason, message = await self._notes.get()
            about = {"apiVersion": "v1", "kind": "Pod", **pod}
            await record_event(self._client, about, "Normal" if good else "Warning", reason, message, component=NAME)


def binding(pod: Obj, node: str) -> Obj:
    """The Binding that puts a pod on a node; with the uid, so that a namesake is not bound."""
    return {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": name_of(pod), "namespace": namespace_of(pod), "uid": uid_of(pod)},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    }


def _is_ours(pod: Obj) -> bool:
    return is_pending(pod) and (pod["spec"].get("schedulerName") or NAME) == NAME


def _is_news(pod: Obj, decision: Decision) -> bool:
    """Whether the pod does not say yet why it cannot be placed."""
    found = condition(pod, "PodScheduled") or {}
    return (found.get("reason"), found.get("message")) != ("Unschedulable", decision.message)
