"""The servers that share a store, as the endpoints of the `kubernetes` Service.

Each keeps a key `/registry/masterleases/ADDRESS:PORT` changing, whose value begins with a digest of its keys. It
is alive as long as that is seen to change, by the observer's own monotonic clock: clocks may differ or jump.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from netsim.api import kinds
from netsim.api.errors import StatusError
from netsim.api.kinds import Kind, Obj
from netsim.server import lifecycle
from netsim.server.authn import SERVER
from netsim.server.bootstrap import api_endpoints, api_slice
from netsim.server.core import Core
from netsim.store.types import Item, KeyExists, RevisionMismatch, StoreError, Unavailable

PREFIX = "/registry/masterleases/"
INTERVAL = 5.0
LIFETIME = 15.0

log = logging.getLogger(__name__)

Address = tuple[str, int]


def digest_of(*parts: bytes) -> bytes:
    """What servers compare to see whether they have the same keys."""
    return hashlib.sha256(b"\0".join(parts)).hexdigest().encode()


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
        public = core.pki.service_account_key.public_key()
        self._digest = digest_of(core.pki.ca_pem, public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))

    async def check(self) -> None:
        """Refuse to serve beside a living server of another CA: neither would accept the other's clients. Raises
        Unavailable."""
        strangers = [item for item in await self._others() if not item.value.startswith(self._digest)]
        if not strangers:
            return
        await asyncio.sleep(INTERVAL + 1)
        await self._core.store.sync()
        before = {item.key: item.revision for item in strangers}
        living = [item.key for item in await self._others() if before.get(item.key, item.revision) != item.revision]
        if living:
            host, port = address_of(living[0])
            raise Unavailable(
                f"the server at {host}:{port} uses this store with other keys; copy ca.crt, ca.key and sa.key from its "
                "pki directory, and give --pki-dir with their directory"
            )

    async def _others(self) -> list[Item]:
        return [item for item in (await self._core.store.list(PREFIX)).items if item.key != self._key]

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
        value = b"%s %s" % (self._digest, self._core.now().encode())
        try:
            if item is None:
                await store.create(self._key, value)
            else:
                await store.update(self._key, value, item.revision)
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
