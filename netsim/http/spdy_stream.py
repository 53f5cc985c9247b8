"""One stream of a SPDY/3.1 connection: half-closed, reset, and held back by its reader."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Protocol

from netsim.http import spdy_frames as spdy
from netsim.http.spdy_frames import Data, Frame, RstStream

PART = 32 * 1024
CREDIT = spdy.INITIAL_WINDOW // 2


class Session(Protocol):
    """What a stream needs of its connection (`spdy_session.SpdySession`)."""

    def send(self, frame: Frame) -> Awaitable[None]: ...

    def room(self, stream: SpdyStream, size: int) -> Awaitable[int]: ...

    def grant(self, stream_id: int, credit: int) -> Awaitable[None]: ...

    def release(self, size: int) -> None: ...

    def announce(self) -> Awaitable[None]: ...

    def settle(self, stream: SpdyStream) -> None: ...


class StreamReset(ConnectionResetError):
    """The stream was ended at once, by RST_STREAM or with the connection."""


class SpdyStream:
    """One stream. `read` gives b"" after the peer's FIN; `finish` sends ours. Both directions are independent."""

    def __init__(self, session: Session, stream_id: int, headers: spdy.Pairs, window: int) -> None:
        self.stream_id, self.headers = stream_id, dict(headers)
        self._session = session
        self._waiting = bytearray()
        self._arrived = asyncio.Event()
        self._consumed = 0
        self.window = window
        self.read_done = self.write_done = self.was_reset = self._discarding = False

    async def read(self) -> bytes:
        """The next bytes, b"" at the end; StreamReset when the stream was broken off."""
        while not self._waiting:
            if self.was_reset:
                raise StreamReset(f"stream {self.stream_id} was reset")
            if self.read_done:
                return b""
            self._arrived.clear()
            await self._arrived.wait()
        data = bytes(self._waiting)
        self._waiting.clear()
        await self._took(len(data))
        return data

    async def _took(self, size: int) -> None:
        self._session.release(size)
        self._consumed += size
        if self._consumed >= CREDIT and not self.read_done:
            credit, self._consumed = self._consumed, 0
            await self._session.grant(self.stream_id, credit)
        await self._session.announce()

    async def write(self, data: bytes) -> None:
        """Send bytes, in parts; waits for the peer. StreamReset when it takes no more."""
        view = memoryview(data)
        while view:
            size = await self._session.room(self, min(len(view), PART))
            await self._session.send(Data(self.stream_id, bytes(view[:size])))
            view = view[size:]

    async def finish(self) -> None:
        """Half-close: no more bytes will be sent. Repeats harmlessly."""
        if not self.write_done:
            self.write_done = True
            await self._session.send(Data(self.stream_id, b"", True))
            self._session.settle(self)

    async def reset(self, status: int = spdy.CANCEL) -> None:
        """End the stream at once."""
        if not self.was_reset and not (self.read_done and self.write_done):
            self.broken()
            with contextlib.suppress(ConnectionError):  # the connection has ended, and the stream with it
                await self._session.send(RstStream(self.stream_id, status))
            await self._session.announce()

    def discard(self) -> None:
        """Throw away what the peer sends on this stream."""
        self._discarding = True
        self._drop()

    def received(self, data: bytes) -> bool:
        """Called by the session: whether the bytes are kept for a reader."""
        if self._discarding or self.was_reset:
            return False
        if data:
            self._waiting += data
            self._arrived.set()
        return True

    def widen(self, delta: int) -> None:
        """Called by the session: the peer takes `delta` more bytes."""
        self.window = min(self.window + delta, spdy.MAX_STREAM_ID)

    def ended(self) -> None:
        """Called by the session: the peer's FIN."""
        self.read_done = True
        self._arrived.set()
        self._session.settle(self)

    def broken(self) -> None:
        """Called by the session: reset, or the connection has gone."""
        self.was_reset = self.write_done = True
        self._drop()
        self._arrived.set()
        self._session.settle(self)

    def _drop(self) -> None:
        self._session.release(len(self._waiting))
        self._waiting.clear()
