"""The scheduler's one door to the API: bindings, conditions, evictions and Events, many under way at once."""

from __future__ import annotations

import asyncio
import logging
import platform
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any

from netsim.api.errors import StatusError
from netsim.api.kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, Obj
from netsim.api.objects import (
    annotations_of,
    key_of,
    name_of,
    namespace_of,
    object_reference,
    resource_version,
    spec_of,
    status_of,
)
from netsim.api.times import format_time
from netsim.client.events import EventType, record_event, take_some
from netsim.client.pace import Pace
from netsim.client.rest import Client
from netsim.scheduler.model import NodeState
from netsim.scheduler.needs import PodNeeds
from netsim.scheduler.preempt import Victims
from netsim.scheduler.texts import NAME, binding, disruption, unscheduled
from netsim.scheduler.volumes import SELECTED_NODE, PodVolumes, Storage, plan_claims

log = logging.getLogger(__name__)

PARALLEL = 64
_FIRST_DELAY, _LAST_DELAY = 0.05, 10.0
_VOLUMES_TIMEOUT = 600.0
_WAITING = 10_000
_AFTER_EVICTION = 1.0
_BURST, _RATE = 100, 50.0
"""So many Events are written at once, and then so many a second: they must not keep pods from running. These are the
rates of kube-scheduler (clientConnection.burst and qps)."""

_ACTIONS = {"Scheduled": "Binding", "FailedScheduling": "Scheduling", "Preempted": "Preempting"}
"""What the scheduler did, by the Event's reason."""
_IDENTITY = ("name", "namespace", "uid", "resourceVersion")
_Note = tuple[Obj, bool, str, str]


class VolumesNotBound(Exception):
    """The claims of a pod could not be bound on the node chosen for it."""


