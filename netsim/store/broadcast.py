"""Fan-out of durable events to watchers; a watcher that falls behind is cut off, never waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from weakref import ref

from netsim.store.state import State
from netsim.store.types import Compacted, Event, StoreError, Unavailable


class Watcher:
    """One subscription: an asynchronous iterator of event batches. Dropping it, or `aclose`, ends it."""

    def __init__(self, backlog: list[Event], limit: int, after: int, failure: StoreError | None = None) -> None:
        self._batches: list[list[Event]] = [backlog] if backlog else []
        self._waiting = 0
        self._limit = limit
        self._after = after
        self._failure = failure
        self._wake: asyncio.Future[None] | None = None

    @property
    def ended(self) -> bool:
        return self._failure is not None

    def feed(self, events: list[Event], oldest: int) -> None:
        """Queue a batch (shared between watchers); more than the limit waiting cuts the watcher off."""
        if events[0].revision <= self._after:
            # Asked for from a revision that did not exist yet.
            events = [event for event in events if event.revision > self._after]
        if self._waiting + len(events) > self._limit:
            self.fail(Compacted(oldest))
            return
        if events:
            self._waiting += len(events)
            self._batches.append(events)
            self._rouse()

    def fail(self, failure: StoreError) -> None:
        """End the watch at once; what is queued is dropped."""
        if self._failure is None:
            self._failure = failure
            self._batches.clear()
            self._rouse()

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def __aiter__(self) -> Watcher:
        return self

    async def __anext__(self) -> list[Event]:
        while not self._batches:
            if self._failure is not None:
                raise self._failure
            self._wake = asyncio.get_running_loop().create_future()
            try:
                await self._wake
            finally:
                self._wake = None
        batches, self._batches, self._waiting = self._batches, [], 0
        return batches[0] if len(batches) == 1 else [event for batch in batches for event in batch]

    async def aclose(self) -> None:
        self.fail(Unavailable("the watch is closed"))


class Broadcaster:
    """Watchers by prefix, so that each prefix is matched once a batch however many watch it. One that is dropped is not
    kept alive here."""

    def __init__(self) -> None:
        self._watchers: dict[str, list[ref[Watcher]]] = {}

    def add(self, prefix: str, watcher: Watcher) -> None:
        self._watchers.setdefault(prefix, []).append(ref(watcher))

    def subscribe(self, state: State, prefix: str, after: int, limit: int) -> Watcher:
        """A watcher of what `state` has after a revision and of all that is published from now on; see
        types.Store.watch. More than `limit` waiting events cut it off."""
        try:
            watcher = Watcher(state.since(prefix, after), limit, after)
        except Compacted as error:
            return Watcher([], 0, after, error)
        self.add(prefix, watcher)
        return watcher

    def publish(self, events: Sequence[Event], oldest: int) -> None:
        """Hand durable events to every watcher of a prefix of their keys. `oldest` as in Compacted."""
        for prefix, watchers in list(self._watchers.items()):
            matching = [event for event in events if event.key.startswith(prefix)]
            gone = False
            for each in watchers:
                watcher = each()
                if watcher is None or watcher.ended:
                    gone = True
                elif matching:
                    watcher.feed(matching, oldest)
            if gone:
                self._forget(prefix)

    def _forget(self, prefix: str) -> None:
        """Those of a prefix that have ended or were dropped."""
        left = [each for each in self._watchers[prefix] if (watcher := each()) is not None and not watcher.ended]
        if left:
            self._watchers[prefix] = left
        else:
            del self._watchers[prefix]

    def end(self, failure: Callable[[], StoreError]) -> None:
        """End every watch."""
        for watchers in self._watchers.values():
            for each in watchers:
                if (watcher := each()) is not None:
                    watcher.fail(failure())
        self._watchers.clear()
