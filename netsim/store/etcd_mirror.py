"""An in-memory mirror of etcd's keys: filled once, kept up to date by one watch and by the answers to one's own writes.

Everything is applied in the order of revisions. The answer to a write that follows the mirror's revision directly is
applied at once; any other waits until the watch has brought what lies between.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from heapq import heappop, heappush
from itertools import count

from netsim.store import etcd_wire as wire
from netsim.store.broadcast import Broadcaster
from netsim.store.etcd_client import EtcdClient, EtcdLost, EtcdRefused
from netsim.store.etcd_reads import MARK, ROOT, items_at, kept_since, newest_revision
from netsim.store.etcd_wire import Change, Keys, Message
from netsim.store.state import State
from netsim.store.types import Compacted, Event, Item, Unavailable

_MARK_AFTER = 0.05
_LOOK_BACK = 0.25
"""etcd serves watches that begin in the past by turns, of 0.1 s."""
_RETRY, _RETRY_MOST = 0.05, 1.0

log = logging.getLogger(__name__)


class Mirror:
    """See the module. `state` is for reading; `broadcaster` tells watchers. `patience` is how long, in seconds,
    something may wait for etcd."""

    def __init__(self, client: EtcdClient, keys: Keys, *, history: int, patience: float) -> None:
        self._client, self._keys = client, keys
        self._history, self._patience = history, patience
        self.state = State(0)
        self.broadcaster = Broadcaster()
        self._own: dict[int, tuple[Change, asyncio.Future[Event]]] = {}
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()
        self._task: asyncio.Task[None] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._live_since = 0.0
        self._trouble = ""
        """Why the watch is broken off, "" while it is not."""
        self._asking: asyncio.Task[int] | None = None
        self._next_ask: asyncio.Task[int] | None = None

    # filling

    async def fill(self, replay: int) -> None:
        """Read everything, with up to `replay` revisions of history, and follow from there on."""
        await self.close()
        newest = await self.newest()
        floor = await kept_since(self._client, self._keys, max(1, newest - replay))
        self.state = State(floor)
        self.state.restore(await items_at(self._client, self._keys, floor), [])
        self._task = asyncio.get_running_loop().create_task(self._follow())
        await self.reach(newest)

    async def newest(self) -> int:
        """etcd's newest revision, as the quorum knows it."""
        return await newest_revision(self._client, self._keys)

    # following

    async def _follow(self) -> None:
        wait = _RETRY
        while True:
            before = self.state.revision
            try:
                await self._watch_or_refill()
            except EtcdLost as error:
                self._say(str(error))
            except EtcdRefused as error:
                self._say(f"the watch was refused: {error}")
            wait = _RETRY if self.state.revision > before else min(2 * wait, _RETRY_MOST)
            await asyncio.sleep(wait)

    async def _watch_or_refill(self) -> None:
        try:
            await self._watch()
        except Compacted:
            await self._refill()

    def _say(self, trouble: str) -> None:
        if trouble != self._trouble:
            log.error("store: %s; trying again", trouble)
        self._trouble = trouble

    async def _watch(self) -> None:
        """One watch until it breaks off, is cut, or etcd has forgotten its start."""
        self._live_since = 0.0
        self._reader = asyncio.get_running_loop().create_task(self._read())
        try:
            await asyncio.wait((self._reader,))
        finally:
            self._reader.cancel()
        if self._reader.cancelled():
            raise EtcdLost("etcd: the watch brings nothing any more")
        self._reader.result()

    async def _read(self) -> None:
        async for messages in self._client.watch(wire.watch_body(self._keys, ROOT, self.state.revision + 1)):
            self._take(messages)

    def _cut(self) -> None:
        """Break off a watch that has gone silent; it is begun anew."""
        if self._reader is not None:
            self._reader.cancel()

    def _take(self, messages: Sequence[Message]) -> None:
        changes: list[Change] = []
        for message in messages:
            if "compact_revision" in message:
                raise Compacted(int(message["compact_revision"]))
            if message.get("canceled"):
                raise EtcdLost(f"etcd: the watch was cancelled: {message.get('cancel_reason', 'no reason given')}")
            self._live_since = self._live_since or asyncio.get_running_loop().time()
            changes += wire.changes_of(self._keys, message, self.state.revision)
        if self._trouble:
            log.info("store: etcd answers again")
            self._trouble = ""
        self._apply(changes)

    async def _refill(self) -> None:
        """etcd has forgotten what came after the mirror's revision: start anew; watchers have to, too."""
        revision = await self.newest()
        state = State(revision)
        state.restore(await items_at(self._client, self._keys, revision), [])
        self.state = state
        self.broadcaster.end(lambda: Compacted(revision))
        for known in [known for known in self._own if known <= revision]:
            change, waiter = self._own.pop(known)
            _resolve(waiter, _settled(change))
        self._wake()

    # applying

    def _apply(self, changes: Sequence[Change]) -> None:
        """Changes in the order of revisions, all later than the state's."""
        events: list[Event] = []
        before: dict[str, Item | None] = {}
        newest = self.state.revision
        for change in changes:
            newest = change.revision
            if change.key == MARK:
                continue
            event = wire.event_of(change, before[change.key] if change.key in before else self.state.get(change.key))
            if event is not None:
                before[change.key] = event.item
                events.append(event)
        self._publish(events, newest)
        self._apply_own()

    def _apply_own(self) -> None:
        """One's own writes that follow directly."""
        events = []
        revision = self.state.revision + 1
        before: dict[str, Item | None] = {}
        while revision in self._own:
            change = self._own[revision][0]
            event = wire.event_of(change, before[change.key] if change.key in before else self.state.get(change.key))
            assert event is not None, f"{change.key}: deleted at {revision}, but was not there"
            before[change.key] = event.item
            events.append(event)
            revision += 1
        if events:
            self._publish(events, revision - 1)

    def _publish(self, events: list[Event], revision: int) -> None:
        self.state.apply(events)
        self.state.advance(revision)
        if len(self.state) > self._history + self._history // 10:
            self.state.forget(self.state.revision - self._history)
        if events:
            self.broadcaster.publish(events, self.state.floor)
        for event in events:
            own = self._own.pop(event.revision, None)
            if own is not None:
                _resolve(own[1], event)
        self._wake()

    def _wake(self) -> None:
        while self._waiting and self._waiting[0][0] <= self.state.revision:
            waiter = heappop(self._waiting)[2]
            if not waiter.done():
                waiter.set_result(None)

    # waiting

    async def written(self, change: Change) -> Event:
        """The event of one's own acknowledged write, once it is visible."""
        if change.revision <= self.state.revision:
            return self._event_at(change)
        waiter: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self._own[change.revision] = (change, waiter)
        self._apply_own()
        if not waiter.done():
            with contextlib.suppress(TimeoutError):  # told below
                await asyncio.wait_for(asyncio.shield(waiter), self._patience)
        if not waiter.done():
            self._cut()
            raise Unavailable(f"{change.key} was written, but {self._trouble or 'the watch of etcd does not show it'}")
        return waiter.result()

    def _event_at(self, change: Change) -> Event:
        """The watch was quicker than the answer."""
        events = self.state.since(change.key, change.revision - 1) if change.revision > self.state.floor else []
        found = [event for event in events if event.revision == change.revision and event.key == change.key]
        return found[0] if found else _settled(change)

    async def reach(self, revision: int) -> None:
        """Wait until the mirror shows everything up to `revision`."""
        if await self._comes(revision):
            return
        try:
            await self._client.ask("kv/put", wire.put_body(self._keys, MARK))
        except EtcdRefused as error:
            # A full etcd takes no mark; nor has it, then, anything new of somebody else's for long.
            log.warning("store: the mark could not be written: %s", error)
        if not await self._reached(revision, self._patience):
            self._cut()
            raise Unavailable(self._trouble or f"etcd is at revision {revision}, its watch shows {self.state.revision}")

    async def _comes(self, revision: int) -> bool:
        """Whether a revision comes by itself: false once a working watch has been silent for a while."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience
        while loop.time() < deadline:
            before = self.state.revision
            if await self._reached(revision, _MARK_AFTER):
                return True
            live = 0 < self._live_since < loop.time() - _LOOK_BACK
            if live and self.state.revision == before:
                return False
        return False

    async def _reached(self, revision: int, seconds: float) -> bool:
        if revision <= self.state.revision:
            return True
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heappush(self._waiting, (revision, next(self._order), waiter))
        with contextlib.suppress(TimeoutError):  # the answer says so
            await asyncio.wait_for(asyncio.shield(waiter), seconds)
        if not waiter.done():
            waiter.cancel()
        return revision <= self.state.revision

    async def sync(self) -> None:
        """Catch up with everything that was acknowledged to anybody before the call. All who ask while etcd is being
        asked share the next question."""
        if self._next_ask is None:
            self._next_ask = asyncio.get_running_loop().create_task(self._ask_after(self._asking))
        await self.reach(await asyncio.shield(self._next_ask))

    async def _ask_after(self, earlier: asyncio.Task[int] | None) -> int:
        if earlier is not None:
            await asyncio.wait((earlier,))
        self._asking, self._next_ask = self._next_ask, None
        return await self.newest()

    async def close(self) -> None:
        """Stop following."""
        tasks = [task for task in (self._task, self._reader, self._asking, self._next_ask) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _settled(change: Change) -> Event:
    """An event of a write whose history is gone."""
    return wire.event_of(change, None) or Event("DELETED", change.key, change.revision, None, None)


def _resolve(waiter: asyncio.Future[Event], event: Event) -> None:
    if not waiter.done():
        waiter.set_result(event)
