"""Attachments and their addresses in one SQLite database per network, by host-local's rules.

The database, not code, forbids that an address is leased twice. Leases live as long as the boot (the default place is
under /run), so nothing is synced to disk; a killed process leaves a consistent database all the same.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address

from netsim_cni.errors import ADDRESS_TAKEN, DUPLICATE_ATTACHMENT, IO_FAILURE, NO_ADDRESS, CniError
from netsim_cni.ranges import Ip, Lease, RangeSet, assign_requested, choose, following, range_of

LOCK_SECONDS = 30.0
SCHEMA = """
CREATE TABLE IF NOT EXISTS attachment (
    container TEXT NOT NULL, ifname TEXT NOT NULL, link TEXT NOT NULL, extras TEXT NOT NULL,
    PRIMARY KEY (container, ifname)
) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS attachment_link ON attachment (link) WHERE link <> '';
CREATE TABLE IF NOT EXISTS address (
    ip TEXT PRIMARY KEY, range_set INTEGER NOT NULL, container TEXT NOT NULL, ifname TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS address_holder ON address (container, ifname);
CREATE TABLE IF NOT EXISTS last (range_set INTEGER PRIMARY KEY, ip TEXT NOT NULL);
CREATE VIEW IF NOT EXISTS following AS
    SELECT '' AS container, '' AS ifname, '' AS link, '' AS extras, 0 AS range_set, '' AS last, '' AS ip;
CREATE TRIGGER IF NOT EXISTS following_taken INSTEAD OF INSERT ON following BEGIN
    SELECT RAISE(ABORT, 'another was last') WHERE (SELECT ip FROM last WHERE range_set = NEW.range_set) IS NOT NEW.last;
    INSERT INTO attachment VALUES (NEW.container, NEW.ifname, NEW.link, NEW.extras);
    INSERT INTO address VALUES (NEW.ip, NEW.range_set, NEW.container, NEW.ifname);
    UPDATE last SET ip = NEW.ip WHERE range_set = NEW.range_set;
END;
"""
# A transaction writes half a dozen pages whole. What is written there already keeps its size.
PAGE_SIZE, PAGES_OF_LOG = 1024, 256
# In the place of a range set's number, for an address that the configuration gives and no range does.
STATIC_SET = -1


_seen: dict[str, Ip] = {}
"""By database the address that this process gave last: a guess of `last`, which saves to ask."""


class LinkTaken(Exception):
    """The name of a host-side interface is another attachment's."""


@dataclass(frozen=True, slots=True)
class Holder:
    """An attachment: `link` is the name of its host-side interface ("": made by another plugin), `extras` say what it
    has besides its interfaces (see `netsim_cni.extras`)."""

    container_id: str
    ifname: str
    link: str
    extras: tuple[str, ...] = ()


class Leases:
    """The leases of one network; for one thread."""

    def __init__(self, path: str) -> None:
        self.path = path
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        # Making a database and turning it to WAL cannot wait for each other, so that is done one at a time.
        with open(path + ".lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._db = sqlite3.connect(path, timeout=LOCK_SECONDS, isolation_level=None)
            self._db.execute(f"PRAGMA page_size={PAGE_SIZE}")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=OFF")
            # The log lies in memory, like the database: 4 MiB of it, a node's share otherwise, are a dozen pods.
            self._db.execute(f"PRAGMA wal_autocheckpoint={PAGES_OF_LOG}")
            self._db.executescript(SCHEMA)
        self.inode = os.stat(path).st_ino

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def allocate(
        self,
        sets: tuple[RangeSet, ...],
        key: tuple[str, str],
        link: str,
        requested: tuple[Ip, ...] = (),
        extras: tuple[str, ...] = (),
    ) -> list[Lease]:
        """Enter an attachment with one address from each range set, all or none; `requested` ones where given.

        CniError: NO_ADDRESS, ADDRESS_TAKEN, or DUPLICATE_ATTACHMENT when the attachment is there already. LinkTaken.
        """
        if len(sets) == 1 and not requested:
            lease = self._allocate_following(sets[0], (*key, link, " ".join(extras)))
            if lease is not None:
                return [lease]
        wanted = assign_requested(sets, requested)
        with self._transaction() as db:
            _enter(db, Holder(*key, link, extras))
            return [self._lease(db, number, sets[number], key, ip) for number, ip in enumerate(wanted)]

    def _allocate_following(self, ranges: RangeSet, attachment: tuple[str, str, str, str]) -> Lease | None:
        """The address after the last, which nearly every attachment gets, by a single statement; None where that
        cannot be, for whatever reason."""
        last = _seen.pop(self.path, None) or self._last(0)
        lease = following(ranges, last) if last else None
        if lease is None:
            return None
        row = (*attachment, str(last), str(lease.ip))
        try:
            self._db.execute("INSERT INTO following VALUES (?, ?, ?, ?, 0, ?, ?)", row)
        except sqlite3.IntegrityError:
            return None
        _seen[self.path] = lease.ip
        return lease

    def _last(self, number: int) -> Ip | None:
        """The address of a range set that was given last, None before the first."""
        row = self._db.execute("SELECT ip FROM last WHERE range_set = ?", (number,)).fetchone()
        return ip_address(row[0]) if row else None

    def enter(self, key: tuple[str, str], link: str, ips: tuple[Ip, ...] = (), extras: tuple[str, ...] = ()) -> None:
        """Enter an attachment whose addresses come from elsewhere; CniError as `allocate`."""
        with self._transaction() as db:
            _enter(db, Holder(*key, link, extras))
            for ip in ips:
                _take(db, ip, STATIC_SET, key)

    def _lease(
        self, db: sqlite3.Connection, number: int, ranges: RangeSet, key: tuple[str, str], wanted: Ip | None
    ) -> Lease:
        ip = wanted or self._next(db, number, ranges, key)
        if wanted is None:
            db.execute("INSERT OR REPLACE INTO last VALUES (?, ?)", (number, str(ip)))
        else:
            _take(db, ip, number, key)
        found = range_of(ranges, ip)
        if found is None:
            raise CniError(IO_FAILURE, f"address {ip} lies in no range of the set")
        return Lease(ip, found)

    def _next(self, db: sqlite3.Connection, number: int, ranges: RangeSet, key: tuple[str, str]) -> Ip:
        """The first of the candidates that the database takes."""
        take = "INSERT OR IGNORE INTO address VALUES (?, ?, ?, ?)"
        ip = choose(ranges, self._last(number), lambda ip: not db.execute(take, (str(ip), number, *key)).rowcount)
        if ip is None:
            text = ", ".join(map(str, ranges))
            raise CniError(NO_ADDRESS, f"no IP addresses available in range set: {text}", "delete pods or add a range")
        return ip

    def release(self, key: tuple[str, str]) -> list[Ip]:
        """Forget an attachment and give back its addresses; which they were, [] when it had none."""
        return self.release_all([key])

    def release_all(self, keys: list[tuple[str, str]]) -> list[Ip]:
        """As `release`, for many at once."""
        query = "DELETE FROM address WHERE container = ? AND ifname = ? RETURNING ip"
        with self._transaction() as db:
            db.executemany("DELETE FROM attachment WHERE container = ? AND ifname = ?", keys)
            return [ip_address(row[0]) for key in keys for row in db.execute(query, key).fetchall()]

    def retire(self, key: tuple[str, str]) -> None:
        """Take an attachment from its container and give nothing back yet: its interface is still to be removed.

        It is nobody's then: no container's id begins with a dot.
        """
        mark = f".{time.monotonic_ns()}.{key[0]}"
        with self._transaction() as db:
            for table in ("attachment", "address"):
                db.execute(f"UPDATE {table} SET container = ? WHERE container = ? AND ifname = ?", (mark, *key))

    def retired(self, link: str | None = None) -> list[Holder]:
        """Attachments that were retired; only those of a host-side interface if it is named."""
        query = "SELECT * FROM attachment WHERE container >= '.' AND container < '/'"
        return [holder for row in self._db.execute(query) if (holder := _holder(row)).link == link or link is None]

    def addresses_of(self, key: tuple[str, str]) -> list[Ip]:
        """The addresses that are kept for an attachment."""
        query = "SELECT ip FROM address WHERE container = ? AND ifname = ? ORDER BY range_set"
        return [ip_address(row[0]) for row in self._db.execute(query, key)]

    def find(self, key: tuple[str, str]) -> Holder | None:
        """An attachment, None when it is not there."""
        query = "SELECT * FROM attachment WHERE container = ? AND ifname = ?"
        row = self._db.execute(query, key).fetchone()
        return _holder(row) if row else None

    def has_link(self, link: str) -> bool:
        """Whether some attachment's host-side interface has that name."""
        return self._db.execute("SELECT 1 FROM attachment WHERE link = ?", (link,)).fetchone() is not None

    def holders(self) -> list[Holder]:
        """Every attachment."""
        return [_holder(row) for row in self._db.execute("SELECT * FROM attachment ORDER BY container, ifname")]

    def is_full(self, sets: tuple[RangeSet, ...]) -> bool:
        """Whether the next ADD would find no address."""
        return any(choose(ranges, None, lambda ip: _is_taken(self._db, ip)) is None for ranges in sets)


def _holder(row: tuple[str, str, str, str]) -> Holder:
    return Holder(row[0], row[1], row[2], tuple(row[3].split()))


def _enter(db: sqlite3.Connection, holder: Holder) -> None:
    row = (holder.container_id, holder.ifname, holder.link, " ".join(holder.extras))
    try:
        db.execute("INSERT INTO attachment VALUES (?, ?, ?, ?)", row)
    except sqlite3.IntegrityError:
        key = (holder.container_id, holder.ifname)
        if not db.execute("SELECT 1 FROM attachment WHERE container = ? AND ifname = ?", key).fetchone():
            raise LinkTaken(holder.link) from None
        text = f"container {holder.container_id} has {holder.ifname} in this network already"
        raise CniError(DUPLICATE_ATTACHMENT, text, "call DEL first") from None


def _take(db: sqlite3.Connection, ip: Ip, number: int, key: tuple[str, str]) -> None:
    try:
        db.execute("INSERT INTO address VALUES (?, ?, ?, ?)", (str(ip), number, *key))
    except sqlite3.IntegrityError:
        raise CniError(ADDRESS_TAKEN, f"requested IP address {ip} is leased to another pod") from None


def _is_taken(db: sqlite3.Connection, ip: Ip) -> bool:
    return db.execute("SELECT 1 FROM address WHERE ip = ?", (str(ip),)).fetchone() is not None


_open = threading.local()


def leases_at(data_dir: str, network: str) -> Leases:
    """The leases of a network; a thread keeps each database open, until its file is another one."""
    return leases_in(f"{data_dir}/{network}.sqlite")


def leases_in(path: str) -> Leases:
    """As `leases_at`, by the file's name."""
    known: dict[tuple[int, str], Leases] = _open.__dict__.setdefault("leases", {})
    # SQLite's connections do not survive a fork, so the process is part of the key.
    found = known.get((os.getpid(), path))
    if found is not None and _inode(path) == found.inode:
        return found
    if found is not None:
        found.close()
    try:
        fresh = Leases(path)
    except (OSError, sqlite3.Error) as error:
        raise CniError(IO_FAILURE, f"cannot open the leases in {path}", str(error)) from error
    known[os.getpid(), path] = fresh
    return fresh


def close_all() -> None:
    """Close the databases that the calling thread keeps open."""
    known: dict[tuple[int, str], Leases] = _open.__dict__.setdefault("leases", {})
    while known:
        known.popitem()[1].close()


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return 0
