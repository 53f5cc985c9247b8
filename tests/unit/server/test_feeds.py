"""What the hub hands to its watchers: each gets all events of its prefix in order, once, however it takes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.server import feeds
from netsim.server.feeds import Batch, Subscription
from netsim.server.hub import Hub
from netsim.store.types import Event, Item

MAPS = "/registry/core/configmaps/"
PREFIXES = (MAPS, f"{MAPS}a/", f"{MAPS}b/", f"{MAPS}a/c1", "/registry/core/secrets/")
KEYS = (f"{MAPS}a/c1", f"{MAPS}a/c2", f"{MAPS}b/c1", "/registry/core/secrets/a/c1")
TURNS = 12
"""So often the loop turns at most until watchers are told of what is written."""


class FakeStore:
    """A store as the hub sees it, written to by the test."""

    revision, writing = 0, False

    def __init__(self) -> None:
        self._batches: asyncio.Queue[list[Event]] = asyncio.Queue()
        self.written: list[Event] = []

    async def watch(self, prefix: str, after: int) -> AsyncIterator[list[Event]]:
        while True:
            yield await self._batches.get()

    def write(self, *keys: str) -> None:
        batch = []
        for key in keys:
            self.revision += 1
            batch.append(Event("ADDED", key, self.revision, Item(key, b"{}", self.revision, self.revision), None))
        self.written += batch
        self._batches.put_nowait(batch)


async def turn() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


@dataclass
class Watcher:
    """A subscription and what it has taken; an `eager` one takes when it is woken."""

    subscription: Subscription
    eager: bool
    taken: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.eager:
            self.subscription.wake = self.take

    def take(self) -> None:
        self.taken += [frame.event.revision for frame in self.subscription.take_now()]

    def due(self, store: FakeStore) -> list[int]:
        prefix, after = self.subscription.feed.prefix, self.subscription.after
        return [e.revision for e in store.written if e.revision > after and e.key.startswith(prefix)]


STEPS = st.one_of(
    st.tuples(st.just("write"), st.lists(st.sampled_from(KEYS), min_size=1, max_size=3)),
    st.tuples(st.just("turn"), st.integers(1, TURNS)),
    st.tuples(st.just("watch"), st.tuples(st.sampled_from(PREFIXES), st.integers(-3, 2), st.booleans())),
    st.tuples(st.just("take"), st.integers(0, 20)),
    st.tuples(st.just("leave"), st.integers(0, 20)),
)


@given(st.lists(STEPS, max_size=40))
def test_nothing_is_lost_repeated_or_out_of_order(steps: list[tuple[str, object]]) -> None:
    asyncio.run(_play(steps))


async def _play(steps: list[tuple[str, object]]) -> None:
    store = FakeStore()
    hub = Hub(store)  # type: ignore[arg-type]
    await hub.start()
    watchers: list[Watcher] = []
    for step, what in steps:
        if step == "write":
            store.write(*what)  # type: ignore[misc]
        elif step == "turn":
            for _ in range(what):  # type: ignore[call-overload]
                await asyncio.sleep(0)
        elif step == "watch":
            prefix, later, eager = what  # type: ignore[misc]
            subscription = hub.subscribe(prefix, max(0, hub.revision + later))
            assert subscription is not None
            watchers.append(Watcher(subscription, eager))
        elif watchers:
            watcher = watchers[what % len(watchers)]  # type: ignore[operator]
            watcher.take()
            if step == "leave":
                hub.unsubscribe(watcher.subscription)
                hub.unsubscribe(watcher.subscription)
                watchers.remove(watcher)
        for watcher in watchers:  # what was taken is the beginning of what is due
            assert watcher.taken == watcher.due(store)[: len(watcher.taken)]
    async with asyncio.timeout(5):
        while hub.revision < store.revision:
            await asyncio.sleep(0)
    for watcher in watchers:
        watcher.take()
        assert watcher.taken == watcher.due(store)
    assert hub.watchers == len(watchers)
    await hub.close()


@pytest.fixture
async def hub() -> AsyncIterator[tuple[FakeStore, Hub]]:
    store = FakeStore()
    hub = Hub(store)  # type: ignore[arg-type]
    await hub.start()
    yield store, hub
    await hub.close()


def subscribe(hub: Hub, after: int = 0) -> Subscription:
    subscription = hub.subscribe(MAPS, after)
    assert subscription is not None
    return subscription


async def told(subscription: Subscription) -> Batch:
    async with asyncio.timeout(5):
        return await subscription.take()


async def test_watchers_of_a_prefix_share_a_batch_and_slow_ones_have_their_own(hub: tuple[FakeStore, Hub]) -> None:
    store, fan = hub
    quick, other, slow = (subscribe(fan) for _ in range(3))
    store.write(KEYS[0])
    assert await told(quick) is await told(other)
    store.write(KEYS[1])
    first = await told(quick)
    assert await told(other) is first
    assert len(first) == 1
    assert [frame.event.revision for frame in await told(slow)] == [1, 2]
    assert len(first) == 1  # nothing was put behind what others share


async def test_what_ends_gets_what_came_before_and_nothing_after(hub: tuple[FakeStore, Hub]) -> None:
    store, fan = hub
    subscription = subscribe(fan)
    store.write(KEYS[0])
    async with asyncio.timeout(5):
        while fan.revision < 1:
            await asyncio.sleep(0)
    fan.end_watches(MAPS)
    store.write(KEYS[0])
    await turn()
    assert subscription.closed
    assert [frame.event.revision for frame in await told(subscription)] == [1]


async def test_a_batch_that_is_too_large_cuts_off(hub: tuple[FakeStore, Hub], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "BACKLOG", 2)
    store, fan = hub
    subscription, late = subscribe(fan), subscribe(fan, 1)
    store.write(*KEYS[:3])
    assert (len(await told(subscription)), subscription.closed) == (3, True)
    assert (len(await told(late)), late.closed) == (2, False)
