"""What every implementation of netsim.store.types.Store must do."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from netsim.store.types import Compacted, Item, KeyExists, RevisionMismatch, Store, StoreError, Unavailable

PODS = "/registry/core/pods/"


async def nothing_comes(batches: Any) -> bool:
    """Whether a watch stays silent while a later write on the same store is made visible."""
    task = asyncio.ensure_future(anext(batches))
    await asyncio.wait([task], timeout=0.05)
    silent = not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return silent


async def test_create_get_update_delete(store: Store) -> None:
    made = await store.create(PODS + "a/x", b"1")
    assert made == Item(PODS + "a/x", b"1", made.revision, made.revision)
    assert await store.get(PODS + "a/x") == made
    changed = await store.update(PODS + "a/x", b"2", made.revision)
    assert changed == Item(PODS + "a/x", b"2", made.revision + 1, made.created)
    gone = await store.delete(PODS + "a/x", changed.revision)
    assert gone == changed.revision + 1 == store.revision
    assert await store.get(PODS + "a/x") is None
    assert (await store.create(PODS + "a/x", b"3")).created == gone + 1


async def test_refused_writes_change_nothing(store: Store) -> None:
    made = await store.create(PODS + "x", b"1")
    with pytest.raises(KeyExists):
        await store.create(PODS + "x", b"2")
    with pytest.raises(RevisionMismatch) as mismatch:
        await store.update(PODS + "x", b"2", made.revision + 7)
    assert mismatch.value.current == made
    with pytest.raises(RevisionMismatch) as mismatch:
        await store.delete(PODS + "y", 3)
    assert mismatch.value.current is None
    with pytest.raises(StoreError):
        await store.update(PODS + "x", b"2", 0)
    assert store.revision == made.revision
    assert await store.get(PODS + "x") == made


async def test_concurrent_writers_are_judged_in_order(store: Store) -> None:
    made = await store.create(PODS + "x", b"0")
    outcomes = await asyncio.gather(
        *(store.update(PODS + "x", b"%d" % n, made.revision) for n in range(20)), return_exceptions=True
    )
    winners = [outcome for outcome in outcomes if isinstance(outcome, Item)]
    losers = [outcome for outcome in outcomes if isinstance(outcome, RevisionMismatch)]
    assert (len(winners), len(losers)) == (1, 19)
    assert await store.get(PODS + "x") == winners[0]
    assert all(loser.current == winners[0] for loser in losers)


async def test_create_and_delete_of_one_key_in_one_burst(store: Store) -> None:
    first = store.revision
    created, refused, deleted = await asyncio.gather(
        store.create(PODS + "x", b"1"),
        store.create(PODS + "x", b"2"),
        store.delete(PODS + "x", first + 1),
        return_exceptions=True,
    )
    assert isinstance(created, Item)
    assert isinstance(refused, KeyExists)
    assert deleted == first + 2
    assert await store.get(PODS + "x") is None


async def test_list_is_sorted_bounded_by_prefix_and_limit(store: Store) -> None:
    for key in ("b/2", "a/1", "b/1", "c/1", "b0"):
        await store.create(PODS + key, b"")
    await store.create("/registry/core/podsx/a", b"")
    page = await store.list(PODS + "b/")
    assert [item.key for item in page.items] == [PODS + "b/1", PODS + "b/2"]
    page = await store.list(PODS, limit=2)
    assert [item.key.removeprefix(PODS) for item in page.items] == ["a/1", "b/1"]
    assert (page.remaining, page.revision) == (3, store.revision)
    page = await store.list(PODS, start=PODS + "b/2")
    assert [item.key.removeprefix(PODS) for item in page.items] == ["b/2", "b0", "c/1"]
    assert (await store.list("/nothing/")).items == []


async def test_list_at_a_revision_is_that_state(store: Store) -> None:
    rng = random.Random(7)
    states: dict[int, dict[str, Item]] = {store.revision: {}}
    for _ in range(200):
        present = dict(states[store.revision])
        key = PODS + rng.choice("abcdef")
        if key not in present:
            present[key] = await store.create(key, b"%d" % rng.random().__hash__())
        elif rng.random() < 0.4:
            await store.delete(key, present.pop(key).revision)
        else:
            present[key] = await store.update(key, b"u", present[key].revision)
        states[store.revision] = present
    for revision, state in states.items():
        if revision:
            page = await store.list(PODS, revision=revision)
            assert ({item.key: item for item in page.items}, page.revision) == (state, revision)
    with pytest.raises(StoreError):
        await store.list(PODS, revision=store.revision + 1)


async def test_watch_gets_every_event_in_order_without_gap(store: Store, take: Any) -> None:
    watch = store.watch(PODS, store.revision)
    first = await store.create(PODS + "x", b"1")
    await store.create("/registry/core/nodes/n", b"")
    second = await store.update(PODS + "x", b"2", first.revision)
    gone = await store.delete(PODS + "x", second.revision)
    events = await take(watch, 3)
    assert [(e.type, e.revision) for e in events] == [
        ("ADDED", first.revision),
        ("MODIFIED", second.revision),
        ("DELETED", gone),
    ]
    assert [(e.item, e.previous) for e in events] == [(first, None), (second, first), (None, second)]


async def test_watch_starts_exactly_after_the_revision(store: Store, take: Any) -> None:
    items = [await store.create(PODS + str(n), b"") for n in range(10)]
    watch = store.watch(PODS, items[4].revision)
    await store.create(PODS + "z", b"")
    assert [e.key.removeprefix(PODS) for e in await take(watch, 6)] == ["5", "6", "7", "8", "9", "z"]


async def test_watch_subscribes_at_the_call(store: Store, take: Any) -> None:
    watch = store.watch(PODS, store.revision)
    await asyncio.gather(*(store.create(PODS + str(n), b"") for n in range(50)))
    events = await take(watch, 50)
    assert [e.revision for e in events] == list(range(events[0].revision, events[0].revision + 50))
    assert await nothing_comes(watch)


async def test_watch_from_the_future_gets_only_later_events(store: Store, take: Any) -> None:
    watch = store.watch(PODS, store.revision + 2)
    items = [await store.create(PODS + str(n), b"") for n in range(4)]
    assert [e.revision for e in await take(watch, 2)] == [items[2].revision, items[3].revision]


async def test_watchers_see_only_what_readers_see(store: Store) -> None:
    watch = store.watch(PODS, store.revision)

    async def follow() -> None:
        async for events in watch:
            for event in events:
                assert store.revision >= event.revision
                if event.item is not None:
                    page = await store.list(event.key, revision=event.revision)
                    assert page.items == [event.item]
            if events[-1].key.endswith("last"):
                return

    task = asyncio.ensure_future(follow())
    await asyncio.gather(*(store.create(f"{PODS}{n:03d}", b"") for n in range(100)))
    await store.create(PODS + "last", b"")
    await asyncio.wait_for(task, 10)


async def test_many_watchers_and_writers_agree(store: Store, take: Any) -> None:
    start = store.revision
    watches = [store.watch(PODS, start) for _ in range(10)]

    async def write(writer: int) -> None:
        for n in range(20):
            item = await store.create(f"{PODS}{writer}-{n}", b"")
            if n % 3 == 0:
                await store.delete(item.key, item.revision)

    await asyncio.gather(*(write(writer) for writer in range(8)))
    seen = [[e.revision for e in await take(watch, 8 * 27)] for watch in watches]
    assert seen[0] == list(range(start + 1, start + 8 * 27 + 1))
    assert all(revisions == seen[0] for revisions in seen)


async def test_compacted_history_is_refused(store: Store) -> None:
    items = [await store.create(PODS + str(n), b"") for n in range(10)]
    floor = items[5].revision
    await store.compact(floor)
    with pytest.raises(Compacted) as compacted:
        await anext(store.watch(PODS, floor - 1))
    assert compacted.value.oldest == floor
    with pytest.raises(Compacted):
        await store.list(PODS, revision=floor - 1)
    assert len((await store.list(PODS, revision=floor)).items) == 6
    events = await anext(store.watch(PODS, floor))
    assert [e.revision for e in events] == [item.revision for item in items[6:]]
    await store.compact(floor - 2)
    assert len((await store.list(PODS)).items) == 10


async def test_slow_watcher_is_cut_off_and_others_go_on(open_store: Any, take: Any) -> None:
    store = await open_store(watch_queue=10)
    slow, quick = store.watch(PODS, store.revision), store.watch(PODS, store.revision)
    for n in range(11):
        await store.create(PODS + str(n), b"")
        assert len(await take(quick, 1)) == 1
    with pytest.raises(Compacted):
        await anext(slow)


async def test_history_is_bounded(open_store: Any) -> None:
    store = await open_store(history=100)
    for n in range(50):
        await asyncio.gather(*(store.create(f"{PODS}{n}-{k}", b"") for k in range(10)))
    with pytest.raises(Compacted):
        await anext(store.watch(PODS, 1))
    assert len(await anext(store.watch(PODS, store.revision - 100))) == 100


async def test_reopened_store_goes_on_where_it_stopped(open_store: Any, take: Any) -> None:
    store = await open_store()
    start = store.revision
    kept = await store.create(PODS + "kept", b"1")
    kept = await store.update(PODS + "kept", b"2", kept.revision)
    gone = await store.create(PODS + "gone", b"3")
    last = await store.delete(PODS + "gone", gone.revision)
    before = await take(store.watch(PODS, start), 4)
    await store.close()
    store = await open_store()
    assert store.revision == last
    assert (await store.list(PODS)).items == [kept]
    assert await take(store.watch(PODS, start), 4) == before
    assert (await store.create(PODS + "gone", b"4")).revision == last + 1


async def test_compaction_survives_reopening(open_store: Any) -> None:
    store = await open_store()
    item = await store.create(PODS + "x", b"0")
    for n in range(20):
        item = await store.update(PODS + "x", b"%d" % n, item.revision)
    last = await store.delete(PODS + "x", item.revision)
    other = await store.create(PODS + "y", b"")
    other_gone = await store.delete(PODS + "y", other.revision)
    await store.compact(store.revision)
    await store.close()
    store = await open_store()
    # Every version is gone from the database, the revision counter is not.
    assert store.revision == other_gone > last
    assert (await store.list("/")).items == []
    with pytest.raises(Compacted):
        await anext(store.watch(PODS, last))
    assert (await store.create(PODS + "x", b"")).revision == other_gone + 1


@pytest.mark.parametrize("open_store", ["sqlite"], indirect=True)
async def test_second_opener_is_refused(open_store: Any) -> None:
    store = await open_store()
    with pytest.raises(Unavailable, match="in use by process"):
        await open_store()
    await store.create(PODS + "x", b"")
    await store.close()
    assert (await open_store()).revision == 1


async def test_closed_store_refuses_and_ends_watches(store: Store) -> None:
    start = store.revision
    watch = store.watch(PODS, start)
    pending = [asyncio.ensure_future(store.create(PODS + str(n), b"")) for n in range(5)]
    await asyncio.sleep(0)
    await store.close()
    written = sorted(item.revision for item in await asyncio.gather(*pending))
    assert written == list(range(start + 1, start + 6))
    with pytest.raises(Unavailable):
        await store.create(PODS + "x", b"")
    with pytest.raises(Unavailable):
        async for _ in watch:
            continue


async def test_cancelled_writer_does_not_disturb_the_others(store: Store) -> None:
    tasks = [asyncio.ensure_future(store.create(PODS + str(n), b"")) for n in range(10)]
    await asyncio.sleep(0)
    tasks[3].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    revisions = [task.result().revision for n, task in enumerate(tasks) if n != 3]
    assert len(set(revisions)) == 9
    assert (await store.create(PODS + "z", b"")).revision == store.revision


async def test_nobody_is_disturbed_by_defragmentation(store: Store) -> None:
    items = [await store.create(PODS + str(n), b"x" * 1000) for n in range(10)]
    await asyncio.gather(store.defragment(), store.update(PODS + "0", b"y", items[0].revision))
    assert len((await store.list(PODS)).items) == 10
