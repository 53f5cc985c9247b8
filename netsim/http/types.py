"""The one request and response shape of every HTTP door: server, agent, clients and in-process calls.

A handler is an async callable from `Request` to `Response`; a client transport is the same callable, so
a component can be handed the server's handler itself instead of a socket (see `netsim.client.transport`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, as far as the transport can prove it.

    `common_name` and `organizations` come from a verified TLS client certificate (CN and O of its subject),
    `fingerprint` is that certificate's SHA-256 in hexadecimal;
    `trusted` is set for in-process calls and the root-only unix socket, which act as `system:masters`.
    """

    address: str = ""
    common_name: str | None = None
    organizations: tuple[str, ...] = ()
    trusted: bool = False
    fingerprint: str = ""


@dataclass(slots=True)
class Request:
    """One HTTP request; `query` keeps repeated keys in order, header names are lower case and may repeat. They stay as
    they are once one has been asked for."""

    method: str
    path: str
    query: list[tuple[str, str]] = field(default_factory=list)
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    peer: Peer = Peer()
    _first: dict[str, str] | None = field(default=None, init=False, repr=False, compare=False)

    def header(self, name: str, default: str = "") -> str:
        """First value of a header, by its lower-case name."""
        if self._first is None:
            self._first = dict(reversed(self.headers))
        return self._first.get(name, default)

    def param(self, name: str, default: str = "") -> str:
        """First value of a query parameter."""
        for key, value in self.query:
            if key == name:
                return value
        return default

    def params(self, name: str) -> list[str]:
        """All values of a repeated query parameter, in order."""
        return [v for k, v in self.query if k == name]


class ByteStream(Protocol):
    """A raw full-duplex connection, handed over after a 101 answer."""

    async def read(self) -> bytes:
        """Next bytes, b"" at the end."""
        ...

    async def write(self, data: bytes) -> None: ...

    async def close(self) -> None: ...


@runtime_checkable
class PolledBody(Protocol):
    """A streamed body that can also be read without waiting, which spares a server with many of them a task's wake-up
    for every chunk. It is an async iterator too, for those who would rather wait; it is read in one of the two ways."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def __anext__(self) -> bytes: ...

    def listen(self, ready: Callable[[], None]) -> None:
        """Call `ready`, which must not raise, whenever `poll` may bring something new, also when it did not bring all
        the last time. To be said before polling."""
        ...

    def poll(self) -> bytes | None:
        """What there is to send now, b"" when that is nothing yet, None at the end."""
        ...

    async def aclose(self) -> None: ...


@dataclass(slots=True)
class Response:
    """One HTTP response. `body` is bytes, or an async iterator of chunks (sent chunked, flushed one by one).

    With `upgrade` set the status is 101: after the head is written the connection belongs to that callable
    (server side). A client receiving a 101 finds the connection in `stream`.
    """

    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes | AsyncIterator[bytes] = b""
    upgrade: Callable[[ByteStream], Awaitable[None]] | None = None
    stream: ByteStream | None = None

    def header(self, name: str, default: str = "") -> str:
        """First value of a header, by its name in any case."""
        return next((v for k, v in self.headers if k.lower() == name), default)


Handler = Callable[[Request], Awaitable[Response]]
