"""What watchers are given: store events whose lines are made once, and the queues in which they wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from netsim.api.kinds import Kind, Obj
from netsim.server.codec import Decoder, decode, decode_lean, wire
from netsim.store.types import Event

BACKLOG = 8192
"""A watcher for which more frames wait is cut off."""


class Frame:
    """One store event with its decoded objects and wire bytes, each made once and shared by all watchers."""

    __slots__ = ("_before", "_lines", "_objects", "event")

    def __init__(self, event: Event) -> None:
        self.event = event
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


class Batch(list[Frame]):
    """Frames that watchers are told of together; `shown` keeps the lines that these are in each form of watch. What is
    `shared` is not changed any more."""

    __slots__ = ("shared", "shown")

    def __init__(self, frames: Iterable[Frame] = (), *, shared: bool = False) -> None:
        super().__init__(frames)
        self.shared = shared
        self.shown: dict[str, bytes] = {}


_NOTHING = Batch(shared=True)


class Feed:
    """The subscriptions to one key prefix. Frames gather here and go to all of them as one batch: most watchers have
    taken what was before, and need no list of their own, nor lines."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.subscriptions: dict[Subscription, None] = {}
        self.fresh = Batch()

    def spread(self) -> None:
        """Hand out what has gathered, which is something."""
        batch, self.fresh = self.fresh, Batch()
        batch.shared = True
        first, large = batch[0].event.revision, len(batch) > BACKLOG
        for subscription in self.subscriptions:
            if subscription.waiting or subscription.closed or subscription.after >= first or large:
                subscription.add(batch)
            else:
                subscription.waiting = batch

    def tell(self) -> None:
        """Hand out what has gathered, and wake whoever has something."""
        if self.fresh:
            self.spread()
        for subscription in tuple(self.subscriptions):
            if subscription.waiting:
                subscription.wake()


class Subscription:
    """A queue of frames of one key prefix later than `after`. `seen` is the revision of the last that was taken;
    `closed` is set when the watcher was cut off or the server stops."""

    def __init__(self, feed: Feed, after: int) -> None:
        self.feed, self.after = feed, after
        self.seen = after
        self.closed = False
        self.waiting = _NOTHING
        """What has been handed out and not been taken."""
        self._wake = asyncio.Event()
        self.wake: Callable[[], None] = self._wake.set
        """Tells that there is something to take, or nothing more to come; a watcher may put its own in its place."""

    def add(self, frames: Iterable[Frame]) -> None:
        """Queue frames behind those that wait, but for what was before the subscription. Too many end it."""
        if self.closed:
            return
        if self.waiting.shared:
            self.waiting = Batch(self.waiting)
        self.waiting.extend(frame for frame in frames if frame.event.revision > self.after)
        self.closed = len(self.waiting) > BACKLOG

    def close(self) -> None:
        if self.feed.fresh:  # which was before
            self.feed.spread()
        self.closed = True
        self.wake()

    async def take(self) -> Batch:
        """Wait, then all frames that have come; empty when woken without any."""
        if not self.waiting and not self.closed:
            await self._wake.wait()
        self._wake.clear()
        return self.take_now()

    def take_now(self) -> Batch:
        """All frames that have come."""
        if self.feed.fresh:
            self.feed.spread()
        batch, self.waiting = self.waiting, _NOTHING
        if batch:
            self.seen = batch[-1].event.revision
        return batch
