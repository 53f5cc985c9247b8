"""Keeps a Cache equal to a collection of the API: list once, then watch, resuming where it stopped."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

from netsim.api.errors import StatusError
from netsim.api.kinds import NODES, PODS, Kind, Obj
from netsim.api.objects import deletion_timestamp, key_of
from netsim.client.cache import Cache
from netsim.client.rest import Client
from netsim.client.sharing import SHARER
from netsim.client.state import GONE, BadWatchLine, Bookmark, Event, LineSplitter, Relist, WatchState

log = logging.getLogger(__name__)

FIRST_DELAY = 0.02
LAST_DELAY = 1.0
WATCH_SECONDS = (300, 600)
WATCH_GRACE = 30
PAGE = 1000


def must_relist(error: StatusError) -> bool:
    """Whether a refusal says that our revision is unknown to the server: too old, or from a longer history."""
    causes = (error.details or {}).get("causes") or []
    return error.code == GONE or any(cause.get("reason") == "ResourceVersionTooLarge" for cause in causes)


def _metadata(page: Obj) -> Obj:
    metadata = page.get("metadata")
    if not isinstance(metadata, dict) or not metadata.get("resourceVersion"):
        raise BadWatchLine(f"the server's answer to a list is no List with a resourceVersion: {str(page)[:200]}")
    return metadata


_HEAD = ("apiVersion", "kind", "metadata")


def _head_of(obj: Obj) -> Obj:
    return {name: obj[name] for name in _HEAD if name in obj}


_SHARED: dict[Kind, Callable[[Obj, Obj | None], Obj]] = {PODS: SHARER.share_pod, NODES: SHARER.share_node}
"""Kinds of which there are thousands, most of them alike."""


def _lighten(obj: Obj) -> None:
    """Drop the managedFields, which nobody here reads and which would be half of what the cache holds. Writing such an
    object leaves the server's as they are."""
    obj["metadata"].pop("managedFields", None)


class Backoff:
    """Delays doubling from `first` to `last` seconds, each multiplied by a random factor of 0.5 to 1."""

    def __init__(self, first: float = FIRST_DELAY, last: float = LAST_DELAY) -> None:
        self._first, self._last = first, last
        self._next = first

    def reset(self) -> None:
        self._next = self._first

    def delay(self) -> float:
        """Seconds to wait before the next attempt."""
        delay, self._next = self._next, min(self._next * 2, self._last)
        return delay * random.uniform(0.5, 1.0)


class Reflector:
    """Feeds `cache` with the objects of one kind, optionally of one namespace and one selection."""

    def __init__(
        self,
        client: Client,
        kind: Kind,
        cache: Cache,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        backoff: Backoff | None = None,
        metadata_only: bool = False,
        keep: Callable[[Obj], Obj] | None = None,
    ) -> None:
        """`metadata_only` keeps apiVersion, kind and metadata of every object, and lets the rest go; `keep` gives what
        is kept of one."""
        self._keep = _head_of if metadata_only else keep or cache.slim
        self._share = _SHARED.get(kind)
        self._client, self._kind, self.cache = client, kind, cache
        self._namespace = namespace
        self._labels, self._fields = label_selector, field_selector
        self._backoff = backoff or Backoff()
        self._state: WatchState | None = None
        self._trouble = ""

    async def run(self) -> None:
        """List and watch for ever; returns only by cancellation. Failures are retried with back-off."""
        while True:
            try:
                if self._state is None:
                    self._state = WatchState(await self._list())
                    self._backoff.reset()
                await self._watch(self._state)
            except StatusError as error:
                await self._recover(error, must_relist(error))
            except (OSError, ValueError) as error:
                await self._recover(error, False)

    async def _recover(self, error: Exception, relist: bool) -> None:
        if relist:
            self._state = None
        delay = self._backoff.delay()
        # The same trouble is worth one line, not one a second.
        level = logging.DEBUG if str(error) == self._trouble else logging.WARNING
        self._trouble = str(error)
        log.log(level, "%s: %s; %s in %.0f ms", self._kind.plural, error, "list" if relist else "retry", delay * 1000)
        await asyncio.sleep(delay)

    async def _list(self) -> str:
        """Take in the whole collection, page by page; its revision."""
        page = await self._page("")
        items = self._items(page)
        while token := _metadata(page).get("continue", ""):
            page = await self._page(token)
            items += self._items(page)
        revision: str = _metadata(page)["resourceVersion"]
        self.cache.replace(items, revision)
        return revision

    def _items(self, page: Obj) -> list[Obj]:
        items = page.get("items") or []
        for item in items:
            # Lists leave out on every item what they say once.
            item.setdefault("apiVersion", self._kind.api_version)
            item.setdefault("kind", self._kind.kind)
        return [self._kept(item) for item in items]

    async def _page(self, token: str) -> Obj:
        # Pages keep small what is in memory at once. A selection is better judged by the server once than page by page,
        # unless little is kept of each object.
        selected = bool(self._labels or self._fields) and self._keep is None
        return await self._client.list(
            self._kind,
            self._namespace,
            label_selector=self._labels,
            field_selector=self._fields,
            limit=0 if selected and not token else PAGE,
            continue_=token,
        )

    async def _watch(self, state: WatchState) -> None:
        """One watch request, until the server ends it; the next resumes from `state.revision`."""
        seconds = random.randint(*WATCH_SECONDS)
        chunks = await self._client.watch(
            self._kind,
            self._namespace,
            resource_version=state.revision,
            label_selector=self._labels,
            field_selector=self._fields,
            timeout_seconds=seconds,
        )
        splitter = LineSplitter()
        before, started = state.revision, asyncio.get_running_loop().time()
        try:
            # The server ends the watch; one that does not has forgotten us.
            async with asyncio.timeout(seconds + WATCH_GRACE):
                async for chunk in chunks:
                    for line in splitter.feed(chunk):
                        self._apply(state, line)
        finally:
            close = getattr(chunks, "aclose", None)
            if close is not None:
                await close()
            if state.revision != before or asyncio.get_running_loop().time() - started > LAST_DELAY:
                self._backoff.reset()
                self._trouble = ""
        # A server that ends every watch at once must not be asked in a tight loop.
        await asyncio.sleep(self._backoff.delay())

    def _apply(self, state: WatchState, line: bytes) -> None:
        event = state.feed(line)
        if isinstance(event, Relist):
            raise StatusError(GONE, "Expired", event.message)
        if isinstance(event, Bookmark):
            self.cache.revision = event.revision
        elif isinstance(event, Event) and event.type == "DELETED":
            self.cache.drop(event.object, state.revision)
        elif isinstance(event, Event):
            self.cache.put(self._kept(event.object), state.revision)

    def _kept(self, obj: Obj) -> Obj:
        """What of an object the cache holds."""
        _lighten(obj)
        if self._keep is not None:
            return self._keep(obj)
        if self._share is None or deletion_timestamp(obj):  # what goes is soon gone: sharing is work for what stays
            return obj
        return self._share(obj, self.cache.get(key_of(obj)))
