"""The server's side of one connection: requests parsed with httptools, answered in order by at most one task."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from hashlib import sha256
from typing import Any, Protocol, cast

import httptools

from netsim.http.answer import Clock, Job, Outbox, Sender
from netsim.http.stream import Flow, RawStream, watch_peer
from netsim.http.types import Handler, Peer, Request, Response
from netsim.http.wire import split_target

BODY_LIMIT = 3 * 1024 * 1024
HEAD_LIMIT = 64 * 1024
PIPELINE_LIMIT = 16
HEAD_TIMEOUT = 30.0
WRITE_HIGH_WATER = 512 * 1024
LINGER = 0.5
UPGRADE_GRACE = 5.0
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

log = logging.getLogger(__name__)


class Server(Protocol):
    """What a connection needs of its server."""

    handler: Handler
    tls: bool
    trusted: bool
    closing: bool
    clock: Clock
    outbox: Outbox
    connections: set[Connection]


def _peer_of(transport: asyncio.Transport, trusted: bool) -> Peer:
    address = transport.get_extra_info("peername")
    host = address[0] if isinstance(address, tuple) else ""
    certificate = transport.get_extra_info("peercert") or {}
    names: list[tuple[str, str]] = [pair for rdn in certificate.get("subject", ()) for pair in rdn]
    common_name = next((value for key, value in names if key == "commonName"), None)
    groups = tuple(value for key, value in names if key == "organizationName")
    encoded = transport.get_extra_info("ssl_object").getpeercert(binary_form=True) if certificate else b""
    return Peer(host, common_name, groups, trusted, sha256(encoded).hexdigest() if encoded else "")


_TOO_LARGE = (
    b'{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Request entity too large: '
    b'limit is %d","reason":"RequestEntityTooLarge","code":413}\n' % BODY_LIMIT
)
"""As Kubernetes says it, whose clients show what a Status says."""


def _plain(status: int, text: str) -> Response:
    return Response(status, [("Content-Type", "text/plain; charset=utf-8")], text.encode() + b"\n")


def _too_large() -> Response:
    return Response(413, [("Content-Type", "application/json")], _TOO_LARGE)


class Connection(asyncio.Protocol):
    """One client connection: a parser feeding a queue of jobs, and at most one task working it off in order."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._flow = Flow()
        self._jobs: deque[Job] = deque()
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
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        self._sender = Sender(self._transport, self._flow, self._server.clock, self._server.outbox)
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
            self._refuse(_too_large())
        elif fields.get("expect", "").lower() == "100-continue" and self._worker is None and not self._refused:
            self._transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size > BODY_LIMIT:
            self._refuse(_too_large())
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
            watch_peer(self._transport)  # an upgraded connection may be silent for hours
        self._enqueue(Job(request, keep_alive, upgrade, self._parser.get_http_version() != "1.0"))

    # parsing and queueing

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._raw is not None:
                self._raw.inflow.feed(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._refuse(_plain(400, f"malformed request: {error}"))
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
            self._refuse(_plain(431, f"the request's head is larger than {HEAD_LIMIT} bytes"))

    def _refuse(self, refusal: Response) -> None:
        if not self._refused:
            self._refused = True
            self._disarm()
            self._enqueue(Job(Request("", ""), refusal=refusal))

    def _enqueue(self, job: Job) -> None:
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
        self._refuse(_plain(408, f"the request did not arrive within {HEAD_TIMEOUT:.0f} s"))

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

    async def _answer(self, job: Job) -> bool:
        """Send one response; whether the connection lives on."""
        response = job.refusal or await self._handle(job.request)
        if response.upgrade is not None:
            if self._raw is not None and job.upgrade:
                await self._sender.hand_over(response, self._raw)
                return False
            response = _plain(400, "Upgrade request required: the header Connection: Upgrade is missing")
        return await self._sender.send(response, job, job.keep_alive and not job.upgrade and not self._server.closing)

    async def _handle(self, request: Request) -> Response:
        try:
            return await self._server.handler(request)
        except Exception:
            log.exception("%s %s: the handler failed", request.method, request.path)
            return _plain(500, "internal error: see the server's log")

    async def shut(self) -> None:
        """Break the connection off and wait for its task."""
        worker = self._worker
        self._stop_worker()
        self._transport.abort()
        if worker is not None:
            await asyncio.wait([worker])
