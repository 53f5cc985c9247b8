"""What a node must know after its process was killed, but not after a boot: rows of an SQLite database.

The run directory is memory, and a small file of its own for each pod takes 5 KiB of it, a row one.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from typing import Any

_SETTINGS = """
PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=16; PRAGMA cache_size=8;
CREATE TABLE IF NOT EXISTS {table} ({key} TEXT PRIMARY KEY, record BLOB NOT NULL);
"""
"""Nothing is synced to disk, as nothing outlives the boot; a killed process leaves whole rows all the same. The log and
the cache are kept small, being memory as well."""


class Rows:
    """Records by key in one table of a database file, for any thread. Methods raise OSError when it cannot be used.

    One killed while it saves leaves the record as it was, or the new one.
    """

    def __init__(self, path: str, table: str, key: str) -> None:
        self.path = path
        self._table, self._key = table, key
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None

    def save(self, key: str, record: bytes) -> None:
        """Keep a record in the place of the one that may be there."""
        self._run("INSERT OR REPLACE INTO {table} VALUES (?, ?)", key, record)

    def read(self, key: str) -> bytes | None:
        """A record, None when there is none."""
        rows = self._run("SELECT record FROM {table} WHERE {key} = ?", key)
        return bytes(rows[0][0]) if rows else None

    def forget(self, key: str) -> None:
        """Drop a record; none is no error."""
        self._run("DELETE FROM {table} WHERE {key} = ?", key)

    def keys(self) -> list[str]:
        """Whose records there are."""
        return [row[0] for row in self._run("SELECT {key} FROM {table}")]

    def items(self) -> list[tuple[str, bytes]]:
        """All records with their keys."""
        return [(row[0], bytes(row[1])) for row in self._run("SELECT {key}, record FROM {table}")]

    def _run(self, statement: str, *values: str | bytes) -> list[Any]:
        with self._lock:
            try:
                return self._opened().execute(self._named(statement), values).fetchall()
            except sqlite3.Error as error:
                raise OSError(f"records in {self.path}: {error}; remove the file if it is damaged") from error

    def _named(self, statement: str) -> str:
        return statement.format(table=self._table, key=self._key)

    def _opened(self) -> sqlite3.Connection:
        if self._db is None:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            opened = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
            opened.executescript(self._named(_SETTINGS))
            self._db = opened  # not before it has its table: a file system that is full now may have room later
        return self._db