class Workers:
    """Runs what the scheduler decided. `refused(needs, again)` is called when a pod did not get its node (with
    `again` it is to be tried anew), `spared(needs, uid)` when a victim could not be deleted for it."""

    def __init__(
        self,
        client: Client,
        clock: Callable[[], datetime],
        storage: Storage,
        refused: Callable[[PodNeeds, bool], None],
        spared: Callable[[PodNeeds, str], None],
    ) -> None:
        self._client, self._clock, self._storage = client, clock, storage
        self._refused, self._spared = refused, spared
        self._instance = f"{NAME}-{platform.node()}"
        self._room = asyncio.Semaphore(PARALLEL)
        self._tasks: set[asyncio.Task[None]] = set()
        self._notes: asyncio.Queue[_Note] = asyncio.Queue(_WAITING)
        self._failures: dict[str, int] = {}
        self._storage_turn = asyncio.Event()

    def storage_changed(self) -> None:
        """A claim, volume or class changed: bindings may wait for it."""
        self._storage_turn.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Cancel what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def bind(self, needs: PodNeeds, volumes: PodVolumes, node: NodeState) -> None:
        """Bind the pod's claims that wait for it, then the pod."""
        self._spawn(self._bind(needs, volumes, node))

    async def _bind(self, needs: PodNeeds, volumes: PodVolumes, node: NodeState) -> None:
        pod = needs.pod
        path = PODS.path(namespace_of(pod), name_of(pod), "binding")
        try:
            if volumes.waiting:
                await self._bind_volumes(volumes, node)
            async with self._room:
                await self._client.post(path, binding(pod, node.name))
        except (StatusError, OSError, VolumesNotBound) as error:
            self._unbound(needs, error)
            return
        self._failures.pop(needs.key, None)
        self._note(pod, True, "Scheduled", f"Successfully assigned {needs.key} to {node.name}")

    def _unbound(self, needs: PodNeeds, error: Exception) -> None:
        """404 and 409: the pod is gone or bound already, and the watch will tell."""
        if isinstance(error, StatusError) and error.code in (404, 409):
            self._failures.pop(needs.key, None)
            self._refused(needs, False)
            return
        count = self._failures.get(needs.key, 0)
        self._failures[needs.key] = count + 1
        delay = min(_FIRST_DELAY * 2 ** min(count, 10), _LAST_DELAY)
        log.warning("binding %s failed, trying again in %.2f s: %s", needs.key, delay, error)
        asyncio.get_running_loop().call_later(delay, self._refused, needs, True)

    async def _bind_volumes(self, volumes: PodVolumes, node: NodeState) -> None:
        """Say where the claims' volumes are wanted, then wait until the volume controller has bound them."""
        plan = plan_claims(volumes, self._storage, node)
        if plan is None:
            raise VolumesNotBound("the volumes found before are taken")
        try:
            for claim, volume in plan:
                await self._choose_volume(claim, volume, node.name)
        except StatusError as error:  # about a volume or claim that somebody has changed or removed, not the pod
            raise VolumesNotBound(f"the volumes found before have changed: {error}") from error
        try:
            async with asyncio.timeout(_VOLUMES_TIMEOUT):
                await self._until_bound([key_of(claim) for claim, _ in plan])
        except TimeoutError:
            raise VolumesNotBound("binding volumes: timed out waiting for the condition") from None

    async def _choose_volume(self, claim: Obj, volume: Obj | None, node: str) -> None:
        """A volume is reserved under its resourceVersion, so that two claims never get the same one."""
        if volume is not None:
            reference = object_reference({"apiVersion": "v1", "kind": "PersistentVolumeClaim", **claim})
            patch: Obj = {"metadata": {"resourceVersion": resource_version(volume)}, "spec": {"claimRef": reference}}
            await self._client.patch(PERSISTENT_VOLUMES, name_of(volume), patch)
        elif annotations_of(claim).get(SELECTED_NODE) != node:
            patch = {"metadata": {"annotations": {SELECTED_NODE: node}}}
            await self._client.patch(PERSISTENT_VOLUME_CLAIMS, name_of(claim), patch, namespace_of(claim))

    async def _until_bound(self, keys: Sequence[str]) -> None:
        while True:
            claims = [self._storage.claim(key) for key in keys]
            if any(claim is None for claim in claims):
                raise VolumesNotBound("a claim is gone")
            if all(spec_of(c).get("volumeName") and status_of(c).get("phase") == "Bound" for c in claims if c):
                return
            self._storage_turn.clear()
            await self._storage_turn.wait()

    def tell(self, needs: PodNeeds, message: str) -> None:
        """An Event that says what the pod lacks; further ones about the same version of it become a series."""
        self._note(needs.pod, False, "FailedScheduling", message)

    def report(self, needs: PodNeeds, message: str, nominated: str | None) -> None:
        """PodScheduled=False, which says what the pod lacks; `nominated`: where it will get room."""
        condition = unscheduled(needs.pod, message, format_time(self._clock()))
        status: Obj = {"conditions": [condition]}
        if nominated is not None:
            status["nominatedNodeName"] = nominated
        self._spawn(self._patch_status(needs.pod, status))

    async def _patch_status(self, pod: Obj, status: Obj) -> None:
        try:
            async with self._room:
                await self._client.patch(
                    PODS, name_of(pod), {"status": status}, namespace_of(pod), type="strategic", sub="status"
                )
        except (StatusError, OSError) as error:
            log.info("the status of %s could not be written: %s", key_of(pod), error)

    def evict(self, needs: PodNeeds, victims: Victims, weaker: Sequence[PodNeeds]) -> None:
        """Delete the victims gracefully; `weaker` pods are no longer promised that node."""
        for each in weaker:
            self._spawn(self._patch_status(each.pod, {"nominatedNodeName": None}))
        for victim in victims.pods:
            if not victim.going:
                self._spawn(self._evict(needs, victim.pod, victims.node))

    async def _evict(self, needs: PodNeeds, victim: Obj, node: str) -> None:
        await self._patch_status(victim, {"conditions": [disruption(victim, format_time(self._clock()))]})
        try:
            async with self._room:
                await self._client.delete(PODS, name_of(victim), namespace_of(victim), uid=victim["metadata"]["uid"])
        except (StatusError, OSError) as error:
            if not isinstance(error, StatusError) or error.code != 404:
                log.warning("preempting %s for %s: %s", key_of(victim), needs.key, error)
                asyncio.get_running_loop().call_later(_AFTER_EVICTION, self._spared, needs, victim["metadata"]["uid"])
            return
        self._note(victim, True, "Preempted", f"Preempted by pod {needs.uid} on node {node}")

    def _note(self, pod: Obj, good: bool, reason: str, message: str) -> None:
        metadata = {name: value for name, value in pod["metadata"].items() if name in _IDENTITY}
        about = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}  # not the pod itself, which has changed since
        try:
            self._notes.put_nowait((about, good, reason, message))
        except asyncio.QueueFull:
            log.warning("event dropped, too many are waiting: %s %s", reason, message)

    async def write_events(self) -> None:
        """Write Events out of the bindings' way, a few at a time, until cancelled."""
        pace = Pace(_BURST, _RATE)
        while True:
            notes = await take_some(self._notes)
            now = asyncio.get_running_loop().time()
            await asyncio.sleep(max(pace.delay(now) for _ in notes))
            await asyncio.gather(*(self._write_event(*note) for note in notes))

    async def _write_event(self, about: Obj, good: bool, reason: str, message: str) -> None:
        kind: EventType = "Normal" if good else "Warning"
        await record_event(
            self._client, about, kind, reason, message, component=NAME, host=self._instance, action=_ACTIONS[reason]
        )
