"""Follows the CustomResourceDefinitions: a cache and a reflector for each custom kind while it is served."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, MutableMapping

from netsim.api.kinds import Kind, Obj
from netsim.client.cache import Cache
from netsim.client.reflector import Reflector
from netsim.client.rest import Client
from netsim.controllers.served import Served, custom_kind

log = logging.getLogger(__name__)


class CustomKinds:
    """Keeps `served.custom` and `caches` equal to the definitions it is told of. `added(kind, cache)` is called before
    the first object of a kind is known."""

    def __init__(
        self, client: Client, served: Served, caches: MutableMapping[str, Cache], make_cache: Callable[[Kind], Cache]
    ) -> None:
        self._client, self._served, self._caches, self._make = client, served, caches, make_cache
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.added: list[Callable[[Kind, Cache], None]] = []

    def changed(self, key: str, old: Obj | None, new: Obj | None) -> None:
        """A change callback of the definitions' cache."""
        kind = custom_kind(new) if new is not None else None
        before = custom_kind(old) if old is not None else None
        if before is not None and before != kind:
            self._stop(before)
        if kind is not None and self._served.custom.get(kind.resource) != kind:
            self._start(kind)

    def _start(self, kind: Kind) -> None:
        cache = self._caches[kind.resource] = self._make(kind)
        self._served.custom[kind.resource] = kind
        for added in self.added:
            added(kind, cache)
        task = asyncio.get_running_loop().create_task(
            Reflector(self._client, kind, cache, metadata_only=True).run(), name=f"reflector {kind.resource}"
        )
        self._tasks[kind.resource] = task

    def _stop(self, kind: Kind) -> None:
        """Let the kind go: what was still known of it is gone too, which its dependents must hear."""
        task, cache = self._tasks.pop(kind.resource, None), self._caches.get(kind.resource)
        if task is not None:
            task.cancel()
        if cache is not None:
            cache.replace([], cache.revision)
        self._served.custom.pop(kind.resource, None)
        log.info("%s is no longer served", kind.resource)

    async def run(self, definitions: Cache) -> None:
        """Follow the definitions until cancelled."""
        definitions.on_change(self.changed)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
