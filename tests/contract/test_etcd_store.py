"""What only a store with other writers, and with a server of its own that may go away, has to do."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from netsim.store import etcd_mirror
from netsim.store.etcd import EtcdStore
from netsim.store.etcd_client import EtcdLost
from netsim.store.etcd_config import EtcdConfig
from netsim.store.types import Compacted, Item, KeyExists, RevisionMismatch, Unavailable
from support.etcds import Etcd

PODS = "/registry/core/pods/"


@pytest.fixture
async def two(etcd: Etcd, tmp_path: Path) -> AsyncIterator[tuple[EtcdStore, EtcdStore]]:
    """Two servers' stores on the same keys."""
    config = EtcdConfig((etcd.url,), root=f"/{tmp_path.name}")
    one, other = await EtcdStore.open(config), await EtcdStore.open(config)
    yield one, other
    await one.close()
    await other.close()


async def test_an_acknowledged_write_is_seen_by_the_other_server_after_sync(two: tuple[EtcdStore, EtcdStore]) -> None:
    one, other = two
    for n in range(50):
        item = await one.create(f"{PODS}{n}", b"")
        assert await other.sync(item.revision - 1)
        assert await other.get(item.key) == item
        assert not await other.sync(other.revision)


async def test_other_writers_keys_do_not_hold_up_a_sync(etcd: Etcd, tmp_path: Path, two: Any) -> None:
    one, other = two
    stranger = await EtcdStore.open(EtcdConfig((etcd.url,), root=f"/{tmp_path.name}-stranger"))
    await stranger.create(PODS + "theirs", b"")
    await asyncio.gather(*(store.sync() for store in two for _ in range(20)))
    assert one.revision >= stranger.revision
    assert (await other.list(PODS)).items == []
    assert (await one.create(PODS + "ours", b"")).revision > stranger.revision
    await stranger.close()


async def test_one_of_two_writers_wins_and_the_loser_sees_why(two: tuple[EtcdStore, EtcdStore]) -> None:
    one, other = two
    outcomes = await asyncio.gather(*(s.create(PODS + "x", b"") for s in two for _ in range(5)), return_exceptions=True)
    made = next(outcome for outcome in outcomes if isinstance(outcome, Item))
    assert [isinstance(outcome, KeyExists) for outcome in outcomes].count(True) == 9
    changed = await one.update(made.key, b"1", made.revision)
    with pytest.raises(RevisionMismatch) as mismatch:
        await other.update(made.key, b"2", made.revision)
    assert mismatch.value.current == changed == await other.get(made.key)
    await other.delete(made.key, changed.revision)
    with pytest.raises(RevisionMismatch):
        await one.update(made.key, b"3", changed.revision)
    assert await one.get(made.key) is None


async def test_watchers_of_both_see_the_same(two: tuple[EtcdStore, EtcdStore], take: Any) -> None:
    watches = [store.watch(PODS, store.revision) for store in two]

    async def write(store: EtcdStore, name: str) -> None:
        for n in range(30):
            item = await store.create(f"{PODS}{name}-{n}", b"1")
            item = await store.update(item.key, b"2", item.revision)
            if n % 2:
                await store.delete(item.key, item.revision)

    await asyncio.gather(*(write(store, f"{n}{m}") for n, store in enumerate(two) for m in range(3)))
    seen = [await take(watch, 6 * 75) for watch in watches]
    assert seen[0] == seen[1]
    assert [event.revision for event in seen[0]] == sorted({event.revision for event in seen[0]})


@pytest.fixture
def own_etcd(tmp_path: Path) -> Any:
    etcd = Etcd(tmp_path, ["--unsafe-no-fsync"])
    etcd.start()
    yield etcd
    etcd.stop()


async def test_etcd_killed_and_started_again(own_etcd: Etcd, take: Any) -> None:
    store = await EtcdStore.open(EtcdConfig((own_etcd.url,)), patience=0.3)
    watch = store.watch(PODS, store.revision)
    before = await store.create(PODS + "before", b"")
    own_etcd.stop(signal.SIGTERM)
    with pytest.raises(Unavailable, match="does not answer"):
        await store.create(PODS + "lost", b"")
    with pytest.raises(Unavailable):
        await store.sync()
    assert await store.get(before.key) == before
    await asyncio.to_thread(own_etcd.start)
    after = await until_written(store, PODS + "after")
    assert [event.item for event in await take(watch, 2)] == [before, after]
    await store.close()


async def until_written(store: EtcdStore, key: str) -> Item:
    async with asyncio.timeout(20):
        while True:
            try:
                return await store.create(key, b"")
            except Unavailable:
                await asyncio.sleep(0.02)


async def test_history_compacted_while_etcd_could_not_be_reached(
    own_etcd: Etcd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mirror starts anew, though not at the first attempt; watchers are told that events are missing."""
    config = EtcdConfig((own_etcd.url,))
    store, other = await EtcdStore.open(config, patience=5), await EtcdStore.open(config, patience=5)
    made = await store.create(PODS + "x", b"1")
    watch = store.watch(PODS, store.revision)
    assert store._mirror._task is not None
    store._mirror._task.cancel()  # as cut off, for as long as the other goes on
    await asyncio.gather(store._mirror._task, return_exceptions=True)
    changed = await other.update(made.key, b"2", made.revision)
    await other.create(PODS + "y", b"")
    await other.compact(other.revision)
    read, failures = etcd_mirror.items_at, [EtcdLost("etcd: gone again")]

    async def interrupted(*asked: Any) -> dict[str, Item]:
        if failures:
            raise failures.pop()
        return await read(*asked)

    monkeypatch.setattr(etcd_mirror, "items_at", interrupted)
    store._mirror._task = asyncio.ensure_future(store._mirror._follow())
    with pytest.raises(Compacted):
        await asyncio.wait_for(anext(watch), 10)
    assert await store.get(made.key) == changed
    assert len((await store.list(PODS)).items) == 2
    assert (await store.create(PODS + "z", b"")).revision == store.revision
    await store.close()
    await other.close()


async def test_nobody_there_is_said_clearly() -> None:
    with pytest.raises(Unavailable, match=r"etcd at http://127.0.0.1:1 does not answer"):
        await EtcdStore.open(EtcdConfig(("http://127.0.0.1:1",)), patience=0)


async def test_a_dead_endpoint_is_passed_over(etcd: Etcd, tmp_path: Path) -> None:
    store = await EtcdStore.open(EtcdConfig(("http://127.0.0.1:1", etcd.url), root=f"/{tmp_path.name}"))
    await store.create(PODS + "x", b"")
    await store.close()
