"""The client's side of one HTTP/1.1 connection: one request at a time, its response parsed with httptools."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal, cast

import httptools

from netsim.http.stream import Flow, Inflow, RawStream, watch_peer
from netsim.http.types import Response
from netsim.http.wire import BODILESS

Mode = Literal["whole", "stream", "upgrade"]


class StaleConnection(ConnectionError):
    """A pooled connection was lost before the first byte of the response."""


class BodyStream:
    """The chunks of a streamed body as they arrive; `aclose` before the end hangs up the connection."""

    def __init__(self, connection: ClientConnection, inflow: Inflow) -> None:
        self._connection = connection
        self._inflow = inflow

    def __aiter__(self) -> BodyStream:
        return self

    async def __anext__(self) -> bytes:
        data = await self._inflow.read()
        if not data:
            raise StopAsyncIteration
        return data

    async def aclose(self) -> None:
        if not self._inflow.ended:
            self._inflow.finish()
            self._connection.abort()


class ClientConnection(asyncio.Protocol):
    """See the module. `release` is called whenever an exchange has ended and when the connection is lost."""

    def __init__(self, release: Callable[[ClientConnection], None]) -> None:
        self._release = release
        self._flow = Flow()
        self._head: asyncio.Future[Response] | None = None
        self._inflow: Inflow | None = None
        self._raw: RawStream | None = None
        self._dead = False
        self._exchanging = False
        self._answered = False
        self._lost = asyncio.get_running_loop().create_future()

    @property
    def usable(self) -> bool:
        """Open, in step, and without an exchange under way."""
        return not (self._dead or self._exchanging or self._transport.is_closing())

    def abort(self) -> None:
        self._dead = True
        self._transport.abort()

    async def closed(self) -> None:
        """Wait until the connection is gone."""
        await asyncio.shield(self._lost)

    async def exchange(self, payload: bytes, method: str, mode: Mode) -> Response:
        """Send a request and wait for the response (mode whole), or for its head."""
        self._begin(method, mode)
        self._transport.write(payload)
        assert self._head is not None
        return await self._head

    def _begin(self, method: str, mode: Mode) -> None:
        self._method, self._mode = method, mode
        self._parser: Any = httptools.HttpResponseParser(self)
        self._head = asyncio.get_running_loop().create_future()
        self._response = Response()
        self._body: list[bytes] = []
        self._inflow = None
        self._exchanging, self._answered, self._started = True, False, False

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        watch_peer(transport)

    def data_received(self, data: bytes) -> None:
        if self._raw is not None:
            self._raw.inflow.feed(data)
        elif not self._exchanging:
            # Bytes that answer nothing: the connection is out of step.
            self.abort()
        else:
            self._parse(data)

    def _parse(self, data: bytes) -> None:
        self._answered = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._take_over(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._fail(ConnectionError(f"the server's answer is not HTTP: {error}"))
            self.abort()

    def eof_received(self) -> bool:
        self._dead = True
        if self._raw is not None:
            self._raw.inflow.finish()
            return self._transport.get_extra_info("ssl_object") is None
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._dead = True
        self._flow.lose()
        if not self._lost.done():
            self._lost.set_result(None)
        if self._raw is not None:
            self._raw.inflow.finish()
        elif self._exchanging and self._ended_by_close():
            self.on_message_complete()
        elif self._exchanging:
            kind = ConnectionResetError if self._answered else StaleConnection
            self._fail(kind("the server closed the connection before the whole answer"))
        self._exchanging = False
        self._release(self)

    def _ended_by_close(self) -> bool:
        """A body with neither a length nor chunks ends with the connection (RFC 9112, section 6.3)."""
        names = {name for name, _ in self._response.headers}
        return self._started and not names & {"content-length", "transfer-encoding"}

    def _fail(self, error: ConnectionError) -> None:
        if self._head is not None and not self._head.done():
            self._head.set_exception(error)
        elif self._inflow is not None:
            self._inflow.finish(error)

    def pause_writing(self) -> None:
        self._flow.pause()

    def resume_writing(self) -> None:
        self._flow.resume()

    # httptools callbacks

    def on_header(self, name: bytes, value: bytes) -> None:
        self._response.headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            self._response.headers.clear()
            return
        self._response.status = status
        self._started = True
        if self._mode == "stream" and status not in BODILESS:
            self._inflow = Inflow(self._transport)
            self._response.body = BodyStream(self, self._inflow)
            self._resolve()
        if self._method == "HEAD":
            # The parser would wait for the body that the head announces.
            self._dead = True
            self.on_message_complete()
            self._transport.close()

    def on_body(self, body: bytes) -> None:
        if self._inflow is not None:
            self._inflow.feed(body)
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if not self._started or self._response.status == 101 or not self._exchanging:
            return
        if not self._dead and not self._parser.should_keep_alive():
            self._dead = True
            self._transport.close()
        self._exchanging = False
        if self._inflow is not None:
            self._inflow.finish()
        else:
            self._response.body = b"".join(self._body)
            self._resolve()
        self._release(self)

    def _resolve(self) -> None:
        if self._head is not None and not self._head.done():
            self._head.set_result(self._response)

    def _take_over(self, rest: bytes) -> None:
        """The server switched protocols: the connection is the caller's from here."""
        if self._mode != "upgrade":
            self._fail(ConnectionError("the server switched protocols unasked"))
            self.abort()
            return
        self._exchanging, self._dead = False, True
        self._raw = RawStream(self._transport, self._flow)
        self._raw.inflow.feed(rest)
        self._response.stream = self._raw
        self._resolve()
