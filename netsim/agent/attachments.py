"""What a node's CNI network was asked for each sandbox: rows of one SQLite database.

The run directory is memory, and a small file of its own for each pod takes 5 KiB of it, a row one.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from typing import Any

import orjson

Record = dict[str, Any]
_SETTINGS = """
PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=16; PRAGMA cache_size=8;
CREATE TABLE IF NOT EXISTS attachment (container TEXT PRIMARY KEY, record BLOB NOT NULL);
"""
"""Nothing is synced to disk, as nothing outlives the boot; a killed process leaves whole rows all the same. The log and
the cache are kept small, being memory as well."""


class Attachments:
    """The records of one node by container id, for any thread. Methods raise OSError when the database cannot be used.

    One killed while it saves leaves the record as it was, or the new one.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None

    def save(self, container: str, record: Record) -> None:
        """Keep a record in the place of the one that may be there."""
        self._run("INSERT OR REPLACE INTO attachment VALUES (?, ?)", container, orjson.dumps(record))

    def read(self, container: str) -> Record | None:
        """A record, None when there is none."""
        rows = self._run("SELECT record FROM attachment WHERE container = ?", container)
        return dict(orjson.loads(rows[0][0])) if rows else None

    def forget(self, container: str) -> None:
        """Drop a record; none is no error."""
        self._run("DELETE FROM attachment WHERE container = ?", container)

    def containers(self) -> list[str]:
        """Whose records there are."""
        return [row[0] for row in self._run("SELECT container FROM attachment")]

    def _run(self, statement: str, *values: str | bytes) -> list[Any]:
        with self._lock:
            try:
                return self._opened().execute(statement, values).fetchall()
            except sqlite3.Error as error:
                raise OSError(f"attachments in {self.path}: {error}; remove the file if it is damaged") from error

    def _opened(self) -> sqlite3.Connection:
        if self._db is None:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            self._db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
            self._db.executescript(_SETTINGS)
        return self._db
