"""WATCH: initial events, history, live events, bookmarks, selector transitions, Tables."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC

import orjson

from netsim.api import errors
from netsim.api.errors import StatusError
from netsim.api.kinds import Obj
from netsim.http.types import Response
from netsim.server import table
from netsim.server.codec import wire
from netsim.server.core import Call, Core
from netsim.server.feeds import Batch, Frame, Subscription
from netsim.server.negotiate import check_watch
from netsim.server.requests import ListOptions, parse_flag, parse_list_options
from netsim.server.selection import Selection, compile_selection
from netsim.server.views import is_view, shown_form
from netsim.store.types import Item

BOOKMARK_SECONDS = 60.0
_MIN_TIMEOUT = 1800
_MAX_TIMEOUT = 86400


def _too_old(asked: int, oldest: int) -> StatusError:
    return errors.expired(f"too old resource version: {asked} ({oldest})")


def one_name(name: str, selector: str) -> str:
    """A field selector with the name that the path of a watch says, if it says one (pure)."""
    if not name:
        return selector
    escaped = name.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")
    return ",".join(part for part in (f"metadata.name={escaped}", selector) if part)


def check_path(call: Call) -> None:
    """404 for what cannot be watched at the older paths, /api/v1/watch/…, and 405 for other methods there."""
    if _by_path(call) and (call.target.subresource or "watch" not in call.kind.verbs):
        raise errors.no_such_resource()
    if call.request.method != "GET":
        raise errors.method_not_allowed()


def _by_path(call: Call) -> bool:
    """Whether the path asks for a watch, and no parameter."""
    return not parse_flag(call.request.params("watch"))


def _check_name(call: Call, field_selector: str) -> None:
    """400 when a field selector does not want just the name that the path of a watch says (pure)."""
    name, kind = call.target.name, call.kind
    if not name or not field_selector:
        return
    if compile_selection(kind, call.namespace, "", field_selector).fields.exact("metadata.name") != name:
        raise errors.bad_request("fieldSelector metadata.name doesn't match requested name")


class Watch:
    """One watcher's view: from store frames to the lines it gets."""

    def __init__(self, core: Core, call: Call, options: ListOptions) -> None:
        self.core, self.call, self.options = core, call, options
        kind = call.kind
        _check_name(call, options.field_selector)
        selector = one_name(call.target.name, options.field_selector)
        self.selection: Selection = compile_selection(kind, call.namespace, options.label_selector, selector)
        self._everything = self.selection.everything or self.selection.single
        exact = self.selection.exact
        self._form = "\n".join((kind.api_version, exact, options.label_selector, selector))
        self._shape = call.format.shape
        self._plain = not self._shape and not is_view(kind)
        self._with_columns = True
        self._include = call.request.param("includeObject")
        table.check_include(self._include)

    @property
    def prefix(self) -> str:
        return self.selection.exact or self.selection.prefix

    def lines(self, batch: Batch) -> bytes:
        """The lines for some frames, joined. Watchers of the same form share what the first of them had made."""
        if not self._plain:
            return b"".join([self._shaped_line(frame) for frame in batch])
        lines = batch.shown.get(self._form)
        if lines is None:
            lines = batch.shown[self._form] = b"".join([self._plain_line(frame) for frame in batch])
        return lines

    def _shaped_line(self, frame: Frame) -> bytes:
        kind = self._transition(frame)
        obj = frame.old() if kind == "DELETED" else frame.new(self.core.decoder)
        return self.line(kind, obj) if kind and obj is not None else b""

    def _plain_line(self, frame: Frame) -> bytes:
        kind = self._transition(frame)
        return frame.line(self.call.kind, kind) if kind else b""

    def _transition(self, frame: Frame) -> str:
        """The event as this watcher sees it: starting to match is ADDED, ceasing to is DELETED, neither is nothing."""
        if self.selection.exact and frame.event.key != self.selection.exact:
            return ""
        return frame.event.type if self._everything else self._compared(frame)

    def _compared(self, frame: Frame) -> str:
        needle, event = self.selection.needle, frame.event
        if needle and not any(item and needle in item.value for item in (event.item, event.previous)):
            return ""
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
            if not self._everything and not self.selection.matches(self.core.decoder(item)):
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
    check_watch(call.format)
    options = parse_list_options(call.request, watch=not _by_path(call))
    watch = Watch(core, call, options)
    first, after = await _start(core, watch, options)
    headers = [("Cache-Control", "no-cache, private"), ("Content-Type", "application/json")]
    return Response(200, headers, WatchBody(core, watch, first, after))


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


