"""From the API to the index: a list and watch per kind, through netsim.client."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from netsim.api.kinds import ENDPOINT_SLICES, NAMESPACES, SERVICES, Kind
from netsim.client.cache import Cache
from netsim.client.reflector import Reflector
from netsim.client.rest import Client

from .records import Index, Obj

LOG = logging.getLogger(__name__)
WATCHED: tuple[Kind, ...] = (NAMESPACES, SERVICES, ENDPOINT_SLICES)


class Feed:
    """Keeps an index up to date between `start` and `close`."""

    def __init__(self, client: Client, index: Index) -> None:
        self._client = client
        self._index = index
        self._caches: list[Cache] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to list and watch; returns at once."""
        for kind in WATCHED:
            cache = Cache()
            cache.on_change(self._applier(kind))
            self._caches.append(cache)
            self._tasks.append(
                asyncio.create_task(Reflector(self._client, kind, cache).run(), name=f"dns {kind.plural}")
            )
        self._tasks.append(asyncio.create_task(self._mark_synced(), name="dns sync"))

    async def wait_synced(self, seconds: float) -> bool:
        """Has every kind been listed within so many seconds?"""
        try:
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(cache.wait_synced() for cache in self._caches))
        except TimeoutError:
            return False
        if not self._index.synced:
            self._index.set_synced()
        return True

    async def close(self) -> None:
        """Stop watching."""
        for task in self._tasks:
            task.cancel()
        for task, result in zip(self._tasks, await asyncio.gather(*self._tasks, return_exceptions=True), strict=True):
            if isinstance(result, Exception):
                LOG.error("dns: %s ended: %r", task.get_name(), result)

    async def _mark_synced(self) -> None:
        await asyncio.gather(*(cache.wait_synced() for cache in self._caches))
        if not self._index.synced:
            self._index.set_synced()

    def _applier(self, kind: Kind) -> Callable[[str, Obj | None, Obj | None], None]:
        def apply(_key: str, old: Obj | None, new: Obj | None) -> None:
            self._index.apply(kind.kind, old, new, int(time.time()))

        return apply
