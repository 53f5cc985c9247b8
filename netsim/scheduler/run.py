"""The scheduler's loop: pending pods are placed one after another in memory, and bound side by side."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial

from netsim.api.kinds import (
    DEVICE_CLASSES,
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    RESOURCE_CLAIMS,
    SERVICES,
    STORAGE_CLASSES,
    Kind,
    Obj,
)
from netsim.api.objects import condition, labels_of, status_of, uid_of
from netsim.client.cache import Cache
from netsim.client.reflector import Reflector
from netsim.client.rest import Client
from netsim.scheduler.alike import Alike
from netsim.scheduler.choose import Decision, decide
from netsim.scheduler.devices import NO_DEVICES, blocked, device_reasons, devices_of, settled
from netsim.scheduler.hints import helped_by_devices, helped_by_node, helped_by_pod, helped_by_room, helped_by_storage
from netsim.scheduler.model import Cluster, NodeState
from netsim.scheduler.needs import PodNeeds, is_over, is_pending, needs_of
from netsim.scheduler.preempt import Preemption, plan_preemption
from netsim.scheduler.queue import SchedulingQueue, Stuck
from netsim.scheduler.requests import resizing_of
from netsim.scheduler.situation import situation_of
from netsim.scheduler.texts import NAME, failure_message
from netsim.scheduler.volumes import NOTHING, PodVolumes, Storage, claim_names, volume_reasons, volumes_of
from netsim.scheduler.work import Workers

log = logging.getLogger(__name__)

_SLICE = 32
"""Pods placed in one go before the event loop gets its turn."""
_LOOK_AGAIN = 30.0

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


_STORAGE = (PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES)
_DEVICES = (RESOURCE_CLAIMS, DEVICE_CLASSES)
_WATCHED: tuple[Kind, ...] = (PODS, NODES, NAMESPACES, SERVICES, POD_DISRUPTION_BUDGETS, *_STORAGE, *_DEVICES)


async def run_scheduler(client: Client, clock: Clock = utc_now, shared: Mapping[str, Cache] | None = None) -> None:
    """Bind pending pods of scheduler "default-scheduler" until cancelled. `shared` are caches by `Kind.resource` that
    somebody else fills; without them it keeps its own."""
    caches = {kind.resource: Cache() if shared is None else shared[kind.resource] for kind in _WATCHED}
    async with asyncio.TaskGroup() as group:
        for kind in _WATCHED if shared is None else ():
            reflector = Reflector(client, kind, caches[kind.resource])
            group.create_task(reflector.run(), name=f"scheduler {kind.resource}")
        await asyncio.gather(*(cache.wait_synced() for cache in caches.values()))
        scheduler = Scheduler(client, caches, clock)
        scheduler.listen()
        group.create_task(scheduler.workers.write_events(), name="scheduler events")
        group.create_task(scheduler.run(), name="scheduler")


class Scheduler:
    """The queue of pods, the cluster in memory, and the work under way. `caches` by `Kind.resource`; kinds that are
    not there count as empty."""

    def __init__(self, client: Client, caches: dict[str, Cache], clock: Clock) -> None:
        self._caches = {kind.resource: Cache() for kind in _WATCHED} | caches
        self._pods = self._caches[PODS.resource]
        self._cluster = Cluster()
        self._queue = SchedulingQueue()
        self._turn = asyncio.Event()
        self._start = 0
        self._alike = Alike()
        claims, volumes, classes = (self._caches[kind.resource] for kind in _STORAGE)
        self._storage = Storage(claims.get, volumes.get, classes.get, volumes.values)
        self.workers = Workers(client, clock, self._storage, self._refused, self._spared)

    def listen(self) -> None:
        """Take in what the caches hold, and every change from now on."""
        self._caches[NAMESPACES.resource].on_change(self._namespace_changed)
        self._caches[SERVICES.resource].on_change(lambda key, _, new: self._cluster.set_service(key, new))
        self._caches[NODES.resource].on_change(self.node_changed)
        self._pods.on_change(self.pod_changed)
        for kind in _STORAGE:
            self._caches[kind.resource].on_change(self._storage_changed)
        for kind in _DEVICES:
            self._caches[kind.resource].on_change(lambda key, old, new: self._wake(helped_by_devices))

    def _namespace_changed(self, key: str, old: Obj | None, new: Obj | None) -> None:
        if self._cluster.set_namespace(key, None if new is None else labels_of(new)):
            self._wake(lambda stuck: not stuck.needs.pods.empty)

    def _storage_changed(self, key: str, old: Obj | None, new: Obj | None) -> None:
        self.workers.storage_changed()
        self._wake(helped_by_storage)

    def node_changed(self, key: str, old: Obj | None, new: Obj | None) -> None:
        """Cache callback."""
        if new is None:
            self._cluster.remove_node(key)
            self._wake(helped_by_pod)
            return
        before = self._cluster.get(key)
        if self._cluster.set_node(new):
            node = self._cluster.get(key)
            self._wake(lambda stuck: node is not None and helped_by_node(stuck, node, before))

    def pod_changed(self, key: str, old: Obj | None, new: Obj | None) -> None:
        """Cache callback."""
        if new is None or is_over(new):
            self._forget(key, new or old or {})
            return
        was_placed = self._cluster.is_placed(uid_of(new))
        self._cluster.set_pod(new)
        if new["spec"].get("nodeName"):
            self._queue.drop(key)
            if self._queue.stuck:
                self._wake_by_placed(old if was_placed else None, new)
        elif not _is_ours(new):
            self._queue.drop(key)
        elif not was_placed and (key not in self._queue.stuck or _differs(old, new)):
            self._nominate(new)
            self._add(key, new)

    def _wake_by_placed(self, old: Obj | None, new: Obj) -> None:
        """A pod got a node, other labels, or other amounts of CPU and memory; `old` is the pod when it was placed."""
        if old is None or labels_of(old) != labels_of(new):
            self._wake(helped_by_pod)
        changed = old is not None and (old["spec"] != new["spec"] or resizing_of(old) != resizing_of(new))
        if old is not None and changed and old["spec"].get("nodeName"):
            self._wake_by_room(new["spec"]["nodeName"])

    def _wake_by_room(self, node: str) -> None:
        state = self._cluster.get(node)
        self._wake(lambda stuck: helped_by_room(stuck, state))

    def _nominate(self, pod: Obj) -> None:
        node = str(status_of(pod).get("nominatedNodeName") or "")
        if node and not self._cluster.nominated_node(uid_of(pod)):
            self._cluster.nominate(needs_of(pod), node)

    def _forget(self, key: str, pod: Obj) -> None:
        self._queue.drop(key)
        node = self._cluster.remove_pod(uid_of(pod))
        if self._cluster.nominated_node(uid_of(pod)):
            self._cluster.nominate(needs_of(pod), "")
        if node:
            self._wake_by_room(node)

    def _add(self, key: str, pod: Obj) -> None:
        self._queue.add(key, int(pod["spec"].get("priority") or 0), _seconds())
        self._turn.set()

    def _wake(self, helped: Callable[[Stuck], bool]) -> None:
        for key, stuck in list(self._queue.stuck.items()):
            if helped(stuck):
                self._queue.add(key, stuck.needs.priority, _seconds())
                self._turn.set()

    async def run(self) -> None:
        """Place what is pending, until cancelled."""
        try:
            while True:
                await self._wait()
                while self._queue:
                    self._place_some()
                    await asyncio.sleep(0)
        finally:
            await self.workers.close()

    async def _wait(self) -> None:
        """Until there is something to do, or stuck pods have waited for long."""
        timer = asyncio.get_running_loop().call_later(_LOOK_AGAIN, self._turn.set)
        try:
            await self._turn.wait()
        finally:
            timer.cancel()
        self._turn.clear()
        overdue = set(self._queue.overdue(_seconds()))
        if overdue:
            self._wake(lambda stuck: stuck.needs.key in overdue)

    def _place_some(self) -> None:
        self._queue.ripen(_seconds())
        for _ in range(_SLICE):
            key = self._queue.take()
            if key is None:
                return
            pod = self._pods.get(key)
            if pod is not None and _is_ours(pod) and not self._cluster.is_placed(uid_of(pod)):
                self._place(needs_of(pod))

    def _place(self, needs: PodNeeds) -> None:
        volumes = volumes_of(needs.pod, needs.namespace, self._storage) if claim_names(needs.pod) else NOTHING
        decision = self._alike.decide(needs, self._cluster) or self._decide(needs, volumes)
        self._alike.learn(needs, decision, self._cluster)
        if len(self._cluster) > decision.looked_at:
            self._start = (self._start + decision.looked_at) % len(self._cluster)
        if decision.node:
            state = self._cluster.get(decision.node)
            self._queue.drop(needs.key)
            self._cluster.assume(needs, decision.node)
            if state is not None:
                self.workers.bind(needs, volumes, state)
            if self._queue.stuck:
                self._wake(helped_by_pod)
        else:
            self._fail(needs, decision)

    def _decide(self, needs: PodNeeds, volumes: PodVolumes) -> Decision:
        if volumes.problem:
            return Decision("", len(self._cluster), problem=volumes.problem)
        claims, classes = (self._caches[kind.resource].get for kind in _DEVICES)
        devices = devices_of(needs.pod, claims, classes)
        if devices.problem:
            return blocked(devices, self._cluster)

        def check(node: NodeState) -> tuple[str, ...]:
            return volume_reasons(volumes, self._storage, node)

        by_devices = None if devices is NO_DEVICES else partial(device_reasons, devices)
        situation = situation_of(needs, self._cluster, None if volumes is NOTHING else check, by_devices)
        decision = decide(situation, self._cluster, self._start, self._cluster.nominated_node(needs.uid))
        return settled(decision, devices, self._cluster) if by_devices else decision

    def _fail(self, needs: PodNeeds, decision: Decision) -> None:
        reasons = frozenset(reason for refusal in decision.refused.values() for reason in refusal.reasons)
        self._queue.fail(needs, reasons, _seconds())
        preemption = self._preempt(needs, decision)
        message = failure_message(decision, preemption)
        victims = preemption.victims
        self.workers.tell(needs, message)
        if victims is not None or _is_news(needs.pod, message):
            self.workers.report(needs, message, victims.node if victims is not None else None)

    def _preempt(self, needs: PodNeeds, decision: Decision) -> Preemption:
        if not decision.refused:
            return Preemption()
        budgets = self._caches[POD_DISRUPTION_BUDGETS.resource].values()
        preemption = plan_preemption(needs, decision, self._cluster, budgets, self._start)
        victims = preemption.victims
        if victims is not None:
            state = self._cluster.get(victims.node)
            weaker = [n for n in state.nominated.values() if n.priority < needs.priority] if state is not None else []
            for each in weaker:
                self._cluster.nominate(each, "")
            self._cluster.nominate(needs, victims.node)
            self._cluster.leaving.update(each.uid for each in victims.pods)
            self.workers.evict(needs, victims, weaker)
        return preemption

    def _refused(self, needs: PodNeeds, again: bool) -> None:
        """A binding was refused, or its answer lost: unless the watch has told otherwise, the pod has no node, and
        others have its room. It is tried `again`, or the watch will tell what became of it."""
        node = self._cluster.remove_pod(needs.uid)
        present = self._pods.get(needs.key)
        if present is not None:
            self._cluster.set_pod(present)
        if self._cluster.is_placed(needs.uid):
            return
        if node:
            self._wake_by_room(node)
        if present is not None and again:
            self._add(needs.key, present)

    def _spared(self, needs: PodNeeds, victim: str) -> None:
        """A victim is still there: look anew."""
        self._cluster.leaving.discard(victim)
        present = self._pods.get(needs.key)
        if present is not None and not self._cluster.is_placed(needs.uid):
            self._add(needs.key, present)


def _seconds() -> float:
    return asyncio.get_running_loop().time()


def _is_ours(pod: Obj) -> bool:
    return is_pending(pod) and (pod["spec"].get("schedulerName") or NAME) == NAME


def _differs(old: Obj | None, new: Obj) -> bool:
    if old is None or old["spec"] != new["spec"] or labels_of(old) != labels_of(new):
        return True
    return status_of(old).get("resourceClaimStatuses") != status_of(new).get("resourceClaimStatuses")


def _is_news(pod: Obj, message: str) -> bool:
    """Whether the pod does not say yet why it cannot be placed."""
    found = condition(pod, "PodScheduled") or {}
    return (found.get("reason"), found.get("message")) != ("Unschedulable", message)
