"""A client's query read once, for all times it comes again byte by byte."""

from __future__ import annotations

import random
from dataclasses import dataclass

from ..reply import refusal
from ..types import SERVFAIL
from ..wire import AA, CD, RD, TCP_LIMIT, Query
from .message import Message
from .render import Asked, render
from .resolver import Found, Resolver

# the longest answer in bytes that is remembered, which keeps the message it is made from; larger ones are made again
WRITTEN_MAX = 1400


@dataclass(slots=True)
class Route:
    """A query, what of it is asked, and of whom; None if of nobody. Remembers the last answer made from the cache."""

    query: Query
    asked: Asked
    resolver: Resolver | None
    stream: bool
    _message: Message | None = None
    _ttl: int | None = None
    _written: bytes = b""

    def write(self, found: Found) -> bytes:
        """The answer, without id."""
        message = found.message
        if message is None or self.resolver is None:
            return refusal(self.query, found.rcode or SERVFAIL)
        if message is self._message and found.ttl == self._ttl and found.kept:
            return self._written
        limit = TCP_LIMIT if self.stream else self.asked.size
        written = render(message, self.query, limit, found.ttl, self._bits(message, found.kept), random.shuffle)
        if found.kept and not (message.groups or message.exchanges) and len(message.body) <= WRITTEN_MAX:
            self._message, self._ttl, self._written = message, found.ttl, written
        return written

    def _bits(self, message: Message, kept: bool) -> int:
        """AA, RD and CD: the upstream's own in its answer, the query's RD and CD in one that was kept."""
        if not kept:
            return message.flags & (AA | RD | CD)
        quirk = AA if self.resolver and self.resolver.zone.cache.authoritative else message.flags & AA
        return quirk | self.query.reply_flags & (RD | CD)
