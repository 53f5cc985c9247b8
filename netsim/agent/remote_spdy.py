"""exec and attach over SPDY/3.1: one SPDY stream, opened by the client, for each of stdin, stdout, stderr and so on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence

from netsim.agent.model import Obj
from netsim.agent.remote_streams import (
    STDERR,
    STDOUT,
    OnInput,
    OnResize,
    Run,
    Wanted,
    parse_size,
    render_status,
)
from netsim.http.spdy import SpdyError
from netsim.http.spdy_session import SpdySession
from netsim.http.spdy_stream import SpdyStream, StreamReset
from netsim.http.types import ByteStream, Request, Response

log = logging.getLogger(__name__)
PROTOCOLS = ("v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")
RESIZING = PROTOCOLS[:2]
OPEN_SECONDS = 30.0
SIZE_LIMIT = 4096
_NAMES = {STDOUT: "stdout", STDERR: "stderr"}


def accept_spdy(
    request: Request, protocols: Sequence[str], serve: Callable[[ByteStream, str], Awaitable[None]]
) -> Response:
    """Answer a SPDY upgrade: 101 with `serve(connection, protocol)`; 400 without a protocol, 403 when none fits."""
    fields = [value for name, value in request.headers if name == "x-stream-protocol-version"]
    offered = [word.strip() for field in fields for word in field.split(",") if word.strip()]
    plain = ("Content-Type", "text/plain; charset=utf-8")
    if not offered:
        return Response(400, [plain], b"unable to upgrade: X-Stream-Protocol-Version is required")
    chosen = next((protocol for protocol in offered if protocol in protocols), None)
    if chosen is None:
        accepted = [("X-Accepted-Stream-Protocol-Versions", protocol) for protocol in protocols]
        why = f"client supports [{' '.join(offered)}], server accepts [{' '.join(protocols)}]"
        return Response(403, [plain, *accepted], f"unable to upgrade: unable to negotiate protocol: {why}".encode())
    head = [("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1"), ("X-Stream-Protocol-Version", chosen)]
    return Response(101, head, upgrade=lambda stream: serve(stream, chosen))


def answer_spdy(request: Request, wanted: Wanted, run: Run) -> Response:
    """Accept the connection; `run` begins once the client has opened all its streams."""

    async def serve(stream: ByteStream, protocol: str) -> None:
        channels = SpdyChannels(stream, wanted, protocol)
        try:
            if await channels.opened():
                await run(channels)
        finally:
            await channels.close()

    return accept_spdy(request, PROTOCOLS, serve)


def expected_streams(wanted: Wanted, protocol: str) -> set[str]:
    """Names of the streams that a client opens."""
    names = {"error"}
    names |= {name for name in ("stdin", "stdout", "stderr") if getattr(wanted, name)}
    return names | {"resize"} if wanted.tty and protocol in RESIZING else names


class SpdyChannels:
    """One session's SPDY connection (`remote_streams.Channels`)."""

    def __init__(self, stream: ByteStream, wanted: Wanted, protocol: str) -> None:
        self.protocol = protocol
        self._missing = expected_streams(wanted, protocol)
        self._streams: dict[str, SpdyStream] = {}
        self._complete = asyncio.Event()
        self._session = SpdySession(stream, self._opened)
        self._running = asyncio.create_task(self._run())
        self._resets: set[asyncio.Task[None]] = set()

    async def _run(self) -> None:
        try:
            await self._session.run()
        except SpdyError as error:
            log.info("an exec or attach client broke the SPDY protocol: %s", error)
        except OSError as error:
            log.debug("an exec or attach client went away: %s", error)

    def _opened(self, stream: SpdyStream) -> None:
        name = stream.headers.get("streamtype", "")
        if name not in self._missing:
            task = asyncio.create_task(stream.reset())
            self._resets.add(task)
            task.add_done_callback(self._resets.discard)
            return
        self._missing.discard(name)
        self._streams[name] = stream
        if name not in ("stdin", "resize"):
            stream.discard()
        if not self._missing:
            self._complete.set()

    async def opened(self) -> bool:
        """Wait for the client's streams; False when they do not come."""
        complete = asyncio.create_task(self._complete.wait())
        try:
            await asyncio.wait([complete, self._running], timeout=OPEN_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            complete.cancel()
        return self._complete.is_set()

    async def send(self, channel: int, data: bytes) -> None:
        stream = self._streams.get(_NAMES.get(channel, ""))
        if stream is not None:
            await stream.write(data)

    async def finish(self, status: Obj) -> None:
        """Half-close the outputs, then say how it ended."""
        for name in ("stdout", "stderr"):
            if name in self._streams:
                await self._streams[name].finish()
        rendered = render_status(status, self.protocol)
        if rendered:
            await self._streams["error"].write(rendered)
        await self._streams["error"].finish()

    async def receive(self, on_input: OnInput, on_end: Callable[[], Awaitable[None]], on_resize: OnResize) -> None:
        pumps = [
            asyncio.create_task(self._pump_input(on_input, on_end)),
            asyncio.create_task(self._pump_sizes(on_resize)),
        ]
        try:
            await asyncio.wait([self._running, *pumps], return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump_input(self, on_input: OnInput, on_end: Callable[[], Awaitable[None]]) -> None:
        stream = self._streams.get("stdin")
        if stream is None:
            return
        with contextlib.suppress(StreamReset):  # the client has gone, or will send no more input
            while data := await stream.read():
                await on_input(data)
            await on_end()

    async def _pump_sizes(self, on_resize: OnResize) -> None:
        stream, pending = self._streams.get("resize"), b""
        if stream is None:
            return
        with contextlib.suppress(StreamReset):  # the client has gone
            while data := await stream.read():
                *lines, pending = (pending + data).split(b"\n")
                pending = pending[:SIZE_LIMIT]
                for size in map(parse_size, lines):
                    if size:
                        on_resize(*size)

    async def close(self) -> None:
        await self._session.close()
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
