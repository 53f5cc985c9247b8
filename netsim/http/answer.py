"""Sending one HTTP/1.1 response over a connection: whole, streamed in chunks, or followed by the raw connection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.utils import formatdate
from time import time

from netsim.http.stream import Flow, RawStream
from netsim.http.types import PolledBody, Request, Response
from netsim.http.wire import BODILESS, BadHeader, render_response_head

# A body that is cheaper to copy behind its head than to send on its own.
_COPIED = 16 * 1024
_CHUNKED = "Transfer-Encoding: chunked\r\n"

_LAST_CHUNK = b"0\r\n\r\n"

log = logging.getLogger(__name__)


def _framed(chunk: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(chunk), chunk)


@dataclass(slots=True)
class Job:
    """One parsed request, or the refusal of an unparsable one, waiting for its turn on the connection."""

    request: Request
    keep_alive: bool = False
    upgrade: bool = False
    chunked: bool = True
    refusal: Response | None = None


class Clock:
    """The Date field, formatted at most once a second."""

    def __init__(self) -> None:
        self._second, self._text = 0, ""

    def date(self) -> str:
        now = int(time())
        if now != self._second:
            self._second, self._text = now, formatdate(now, usegmt=True)
        return self._text


class Outbox:
    """What polled bodies have to say, for all connections of a server: gathered first, sent in the loop's next turn.

    After each send the interpreter's code has to come back into the processor's caches: it takes a third less time to
    ask fifty bodies, and then to send to all, than to do both for one after another.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[asyncio.Transport, bytes]] = []
        self._chunk = self._framed = b""

    def put(self, transport: asyncio.Transport, chunk: bytes, chunked: bool) -> None:
        """Have `chunk` sent, framed as one of a body when it is `chunked`."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._send)
        if chunk is not self._chunk:  # as it is when many are told the same
            self._chunk, self._framed = chunk, _framed(chunk)
        self._waiting.append((transport, self._framed if chunked else chunk))

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._chunk = self._framed = b""
        for transport, data in waiting:
            try:
                transport.write(data)
            except RuntimeError as error:  # as uvloop's transports say that they were closed meanwhile
                log.debug("a chunk comes too late: %s", error)


class Sender:
    """The write side of one connection. Raises ConnectionError when it is lost or must be given up."""

    def __init__(self, transport: asyncio.Transport, flow: Flow, clock: Clock, outbox: Outbox) -> None:
        self._transport, self._flow, self._clock, self._outbox = transport, flow, clock, outbox

    async def send(self, response: Response, job: Job, keep: bool) -> bool:
        """Send a response; whether the connection may be kept, given that the request allows it (`keep`)."""
        if not isinstance(response.body, bytes):
            return await self._stream(response, job, keep)
        await self._whole(response, response.body, job, keep)
        return keep

    def _head(self, response: Response, framing: str, keep: bool) -> bytes:
        date = self._clock.date()
        try:
            return render_response_head(response, framing=framing, date=date, keep_alive=keep)
        except (BadHeader, UnicodeEncodeError):
            log.exception("response headers that cannot be sent: %r", response.headers)
            raise ConnectionAbortedError("unsendable response headers") from None

    async def _whole(self, response: Response, body: bytes, job: Job, keep: bool) -> None:
        bodiless = response.status in BODILESS
        head = self._head(response, "" if bodiless else f"Content-Length: {len(body)}\r\n", keep)
        if bodiless or job.request.method == "HEAD":
            self._transport.write(head)
        elif len(body) < _COPIED:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._transport.write(body)
        if self._flow.paused:
            await self._flow.drain()

    async def _stream(self, response: Response, job: Job, keep: bool) -> bool:
        """Send the head at once, then every chunk as it comes; HTTP/1.0 gets a body ended by the close."""
        keep = keep and job.chunked
        body = response.body
        assert not isinstance(body, bytes)
        try:
            self._transport.write(self._head(response, _CHUNKED if job.chunked else "", keep))
            if job.request.method != "HEAD":
                if isinstance(body, PolledBody):
                    await self._polled(body, job.chunked)
                else:
                    await self._chunks(body, job.chunked)
            return keep
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception as error:
            log.exception("%s %s: the body broke off", job.request.method, job.request.path)
            # Without the last chunk the client knows that the body is not whole.
            raise ConnectionAbortedError("body broke off") from error
        finally:
            close = getattr(body, "aclose", None)
            if close is not None:
                await close()

    async def _chunks(self, body: AsyncIterator[bytes], chunked: bool) -> None:
        async for chunk in body:
            # An empty chunk would end the body.
            if chunk:
                self._transport.write(_framed(chunk) if chunked else chunk)
                if self._flow.paused:
                    await self._flow.drain()
        if chunked:
            self._transport.write(_LAST_CHUNK)

    async def _polled(self, body: PolledBody, chunked: bool) -> None:
        """As `_chunks`, each chunk asked for from within the call that tells of it. While the client reads too slowly
        nothing is polled, and `body` keeps what comes or gives up."""
        transport, flow, outbox = self._transport, self._flow, self._outbox
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def send() -> None:
            if flow.paused or ended.done():
                return
            try:
                chunk = body.poll()
            except Exception as error:
                ended.set_exception(error)
                return
            if chunk:
                outbox.put(transport, chunk, chunked)
            elif chunk is None:
                ended.set_result(None)

        flow.on_resume = send
        body.listen(send)
        try:
            send()
            await ended  # by then what was put into the outbox before has been sent
        finally:
            flow.on_resume = None
        if chunked:
            transport.write(_LAST_CHUNK)

    async def hand_over(self, response: Response, raw: RawStream) -> None:
        """Send 101 and give the connection to `response.upgrade`."""
        assert response.upgrade is not None
        response.status = 101
        if not response.header("connection"):
            response.headers.append(("Connection", "Upgrade"))
        self._transport.write(self._head(response, "", True))
        try:
            await response.upgrade(raw)
        except ConnectionError as error:
            log.debug("upgraded connection ended: %s", error)
        except Exception:
            log.exception("the upgraded connection's handler failed")
