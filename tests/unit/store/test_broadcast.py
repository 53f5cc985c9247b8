from __future__ import annotations

import asyncio
import gc

import pytest

from netsim.store.broadcast import Broadcaster, Watcher
from netsim.store.types import Compacted, Event, Item, Unavailable


def event(key: str, revision: int) -> Event:
    return Event("ADDED", key, revision, Item(key, b"", revision, revision), None)


async def test_only_the_prefix_is_delivered_in_batches() -> None:
    broadcaster, watcher = Broadcaster(), Watcher([event("/p/0", 1)], 10, 0)
    broadcaster.add("/p/", watcher)
    broadcaster.publish([event("/p/a", 2), event("/q/a", 3)], 0)
    broadcaster.publish([event("/q/b", 4)], 0)
    broadcaster.publish([event("/p/b", 5)], 0)
    assert [e.revision for e in await anext(watcher)] == [1, 2, 5]


async def test_waiting_watcher_is_woken() -> None:
    broadcaster, watcher = Broadcaster(), Watcher([], 10, 0)
    broadcaster.add("/p/", watcher)
    task = asyncio.ensure_future(anext(watcher))
    await asyncio.sleep(0)
    broadcaster.publish([event("/p/a", 2)], 0)
    assert [e.revision for e in await asyncio.wait_for(task, 5)] == [2]


async def test_cancelled_wait_loses_nothing() -> None:
    broadcaster, watcher = Broadcaster(), Watcher([], 10, 0)
    broadcaster.add("/p/", watcher)
    task = asyncio.ensure_future(anext(watcher))
    await asyncio.sleep(0)
    broadcaster.publish([event("/p/a", 2)], 0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    broadcaster.publish([event("/p/b", 3)], 0)
    assert [e.revision for e in await asyncio.wait_for(anext(watcher), 5)] == [2, 3]


async def test_watcher_that_falls_behind_is_cut_off() -> None:
    broadcaster, watcher = Broadcaster(), Watcher([], 2, 0)
    broadcaster.add("/p/", watcher)
    for revision in range(1, 5):
        broadcaster.publish([event("/p/a", revision)], 0)
    with pytest.raises(Compacted):
        await anext(watcher)
    assert not broadcaster._watchers, "a watcher that was cut off is forgotten"


async def test_dropped_and_closed_watchers_are_forgotten() -> None:
    broadcaster, kept = Broadcaster(), Watcher([], 2, 0)
    broadcaster.add("/p/", kept)
    broadcaster.add("/q/", Watcher([], 2, 0))
    gc.collect()
    await kept.aclose()
    broadcaster.publish([event("/p/a", 1)], 0)
    assert not broadcaster._watchers
    with pytest.raises(Unavailable):
        await anext(kept)
