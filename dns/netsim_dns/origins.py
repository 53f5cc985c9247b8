"""Where the objects come from that are answered from: an API or a file.

Each can fill another index anew with what other settings choose, while the one in use is answered from.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from .config import ConfigError, DnsConfig
from .files import Keyed, parse_objects, replace_objects
from .index import Index
from .reload import ReadFile
from .selection import select_views
from .telemetry.metrics import Metrics

if TYPE_CHECKING:
    from netsim.client.rest import Client

    from .feed import Feed

LOG = logging.getLogger(__name__)
SAY_WAITING_SECONDS = 0.5
NONE_LISTED_SECONDS = 60.0


class Origin(Protocol):
    """Fills indexes. Between `refill` and `settle` there are two, both kept up to date."""

    async def refill(self, dns: DnsConfig) -> Index:
        """An index of what these settings choose, once all of it is there. Raises ConfigError."""

    async def settle(self, taken: bool) -> None:
        """Keep up to date the index of the last `refill` only or, if it was not taken, the one before."""


class FileOrigin:
    """A file's objects; a changed file is taken over if it can be read. Raises ConfigError."""

    def __init__(self, file: ReadFile, dns: DnsConfig) -> None:
        self._file = file.path, file.text
        self.index, self._known = self._read(dns)
        self._next = self.index, self._known

    async def refill(self, dns: DnsConfig) -> Index:
        """See `Origin`."""
        self._next = self._read(dns)
        return self._next[0]

    async def settle(self, taken: bool) -> None:
        """See `Origin`."""
        if taken:
            self.index, self._known = self._next

    def changed(self, path: str, text: str) -> None:
        """Take over the file's new text."""
        try:
            self._known = replace_objects(self.index, self._known, parse_objects(path, text), int(time.time()))
        except ConfigError as failure:
            LOG.error("%s; the objects before stay", failure)
        else:
            self._file = path, text
            LOG.info("dns: %d objects read from %s", len(self._known), path)

    def _read(self, dns: DnsConfig) -> tuple[Index, Keyed]:
        index = Index(views=select_views(dns))
        known = replace_objects(index, Keyed(), parse_objects(*self._file), int(time.time()))
        index.set_synced()
        return index, known


class ApiOrigin:
    """An API's objects, listed and watched from `begin` to `close`."""

    def __init__(self, client: Client, metrics: Metrics) -> None:
        from .telemetry.api import MeasuredTransport

        self._client, self._metrics = client, metrics
        client.transport = MeasuredTransport(client.transport, metrics)
        self._feeds: list[Feed] = []

    async def begin(self, index: Index, dns: DnsConfig) -> Feed:
        """Fill an index from now on; returns at once."""
        from .feed import Feed
        from .telemetry.api import ApiMetrics

        told = ApiMetrics(self._metrics, index).programmed
        feed = Feed(self._client, index, dns.pods == "verified", told, dns.labels)
        self._feeds.append(feed)
        await feed.start()
        return feed

    async def refill(self, dns: DnsConfig) -> Index:
        """See `Origin`: however long the API takes."""
        index = Index(views=select_views(dns))
        feed = await self.begin(index, dns)
        while not await feed.wait_synced(NONE_LISTED_SECONDS):
            LOG.warning("dns: the API has not listed what the changed settings choose; those before stay meanwhile")
        return index

    async def settle(self, taken: bool) -> None:
        """See `Origin`."""
        gone = self._feeds[:-1] if taken else self._feeds[1:]
        self._feeds = self._feeds[-1:] if taken else self._feeds[:1]
        for feed in gone:
            await feed.close()

    async def close(self) -> None:
        """Stop watching."""
        for feed in self._feeds:
            await feed.close()


async def wait_synced(feed: Feed, seconds: float, say: Callable[[], None]) -> bool:
    """Has everything been listed within so many seconds? Until then it is said now and then that it has not."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if await feed.wait_synced(min(left, SAY_WAITING_SECONDS)):
            return True
        say()
    return await feed.wait_synced(0)
