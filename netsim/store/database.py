"""The SQLite file: one append-only table of versions. Synchronous; used by one thread at a time.

A row is one version of a key (`value` NULL: its deletion). A version is deleted once it has been superseded and its
successor has left the history, so the rows are the current items plus what the history refers to. WAL with
synchronous=FULL: a returned `append` is on the disk.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import sqlite3
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from netsim.store.types import Event, Item, Unavailable

log = logging.getLogger(__name__)

APPLICATION_ID = 0x6E657473
FORMAT = 1
_WASTE = 1 << 20
_LOG_SIZE = 4_200_000
"""Bytes of the WAL: SQLite writes it from its beginning again after 1,000 pages and what the last commit has more."""
_STATEMENTS = 4
"""Kept ones hold copies of their last values, and there is one for each size of batch."""
_SCHEMA = """
CREATE TABLE log (revision INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB, created INTEGER NOT NULL) STRICT;
CREATE TABLE history (floor INTEGER NOT NULL) STRICT;
INSERT INTO history VALUES (0);
"""

Row = tuple[int, str, bytes | None, int]


def row_of(event: Event) -> Row:
    """The row that records an event."""
    if event.item is None:
        return event.revision, event.key, None, event.previous.created if event.previous else event.revision
    return event.revision, event.key, event.item.value, event.item.created


@lru_cache(maxsize=64)
def _insert(count: int) -> str:
    return "INSERT INTO log VALUES " + ",".join(["(?,?,?,?)"] * count)


class Database:
    """An exclusively locked database file. Every failure raises Unavailable and leaves the content unchanged."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = _lock(path)
        try:
            self._connection = self._open()
        except BaseException:
            os.close(self._lock)
            raise

    def _open(self) -> sqlite3.Connection:
        try:
            # Created here for its mode: the content includes Secrets. The WAL inherits it.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            connection = sqlite3.connect(
                self._path, isolation_level=None, check_same_thread=False, cached_statements=_STATEMENTS
            )
        except (OSError, sqlite3.Error) as error:
            raise Unavailable(f"{self._path}: cannot be opened: {error}") from error
        try:
            self._prepare(connection)
        except BaseException as error:
            connection.close()
            if isinstance(error, sqlite3.Error):
                raise Unavailable(f"{self._path}: cannot be used as a database: {error}") from error
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        application, version = (
            connection.execute(f"PRAGMA {p}").fetchone()[0] for p in ("application_id", "user_version")
        )
        if (application, version) == (0, 0):
            connection.executescript(
                f"BEGIN; {_SCHEMA} PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={FORMAT}; COMMIT;"
            )
        elif (application, version) != (APPLICATION_ID, FORMAT):
            raise Unavailable(
                f"{self._path}: is not a netsim store of format {FORMAT} (found {application:#x}/{version})"
            )

    def load(self) -> tuple[int, dict[str, Item], list[Event]]:
        """The history's floor, the current items, and the events after the floor. Writes are quick from now on."""
        self._grow_log()
        try:
            floor: int = self._connection.execute("SELECT floor FROM history").fetchone()[0]
            rows: Iterator[Row] = self._connection.execute("SELECT * FROM log ORDER BY revision")
            items, events = replay(rows, floor)
        except sqlite3.Error as error:
            raise Unavailable(f"{self._path}: cannot be read: {error}") from error
        expected = range(floor + 1, floor + 1 + len(events))
        if [event.revision for event in events] != list(expected):
            mend = "move the file away and begin with --restore BACKUP"
            raise Unavailable(f"{self._path}: revisions are missing after {floor}; {mend}")
        return floor, items, events

    def append(self, rows: Sequence[Row]) -> None:
        """Write versions in one transaction and one fsync."""
        # One statement is one transaction, and one release of the interpreter's lock for parsing, writing and syncing.
        values = [value for row in rows for value in row]
        try:
            self._connection.execute(_insert(len(rows)), values)
        except sqlite3.Error as error:
            self._check_unchanged(rows[0][0])
            raise Unavailable(f"{self._path}: the write failed, nothing was changed: {error}") from error

    def _check_unchanged(self, revision: int) -> None:
        """After a failed write, prove that its first revision is not there."""
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            found = self._connection.execute("SELECT 1 FROM log WHERE revision >= ?", (revision,)).fetchone()
        except sqlite3.Error as error:
            raise BrokenDatabase(f"{self._path}: the state after a failed write is unknown: {error}") from error
        if found:
            raise BrokenDatabase(f"{self._path}: a failed write left revision {revision} behind")

    def trim(self, floor: int, garbage: Sequence[int]) -> None:
        """Raise the history's floor and delete the versions that it alone kept."""
        try:
            with _transaction(self._connection):
                self._connection.execute(
                    "DELETE FROM log WHERE revision IN (SELECT value FROM json_each(?))", (json.dumps(garbage),)
                )
                self._connection.execute("UPDATE history SET floor = ?", (floor,))
        except sqlite3.Error as error:
            raise Unavailable(f"{self._path}: the history could not be trimmed: {error}") from error

    def fill(self, rows: Sequence[Row], floor: int) -> None:
        """Write a whole state into an empty database, which becomes one file that is on the disk."""
        try:
            with _transaction(self._connection):
                self._connection.executemany("INSERT INTO log VALUES (?,?,?,?)", rows)
                self._connection.execute("UPDATE history SET floor = ?", (floor,))
            self._connection.execute("PRAGMA journal_mode=DELETE")
        except sqlite3.Error as error:
            raise Unavailable(f"{self._path}: could not be written: {error}") from error

    def defragment(self) -> None:
        """Write the file anew when at least half of it, and `_WASTE` bytes, are free."""
        try:
            free, pages, size = (
                int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])
                for name in ("freelist_count", "page_count", "page_size")
            )
            if free * size >= _WASTE and 2 * free >= pages:
                self._connection.execute("VACUUM")
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                self._grow_log()
        except sqlite3.Error as error:
            raise Unavailable(f"{self._path}: could not be defragmented: {error}") from error

    def _grow_log(self) -> None:
        """Give the WAL its full size: a commit that makes the file longer waits for the file system's journal too,
        which takes as long again. SQLite takes zeros for the end of the log."""
        try:
            descriptor = os.open(self._path.with_name(self._path.name + "-wal"), os.O_WRONLY | os.O_CLOEXEC)
        except OSError as error:
            raise Unavailable(f"{self._path}: its log cannot be opened: {error.strerror}") from error
        try:
            size = os.fstat(descriptor).st_size
            _write_zeros(descriptor, size, _LOG_SIZE - size)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        try:
            self._connection.close()
        finally:
            os.close(self._lock)

    def replace(self, other: Path) -> None:
        """Close, and put another database, which is one file, in the place of this one before anybody can open it."""
        try:
            self._connection.close()
            # Closing has emptied them into the file; what were left of them would be taken for the other's.
            _remove(self._path, *_BESIDE)
            os.replace(other, self._path)
        except (OSError, sqlite3.Error) as error:
            raise Unavailable(f"{self._path}: cannot be replaced: {error}") from error
        finally:
            os.close(self._lock)


