from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from netsim.store.sqlite import SqliteStore
from netsim.store.types import Event, Store

Opener = Callable[..., Awaitable[Store]]


class Opened:
    """Opens the store under test as often as a test likes, and closes whatever is left open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stores: list[Store] = []

    async def __call__(self, **options: int) -> Store:
        store = await SqliteStore.open(self.path / "store.db", **options)
        self._stores.append(store)
        return store

    async def close(self) -> None:
        for store in self._stores:
            await store.close()


# One row an implementation; a row is a class with __call__(history=, watch_queue=) -> Store and close().
IMPLEMENTATIONS = {"sqlite": Opened}


@pytest.fixture(params=sorted(IMPLEMENTATIONS))
async def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opened]:
    opened = IMPLEMENTATIONS[request.param](tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
async def store(open_store: Opened) -> Store:
    return await open_store()


async def take(batches: AsyncIterator[list[Event]], count: int) -> list[Event]:
    """The next `count` events of a watch."""
    events: list[Event] = []
    async with asyncio.timeout(10):
        while len(events) < count:
            events += await anext(batches)
    return events


@pytest.fixture(name="take")
def take_fixture() -> Callable[[AsyncIterator[list[Event]], int], Awaitable[list[Event]]]:
    return take
