"""The servers that share a store, as the endpoints of the `kubernetes` Service.

Each keeps a key `/registry/masterleases/ADDRESS:PORT` changing. A server is alive as long as that is seen to change,
by the observer's own monotonic clock: clocks that differ or jump do no harm.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from netsim.api import kinds
from netsim.api.errors import StatusError
from netsim.api.kinds import Kind, Obj
from netsim.server import lifecycle
from netsim.server.authn import SERVER
from netsim.server.bootstrap import api_endpoints, api_slice
from netsim.server.core import Core
from netsim.store.types import KeyExists, RevisionMismatch, StoreError

PREFIX = "/registry/masterleases/"
INTERVAL = 5.0
LIFETIME = 15.0

log = logging.getLogger(__name__)

Address = tuple[str, int]


def address_of(key: str) -> Address:
    """(address, port) of a server's key."""
    host, _, port = key.removeprefix(PREFIX).rpartition(":")
    return host, int(port)


def alive(seen: Mapping[str, float], now: float) -> list[Address]:
    """Servers whose keys changed less than a lifetime ago; `seen` are the times of the changes."""
    return sorted(address_of(key) for key, changed in seen.items() if now - changed < LIFETIME)


class Peers:
    """Announces this server and keeps the endpoints right."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._key = f"{PREFIX}{core.config.advertise_address}:{core.config.advertise_port}"
        self._seen: dict[str, tuple[int, float]] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.beat()
            except Exception:
                log.exception("the endpoints of the kubernetes Service were not brought up to date")
            await asyncio.sleep(INTERVAL)

    async def beat(self) -> None:
        """Announce once, look at the others, write what has changed."""
        await self._announce()
        now = asyncio.get_running_loop().time()
        items = (await self._core.store.list(PREFIX)).items
        before = self._seen
        self._seen = {
            item.key: before[item.key] if before.get(item.key, (0, 0.0))[0] == item.revision else (item.revision, now)
            for item in items
        }
        await self._write(alive({key: changed for key, (_, changed) in self._seen.items()}, now))

    async def _announce(self) -> None:
        store = self._core.store
        item = await store.get(self._key)
        try:
            if item is None:
                await store.create(self._key, self._core.now().encode())
            else:
                await store.update(self._key, self._core.now().encode(), item.revision)
        except (KeyExists, RevisionMismatch):
            log.warning("%s: another server announces the same address and port", self._key)

    async def withdraw(self) -> None:
        """This server ends: it is no endpoint any more."""
        try:
            item = await self._core.store.get(self._key)
            if item is not None:
                await self._core.store.delete(self._key, item.revision)
            self._seen.pop(self._key, None)
            now = asyncio.get_running_loop().time()
            await self._write(alive({key: changed for key, (_, changed) in self._seen.items()}, now))
        except (StoreError, StatusError) as error:
            log.warning("the other servers will notice the end of this one in %.0f s: %s", LIFETIME, error)

    async def _write(self, servers: list[Address]) -> None:
        if servers:
            config = self._core.config
            await self._put(kinds.ENDPOINTS, api_endpoints(config, servers))
            await self._put(kinds.ENDPOINT_SLICES, api_slice(config, servers))

    async def _put(self, kind: Kind, obj: Obj) -> None:
        def change(old: Obj) -> Obj:
            return {**old, **{key: value for key, value in obj.items() if key != "metadata"}}

        await lifecycle.update_object(self._core, kind, "default", "kubernetes", change, SERVER)
