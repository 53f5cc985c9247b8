"""A client's query read once, for all times it comes again byte by byte."""

from __future__ import annotations

import random
from dataclasses import dataclass

from ..types import SERVFAIL
from ..wire import AA, TCP_LIMIT, Query
from .message import Message
from .render import Asked, refusal, render
from .resolver import Found, Resolver


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
        authoritative = found.kept and self.resolver.zone.cache.authoritative
        limit = TCP_LIMIT if self.stream else self.asked.size
        written = render(
            message, self.query, limit, found.ttl, authoritative or bool(message.flags & AA), random.shuffle
        )
        if found.kept and not message.groups:
            self._message, self._ttl, self._written = message, found.ttl, written
        return written
