"""HTTP/1.1 server on asyncio and httptools (RFC 9112): keep-alive, pipelining, streaming and upgrades."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl as tls
from collections import deque
from dataclasses import dataclass
from email.utils import formatdate
from time import time
from typing import Any, cast

import httptools

from netsim.http.stream import Flow, RawStream
from netsim.http.types import Handler, Peer, Request, Response
from netsim.http.wire import BODILESS, BadHeader, render_response_head, split_target

BODY_LIMIT = 3 * 1024 * 1024
HEAD_LIMIT = 64 * 1024
PIPELINE_LIMIT = 16
HEAD_TIMEOUT = 30.0
LINGER = 0.5
UPGRADE_GRACE = 5.0
_JOIN_BELOW = 64 * 1024
_CHUNKED = "Transfer-Encoding: chunked\r\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Job:
    """One parsed request, or the refusal of an unparsable one, waiting for its turn on the connection."""

    request: Request
    keep_alive: bool = False
    upgrade: bool = False
    chunked: bool = True
    refusal: Response | None = None


class _Clock:
    """The Date field, formatted at most once a second."""

    def __init__(self) -> None:
        self._second, self._text = 0, ""

    def date(self) -> str:
        now = int(time())
        if now != self._second:
            self._second, self._text = now, formatdate(now, usegmt=True)
        return self._text


def _peer_of(transport: asyncio.Transport, trusted: bool) -> Peer:
    address = transport.get_extra_info("peername")
    host = address[0] if isinstance(address, tuple) else ""
    certificate = transport.get_extra_info("peercert") or {}
    names: list[tuple[str, str]] = [pair for rdn in certificate.get("subject", ()) for pair in rdn]
    common_name = next((value for key, value in names if key == "commonName"), None)
    groups = tuple(value for key, value in names if key == "organizationName")
    return Peer(address=host, common_name=common_name, organizations=groups, trusted=trusted)


def _plain(status: int, text: str) -> Response:
    return Response(status, [("Content-Type", "text/plain; charset=utf-8")], text.encode() + b"\n")


class _Connection(asyncio.Protocol):
    """One client connection: a parser feeding a queue of jobs, and at most one task working it off in order."""

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._flow = Flow()
        self._jobs: deque[_Job] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._raw: RawStream | None = None
        self._refused = False
        self._reading_paused = False
        self._partial = False
        self._deadline: asyncio.TimerHandle | None = None
        self._parser: Any = httptools.HttpRequestParser(self)
        self._reset()

    def _reset(self) -> None:
        self._target = b""
        self._headers: list[tuple[str, str]] = []
        self._body: list[bytes] = []
        self._size = self._head_size = 0

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._peer = _peer_of(self._transport, self._server.trusted)
        self._server.connections.add(self)

    def data_received(self, data: bytes) -> None:
        if self._raw is not None:
            self._raw.inflow.feed(data)
        elif not self._refused:
            self._parse(data)

    def eof_received(self) -> bool:
        if self._raw is not None and self._worker is not None:
            self._raw.inflow.finish()
            # An upgraded plain connection may still be written to; TLS knows no half-close.
            return not self._server.tls
        self._stop_worker()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self._disarm()
        self._flow.lose()
        self._jobs.clear()
        if self._raw is not None and self._worker is not None:
            # Bytes received before the loss may still be unread: let the owner of the stream see them, then the end.
            self._raw.inflow.finish()
            asyncio.get_running_loop().call_later(UPGRADE_GRACE, self._stop_worker)
        else:
            self._stop_worker()

    def pause_writing(self) -> None:
        self._flow.pause()

    def resume_writing(self) -> None:
        self._flow.resume()

    # httptools callbacks

    def on_message_begin(self) -> None:
        self._reset()
        self._partial = True

    def on_url(self, url: bytes) -> None:
        self._target += url
        self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))
        self._count_head(len(name) + len(value))

    def on_headers_complete(self) -> None:
        fields = dict(self._headers)
        length = fields.get("content-length", "0")
        if length.isdigit() and int(length) > BODY_LIMIT:
            self._refuse(413, f"the body is larger than {BODY_LIMIT} bytes")
        elif fields.get("expect", "").lower() == "100-continue" and self._worker is None and not self._refused:
            self._transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size > BODY_LIMIT:
            self._refuse(413, f"the body is larger than {BODY_LIMIT} bytes")
        elif not self._refused:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self._refused:
            return
        self._partial = False
        path, query = split_target(self._target)
        method = self._parser.get_method().decode("latin-1")
        request = Request(method, path, query, self._headers, b"".join(self._body), self._peer)
        keep_alive, upgrade = self._parser.should_keep_alive(), self._parser.should_upgrade()
        if upgrade:
            self._raw = RawStream(self._transport, self._flow)
        self._enqueue(_Job(request, keep_alive, upgrade, self._parser.get_http_version() != "1.0"))

    # parsing and queueing

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._raw is not None:
                self._raw.inflow.feed(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._refuse(400, f"malformed request: {error}")
        self._watch_deadline()

    def _watch_deadline(self) -> None:
        """A request must arrive whole within HEAD_TIMEOUT of its first byte; idle connections are left alone."""
        if not self._partial or self._refused:
            self._disarm()
        elif self._deadline is None:
            self._deadline = asyncio.get_running_loop().call_later(HEAD_TIMEOUT, self._time_out)

    def _count_head(self, size: int) -> None:
        self._head_size += size
        if self._head_size > HEAD_LIMIT:
            self._refuse(431, f"the request's head is larger than {HEAD_LIMIT} bytes")

    def _refuse(self, status: int, text: str) -> None:
        if not self._refused:
            self._refused = True
            self._disarm()
            self._enqueue(_Job(Request("", ""), refusal=_plain(status, text)))

    def _enqueue(self, job: _Job) -> None:
        self._jobs.append(job)
        if len(self._jobs) >= PIPELINE_LIMIT and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()
        if self._worker is None:
            self._worker = asyncio.get_running_loop().create_task(self._work())

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _time_out(self) -> None:
        self._deadline = None
        self._refuse(408, f"the request did not arrive within {HEAD_TIMEOUT:.0f} s")

    def _stop_worker(self) -> None:
        if self._worker is not None:
            self._worker.cancel()

    # answering

    async def _work(self) -> None:
        keep = True
        try:
            while self._jobs and keep:
                job = self._jobs.popleft()
                if self._reading_paused and len(self._jobs) < PIPELINE_LIMIT // 2 and not self._transport.is_closing():
                    self._reading_paused = False
                    self._transport.resume_reading()
                keep = await self._answer(job)
        except ConnectionError:
            self._transport.abort()
        except BaseException:
            self._transport.abort()
            raise
        finally:
            self._worker = None
        if not keep:
            self._finish()

    def _finish(self) -> None:
        self._jobs.clear()
        if not self._refused or self._transport.is_closing():
            self._transport.close()
            return
        # Closing with unread input resets the connection and may destroy the refusal on its way: linger first.
        if self._transport.can_write_eof():
            self._transport.write_eof()
        asyncio.get_running_loop().call_later(LINGER, self._transport.close)

    async def _answer(self, job: _Job) -> bool:
        """Send one response; whether the connection lives on."""
        response = job.refusal or await self._handle(job.request)
        if response.upgrade is not None and job.upgrade and self._raw is not None:
            await self._hand_over(response, self._raw)
            return False
        keep = job.keep_alive and not job.upgrade and not self._server.closing
        if not isinstance(response.body, bytes):
            return await self._send_stream(response, job, keep)
        await self._send_whole(response, response.body, job, keep)
        return keep

    async def _handle(self, request: Request) -> Response:
        try:
            return await self._server.handler(request)
        except Exception:
            log.exception("%s %s: the handler failed", request.method, request.path)
            return _plain(500, "internal error: see the server's log")

    def _head(self, response: Response, framing: str, keep: bool) -> bytes:
        date = self._server.clock.date()
        try:
            return render_response_head(response, framing=framing, date=date, keep_alive=keep)
        except (BadHeader, UnicodeEncodeError):
            log.exception("response headers that cannot be sent: %r", response.headers)
            raise ConnectionAbortedError("unsendable response headers") from None

    async def _send_whole(self, response: Response, body: bytes, job: _Job, keep: bool) -> None:
        bodiless = response.status in BODILESS
        head = self._head(response, "" if bodiless else f"Content-Length: {len(body)}\r\n", keep)
        if bodiless or job.request.method == "HEAD":
            self._transport.write(head)
        elif len(body) < _JOIN_BELOW:
            self._transport.write(head + body)
        else:
            self._transport.writelines([head, body])
        if self._flow.paused:
            await self._flow.drain()

    async def _send_stream(self, response: Response, job: _Job, keep: bool) -> bool:
        """Send the head at once, then every chunk as it comes; HTTP/1.0 gets a body ended by the close."""
        keep = keep and job.chunked
        body = response.body
        assert not isinstance(body, bytes)
        self._transport.write(self._head(response, _CHUNKED if job.chunked else "", keep))
        try:
            if job.request.method != "HEAD":
                async for chunk in body:
                    if chunk:
                        self._transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if job.chunked else chunk)
                        if self._flow.paused:
                            await self._flow.drain()
                if job.chunked:
                    self._transport.write(b"0\r\n\r\n")
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

    async def _hand_over(self, response: Response, raw: RawStream) -> None:
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

    async def shut(self) -> None:
        """Break the connection off and wait for its task."""
        worker = self._worker
        self._stop_worker()
        self._transport.abort()
        if worker is not None:
            await asyncio.wait([worker])


class HttpServer:
    """A listening server; see `serve`."""

    def __init__(self, handler: Handler, sock: socket.socket, *, tls: bool, trusted: bool) -> None:
        self.handler, self.tls, self.trusted = handler, tls, trusted
        self.connections: set[_Connection] = set()
        self.clock = _Clock()
        self.closing = False
        self._listener: asyncio.AbstractServer | None = None
        name = sock.getsockname()
        self.port: int = name[1] if isinstance(name, tuple) else 0

    async def listen(self, sock: socket.socket, ssl: tls.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        create = loop.create_unix_server if sock.family == socket.AF_UNIX else loop.create_server
        self._listener = await create(lambda: _Connection(self), sock=sock, ssl=ssl, backlog=1024)

    async def close(self) -> None:
        """Stop listening, break off every connection, cancel the running handlers and wait for them."""
        self.closing = True
        if self._listener is not None:
            self._listener.close()
        for connection in list(self.connections):
            await connection.shut()
        if self._listener is not None:
            await self._listener.wait_closed()


async def serve(
    handler: Handler, sock: socket.socket, *, ssl: tls.SSLContext | None = None, trusted: bool = False
) -> HttpServer:
    """Serve `handler` on a bound stream socket (TCP or unix), which the server owns from then on.

    `Request.peer` carries CN and O of the client's certificate when `ssl` verified one; `trusted` marks every
    peer of this socket as trusted. A client that disconnects cancels its running handler or stream.
    """
    server = HttpServer(handler, sock, tls=ssl is not None, trusted=trusted)
    await server.listen(sock, ssl)
    return server
