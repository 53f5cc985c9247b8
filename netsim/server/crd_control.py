"""Keeps the registry equal to the stored CustomResourceDefinitions, settles their status, and cleans up behind them.

Every server of a store does this: what it decides follows from the store alone, so that two come to the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from netsim.api import kinds
from netsim.api.errors import StatusError
from netsim.api.kinds import Kind, Obj
from netsim.server import crd, deletion, lifecycle
from netsim.server.authn import SERVER
from netsim.server.codec import prefix_of
from netsim.server.core import Core
from netsim.server.registry import Registry

log = logging.getLogger(__name__)

DEFINITIONS = kinds.CUSTOM_RESOURCE_DEFINITIONS
_LOOK_AGAIN = 0.1
_LONGEST_WAIT = 5.0
_GONE = (404, 409)


class Definitions:
    """The definitions' controller within the server. `start` returns with the registry complete."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._kinds: dict[str, tuple[Obj, list[Kind]]] = {}
        self._cleaners: dict[str, asyncio.Task[None]] = {}
        self._follower: asyncio.Task[None] | None = None

    async def start(self) -> None:
        after = self._core.store.revision
        await self._refresh()
        self._follower = asyncio.get_running_loop().create_task(self._follow(after))

    async def close(self) -> None:
        tasks = [*self._cleaners.values(), *([self._follower] if self._follower else [])]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):  # our own cancellation
                await task

    async def _follow(self, after: int) -> None:
        hub = self._core.hub
        while not hub.closed:
            subscription = hub.subscribe(prefix_of(DEFINITIONS), after)
            if subscription is None:
                after = self._core.store.revision
                await self._attempt(self._refresh)
                await asyncio.sleep(0)
                continue
            try:
                while not subscription.closed:
                    if await subscription.take():
                        await self._attempt(self._refresh)
                after = max(after, subscription.seen)
            finally:
                hub.unsubscribe(subscription)

    async def _attempt(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception:
            log.exception("following the CustomResourceDefinitions failed")

    async def _refresh(self) -> None:
        """Settle every definition; serve what they add before their status says so."""
        now, stored = self._core.now(), await self._core.objects(DEFINITIONS)
        by_name = {_name(obj): obj for obj in stored}
        for definition in sorted(stored, key=lambda obj: (obj["metadata"]["creationTimestamp"], _name(obj))):
            by_name[_name(definition)] = crd.settle(definition, by_name.values(), now)
        settled = list(by_name.values())
        self._serve(settled)
        before = {_name(obj): obj.get("status") for obj in stored}
        for definition in settled:
            if definition["status"] != before[_name(definition)]:
                await self._write_status(_name(definition), definition["status"])
            if crd.must_clean(definition) and _name(definition) not in self._cleaners:
                task = asyncio.get_running_loop().create_task(self._clean(definition))
                self._cleaners[_name(definition)] = task

    def _serve(self, definitions: list[Obj]) -> None:
        """Put the registry in place, and end the watches of what is not as it was."""
        core = self._core
        found = {_name(obj): (_fingerprint(obj), self._kinds_of(obj)) for obj in definitions}
        listed = [kind for _, of_one in found.values() for kind in of_one]
        closed = [_name(obj) for obj in definitions if crd.is_true(obj, "Terminating")]
        before = set(core.registry.custom)
        if before == set(listed) and core.registry.closed == set(closed):
            return
        core.registry, self._kinds = Registry(listed, closed), found
        for prefix in {prefix_of(kind) for kind in before - set(listed)}:
            core.hub.end_watches(prefix)

    def _kinds_of(self, definition: Obj) -> list[Kind]:
        """The definition's kinds: the same ones as long as nothing about them changes."""
        known = self._kinds.get(_name(definition))
        if known is not None and known[0] == _fingerprint(definition):
            return known[1]
        return crd.kinds_of(definition)

    async def _write_status(self, name: str, status: Obj) -> None:
        try:
            await lifecycle.update_object(
                self._core, DEFINITIONS, "", name, lambda old: {**old, "status": status}, SERVER, sub="status"
            )
        except StatusError as error:
            if error.code not in _GONE:
                raise

    # --- deletion ------------------------------------------------------------------------------------------------

    async def _clean(self, definition: Obj) -> None:
        """Delete all instances, then let the definition go."""
        name = _name(definition)
        try:
            await self._stage(definition, "InstanceDeletionInProgress")
            await self._delete_instances(crd.stored_kind_of(definition))
            await self._stage(definition, "InstanceDeletionCompleted")
            await lifecycle.update_object(self._core, DEFINITIONS, "", name, crd.released, SERVER)
        except StatusError as error:
            if error.code not in _GONE:
                log.error("CustomResourceDefinition %s: its deletion stopped: %s", name, error)
        except Exception:
            log.exception("CustomResourceDefinition %s: its deletion failed", name)
        finally:
            self._cleaners.pop(name, None)

    async def _stage(self, definition: Obj, reason: str) -> None:
        now = self._core.now()
        await lifecycle.update_object(
            self._core, DEFINITIONS, "", _name(definition), lambda old: crd.terminating(old, reason, now), SERVER,
            sub="status",
        )  # fmt: skip

    async def _delete_instances(self, kind: Kind) -> None:
        """Delete until none is left; those with finalizers are waited for."""
        delay = _LOOK_AGAIN
        while objects := await self._core.objects(kind):
            for obj in objects:
                await self._delete(kind, obj)
            if await self._core.objects(kind):
                await asyncio.sleep(delay)
                delay = min(2 * delay, _LONGEST_WAIT)

    async def _delete(self, kind: Kind, obj: Obj) -> None:
        metadata = obj["metadata"]
        try:
            await deletion.delete_object(
                self._core, kind, metadata.get("namespace", ""), metadata["name"], deletion.DeleteOptions()
            )
        except StatusError as error:
            if error.code not in _GONE:
                raise


def _name(definition: Obj) -> str:
    return str(definition["metadata"]["name"])


def _fingerprint(definition: Obj) -> Obj:
    """What the kinds of a definition follow from."""
    status = definition.get("status") or {}
    names, stored = status.get("acceptedNames"), status.get("storedVersions")
    established = crd.is_true(definition, "Established")
    return {"spec": definition["spec"], "names": names, "stored": stored, "established": established}
