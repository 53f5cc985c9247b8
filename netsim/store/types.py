"""The store's protocol: the waist between the API server and a database (SQLite or etcd).

Keys are `/registry/GROUP_OR_CORE/PLURAL/[NAMESPACE/]NAME`. A revision is one global counter: every
successful write takes the next one. Semantics follow etcd v3's KV and Watch. Values made for every write are named
tuples: frozen dataclasses take three times as long to make.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal, NamedTuple, Protocol


class Item(NamedTuple):
    """A stored value; `revision` is that of its last write, `created` that of its creation."""

    key: str
    value: bytes
    revision: int
    created: int


class Page(NamedTuple):
    """A consistent snapshot of a key range as of `revision`; `remaining` counts the items left out by limit. The list
    is shared, not to be changed."""

    items: list[Item]
    revision: int
    remaining: int = 0


class Event(NamedTuple):
    """One change. `previous` is the item before it (None for a creation); DELETED carries the last value in
    `previous` and the deletion's revision in `revision`; `item` is None then."""

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    key: str
    revision: int
    item: Item | None
    previous: Item | None


Events = list[Event]


class StoreError(Exception):
    """Base of the store's errors."""


class KeyExists(StoreError):
    """create() of a key that exists."""


class RevisionMismatch(StoreError):
    """update() or delete() whose expected revision is not the current one; `current` is None if the key is gone."""

    def __init__(self, key: str, current: Item | None) -> None:
        super().__init__(f"{key}: revision is not the expected one")
        self.key, self.current = key, current


class Compacted(StoreError):
    """The asked revision is older than the kept history; `oldest` is the first that can still be watched after."""

    def __init__(self, oldest: int) -> None:
        super().__init__(f"history before revision {oldest} has been compacted")
        self.oldest = oldest


class Unavailable(StoreError):
    """The database refused a write (disk full, read-only, closed) or cannot be reached. Nothing was changed, unless
    the message says that the outcome is unknown."""


class Store(Protocol):
    """Every write returns only after it is durable; readers and watchers see only durable writes.

    `get` and `list` answer from memory. A store that other servers write to as well may lag behind them: `sync` first
    where an answer must not be older than the question. One's own acknowledged writes are always seen, and after
    KeyExists or RevisionMismatch also what caused it.
    """

    @property
    def revision(self) -> int:
        """Revision of the newest durable write."""
        ...

    @property
    def shared(self) -> bool:
        """Whether other servers may write to the same database."""
        ...

    @property
    def writing(self) -> bool:
        """Whether writes through this store wait for their outcome."""
        ...

    async def get(self, key: str) -> Item | None: ...

    async def list(self, prefix: str, *, limit: int = 0, start: str = "", revision: int = 0) -> Page:
        """Items whose key starts with `prefix`, sorted by key, from key `start` on. `revision` 0 is now, N is
        the state exactly at N (raises Compacted when that is gone)."""
        ...

    async def create(self, key: str, value: bytes) -> Item: ...

    async def update(self, key: str, value: bytes, expected: int) -> Item: ...

    async def delete(self, key: str, expected: int) -> int:
        """Delete and return the deletion's revision."""
        ...

    def watch(self, prefix: str, after: int) -> AsyncIterator[Events]:
        """Batches of events with revision > `after` in order, without gap or repeat, for ever. Raises Compacted
        when `after` is too old, also later for a watcher that fell behind (it is cut off, never waited for).
        The subscription starts at the call, not at the first iteration."""
        ...

    async def sync(self, since: int = 0) -> bool:
        """Make every write visible that was acknowledged to anybody before the call. Whether writes of other servers
        may have become visible after revision `since`. Raises Unavailable."""
        ...

    async def compact(self, revision: int) -> None:
        """Forget the history up to `revision`; returns when that is durable."""
        ...

    async def defragment(self) -> None:
        """Give space that deleted versions left in the database back to the disk, when that is worth it."""
        ...

    async def close(self) -> None: ...
