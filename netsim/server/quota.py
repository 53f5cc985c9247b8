"""ResourceQuota admission: what an object uses up is added to the quotas' status before the object is written.

The addition is a compare-and-swap of the stored quota, so that neither two requests nor two servers can both have the
last of it. It is taken back when the write fails; the quota controller counts anew what else may go wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC
from typing import NamedTuple
from weakref import WeakValueDictionary

from netsim.api import errors, kinds
from netsim.api.kinds import Kind, Obj
from netsim.api.objects import spec_of, status_of
from netsim.api.quota_usage import (
    Usage,
    counted_kinds,
    exceeded,
    matches_scopes,
    missing_amounts,
    total_usage,
    usage_of,
    used_of,
    used_status,
)
from netsim.server.codec import encode, prefix_of
from netsim.server.core import Core
from netsim.store.types import Item, RevisionMismatch

_TRIES = 64
CHANGING = frozenset((kinds.SERVICES, kinds.PERSISTENT_VOLUME_CLAIMS, kinds.PODS))
"""Kinds of which an object may come to use more than at first."""

_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()


class _Change(NamedTuple):
    """What one write adds to the quotas of its namespace."""

    core: Core
    kind: Kind
    namespace: str
    new: Obj
    old: Obj | None

    def asked(self, quota: Obj) -> Usage:
        """Resource -> how much more of it is used; nothing for a quota the object does not fall under."""
        now = self.core.clock().astimezone(UTC)
        more = usage_of(self.kind, self.new, now) if matches_scopes(quota, self.kind, self.new) else {}
        if self.old is not None and matches_scopes(quota, self.kind, self.old):
            for name, amount in usage_of(self.kind, self.old, now).items():
                more[name] = more.get(name, 0 * amount) - amount
        hard = spec_of(quota).get("hard") or {}
        return {name: amount for name, amount in more.items() if name in hard and amount > 0}


async def held(
    core: Core, kind: Kind, namespace: str, new: Obj, old: Obj | None, write: Callable[[], Awaitable[Item]]
) -> Item:
    """`write()`, with the quotas charged for it before; raises 403 when one has no room, and gives back what was
    charged when the write fails. What is charged goes its whole way, also when the caller gives up."""
    change = _Change(core, kind, namespace, new, old)
    items = await _quotas(change)
    if not items:
        return await write()
    return await asyncio.shield(asyncio.ensure_future(_held(change, items, write)))


async def _held(change: _Change, items: list[Item], write: Callable[[], Awaitable[Item]]) -> Item:
    charged = await _charge_all(change, items)
    try:
        return await write()
    except BaseException:
        await asyncio.shield(_give_back(change.core, charged))
        raise


async def check(core: Core, kind: Kind, namespace: str, new: Obj, old: Obj | None) -> None:
    """What `held` would refuse, for a dry run: nothing is charged."""
    change = _Change(core, kind, namespace, new, old)
    for item in await _quotas(change):
        await _charged(change, item)


async def _quotas(change: _Change) -> list[Item]:
    kind, old = change.kind, change.old
    if not kind.namespaced or (old is not None and (kind not in CHANGING or spec_of(old) == spec_of(change.new))):
        return []
    return (await change.core.store.list(prefix_of(kinds.RESOURCE_QUOTAS, change.namespace))).items


async def _charge_all(change: _Change, items: list[Item]) -> list[tuple[str, Usage]]:
    """(key, amounts) of the quotas charged. All are asked before the first is charged."""
    lock = _locks.setdefault(change.namespace, asyncio.Lock())
    charged: list[tuple[str, Usage]] = []
    async with lock:
        for item in items:
            await _charged(change, item)
        try:
            for item in items:
                amounts = await _charge(change, item)
                if amounts:
                    charged.append((item.key, amounts))
        except BaseException:
            await asyncio.shield(_give_back(change.core, charged))
            raise
    return charged


async def _charge(change: _Change, item: Item) -> Usage:
    present: Item | None = item
    for _ in range(_TRIES):
        present = await change.core.store.get(item.key)
        if present is None:
            return {}
        amounts, quota = await _charged(change, present)
        if not amounts:
            return {}
        try:
            await change.core.store.update(present.key, encode(kinds.RESOURCE_QUOTAS, quota), present.revision)
            return amounts
        except RevisionMismatch:
            continue
    raise errors.conflict(kinds.RESOURCE_QUOTAS, item.key.rpartition("/")[2])


async def _charged(change: _Change, item: Item) -> tuple[Usage, Obj]:
    """(amounts, the quota with them added to its status); 403 when it has no room."""
    quota = change.core.decoder(item)
    name = str(change.new["metadata"].get("name", ""))
    if change.kind is kinds.PODS and change.old is None and matches_scopes(quota, change.kind, change.new):
        missing = missing_amounts(quota, change.new)
        if missing:
            why = f"failed quota: {quota['metadata']['name']}: {missing}"
            raise errors.forbidden(change.kind, name, why)
    asked = change.asked(quota)
    if not asked:
        return {}, quota
    used = await _used(change.core, quota)
    problem = exceeded(quota, used, asked)
    if problem:
        raise errors.forbidden(change.kind, name, problem)
    total = {**used, **{key: used[key] + amount for key, amount in asked.items()}}
    return asked, {**quota, "status": used_status(quota, total)}


async def _used(core: Core, quota: Obj) -> Usage:
    """status.used; counted here where the quota controller has not come to it yet."""
    hard = spec_of(quota).get("hard") or {}
    if status_of(quota).get("hard") == hard:
        return used_of(quota)
    namespace = quota["metadata"]["namespace"]
    objects = [
        (kind, obj) for kind in counted_kinds(quota, core.registry.kinds) for obj in await core.objects(kind, namespace)
    ]
    return total_usage(quota, objects, core.clock().astimezone(UTC))


async def _give_back(core: Core, charged: list[tuple[str, Usage]]) -> None:
    for key, amounts in charged:
        for _ in range(_TRIES):
            item = await core.store.get(key)
            if item is None:
                break
            quota = core.decoder(item)
            used = used_of(quota)
            less = {
                **used,
                **{name: max(used.get(name, amount) - amount, 0 * amount) for name, amount in amounts.items()},
            }
            quota = {**quota, "status": used_status(quota, less)}
            try:
                await core.store.update(key, encode(kinds.RESOURCE_QUOTAS, quota), item.revision)
                break
            except RevisionMismatch:
                continue