class WatchBody:
    """The lines of one watch, to be polled or waited for (implements `netsim.http.types.PolledBody`)."""

    def __init__(self, core: Core, watch: Watch, first: bytes, after: int) -> None:
        self._core, self._watch = core, watch
        self._first, self._after = first, after
        self._subscription: Subscription | None = None
        self._ready: Callable[[], None] = self._rouse
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._bookmark_due = self._ended = False
        self._waiter: asyncio.Future[None] | None = None

    def listen(self, ready: Callable[[], None]) -> None:
        self._ready = ready

    def poll(self) -> bytes | None:
        if self._ended:
            return None
        if self._subscription is None:
            return self._start()
        batch = self._subscription.take_now()
        lines = self._watch.lines(batch) if batch else b""
        if self._bookmark_due:
            lines += self._bookmark(self._subscription)
        if self._subscription.closed:
            if not lines:
                self._end()
                return None
            self._go_on()
        return lines

    def _start(self) -> bytes | None:
        core, options = self._core, self._watch.options
        subscription = core.hub.subscribe(self._watch.prefix, self._after)
        if subscription is None:
            self._ended = True
            self._go_on()
            return orjson.dumps({"type": "ERROR", "object": _too_old(self._after, core.hub.oldest).status()}) + b"\n"
        subscription.wake = self._ready
        self._subscription = subscription
        if not core.registry.serves(
            self._watch.call.kind
        ):  # its definition went or changed since the watch was asked for
            subscription.close()
        timeout = min(options.timeout or _MIN_TIMEOUT + core.rand(_MIN_TIMEOUT), _MAX_TIMEOUT)
        self._timers["end"] = asyncio.get_running_loop().call_later(timeout, subscription.close)
        if options.bookmarks:
            self._timers["bookmark"] = asyncio.get_running_loop().call_later(BOOKMARK_SECONDS, self._remind)
        first, self._first = self._first, b""
        if not first:
            return self.poll()
        if subscription.waiting or subscription.closed:
            self._go_on()
        return first

    def _go_on(self) -> None:
        """Have what is left, or the end, asked for."""
        asyncio.get_running_loop().call_soon(self._ready)

    def _remind(self) -> None:
        self._bookmark_due = True
        self._ready()

    def _bookmark(self, subscription: Subscription) -> bytes:
        self._bookmark_due = False
        self._timers["bookmark"] = asyncio.get_running_loop().call_later(BOOKMARK_SECONDS, self._remind)
        return self._watch.bookmark(max(subscription.seen, self._core.hub.revision))

    def _end(self) -> None:
        self._ended = True
        for timer in self._timers.values():
            timer.cancel()
        if self._subscription is not None:
            self._core.hub.unsubscribe(self._subscription)

    # for those who wait

    def _rouse(self) -> None:
        """Who waits is of this process: it can wait until the others' bytes are sent."""
        asyncio.get_running_loop().call_soon(self._rouse_now)

    def _rouse_now(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __aiter__(self) -> WatchBody:
        return self

    async def __anext__(self) -> bytes:
        while (lines := self.poll()) == b"":
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            except BaseException:
                # Who is cancelled here may not get round to `aclose`.
                self._end()
                raise
        if lines is None:
            raise StopAsyncIteration
        return lines

    async def aclose(self) -> None:
        self._end()
        self._rouse_now()
