"""Back-pressure and raw byte streams over an asyncio transport, shared by the server and the client."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

READ_HIGH_WATER = 256 * 1024
# A peer that vanished without a word (power, cable, namespace gone) is noticed after about 15 + 3 × 5 s.
KEEPALIVE = ((socket.TCP_KEEPIDLE, 15), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3))


def watch_peer(transport: asyncio.BaseTransport) -> None:
    """Let the kernel probe an idle TCP connection; nothing for other sockets."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEPALIVE:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


class Flow:
    """Write-side back-pressure of one connection: `drain` waits while the transport's buffer is full; `on_resume` is
    called when it has emptied."""

    __slots__ = ("_waiters", "lost", "on_resume", "paused")

    def __init__(self) -> None:
        self.paused = False
        self.lost = False
        self.on_resume: Callable[[], None] | None = None
        self._waiters: list[asyncio.Future[None]] = []

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False
        self._wake()
        if self.on_resume is not None:
            self.on_resume()

    def lose(self) -> None:
        """The connection is gone: every present and later drain raises ConnectionResetError."""
        self.lost = True
        self._wake()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def drain(self) -> None:
        while self.paused and not self.lost:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
        if self.lost:
            raise ConnectionResetError("the other end closed the connection")


class Inflow:
    """Bytes received and not yet read; pauses the transport when more than READ_HIGH_WATER are waiting."""

    __slots__ = ("_chunks", "_error", "_paused", "_size", "_transport", "_waiter", "ended")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._chunks: list[bytes] = []
        self._size = 0
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self.ended = False

    def feed(self, data: bytes) -> None:
        if self.ended or not data:
            return
        self._chunks.append(data)
        self._size += len(data)
        if self._size > READ_HIGH_WATER and not self._paused and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def finish(self, error: Exception | None = None) -> None:
        """No more bytes will come; with `error`, reading past the buffered ones raises it."""
        if not self.ended:
            self.ended = True
            self._error = error
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _take(self) -> bytes:
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._size = 0
        if self._paused:
            self._paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()
        return data

    async def read(self) -> bytes:
        """All bytes waiting, or the next to come; b"" at the end."""
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self.ended:
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._take()


class RawStream:
    """A connection taken over after 101 (implements `types.ByteStream`)."""

    __slots__ = ("_flow", "_transport", "inflow")

    def __init__(self, transport: asyncio.Transport, flow: Flow) -> None:
        self._transport = transport
        self._flow = flow
        self.inflow = Inflow(transport)

    async def read(self) -> bytes:
        return await self.inflow.read()

    async def write(self, data: bytes) -> None:
        """Send bytes; waits while the peer reads too slowly, raises ConnectionResetError when it is gone."""
        if self._flow.lost or self._transport.is_closing():
            raise ConnectionResetError("the connection is closed")
        self._transport.write(data)
        if self._flow.paused:
            await self._flow.drain()

    async def close(self) -> None:
        """Close after what was written has been sent."""
        self.inflow.finish()
        self._transport.close()


class PipeStream:
    """One end of an in-memory connection; see `pipe`."""

    def __init__(self) -> None:
        self._inbox: asyncio.Queue[bytes] = asyncio.Queue(maxsize=64)
        self._peer: PipeStream | None = None
        self._ended = False

    async def read(self) -> bytes:
        if self._ended:
            return b""
        data = await self._inbox.get()
        self._ended = data == b""
        return data

    async def write(self, data: bytes) -> None:
        if self._peer is None or self._peer._ended:
            raise ConnectionResetError("the connection is closed")
        if data:
            await self._peer._inbox.put(data)

    async def close(self) -> None:
        peer, self._peer = self._peer, None
        if peer is not None and not peer._ended:
            await peer._inbox.put(b"")


def pipe() -> tuple[PipeStream, PipeStream]:
    """Two connected in-memory streams, bounded in both directions."""
    left, right = PipeStream(), PipeStream()
    left._peer, right._peer = right, left
    return left, right
