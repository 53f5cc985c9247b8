"""The store on SQLite: group commit by one writer thread, everything read from memory (implements types.Store)."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from netsim.store.batch import Outcome, Write, Writer, plan_batch
from netsim.store.broadcast import Broadcaster, Watcher
from netsim.store.database import BrokenDatabase, Database, row_of
from netsim.store.state import State
from netsim.store.thread import WorkThread
from netsim.store.types import Event, Events, Item, Page, Unavailable

HISTORY = 10_000
WATCH_QUEUE = 10_000
BATCH = 1000

log = logging.getLogger(__name__)

_Queued = tuple[Write, "asyncio.Future[Event]"]
_Batch = list[_Queued]
_Outcomes = list[Outcome]


class SqliteStore(Writer):
    """One open store file; belongs to the event loop that opened it.

    At most one batch is being committed; writes that come meanwhile wait and make up the next. A batch is checked
    against durable state only, and becomes visible to readers and watchers when it is durable.
    """

    def __init__(self, database: Database, state: State, writer: WorkThread, history: int, queue: int) -> None:
        self._database, self._state, self._writer = database, state, writer
        self._history, self._watch_queue = history, queue
        self._broadcaster = Broadcaster()
        self._queue: deque[_Queued] = deque()
        self._busy = False
        self._refusal = self._trouble = ""
        self._garbage: Sequence[int] = []
        self._floor_wanted = 0
        self._trims: deque[asyncio.Future[None]] = deque()
        self._idle: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def open(
        cls, path: str | os.PathLike[str], *, history: int = HISTORY, watch_queue: int = WATCH_QUEUE
    ) -> SqliteStore:
        """Open or create a store; `history` events are kept for watchers, `watch_queue` events may wait for one.

        Raises Unavailable when the file cannot be used or another process has it open.
        """
        writer = WorkThread("store")
        try:
            database = await writer.run(Database, Path(path))
            try:
                floor, items, events = await writer.run(database.load)
            except BaseException:
                await writer.run(database.close)
                raise
        except BaseException:
            writer.stop()
            raise
        state = State(floor)
        state.restore(items, events)
        return cls(database, state, writer, history, watch_queue)

    # reading

    @property
    def revision(self) -> int:
        return self._state.revision

    @property
    def shared(self) -> bool:
        return False

    async def get(self, key: str) -> Item | None:
        return self._state.get(key)

    async def list(self, prefix: str, *, limit: int = 0, start: str = "", revision: int = 0) -> Page:
        return self._state.page(prefix, limit, start, revision)

    def watch(self, prefix: str, after: int) -> Watcher:
        return self._broadcaster.subscribe(self._state, prefix, after, self._watch_queue)

    async def sync(self, since: int = 0) -> bool:
        """Nobody else writes here."""
        return False

    # writing

    @property
    def writing(self) -> bool:
        return self._busy or bool(self._queue)

    async def _write(self, write: Write) -> Event:
        if self._refusal:
            raise Unavailable(self._refusal)
        future: asyncio.Future[Event] = self._loop.create_future()
        if not self._queue and not self._busy:
            # Not at once: the other writers that are ready to run share this commit.
            self._loop.call_soon(self._next)
        self._queue.append((write, future))
        return await future

    def _next(self) -> None:
        """Give the writer thread its next job, if it is free and there is one."""
        if self._busy:
            return
        if self._trims or self._floor_wanted > self._state.floor:
            self._trim()
        elif self._queue:
            self._commit()
        elif self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def _commit(self) -> None:
        batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
        outcomes = plan_batch([write for write, _ in batch], self._state.get, self._state.revision)
        events = [outcome for outcome in outcomes if isinstance(outcome, Event)]
        if not events:
            _resolve(batch, outcomes)
            self._loop.call_soon(self._next)
            return
        self._busy = True
        rows = [row_of(event) for event in events]
        self._writer.submit(
            partial(self._database.append, rows), lambda _, error: self._committed(batch, outcomes, events, error)
        )

    def _committed(self, batch: _Batch, outcomes: _Outcomes, events: Events, error: BaseException | None) -> None:
        self._busy = False
        if error is None:
            self._state.apply(events)
            self._broadcaster.publish(events, self._state.floor)
            _resolve(batch, outcomes)
            self._trouble = ""
        else:
            self._failed(batch, error)
        if len(self._state) > self._history + self._history // 10:
            self._floor_wanted = max(self._floor_wanted, self._state.revision - self._history)
        self._next()

    def _failed(self, batch: _Batch, error: BaseException) -> None:
        failure = error if isinstance(error, Unavailable) else Unavailable(f"the write failed: {error!r}")
        if str(failure) != self._trouble:
            # A full disk under load is worth one line, not one a write.
            self._trouble = str(failure)
            log.error("store: %s", failure)
        if not isinstance(error, Unavailable) or isinstance(error, BrokenDatabase):
            self._refusal = f"{failure}; open the store again"
            batch = [*batch, *self._queue]
            self._queue.clear()
        # Also the refused writes of the batch: they were judged by writes that did not happen.
        _resolve(batch, [Unavailable(str(failure)) for _ in batch])

    # history

    async def compact(self, revision: int) -> None:
        """Forget the history up to `revision`; returns when that is durable."""
        if self._refusal:
            raise Unavailable(self._refusal)
        self._floor_wanted = max(self._floor_wanted, min(revision, self._state.revision))
        waiter = self._loop.create_future()
        self._trims.append(waiter)
        self._loop.call_soon(self._next)
        await waiter

    def _trim(self) -> None:
        self._garbage = [*self._garbage, *self._state.forget(self._floor_wanted)]
        self._busy = True
        waiters, self._trims = self._trims, deque()
        self._writer.submit(
            partial(self._database.trim, self._state.floor, self._garbage),
            lambda _, error: self._trimmed(waiters, error),
        )

    def _trimmed(self, waiters: Iterable[asyncio.Future[None]], error: BaseException | None) -> None:
        self._busy = False
        if error is None:
            self._garbage = []
        else:
            # What could not be deleted now goes with the next trimming.
            log.error("store: %s", error)
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None) if error is None else waiter.set_exception(Unavailable(str(error)))
        self._next()

    async def defragment(self) -> None:
        """Between two commits; the writes that come meanwhile wait."""
        if self._refusal:
            raise Unavailable(self._refusal)
        await self._writer.run(self._database.defragment)

    # ending

    async def close(self) -> None:
        """Finish the queued writes, end the watches (with Unavailable) and release the file."""
        if self._refusal == CLOSED:
            return
        self._refusal = CLOSED
        if self._busy or self._queue or self._trims:
            self._idle = self._loop.create_future()
            await self._idle
        self._broadcaster.end(lambda: Unavailable(CLOSED))
        await self._writer.run(self._database.close)
        self._writer.stop()


CLOSED = "the store is closed"


def _resolve(batch: list[_Queued], outcomes: list[Outcome] | list[Unavailable]) -> None:
    for (_, future), outcome in zip(batch, outcomes, strict=True):
        if future.done():
            continue
        if isinstance(outcome, Event):
            future.set_result(outcome)
        else:
            future.set_exception(outcome)
