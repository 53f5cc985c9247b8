"""Service addresses and node ports claimed in the store, so that servers which share it never give one to two Services.

A claim is a key of its own, `/registry/ranges/VALUE`, whose value is the Service's uid: whoever creates the key has
the address. It is made before the Service is written, and removed after the Service is gone. What a crash leaves behind
is found by `repair`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping

from netsim.store.types import KeyExists, RevisionMismatch, Store, StoreError

PREFIX = "/registry/ranges/"

log = logging.getLogger(__name__)

Value = str | int


def key_of_value(value: Value) -> str:
    return f"{PREFIX}nodeports/{value}" if isinstance(value, int) else f"{PREFIX}serviceips/{value}"


class Claims:
    """Claims in one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tasks: set[asyncio.Task[None]] = set()
        self._unused: dict[str, int] = {}

    async def take(self, values: Iterable[Value], owner: str) -> dict[Value, str]:
        """Claim all of `values` or none; those that others have, with their owners. Raises StoreError."""
        wanted = list(values)
        outcomes = await asyncio.gather(*(self._take(value, owner) for value in wanted), return_exceptions=True)
        taken = {v: o for v, o in zip(wanted, outcomes, strict=True) if isinstance(o, str) and o not in ("", owner)}
        failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if taken or failures:
            made = [value for value, outcome in zip(wanted, outcomes, strict=True) if outcome == ""]
            await self._give_back(made, owner)
        if failures:
            raise failures[0]
        return taken

    async def _take(self, value: Value, owner: str) -> str:
        """ "" when newly claimed, else the owner, who may be ourselves (another write of the same Service)."""
        key = key_of_value(value)
        try:
            await self._store.create(key, owner.encode())
            return ""
        except KeyExists:
            item = await self._store.get(key)
            return item.value.decode() if item is not None else await self._take(value, owner)

    def give_back(self, values: Iterable[Value], owner: str) -> None:
        """Remove claims of an owner, soon."""
        wanted = list(values)
        if wanted:
            task = asyncio.get_running_loop().create_task(self._give_back(wanted, owner))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _give_back(self, values: Iterable[Value], owner: str) -> None:
        for value in values:
            try:
                await self._remove(key_of_value(value), owner)
            except StoreError as error:
                log.warning("claim of %s stays until the next repair: %s", value, error)

    async def _remove(self, key: str, owner: str) -> None:
        item = await self._store.get(key)
        if item is not None and item.value.decode() == owner:
            try:
                await self._store.delete(key, item.revision)
            except RevisionMismatch:
                log.info("claim %s was removed by another server", key)

    async def repair(self, held: Mapping[Value, str]) -> list[str]:
        """Claim what Services hold without a claim; remove claims that nobody used at two repairs in a row (a Service
        may be about to be written). Returns what contradicts, one text per finding."""
        found = {item.key: item for item in (await self._store.list(PREFIX)).items}
        problems = []
        for value, owner in held.items():
            item = found.pop(key_of_value(value), None)
            if item is not None and item.value.decode() == owner:
                continue
            if item is not None and item.value.decode() in held.values():
                problems.append(f"{value} is claimed for two Services: {owner} and {item.value.decode()}")
            elif item is not None:
                await self._remove(item.key, item.value.decode())
                await self._take(value, owner)
            else:
                await self._take(value, owner)
        for key, item in found.items():
            if self._unused.get(key) == item.revision:
                log.info("claim %s has no Service any more", key)
                await self._remove(key, item.value.decode())
        self._unused = {key: item.revision for key, item in found.items()}
        return problems

    async def close(self) -> None:
        """Wait until what is given back is gone."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)
