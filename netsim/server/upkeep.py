"""What a server does from time to time for its store: compaction, defragmentation, repair of what others share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from netsim.api import kinds
from netsim.server.codec import prefix_of
from netsim.server.core import Core
from netsim.server.feeds import Frame, Subscription
from netsim.server.peers import Peers

COMPACTION = 300.0
REPAIR = 180.0
_RETRY = 1.0
_SHARED = (kinds.SERVICES, kinds.ROLES, kinds.ROLE_BINDINGS, kinds.CLUSTER_ROLES, kinds.CLUSTER_ROLE_BINDINGS)

log = logging.getLogger(__name__)


class Upkeep:
    """See the module. Times are monotonic: a clock that jumps changes nothing."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._peers = Peers(core) if core.store.shared else None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        spawn = asyncio.get_running_loop().create_task
        self._tasks.append(spawn(_every(COMPACTION, Compaction(self._core).once)))
        if self._peers is not None:
            await self._repair()
            await self._peers.beat()
            self._tasks += [spawn(_every(REPAIR, self._repair)), spawn(self._peers.run()), spawn(self._follow())]

    async def check(self) -> None:
        """Whether this server may serve from the store; raises Unavailable if not."""
        if self._peers is not None:
            await self._peers.check()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._peers is not None:
            await self._peers.withdraw()
            if self._core.services.claims is not None:
                await self._core.services.claims.close()

    async def _repair(self) -> None:
        await self._core.store.sync()
        for problem in await self._core.services.repair(await self._core.objects(kinds.SERVICES)):
            log.error("repair of Service addresses: %s", problem)

    async def _follow(self) -> None:
        """Services and roles that other servers wrote. Never given up: roles taken back there would stay granted."""
        while not self._core.hub.closed:
            try:
                await self._follow_once()
            except Exception:
                log.exception("following what other servers write failed; next try in %.0f s", _RETRY)
                await asyncio.sleep(_RETRY)

    async def _follow_once(self) -> None:
        """Until a watch is cut off."""
        core = self._core
        await self._take_stock()
        subscriptions = [core.hub.subscribe(prefix_of(kind), core.hub.revision) for kind in _SHARED]
        live = [subscription for subscription in subscriptions if subscription is not None]
        try:
            async with asyncio.TaskGroup() as group:
                for subscription in live:
                    group.create_task(self._drain(subscription))
        finally:
            for subscription in live:
                core.hub.unsubscribe(subscription)

    async def _take_stock(self) -> None:
        self._core.authorizer.invalidate()
        for service in await self._core.objects(kinds.SERVICES):
            self._core.services.observe(service, None)

    async def _drain(self, subscription: Subscription) -> None:
        while not subscription.closed:
            for frame in await subscription.take():
                self._observe(frame)

    def _observe(self, frame: Frame) -> None:
        if frame.event.key.startswith(prefix_of(kinds.SERVICES)):
            self._core.services.observe(frame.new(self._core.decoder), frame.old())
        else:
            self._core.authorizer.invalidate()


class Compaction:
    """Forgets the history older than one period, as kube-apiserver does with etcd's."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._revision = 0

    async def once(self) -> None:
        """Compact to where the store was the last time."""
        before, self._revision = self._revision, self._core.store.revision
        if 0 < before < self._revision:
            await self._core.store.compact(before)
            await self._core.store.defragment()


async def _every(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await work()
        except Exception:
            log.exception("upkeep of the store failed; next try in %.0f s", seconds)
