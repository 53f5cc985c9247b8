"""The store on etcd v3: every write a transaction on its key's revision, everything read from a mirror in memory
(implements types.Store). Any number of servers may share one etcd.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar
from weakref import WeakValueDictionary

import orjson

from netsim.store import etcd_wire as wire
from netsim.store.batch import Write, Writer
from netsim.store.broadcast import Watcher
from netsim.store.etcd_client import EtcdClient, EtcdLost, EtcdRefused
from netsim.store.etcd_config import EtcdConfig
from netsim.store.etcd_mirror import Mirror
from netsim.store.etcd_wire import Change, Deletion, Keys, Message
from netsim.store.types import Event, Item, KeyExists, Page, RevisionMismatch, Unavailable

HISTORY = 10_000
WATCH_QUEUE = 10_000
REPLAY = 2_000
PATIENCE = 3.0
_RETRY = 0.1
_WASTE = 64 << 20
CLOSED = "the store is closed"

T = TypeVar("T")


class EtcdStore(Writer):
    """One connection to etcd; belongs to the event loop that opened it.

    Writes of different keys are under way side by side, those of one key one after another. A write whose answer was
    lost is sent again: its comparison lets it take effect once.
    """

    def __init__(self, client: EtcdClient, keys: Keys, mirror: Mirror, watch_queue: int, patience: float) -> None:
        self._client, self._keys, self._mirror = client, keys, mirror
        self._watch_queue, self._patience = watch_queue, patience
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._tasks: set[asyncio.Task[Event]] = set()
        self._closed = False

    @classmethod
    async def open(
        cls, config: EtcdConfig, *, history: int = HISTORY, watch_queue: int = WATCH_QUEUE, replay: int = REPLAY,
        patience: float = PATIENCE,
    ) -> EtcdStore:  # fmt: skip
        """Connect and read everything; `history` events are kept for watchers, those of the last `replay` revisions
        are read at the start; `patience` is how long, in seconds, etcd may fail to answer before a call does.

        Raises Unavailable when etcd does not answer or refuses us.
        """
        client, keys = EtcdClient(config), Keys(config.root)
        mirror = Mirror(client, keys, history=history, patience=patience)
        store = cls(client, keys, mirror, watch_queue, patience)
        try:
            await store._patiently(lambda: mirror.fill(min(replay, history)))
        except BaseException:
            await mirror.close()
            await client.close()
            raise
        return store

    # reading

    @property
    def revision(self) -> int:
        return self._mirror.state.revision

    @property
    def shared(self) -> bool:
        return True

    async def get(self, key: str) -> Item | None:
        return self._mirror.state.get(key)

    async def list(self, prefix: str, *, limit: int = 0, start: str = "", revision: int = 0) -> Page:
        return self._mirror.state.page(prefix, limit, start, revision)

    def watch(self, prefix: str, after: int) -> Watcher:
        return self._mirror.broadcaster.subscribe(self._mirror.state, prefix, after, self._watch_queue)

    async def sync(self, since: int = 0) -> bool:
        self._check_open()
        await self._patiently(self._mirror.sync)
        return self.revision > since

    # writing

    @property
    def writing(self) -> bool:
        return bool(self._tasks)

    async def _write(self, write: Write) -> Event:
        self._check_open()
        # A task of its own: who is cancelled while etcd decides must not leave the outcome open for the others.
        task = asyncio.get_running_loop().create_task(self._in_turn(write))
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def _done(self, task: asyncio.Task[Event]) -> None:
        self._tasks.discard(task)
        task.cancelled() or task.exception()  # looked at here, in case that nobody waits any more

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable(CLOSED)

    async def _in_turn(self, write: Write) -> Event:
        lock = self._locks.get(write.key)
        if lock is None:
            lock = self._locks[write.key] = asyncio.Lock()
        async with lock:
            return await self._transact(write)

    async def _transact(self, write: Write) -> Event:
        body, lost = wire.txn_body(self._keys, write), False

        async def send() -> Message:
            nonlocal lost
            try:
                return await self._client.ask("kv/txn", body)
            except EtcdLost:
                lost = True
                raise

        try:
            answer = await self._patiently(send)
        except EtcdLost as error:
            raise Unavailable(f"{error}; the outcome of the write of {write.key} is unknown") from None
        revision = wire.revision_of(answer)
        if answer.get("succeeded"):
            return await self._mirror.written(_change(write, revision))
        await self._mirror.reach(revision)
        current = wire.current_of(self._keys, answer)
        if lost and (event := self._done_before(write, current)) is not None:
            return event
        if write.expected == 0:
            raise KeyExists(f"{write.key} exists already")
        raise RevisionMismatch(write.key, current)

    def _done_before(self, write: Write, current: Item | None) -> Event | None:
        """The event of a write that had taken effect although its answer was lost; None if it had not."""
        floor = max(write.expected, self._mirror.state.floor)
        for event in self._mirror.state.since(write.key, floor):
            before = event.previous.revision if event.previous else 0
            value = event.item.value if event.item else None
            if event.key == write.key and before == write.expected and value == write.value:
                return event
        return None

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """What a call comes to, tried anew while etcd does not answer, for as long as our patience lasts."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience
        while True:
            try:
                return await call()
            except EtcdLost:
                if loop.time() >= deadline or self._closed:
                    raise
                await asyncio.sleep(_RETRY)

    # upkeep

    async def compact(self, revision: int) -> None:
        self._check_open()
        body = orjson.dumps({"revision": min(revision, self.revision)})
        try:
            await self._client.ask("kv/compaction", body)
        except EtcdRefused as error:
            if not error.compacted:
                raise
        self._mirror.state.forget(revision)

    async def defragment(self) -> None:
        """Of every member, once half of the file could be given back and is worth it; it answers nobody meanwhile."""
        self._check_open()
        statuses = await self._client.ask_all("maintenance/status", b"{}")
        size = max(int(status.get("dbSize", 0)) for status in statuses)
        used = max(int(status.get("dbSizeInUse", 0)) for status in statuses)
        if size - used > max(_WASTE, used):
            await self._client.ask_all("maintenance/defragment", b"{}")

    async def close(self) -> None:
        """Finish the writes under way, end the watches (with Unavailable) and hang up."""
        if self._closed:
            return
        self._closed = True
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._mirror.close()
        self._mirror.broadcaster.end(lambda: Unavailable(CLOSED))
        await self._client.close()


def _change(write: Write, revision: int) -> Change:
    if write.value is None:
        return Deletion(write.key, revision)
    return Item(write.key, write.value, revision, 0 if write.expected else revision)
