"""Events are forgotten an hour after their last change, as a kube-apiserver forgets them (--event-ttl)."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta

from netsim.api import kinds
from netsim.api.errors import StatusError
from netsim.api.kinds import Obj
from netsim.api.objects import dig, name_of, namespace_of, uid_of
from netsim.api.times import parse_time
from netsim.server import deletion
from netsim.server.core import Core

log = logging.getLogger(__name__)

TTL = timedelta(hours=1)
CHECK_SECONDS = 60.0
_SLICE = 200
"""Events looked at in one go before the event loop gets its turn."""


def last_change(event: Obj) -> datetime | None:
    """The newest time an Event carries, None if it has none (pure)."""
    paths = (("lastTimestamp",), ("eventTime",), ("series", "lastObservedTime"), ("metadata", "creationTimestamp"))
    times = [dig(event, *path) for path in paths]
    return max((parse_time(str(time)) for time in times if time), default=None)


def is_expired(event: Obj, now: datetime) -> bool:
    changed = last_change(event)
    return changed is not None and now - changed > TTL


async def expire_events(core: Core) -> None:
    """Delete what has expired, every minute until cancelled. A failure is logged and tried again."""
    while True:
        await asyncio.sleep(CHECK_SECONDS)
        try:
            await delete_expired(core)
        except Exception:
            log.exception("old events could not be deleted; the next try is in %.0f s", CHECK_SECONDS)


async def delete_expired(core: Core) -> int:
    """How many Events were deleted."""
    now, count = core.clock().astimezone(UTC), 0
    for index, event in enumerate(await core.objects(kinds.EVENTS)):
        if is_expired(event, now):
            count += await _delete(core, event)
        if index % _SLICE == _SLICE - 1:
            await asyncio.sleep(0)
    return count


async def _delete(core: Core, event: Obj) -> bool:
    options = deletion.DeleteOptions(uid=uid_of(event))
    try:
        await deletion.delete_object(core, kinds.EVENTS, namespace_of(event), name_of(event), options)
    except StatusError as error:
        if error.code not in (404, 409):  # somebody else was quicker
            raise
        return False
    return True