_BESIDE = ("-wal", "-shm", "-journal")


def _write_zeros(descriptor: int, start: int, count: int) -> None:
    """All or nothing: a disk that is full is told of by the write that needs the space."""
    try:
        if count > 0:
            if os.pwrite(descriptor, bytes(count), start) < count:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fdatasync(descriptor)
    except OSError as error:
        log.info("the database's log stays as short as it is: %s", error.strerror)
        os.ftruncate(descriptor, start)


def remove_database(path: Path) -> None:
    """Remove a database that nobody has open, if there is one."""
    _remove(path, "", *_BESIDE, ".lock")


def _remove(path: Path, *suffixes: str) -> None:
    for suffix in suffixes:
        path.with_name(path.name + suffix).unlink(missing_ok=True)


class BrokenDatabase(Unavailable):
    """A failed write may have left something behind: the store refuses all writes until it is opened again."""


class _transaction:
    """BEGIN … COMMIT, ROLLBACK on an exception."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")


def _lock(path: Path) -> int:
    """A held lock beside the file, with our process id in it. SQLite's own lock is taken only by the first access."""
    lock = path.with_name(path.name + ".lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable(
            f"{lock}: cannot be made: {error.strerror}; the directory must exist and be writable"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise Unavailable(f"{path}: in use by process {owner}; stop that one first") from error
    os.truncate(descriptor, 0)
    os.write(descriptor, b"%d\n" % os.getpid())
    return descriptor


def replay(rows: Iterator[Row], floor: int) -> tuple[dict[str, Item], list[Event]]:
    """Current items, and the events after `floor`, from all versions in order (pure)."""
    items: dict[str, Item] = {}
    events: list[Event] = []
    for revision, key, value, created in rows:
        before = items.pop(key, None) if value is None else items.get(key)
        item = None if value is None else Item(key, value, revision, created)
        if item is not None:
            items[key] = item
        if revision > floor:
            kind = "DELETED" if item is None else "ADDED" if created == revision else "MODIFIED"
            events.append(Event(kind, key, revision, item, before))  # type: ignore[arg-type]
    return items, events
