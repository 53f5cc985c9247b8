"""One subscription to the store, fanned out to all watchers; every event is encoded once.

Watchers are woken by the event itself, nothing polls. A watcher that falls behind is cut off and watches anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable

from netsim.api.kinds import Kind, Obj
from netsim.server.codec import ROOT, Decoder, decode, decode_lean, wire
from netsim.store.types import Compacted, Event, Store

log = logging.getLogger(__name__)

HISTORY = 4096
WARM = 256
"""So many of the newest frames keep what was made of them; who comes later for an older one has it made anew."""
BACKLOG = 8192
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


class Frame:
    """One store event with its decoded objects and wire bytes, each made once and shared by all watchers.

    `shown` keeps the line that it is in each form of watch, b"" where it is none.
    """

    __slots__ = ("_before", "_lines", "_objects", "event", "shown")

    def __init__(self, event: Event) -> None:
        self.event = event
        self.shown: dict[str, bytes] = {}
        self._lines: dict[str, bytes] = {}
        self._objects: dict[bool, Obj] = {}
        self._before: Obj | None = None

    def new(self, decoder: Decoder) -> Obj | None:
        """The object after the event (None when deleted); shared, not to be changed."""
        return decoder(self.event.item) if self.event.item else None

    def before(self, decoder: Decoder) -> Obj | None:
        """The object before the event as it was then, to be matched; shared. Ask before `new`: while the decoder still
        keeps the earlier version, nothing has to be decoded for it."""
        if self._before is None and self.event.previous is not None:
            previous = self.event.previous
            self._before = decoder.kept(previous) or decode_lean(previous.value, previous.revision)
        return self._before

    def old(self) -> Obj | None:
        """The object before the event, with the event's revision; shared, not to be changed."""
        if self.event.previous is None:
            return None
        if False not in self._objects:
            self._objects[False] = decode(self.event.previous.value, self.event.revision)
        return self._objects[False]

    def line(self, kind: Kind, event_type: str) -> bytes:
        """The watch line; DELETED carries the state before the event and the event's revision."""
        if event_type not in self._lines:
            source = self.event.previous if event_type == "DELETED" else self.event.item
            if source is None:
                raise ValueError(f"{self.event.key}: a {self.event.type} event has no {event_type} state")
            body = wire(kind, source.value, self.event.revision)
            self._lines[event_type] = b'{"type":"%s","object":%s}\n' % (event_type.encode(), body)
        return self._lines[event_type]

    def cool(self) -> None:
        """Drop what can be made again."""
        self._before = None
        self._lines.clear()
        self._objects.clear()
        self.shown.clear()


class Subscription:
    """A queue of frames of one key prefix. `closed` is set when the watcher was cut off or the server stops."""

    def __init__(self, prefix: str, after: int) -> None:
        self.prefix, self.after = prefix, after
        self.closed = False
        self.seen = after
        self._frames: list[Frame] = []
        self._wake = asyncio.Event()
        self.wake: Callable[[], None] = self._wake.set
        """Tells that there is something to take, or nothing more to come; a watcher may put its own in its place."""

    def push(self, frame: Frame, key: str, revision: int) -> bool:
        """Queue a frame of a key and a revision, if it is one of these; whether the watcher is to be woken."""
        if self.closed or revision <= self.after or not key.startswith(self.prefix):
            return False
        frames = self._frames
        frames.append(frame)
        if len(frames) > BACKLOG:
            self.closed = True
        return True

    def close(self) -> None:
        self.closed = True
        self.wake()

    async def take(self) -> list[Frame]:
        """Wait, then all frames that have come; empty when woken without any."""
        if not self._frames and not self.closed:
            await self._wake.wait()
        self._wake.clear()
        return self.take_now()

    def take_now(self) -> list[Frame]:
        """All frames that have come."""
        frames, self._frames = self._frames, []
        if frames:
            self.seen = frames[-1].event.revision
        return frames

    @property
    def pending(self) -> bool:
        """Whether frames wait to be taken."""
        return bool(self._frames)


class Hub:
    """Fans the store's events out. `revision` is that of the last event given to the watchers, `oldest` the
    first that can still be watched after."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.revision = store.revision
        self.oldest = self.revision
        self._history: deque[Frame] = deque(maxlen=HISTORY)
        self._watchers: dict[str, set[Subscription]] = {}
        self._woken: set[Subscription] = set()
        self._something = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.closed = False

    @property
    def watchers(self) -> int:
        return sum(len(watchers) for watchers in self._watchers.values())

    async def start(self) -> None:
        """Take up the store's history, as far as it is kept, and go on from there."""
        create = asyncio.get_running_loop().create_task
        self._tasks = [create(self._run(max(0, self._store.revision - HISTORY))), create(self._tell())]
        await asyncio.sleep(0)

    async def close(self) -> None:
        self.closed = True
        for watcher in [watcher for watchers in self._watchers.values() for watcher in watchers]:
            watcher.close()
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):  # our own cancellation
                await task

    def subscribe(self, prefix: str, after: int) -> Subscription | None:
        """Frames of `prefix` with revision > `after`; None when the hub's own history does not reach so far."""
        if after < self.oldest:
            return None
        subscription = Subscription(prefix, after)
        for frame in self._history:
            subscription.push(frame, frame.event.key, frame.event.revision)
        self._watchers.setdefault(_resource(prefix), set()).add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        self._watchers.get(_resource(subscription.prefix), set()).discard(subscription)

    def end_watches(self, prefix: str) -> None:
        """End the watches of a resource that is no longer served as it was; they are begun anew, or refused."""
        for watcher in list(self._watchers.get(_resource(prefix), ())):
            watcher.close()

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
        for watcher in [watcher for watchers in self._watchers.values() for watcher in watchers]:
            watcher.close()
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
            woken, self._woken = self._woken, set()
            for watcher in woken:
                watcher.wake()
            await _turns(_ARRIVAL_TURNS)
            pressed = self._store.writing or (pressed and at_once == 0)

    async def _followed(self) -> bool:
        """Wait as long as writes follow, but not for long; whether one has."""
        end, followed = time.monotonic() + _LONGEST_WAIT, False
        while (rest := end - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(min(rest, _PAUSE)):
                    await self._something.wait()
            except TimeoutError:
                if not self._store.writing:
                    break
                continue
            self._something.clear()
            followed = True
        return followed

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
            for watcher in self._watchers.get(_resource(key), ()):
                if watcher.push(frame, key, event.revision):
                    self._woken.add(watcher)
        if self._woken:
            self._something.set()


async def _turns(count: int) -> None:
    """Let the loop turn so many times."""
    for _ in range(count):
        await asyncio.sleep(0)


def _resource(key: str) -> str:
    """`/registry/GROUP/PLURAL` of a key or prefix."""
    return "/".join(key.split("/", 4)[:4])
