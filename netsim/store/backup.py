"""Backups: one consistent state of a store in a file, and a store made from such a file.

A backup is a database of the SQLite store with the current items and no history; it fits either kind of store.
Restoring moves the revisions on, never back: a client that knows a later state than the backup's is told that its
revision is gone (410), not that nothing has happened since.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from netsim.store.database import Database, remove_database
from netsim.store.types import Item, Store, Unavailable

LEAP = 1_000_000
"""By how much revisions move on when nobody knows what was given out after the backup."""
_LIVE_ONLY = ("/registry/masterleases/", "/registry/ranges/", "/registry/.netsim-mark")
_SIDE_BY_SIDE = 16


def kept_items(items: Iterable[Item]) -> list[Item]:
    """What a backup contains: all but what running servers say of themselves."""
    return [item for item in items if not item.key.startswith(_LIVE_ONLY)]


async def take_backup(store: Store, path: Path) -> int:
    """Write a backup of a running store to a new file; returns its revision. Raises Unavailable."""
    await store.sync()
    page = await store.list("/")
    await asyncio.to_thread(write_backup, path, kept_items(page.items), page.revision)
    return page.revision


def write_backup(path: Path, items: Iterable[Item], revision: int) -> None:
    """Write a state to a new file of mode 0600, whole and on the disk, or not at all."""
    remove_database(path)
    database = Database(path)
    try:
        database.fill([(item.revision, item.key, item.value, item.created) for item in items], revision)
    except BaseException:
        database.close()
        remove_database(path)
        raise
    database.close()
    Path(f"{path}.lock").unlink()


def read_backup(path: Path) -> tuple[list[Item], int]:
    """Items and revision of a backup, which is only read. Raises Unavailable."""
    try:
        with open(path, "rb") as file:
            content = file.read()
        connection = sqlite3.connect(":memory:")
        try:
            connection.deserialize(content)
            rows = connection.execute("SELECT revision, key, value, created FROM log ORDER BY key").fetchall()
            floor: int = connection.execute("SELECT floor FROM history").fetchone()[0]
        finally:
            connection.close()
    except (OSError, sqlite3.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise Unavailable(f"{path}: cannot be read as a backup: {reason}") from error
    return [Item(key, value, revision, created) for revision, key, value, created in rows], floor


def restore_file(backup: Path, target: Path) -> int:
    """Make (or replace) a SQLite store from a backup, whole or not at all; returns its revision. Raises Unavailable,
    also when a server has the store open; none can open it meanwhile."""
    items, revision = read_backup(backup)
    fresh = target.with_name(f"{target.name}.restore")
    present = Database(target)
    try:
        floor, _, events = present.load()
        revision = max(revision + LEAP, floor + len(events) + 1)
        write_backup(fresh, items, revision)
    except BaseException:
        present.close()
        raise
    present.replace(fresh)
    return revision


async def restore_store(backup: Path, store: Store) -> int:
    """Write a backup's state into an open store that no server works on: what is not in it is deleted, what differs is
    changed. Run again after an interruption, it goes on. Returns the store's revision. Raises StoreError."""
    wanted = {item.key: item.value for item in (await asyncio.to_thread(read_backup, backup))[0]}
    present = {item.key: item for item in (await store.list("/")).items}
    keys = [*present, *(key for key in wanted if key not in present)]
    for start in range(0, len(keys), _SIDE_BY_SIDE):
        chosen = keys[start : start + _SIDE_BY_SIDE]
        await asyncio.gather(*(_put(store, key, wanted.get(key), present.get(key)) for key in chosen))
    return store.revision


async def _put(store: Store, key: str, value: bytes | None, item: Item | None) -> None:
    if item is None:
        if value is not None:
            await store.create(key, value)
    elif value is None:
        await store.delete(key, item.revision)
    elif value != item.value:
        await store.update(key, value, item.revision)
