from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from netsim.store.etcd import EtcdStore
from netsim.store.etcd_config import EtcdConfig
from netsim.store.sqlite import SqliteStore
from netsim.store.types import Event, Store
from support.etcds import Etcd

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


class OpenedEtcd(Opened):
    """The same on etcd: a part of the keyspace of its own for every test. `etcd` is the process."""

    def __init__(self, path: Path, etcd: Etcd) -> None:
        super().__init__(path)
        self.config = EtcdConfig((etcd.url,), root=f"/{path.name}")

    async def __call__(self, **options: int) -> Store:
        store = await EtcdStore.open(self.config, **options)
        self._stores.append(store)
        return store


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    """One etcd for all tests that do not stop it."""
    etcd = Etcd(tmp_path_factory.mktemp("etcd"), ["--unsafe-no-fsync"])
    try:
        etcd.start()
        yield etcd
    finally:
        etcd.stop()


IMPLEMENTATIONS = ("etcd", "sqlite")


@pytest.fixture(params=IMPLEMENTATIONS)
async def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opened]:
    if request.param == "etcd":
        opened: Opened = OpenedEtcd(tmp_path, request.getfixturevalue("etcd"))
    else:
        opened = Opened(tmp_path)
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
