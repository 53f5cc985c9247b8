"""Many Nodes from one process, without a data plane: registered, their Leases renewed, their pods said to run."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from netsim.agent.fake_plan import (
    Addresses,
    FakePlan,
    ended_status,
    heartbeat,
    next_step,
    node_view,
    pod_view,
    render_fake_node,
    render_lease,
    running_status,
)
from netsim.agent.node import LEASE_NAMESPACE, RENEW_SECONDS, REPORT_SECONDS
from netsim.api.errors import StatusError
from netsim.api.kinds import LEASES, NODES, PODS, Obj
from netsim.api.objects import dig, is_true, name_of, namespace_of, uid_of
from netsim.api.times import format_micro_time, format_time
from netsim.client.cache import Cache
from netsim.client.reflector import Reflector
from netsim.client.rest import Client

log = logging.getLogger(__name__)
PARALLEL = 16
"""Requests under way at once, of Nodes and of pods each."""
LEASE_PARALLEL = 64
"""The same of Leases, which have connections of their own: thousands are due all the time, and none may wait behind
the pods of a crowd until its Node is thought lost."""
_RETRY = 1.0
_TICKS = 100
"""A round of Lease renewals is spread over so many portions."""


async def run_fake_nodes(
    plan: FakePlan, client: Client, leases: Client, ready: Callable[[], None] = lambda: None
) -> None:
    """Run until cancelled; `leases` is the client that renews Leases, `ready` is called when all Nodes are
    registered."""
    nodes = FakeNodes(plan, client, leases)
    async with asyncio.TaskGroup() as tasks:
        # While others are being registered: that of thousands takes longer than a Node may be silent.
        tasks.create_task(nodes.renew_leases(), name="leases")
        await nodes.register()
        ready()
        tasks.create_task(nodes.report(), name="status")
        known = Reflector(client, NODES, nodes.nodes, label_selector="type=kwok", keep=node_view)
        tasks.create_task(known.run(), name="nodes")
        await nodes.nodes.wait_synced()
        pods = Reflector(client, PODS, nodes.pods, field_selector="spec.nodeName!=", keep=pod_view)
        tasks.create_task(pods.run(), name="pods")
        tasks.create_task(nodes.tend_pods(), name="tend pods")


class FakeNodes:
    """The Nodes' process. `pods` are kept current by a Reflector, `nodes` are read for their pod CIDR."""

    def __init__(self, plan: FakePlan, client: Client, leases: Client) -> None:
        self._plan, self._client, self._leases = plan, client, leases
        self._names = plan.names()
        self._hosts: dict[str, str] = {}
        self._room, self._pod_room = asyncio.Semaphore(PARALLEL), asyncio.Semaphore(PARALLEL)
        self._lease_room = asyncio.Semaphore(LEASE_PARALLEL)
        self._registered: set[str] = set()
        self._addresses = Addresses()
        self._due: dict[str, None] = {}
        self._turn = asyncio.Event()
        self.nodes, self.pods = Cache(), Cache()
        self.pods.on_change(self._pod_changed)

    async def register(self) -> None:
        """Create every Node and its Lease, or take over those that are there."""
        await asyncio.gather(*(self._register(index) for index in range(self._plan.count)))

    async def _register(self, index: int) -> None:
        node = render_fake_node(self._plan, index, _now())
        name = name_of(node)
        self._hosts[name] = node["status"]["addresses"][0]["address"]
        lease = render_lease(name, format_micro_time(datetime.now(UTC)))
        await self._insist(lambda: self._create_or_keep(node, lease), name)
        self._registered.add(name)

    async def _create_or_keep(self, node: Obj, lease: Obj) -> None:
        name = name_of(node)
        try:
            await self._client.create(NODES, node)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
            patch = {"status": node["status"]}
            await self._client.patch(NODES, name, patch, type="strategic", sub="status")
        try:
            await self._leases.create(LEASES, lease)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
            await self._renew(name)

    async def _insist(self, work: Callable[[], Awaitable[None]], what: str) -> None:
        while True:
            try:
                async with self._room:
                    return await work()
            except (OSError, StatusError) as error:
                log.warning("%s: %s; trying again in %.0f s", what, error, _RETRY)
                await asyncio.sleep(_RETRY)

    async def renew_leases(self) -> None:
        """Every Lease every 10 s, a hundredth of them at a time."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        async with asyncio.TaskGroup() as tasks:
            while True:
                for tick in range(_TICKS):
                    for name in self._registered.intersection(self._names[tick::_TICKS]):
                        await self._lease_room.acquire()
                        tasks.create_task(self._try_renew(name))
                    due += RENEW_SECONDS / _TICKS
                    await asyncio.sleep(max(due - loop.time(), 0))
                due = max(due, loop.time() - RENEW_SECONDS)

    async def _try_renew(self, name: str) -> None:
        try:
            await self._renew(name)
        except (OSError, StatusError) as error:
            log.warning("lease of %s: %s", name, error)
        finally:
            self._lease_room.release()

    async def _renew(self, name: str) -> None:
        now = format_micro_time(datetime.now(UTC))
        try:
            await self._leases.patch(LEASES, name, {"spec": {"renewTime": now}}, LEASE_NAMESPACE)
        except StatusError as error:
            if error.code != 404:
                raise
            await self._leases.create(LEASES, render_lease(name, now))

    async def report(self) -> None:
        """Every Node's status every five minutes, some at a time, and soon that of one which was thought lost, as
        kubelet does."""
        turns = int(REPORT_SECONDS / RENEW_SECONDS)
        for turn in itertools.count(1):
            await asyncio.sleep(RENEW_SECONDS)
            for index, name in enumerate(self._names):
                if index % turns == turn % turns or self._is_lost(name):
                    await self._try_report(name, heartbeat(self._plan, index, _now()))

    def _is_lost(self, name: str) -> bool:
        node = self.nodes.get(name)
        return node is not None and not is_true(node, "Ready")

    async def _try_report(self, name: str, status: Obj) -> None:
        try:
            async with self._room:
                await self._client.patch(NODES, name, {"status": status}, type="strategic", sub="status")
        except (OSError, StatusError) as error:
            log.warning("status of %s: %s", name, error)

    def _pod_changed(self, key: str, old: Obj | None, new: Obj | None) -> None:
        if new is None:
            self._addresses.release(uid_of(old or {}))
            self._due.pop(key, None)
        elif new["spec"].get("nodeName") in self._hosts and next_step(new):
            self._due[key] = None
            self._turn.set()

    async def tend_pods(self) -> None:
        """Bring pods on, many side by side."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._turn.wait()
                self._turn.clear()
                while self._due:
                    key = next(iter(self._due))
                    del self._due[key]
                    await self._pod_room.acquire()
                    tasks.create_task(self._tend(key))

    async def _tend(self, key: str) -> None:
        pod = self.pods.get(key)
        try:
            if pod is not None:
                await self._step(pod)
        except (OSError, StatusError) as error:
            if not isinstance(error, StatusError) or error.code not in (404, 409):
                log.warning("pod %s: %s", key, error)
                asyncio.get_running_loop().call_later(_RETRY, self._again, key)
        finally:
            self._pod_room.release()

    def _again(self, key: str) -> None:
        self._due[key] = None
        self._turn.set()

    async def _step(self, pod: Obj) -> None:
        name, namespace, step = name_of(pod), namespace_of(pod), next_step(pod)
        if step == "delete":
            await self._client.delete(PODS, name, namespace, grace=0, uid=uid_of(pod))
        elif step:
            status = self._running(pod) if step == "run" else ended_status(pod, _now())
            await self._client.patch(PODS, name, {"status": status}, namespace, sub="status")

    def _running(self, pod: Obj) -> Obj:
        node = pod["spec"]["nodeName"]
        cidr = str(dig(self.nodes.get(node), "spec", "podCIDR") or "")
        return running_status(pod, self._addresses.take(uid_of(pod), cidr), self._hosts[node], _now())


def _now() -> str:
    return format_time(datetime.now(UTC))
