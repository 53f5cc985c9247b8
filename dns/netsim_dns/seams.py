"""What may be plugged in: a forwarder for the names of others, an observer of what is exchanged."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

from .names import Labels
from .shapes import Shape
from .wire import Query

Answered = bytes | asyncio.Future[bytes | None] | None
"""A message; one that is still on its way (None: there will be none); or none."""

Respond = Callable[[bytes], Answered]


class Batch(NamedTuple):
    """What is at hand for some queries, in their order: messages without ids, b"" for the others; the shapes of those
    exchanges; and the positions of the others."""

    messages: Sequence[bytes]
    shapes: Sequence[Shape]
    others: Sequence[int]


RespondAll = Callable[[Sequence[bytes]], Batch]
"""What is at hand for queries without ids."""
Address = tuple[Any, ...]
"""A socket address, as Python has it."""


RespondTo = Callable[[bytes, str, bool], Answered]
"""As `Respond`, for a query from this address, over TCP if the last is true."""
ByClient = Callable[[], RespondTo | None]
"""Tells at any time who answers if the answers depend on who asks; None: they do not."""


def nobody() -> None:
    """A `ByClient`: all get the same answers."""


class Forwarder(Protocol):
    """Answers what is not the cluster's own."""

    def owns(self, qname: Labels, qtype: int) -> bool:
        """Is this name (lower case) in a stub domain, so that not even the cluster's zones answer for it?"""

    def ask(self, query: Query, data: bytes, stream: bool) -> bytes | asyncio.Future[bytes | None]:
        """The answer to the query `data` (read as `query`; over TCP if `stream`): at once if known, else later.

        It has the query's id, question and OPT, and the size the client takes. The future ends without exception.
        """

    def recall(self, data: bytes, stream: bool) -> bytes | asyncio.Future[bytes | None] | None:
        """The answer to a query that came before byte by byte, and that no change of the cluster makes its own."""


class Followed(bytes):
    """An answer for which another question was asked of ourselves, as for an alias's target: `inner` is that exchange's
    query and answer (None: it had none)."""

    inner: tuple[bytes, bytes | None]


class Exchange(NamedTuple):
    """One query as received, its answer as sent (None: none was), and from where: a socket address, or, only as long
    as an observer is being told, its bytes."""

    query: bytes
    answer: bytes | None
    whence: Any

    @property
    def client(self) -> Address:
        """The client's socket address."""
        return self.whence if isinstance(self.whence, tuple) else socket_address(self.whence)


_ANSWER = itemgetter(Exchange._fields.index("answer"))


def with_inner(exchanges: Sequence[Exchange]) -> Sequence[Exchange]:
    """The exchanges, each with those before it that it led to."""
    if Followed not in map(type, map(_ANSWER, exchanges)):  # in C: this is asked of every query
        return exchanges
    found = list[Exchange]()
    for each in exchanges:
        if type(each.answer) is Followed:
            found += with_inner([Exchange(*each.answer.inner, each.whence)])
        found.append(each)
    return found


def socket_address(raw: bytes | memoryview) -> Address:
    """A socket address from a struct sockaddr_in or sockaddr_in6."""
    port = int.from_bytes(raw[2:4], "big")
    if int.from_bytes(raw[:2], sys.byteorder) == socket.AF_INET:
        return socket.inet_ntop(socket.AF_INET, raw[4:8]), port
    scope = int.from_bytes(raw[24:28], sys.byteorder)
    return socket.inet_ntop(socket.AF_INET6, raw[8:24]), port, 0, scope


class Observe(Protocol):
    """Told what was exchanged over "udp" or "tcp" (several exchanges of one turn together), and the seconds it took
    from the first query's arrival to the last answer's sending."""

    @property
    def by_shape(self) -> bool:
        """Is it enough to be told the shapes of exchanges?"""

    def __call__(self, proto: str, exchanges: Sequence[Exchange], seconds: float) -> None:
        """Told of exchanges with all that is known of them."""

    def count(self, proto: str, six: bool, shapes: Sequence[Shape], seconds: float) -> None:
        """Told of exchanges by their shapes, over IPv6 if `six`."""
