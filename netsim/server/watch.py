"""WATCH: initial events, history, live events, bookmarks, selector transitions, Tables."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import UTC

import orjson

from netsim.api import errors
from netsim.api.errors import StatusError
from netsim.api.kinds import Obj
from netsim.http.types import Response
from netsim.server import table
from netsim.server.codec import wire
from netsim.server.core import Call, Core
from netsim.server.hub import Frame
from netsim.server.requests import ListOptions, parse_list_options
from netsim.server.selection import Selection, compile_selection
from netsim.server.views import is_view, shown_form
from netsim.store.types import Item

BOOKMARK_SECONDS = 60.0
_MIN_TIMEOUT = 1800
_MAX_TIMEOUT = 86400


def _too_old(asked: int, oldest: int) -> StatusError:
    return errors.expired(f"too old resource version: {asked} ({oldest})")


class Watch:
    """One watcher's view: from store frames to the lines it gets."""

    def __init__(self, core: Core, call: Call, options: ListOptions) -> None:
        self.core, self.call, self.options = core, call, options
        kind = call.kind
        self.selection: Selection = compile_selection(
            kind, call.namespace, options.label_selector, options.field_selector
        )
        self._everything = self.selection.everything
        self._selectors = (kind.api_version, options.label_selector, options.field_selector)
        self._shape = call.format.shape
        self._plain = not self._shape and not is_view(kind)
        self._with_columns = True
        self._include = call.request.param("includeObject")
        table.check_include(self._include)

    @property
    def prefix(self) -> str:
        return self.selection.exact or self.selection.prefix

    def lines(self, frames: Iterable[Frame]) -> bytes:
        """The lines for some frames, joined."""
        return b"".join([line for line in map(self._frame_line, frames) if line])

    def _frame_line(self, frame: Frame) -> bytes:
        event = frame.event
        if self.selection.exact and event.key != self.selection.exact:
            return b""
        kind = self._transition(frame)
        if not kind:
            return b""
        if self._plain:
            return frame.line(self.call.kind, kind)
        obj = frame.old() if kind == "DELETED" else frame.new(self.core.decoder)
        return self.line(kind, obj) if obj is not None else b""

    def _transition(self, frame: Frame) -> str:
        """The event as this watcher sees it: starting to match is ADDED, ceasing to is DELETED, neither is nothing."""
        if self._everything:
            return frame.event.type
        known = frame.transitions.get(self._selectors)
        if known is None:
            known = frame.transitions[self._selectors] = self._compared(frame)
        return known

    def _compared(self, frame: Frame) -> str:
        old, new = frame.before(self.core.decoder), frame.new(self.core.decoder)
        now = new is not None and self.selection.matches(new)
        before = old is not None and self.selection.matches(old)
        if now:
            return "MODIFIED" if before else "ADDED"
        return "DELETED" if before else ""

    def line(self, event_type: str, obj: Obj) -> bytes:
        """A line in the watcher's representation."""
        return orjson.dumps({"type": event_type, "object": self._shaped(obj)}) + b"\n"

    def _shaped(self, obj: Obj) -> Obj:
        if self._shape == "Table":
            metadata = {"resourceVersion": obj["metadata"]["resourceVersion"]}
            shown = table.build_table(
                self.call.kind, [obj], metadata, self.core.clock().astimezone(UTC), version=self.call.format.version,
                include=self._include, with_columns=self._with_columns,
            )  # fmt: skip
            self._with_columns = False
            return shown
        if self._shape == "PartialObjectMetadata":
            return table.partial_object(obj, self.call.format.version)
        return shown_form(self.call.kind, obj)

    def initial(self, items: Iterable[Item]) -> bytes:
        """ADDED lines for what is there."""
        lines = []
        for item in items:
            if not self.selection.everything and not self.selection.matches(self.core.decoder(item)):
                continue
            if self._plain:
                lines.append(b'{"type":"ADDED","object":%s}\n' % wire(self.call.kind, item.value, item.revision))
            else:
                lines.append(self.line("ADDED", self.core.decoder(item)))
        return b"".join(lines)

    def bookmark(self, revision: int, *, initial_end: bool = False) -> bytes:
        """A BOOKMARK line; `initial_end` marks the end of the initial events (KEP-3157)."""
        metadata: Obj = {"resourceVersion": str(revision), "creationTimestamp": None}
        if initial_end:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        obj = {"kind": self.call.kind.kind, "apiVersion": self.call.kind.api_version, "metadata": metadata}
        if self._shape == "PartialObjectMetadata":
            obj = table.partial_object(obj, self.call.format.version)
        return orjson.dumps({"type": "BOOKMARK", "object": obj}) + b"\n"


async def watch_objects(core: Core, call: Call) -> Response:
    """A watch response. It is subscribed when its body is first read (the hub keeps what happens until then), so that
    a body which nobody reads leaves nothing behind."""
    options = parse_list_options(call.request, watch=True)
    watch = Watch(core, call, options)
    first, after = await _start(core, watch, options)
    headers = [("Cache-Control", "no-cache, private"), ("Content-Type", "application/json")]
    return Response(200, headers, _stream(core, watch, first, after))


async def _start(core: Core, watch: Watch, options: ListOptions) -> tuple[bytes, int]:
    """(initial lines, revision after which live events follow)."""
    wanted = options.initial_events
    if wanted is None:
        wanted = not options.revision
    if not wanted:
        return b"", options.revision or core.store.revision
    if (options.revision or 0) > core.store.revision:
        raise errors.too_large_revision(options.revision or 0, core.store.revision)
    if watch.selection.exact:
        revision = core.store.revision
        found = await core.store.get(watch.selection.exact)
        items = [found] if found is not None else []
        revision = max([revision, *(item.revision for item in items)])
    else:
        page = await core.store.list(watch.selection.prefix)
        items, revision = page.items, page.revision
    lines = watch.initial(items)
    if options.initial_events and options.bookmarks:
        lines += watch.bookmark(revision, initial_end=True)
    return lines, revision


async def _stream(core: Core, watch: Watch, first: bytes, after: int) -> AsyncIterator[bytes]:
    subscription = core.hub.subscribe(watch.prefix, after)
    if subscription is None:
        yield orjson.dumps({"type": "ERROR", "object": _too_old(after, core.hub.oldest).status()}) + b"\n"
        return
    if not core.registry.serves(watch.call.kind):  # its definition went or changed since the watch was asked for
        subscription.close()
    loop = asyncio.get_running_loop()
    timeout = min(watch.options.timeout or _MIN_TIMEOUT + core.rand(_MIN_TIMEOUT), _MAX_TIMEOUT)
    deadline = loop.time() + timeout
    alarm = loop.call_at(deadline, subscription.wake)
    next_bookmark = loop.time() + BOOKMARK_SECONDS
    reminder = loop.call_at(next_bookmark, subscription.wake) if watch.options.bookmarks else None
    try:
        if first:
            yield first
        while not subscription.closed and loop.time() < deadline:
            frames = await subscription.take()
            lines = watch.lines(frames)
            if lines:
                yield lines
            if reminder is not None and loop.time() >= next_bookmark:
                yield watch.bookmark(max(subscription.seen, core.hub.revision if not subscription.pending else 0))
                next_bookmark = loop.time() + BOOKMARK_SECONDS
                reminder = loop.call_at(next_bookmark, subscription.wake)
    finally:
        alarm.cancel()
        if reminder is not None:
            reminder.cancel()
        core.hub.unsubscribe(subscription)
