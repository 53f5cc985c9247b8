"""One subscription to the store, fanned out to all watchers; every event is encoded once.

Watchers are woken by the event itself, nothing polls. A watcher that falls behind is cut off and watches anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque

from netsim.server.codec import ROOT
from netsim.server.feeds import Feed, Frame, Subscription
from netsim.store.types import Compacted, Event, Store

log = logging.getLogger(__name__)

HISTORY = 4096
WARM = 256
"""So many of the newest frames keep what was made of them; who comes later for an older one has it made anew."""
_RETRY = 0.2
# Turns of the loop until the writer of an event has been answered: the next write may depend on that, so it goes first.
# One more passes before what watchers are told is sent.
_ANSWER_TURNS = 1
# Turns until a write that had arrived meanwhile has reached the store.
_ARRIVAL_TURNS = 5
# While writers press, watchers are told when none has written for so many seconds, or so many after the first event:
# telling fifty watchers of ten events costs hardly more than of one.
_PAUSE = 0.006
_LONGEST_WAIT = 0.01
# So many times at most watchers are told at once before it is tried again whether a write follows.
_MOST_AT_ONCE = 15
_NO_FEEDS: dict[str, Feed] = {}


class Hub:
    """Fans the store's events out. `revision` is that of the last event given to the watchers, `oldest` the
    first that can still be watched after."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.revision = store.revision
        self.oldest = self.revision
        self._history: deque[Frame] = deque(maxlen=HISTORY)
        self._feeds: dict[str, dict[str, Feed]] = {}
        self._woken: dict[Feed, None] = {}
        self._something = asyncio.Event()
        self._changed = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self.closed = False

    @property
    def watchers(self) -> int:
        return sum(len(feed.subscriptions) for feeds in self._feeds.values() for feed in feeds.values())

    async def start(self) -> None:
        """Take up the store's history, as far as it is kept, and go on from there."""
        create = asyncio.get_running_loop().create_task
        self._tasks = [create(self._run(max(0, self._store.revision - HISTORY))), create(self._tell())]
        await asyncio.sleep(0)

    async def close(self) -> None:
        self.closed = True
        for resource in list(self._feeds):
            self._end(resource)
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):  # our own cancellation
                await task

    def subscribe(self, prefix: str, after: int) -> Subscription | None:
        """Frames of `prefix` with revision > `after`; None when the hub's own history does not reach so far."""
        if after < self.oldest:
            return None
        feeds = self._feeds.setdefault(_resource(prefix), {})
        feed = feeds.get(prefix)
        if feed is None:
            feed = feeds[prefix] = Feed(prefix)
        if feed.fresh:  # which the history has, too
            feed.spread()
        subscription = Subscription(feed, after)
        if after < self.revision:
            subscription.add(frame for frame in self._history if frame.event.key.startswith(prefix))
        feed.subscriptions[subscription] = None
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        feed, feeds = subscription.feed, self._feeds[_resource(subscription.feed.prefix)]
        feed.subscriptions.pop(subscription, None)
        if not feed.subscriptions and feeds.get(feed.prefix) is feed:
            del feeds[feed.prefix]

    def end_watches(self, prefix: str) -> None:
        """End the watches of a resource that is no longer served as it was; they are begun anew, or refused."""
        self._end(_resource(prefix))

    def _end(self, resource: str) -> None:
        for feed in list(self._feeds.get(resource, {}).values()):
            for subscription in list(feed.subscriptions):
                subscription.close()

    async def _run(self, after: int) -> None:
        while True:
            try:
                self.oldest = self.revision = after
                async for batch in self._store.watch(ROOT, after):
                    self._dispatch(batch)
                after = self._store.revision
            except Compacted as error:
                after = max(error.oldest, after + 1)
                log.info("the store's history starts at revision %d; watchers start anew", after)
            self._reset(after)
            await asyncio.sleep(_RETRY if after > self._store.revision else 0)

    def _reset(self, after: int) -> None:
        self.oldest = self.revision = after
        for resource in list(self._feeds):
            self._end(resource)
        self._history.clear()

    async def _tell(self) -> None:
        """Wake the watchers that have something, for ever. A write that comes while they are told has to wait for that.
        Its writer may not have waited for them: that shows when watchers wait and writes follow all the same. As long
        as they do, watchers are told of several together; else they are told at once, and it is tried again later."""
        at_once = left = 0
        pressed = False
        while True:
            await self._something.wait()
            self._something.clear()
            await _turns(_ANSWER_TURNS)
            if pressed and left == 0:
                left = at_once = 0 if await self._followed() else min(2 * at_once + 1, _MOST_AT_ONCE)
            else:
                left = max(0, left - 1)
            woken, self._woken = self._woken, {}
            for feed in woken:
                feed.tell()
            await _turns(_ARRIVAL_TURNS)
            pressed = self._store.writing or (pressed and at_once == 0)

    async def _followed(self) -> bool:
        """Wait as long as writes follow, but not for long; whether one has."""
        began = time.monotonic()
        end, pause = began + _LONGEST_WAIT, began + _PAUSE
        while (rest := min(end, pause) - time.monotonic()) > 0:
            await asyncio.sleep(rest)
            pause = _PAUSE + (time.monotonic() if self._store.writing else self._changed)
        self._something.clear()
        return self._changed > began

    def _dispatch(self, batch: list[Event]) -> None:
        """Queue the events for their watchers, and have those woken."""
        for event in batch:
            frame = Frame(event)
            if len(self._history) == HISTORY:
                self.oldest = self._history[0].event.revision
            self._history.append(frame)
            if len(self._history) > WARM:
                self._history[-1 - WARM].cool()
            key, self.revision = event.key, event.revision
            for prefix, feed in self._feeds.get(_resource(key), _NO_FEEDS).items():
                if key.startswith(prefix):
                    feed.fresh.append(frame)
                    self._woken[feed] = None
        if self._woken:
            self._changed = time.monotonic()
            self._something.set()


async def _turns(count: int) -> None:
    """Let the loop turn so many times."""
    for _ in range(count):
        await asyncio.sleep(0)


def _resource(key: str) -> str:
    """`/registry/GROUP/PLURAL` of a key or prefix."""
    return "/".join(key.split("/", 4)[:4])
