"""Answers of upstreams, kept for a while. The time is always given, in seconds of any clock that only goes forward."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from math import ceil

from .config import CacheConfig
from .message import Kind, Message

# what all entries of one cache may hold; without a bound, entries of 64 KiB would take over a gigabyte
BYTES_MAX = 32 << 20


class Use(Enum):
    """What to do with an entry that was found."""

    SERVE = "serve"
    SERVE_AND_FETCH = "serve and fetch anew"
    FETCH_OR_SERVE = "fetch anew, and serve it if that fails"


@dataclass(slots=True)
class Entry:
    """A message, when it came, how long it is kept, and how often it was asked for without a long pause."""

    message: Message
    stored: float
    ttl: float
    hits: int = 0
    last_hit: float = 0.0
    fetching: bool = False

    def left(self, now: float) -> int:
        """Whole seconds it is still good for, as TTLs count them; none or less once it is over."""
        return int(self.ttl) - int(now - self.stored)


@dataclass(frozen=True, slots=True)
class Hit:
    """An entry to answer with, the TTL (seconds) of its records in that answer, and what else to do."""

    message: Message
    ttl: int
    use: Use = Use.SERVE


@dataclass(slots=True)
class Cache:
    """Answers by key, in two tables of bounded size, one for denials and failures. The oldest entry makes room.

    `evicted` counts the entries that had to, by table, until somebody sets it to zero.
    """

    config: CacheConfig
    success: dict[bytes, Entry] = field(default_factory=dict)
    denial: dict[bytes, Entry] = field(default_factory=dict)
    size: int = 0
    evicted: dict[str, int] = field(default_factory=lambda: {"success": 0, "denial": 0})

    def get(self, key: bytes, now: float) -> Hit | None:
        """What is known under a key. An entry that is over is dropped, unless it is still served as stale."""
        table = self.success if key in self.success else self.denial
        entry = table.get(key)
        if entry is None:
            return None
        left = entry.left(now)
        if left <= 0:
            return self._stale(table, key, entry, left)
        self._count(entry, now)
        return Hit(entry.message, int(entry.ttl) if self.config.keep_ttl else left, self._prefetch(entry, left))

    def put(self, key: bytes, message: Message, now: float) -> bool:
        """Keep a message if its kind is kept; it takes the place of what was known. Was it kept?"""
        self.fetched(key)
        ttl = kept_for(message, self.config)
        before = self.success.get(key) or self.denial.get(key)
        if ttl <= 0 or message.kind is Kind.OTHER or (before and self._outweighs(before, message, now)):
            return False
        self.drop(key)
        entry = Entry(message, now, ttl)
        if before is not None:
            entry.hits, entry.last_hit = before.hits, before.last_hit
        name = "success" if message.kind is Kind.SUCCESS else "denial"
        self._make_room(name, len(message.body))
        (self.success if name == "success" else self.denial)[key] = entry
        self.size += len(message.body)
        return True

    def fetched(self, key: bytes) -> None:
        """A fetch begun for an entry is over, whatever it brought: another may be begun."""
        entry = self.success.get(key) or self.denial.get(key)
        if entry is not None:
            entry.fetching = False

    def drop(self, key: bytes) -> None:
        """Forget what is known under a key."""
        for table in (self.success, self.denial):
            entry = table.pop(key, None)
            if entry is not None:
                self.size -= len(entry.message.body)

    def _outweighs(self, before: Entry, message: Message, now: float) -> bool:
        """A failure to refresh what is still good, or may still be served, is no reason to forget it."""
        of_use = before.left(now) > -self.config.serve_stale and before.message.kind is not Kind.FAILURE
        return of_use and message.kind is Kind.FAILURE

    def _stale(self, table: dict[bytes, Entry], key: bytes, entry: Entry, left: int) -> Hit | None:
        if -left >= self.config.serve_stale or entry.message.kind is Kind.FAILURE:
            self.drop(key)
            return None
        if self.config.stale_verify:
            return Hit(entry.message, 0, Use.FETCH_OR_SERVE)
        if entry.fetching:
            return Hit(entry.message, 0)
        entry.fetching = True
        return Hit(entry.message, 0, Use.SERVE_AND_FETCH)

    def _count(self, entry: Entry, now: float) -> None:
        paused = now - entry.last_hit > self.config.prefetch_window
        entry.hits = 1 if paused else entry.hits + 1
        entry.last_hit = now

    def _prefetch(self, entry: Entry, left: int) -> Use:
        wanted = 0 < self.config.prefetch <= entry.hits and not entry.fetching
        if not wanted or left > ceil(entry.ttl * self.config.prefetch_percent / 100):
            return Use.SERVE
        entry.fetching = True
        return Use.SERVE_AND_FETCH

    def _make_room(self, name: str, size: int) -> None:
        own, other = (self.success, self.denial) if name == "success" else (self.denial, self.success)
        capacity = self.config.success_capacity if name == "success" else self.config.denial_capacity
        while own and (len(own) >= capacity or self.size + size > BYTES_MAX):
            self.drop(next(iter(own)))
            self.evicted[name] += 1
        while other and self.size + size > BYTES_MAX:
            self.drop(next(iter(other)))
            self.evicted["denial" if name == "success" else "success"] += 1


def kept_for(message: Message, config: CacheConfig) -> float:
    """Seconds a message is kept, and the TTL its records get, also when it is not kept; 0 if that cache is off."""
    if message.kind is Kind.FAILURE:
        return config.servfail_ttl
    if message.kind is Kind.DENIAL:
        return min(max(message.ttl, config.denial_ttl_min), config.denial_ttl)
    return min(max(message.ttl, config.success_ttl_min), config.success_ttl)
