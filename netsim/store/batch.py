"""Writes as values, and group commit, decided (pure): many queued ones, checked in order, become one list of events."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

from netsim.store.types import Event, Item, KeyExists, RevisionMismatch, StoreError


class Write(NamedTuple):
    """A wish: `expected` 0 means the key must not exist (create), else its current revision; `value` None deletes."""

    key: str
    value: bytes | None
    expected: int


class Writer(ABC):
    """The writes of the Store protocol, all by one."""

    @abstractmethod
    async def _write(self, write: Write) -> Event:
        """The event of the write, once it is durable."""

    async def create(self, key: str, value: bytes) -> Item:
        return _item(await self._write(Write(key, value, 0)))

    async def update(self, key: str, value: bytes, expected: int) -> Item:
        return _item(await self._write(Write(key, value, _existing(expected))))

    async def delete(self, key: str, expected: int) -> int:
        return (await self._write(Write(key, None, _existing(expected)))).revision


def _existing(expected: int) -> int:
    if expected <= 0:
        raise StoreError(f"expected revision {expected}: an existing item has a positive one")
    return expected


def _item(event: Event) -> Item:
    assert event.item is not None
    return event.item


Outcome = Event | StoreError


def plan_batch(writes: Sequence[Write], current: Callable[[str], Item | None], revision: int) -> list[Outcome]:
    """What each write comes to, in order, when all take effect together after `revision`.

    A later write sees the earlier ones of the batch; refused writes take no revision.
    """
    pending: dict[str, Item | None] = {}
    outcomes: list[Outcome] = []
    for write in writes:
        before = pending[write.key] if write.key in pending else current(write.key)
        outcome = _decide(write, before, revision + 1)
        if isinstance(outcome, Event):
            revision += 1
            pending[write.key] = outcome.item
        outcomes.append(outcome)
    return outcomes


def _decide(write: Write, before: Item | None, revision: int) -> Outcome:
    if write.expected == 0 and before is not None:
        return KeyExists(f"{write.key} exists already (revision {before.revision})")
    if write.expected != 0 and (before is None or before.revision != write.expected):
        return RevisionMismatch(write.key, before)
    if write.value is None:
        return Event("DELETED", write.key, revision, None, before)
    created = before.created if before is not None else revision
    item = Item(write.key, write.value, revision, created)
    return Event("MODIFIED" if before is not None else "ADDED", write.key, revision, item, before)
