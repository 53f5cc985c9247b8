"""Failures of the process and of the disk under the SQLite store."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from netsim.store.sqlite import SqliteStore
from netsim.store.types import Unavailable

ROUNDS = 20
WRITER = """
import asyncio, sys
from netsim.store.sqlite import SqliteStore

async def write(store, name):
    item = None
    for n in range(1_000_000):
        key = f"/registry/core/pods/{name}-{n % 7}"
        found = await store.get(key)
        if found is None:
            revision = (await store.create(key, b"%d" % n)).revision
        elif n % 5 == 0:
            revision = await store.delete(key, found.revision)
        else:
            revision = (await store.update(key, b"%d" % n, found.revision)).revision
        state = await store.get(key)
        print(f"{revision} {key} {state.value.decode() if n % 5 or found is None else '-'}", flush=True)

async def main():
    store = await SqliteStore.open(sys.argv[1], history=200)
    await asyncio.gather(*(write(store, f"{sys.argv[2]}w{n}") for n in range(8)))

asyncio.run(main())
"""


def run_until_killed(path: Path, round_: int, after: float) -> list[tuple[int, str, str]]:
    """Writes that a child acknowledged until it was killed `after` seconds past its first acknowledgement."""
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(round_ % 3)], stdout=subprocess.PIPE, env=dict(os.environ)
    )
    assert child.stdout is not None
    try:
        first = child.stdout.readline()
        assert first, "the writer died by itself"
        time.sleep(after)
    finally:
        child.send_signal(signal.SIGKILL)
        rest = child.stdout.read()
        child.stdout.close()
        child.wait(10)
    lines = (first + rest).decode().splitlines(keepends=True)
    return [(int(r), k, v) for r, k, v in (line.split() for line in lines if line.endswith("\n"))]


@pytest.mark.timeout(120)
async def test_kill_9_loses_no_acknowledged_write(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    rng = random.Random()
    newest = 0
    for round_ in range(ROUNDS):
        acknowledged = await asyncio.to_thread(run_until_killed, path, round_, rng.uniform(0, 0.15))
        store = await SqliteStore.open(path, history=200)
        try:
            newest = await check(store, acknowledged, newest)
        finally:
            await store.close()


async def check(store: SqliteStore, acknowledged: list[tuple[int, str, str]], before: int) -> int:
    revisions = [revision for revision, _, _ in acknowledged]
    assert len(set(revisions)) == len(revisions)
    # Writers are eight: that many writes at most were durable when killed without having been told.
    assert max(revisions) <= store.revision <= max(revisions) + 8
    assert min(revisions) > before
    told = set(revisions)
    assert len(set(range(before + 1, store.revision + 1)) - told) <= 8
    latest = {key: (revision, value) for revision, key, value in sorted(acknowledged)}
    floor = max(store.revision - 200, 0)
    events = await anext(store.watch("/", floor))
    assert [event.revision for event in events] == list(range(floor + 1, store.revision + 1))
    unacknowledged = {event.key for event in events if event.revision not in told}
    for key, (revision, value) in latest.items():
        item = await store.get(key)
        if key in unacknowledged:
            continue
        assert (item is None) == (value == "-")
        if item is not None:
            assert (item.revision, item.value.decode()) == (revision, value)
    return store.revision


FULL_DISK = """
import asyncio, resource, signal, sys
from netsim.store.sqlite import SqliteStore
from netsim.store.types import Unavailable

async def main():
    store = await SqliteStore.open(sys.argv[1])
    watch = store.watch("/", 0)
    first = await store.create("/a", b"1")
    await anext(watch)
    # What a full disk does to a write, without filling one.
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    failures = 0
    for n in range(10):
        results = await asyncio.gather(
            *(store.create(f"/big-{n}-{k}", b"x" * 20_000) for k in range(5)), return_exceptions=True
        )
        failures += sum(isinstance(result, Unavailable) for result in results)
        assert all(isinstance(result, Unavailable) or store.revision >= result.revision for result in results), results
    assert failures, "the limit did not bite"
    revision = store.revision
    assert len((await store.list("/")).items) == revision, "revisions and items must agree: nothing was deleted"
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    after = await store.create("/after", b"2")
    assert after.revision == revision + 1
    seen = []
    while not seen or seen[-1].revision < after.revision:
        seen += await anext(watch)
    assert [event.revision for event in seen] == list(range(2, after.revision + 1))
    await store.close()
    store = await SqliteStore.open(sys.argv[1])
    assert (store.revision, await store.get("/a"), await store.get("/after")) == (after.revision, first, after)
    await store.close()
    print("ok", failures)

asyncio.run(main())
"""


async def test_full_disk_is_unavailable_and_changes_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "store.db")]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.startswith(b"ok")


async def test_missing_directory_names_the_mend(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="directory must exist"):
        await SqliteStore.open(tmp_path / "nowhere" / "store.db")


async def test_foreign_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"not a database at all" * 1000)
    with pytest.raises(Unavailable, match="cannot be used"):
        await SqliteStore.open(path)
    assert path.read_bytes() == b"not a database at all" * 1000


async def test_files_are_private(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "store.db")
    await store.create("/a", b"1")
    modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    await store.close()
    assert modes
    assert set(modes.values()) == {0o600}, modes


async def test_defragmentation_shrinks_the_file(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "store.db")
    items = [await store.create(f"/{n}", b"x" * 100_000) for n in range(60)]
    for item in items[1:]:
        await store.delete(item.key, item.revision)
    await store.compact(store.revision)
    before = (tmp_path / "store.db").stat().st_size
    await store.defragment()
    assert (tmp_path / "store.db").stat().st_size < before / 4
    assert (await store.list("/")).items == items[:1]
    await store.close()


async def test_superseded_versions_leave_the_file(tmp_path: Path) -> None:
    import sqlite3

    store = await SqliteStore.open(tmp_path / "store.db", history=50)
    item = await store.create("/a", b"0")
    for n in range(500):
        item = await store.update("/a", b"%d" % n, item.revision)
    await store.compact(store.revision - 50)
    await store.close()
    with sqlite3.connect(tmp_path / "store.db") as connection:
        count = connection.execute("SELECT count(*) FROM log").fetchone()[0]
    connection.close()
    assert count == 51
