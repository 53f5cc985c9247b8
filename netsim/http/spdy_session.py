"""A SPDY/3.1 connection over a byte stream: streams opened by either side, half-closed, reset, and held back.

kubectl's SPDY library neither counts windows nor announces what it has read, so a window is held to only from a
peer's first WINDOW_UPDATE or window setting on; before that (and for received data always) the connection's own
back-pressure is the bound: no more is read from it while BUFFER_LIMIT bytes wait to be consumed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from netsim.http import spdy_frames as spdy
from netsim.http.spdy import Decoder, Encoder, SpdyError
from netsim.http.spdy_frames import (
    Data,
    Frame,
    GoAway,
    Ping,
    RstStream,
    Settings,
    SynReply,
    SynStream,
    WindowUpdate,
)
from netsim.http.spdy_stream import CREDIT, SpdyStream, StreamReset
from netsim.http.types import ByteStream

MAX_STREAMS = 1024
BUFFER_LIMIT = 1024 * 1024
GOODBYE_SECONDS = 1.0


OnStream = Callable[[SpdyStream], None]
"""Takes a stream that the peer has opened; it has been accepted already and may be reset."""


class SpdySession:
    """One connection. `run` serves it until either side ends it; streams may be used from any task meanwhile."""

    def __init__(self, stream: ByteStream, on_stream: OnStream, *, client: bool = False) -> None:
        self._stream, self._on_stream, self._client = stream, on_stream, client
        self._encoder, self._decoder = Encoder(), Decoder()
        self._sending = asyncio.Lock()
        self.streams: dict[int, SpdyStream] = {}
        self._next_id = 1 if client else 2
        self._last_seen = 0
        self._buffered = self._consumed = 0
        self._drained = asyncio.Event()
        self._windows_kept = False
        self._session_window: int | None = None
        self._session_sent = 0
        self._initial_window = spdy.INITIAL_WINDOW
        self._roomier = asyncio.Event()
        self.closed = False

    async def run(self) -> None:
        """Until the peer goes away, breaks the protocol (SpdyError), or `close`."""
        try:
            while not self.closed and (received := await self._stream.read()):
                for frame in self._decoder.feed(received):
                    await self._handle(frame)
                await self.announce()
                while self._buffered > BUFFER_LIMIT and not self.closed:
                    self._drained.clear()
                    await self._drained.wait()
        except SpdyError:
            await self._say_goodbye(spdy.GOAWAY_PROTOCOL_ERROR)
            raise
        finally:
            await self._end()

    async def close(self) -> None:
        """Say GOAWAY and hang up; every stream still open is broken off."""
        if not self.closed:
            await self._say_goodbye(spdy.GOAWAY_OK)
            await self._end()

    async def _say_goodbye(self, status: int) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):  # the peer may have gone first, or not be listening
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self.send(GoAway(self._last_seen, status))

    async def _end(self) -> None:
        self.closed = True
        for stream in list(self.streams.values()):
            stream.broken()
        self._roomier.set()
        self._drained.set()
        await self._stream.close()

    async def open(self, headers: spdy.Pairs, *, fin: bool = False) -> SpdyStream:
        """Open a stream of our own."""
        stream = SpdyStream(self, self._next_id, headers, self._initial_window)
        self._next_id += 2
        self.streams[stream.stream_id] = stream
        stream.write_done = fin
        await self.send(SynStream(stream.stream_id, headers, fin))
        return stream

    # what streams need

    async def send(self, frame: Frame) -> None:
        async with self._sending:
            if self.closed:
                raise StreamReset("the SPDY connection is closed")
            await self._stream.write(self._encoder.encode(frame))

    async def room(self, stream: SpdyStream, size: int) -> int:
        """How many of `size` bytes may be sent now (they count as sent); waits for at least one."""
        while True:
            if stream.write_done or self.closed:
                raise StreamReset(f"stream {stream.stream_id} takes no more")
            allowed = min([size, *self._limits(stream)])
            if allowed > 0:
                stream.window -= allowed
                self._session_sent += allowed
                return allowed
            self._roomier.clear()
            await self._roomier.wait()

    def _limits(self, stream: SpdyStream) -> list[int]:
        limits = [stream.window] if self._windows_kept else []
        if self._session_window is not None:
            limits.append(self._session_window - self._session_sent)
        return limits

    async def grant(self, stream_id: int, credit: int) -> None:
        """Tell the peer that it may send more on the stream, or on all together (stream 0)."""
        with contextlib.suppress(ConnectionError):  # it sends nothing any more
            await self.send(WindowUpdate(stream_id, credit))

    async def announce(self) -> None:
        """Let the peer send as much again on the connection as was taken or dropped, of whichever streams."""
        if self._consumed >= CREDIT:
            credit, self._consumed = self._consumed, 0
            await self.grant(0, credit)

    def release(self, size: int) -> None:
        """Received bytes have been taken or dropped."""
        self._buffered -= size
        self._consumed += size
        if self._buffered <= BUFFER_LIMIT:
            self._drained.set()

    def settle(self, stream: SpdyStream) -> None:
        """Forget a stream whose two directions are over."""
        if stream.write_done and (stream.read_done or stream.was_reset):
            self.streams.pop(stream.stream_id, None)
        self._roomier.set()

    # what the peer sends

    async def _handle(self, frame: Frame) -> None:
        match frame:
            case Data():
                await self._data(frame)
            case SynStream():
                await self._opened(frame)
            case SynReply(stream_id, _, fin) | spdy.MoreHeaders(stream_id, _, fin):
                self._on(stream_id, SpdyStream.ended if fin else None)
            case RstStream(stream_id, _):
                self._on(stream_id, SpdyStream.broken)
            case Ping(ping_id):
                if ping_id % 2 != self._client:
                    await self.send(frame)
            case WindowUpdate(stream_id, delta):
                self._widen(stream_id, delta)
            case Settings(values):
                self._apply(dict(values))
            case GoAway():
                if not self.streams:
                    await self._end()

    def _on(self, stream_id: int, action: Callable[[SpdyStream], None] | None) -> None:
        stream = self.streams.get(stream_id)
        if stream is not None and action is not None:
            action(stream)

    async def _data(self, frame: Data) -> None:
        stream = self.streams.get(frame.stream_id)
        if stream is None or stream.read_done:
            self._consumed += len(frame.data)
            if frame.stream_id > max(self._last_seen, self._next_id):
                await self.send(RstStream(frame.stream_id, spdy.INVALID_STREAM))
            return
        if stream.received(frame.data):
            self._buffered += len(frame.data)
        elif frame.data:
            self._consumed += len(frame.data)
            await self.grant(frame.stream_id, len(frame.data))
        if frame.fin:
            stream.ended()

    async def _opened(self, frame: SynStream) -> None:
        if frame.stream_id % 2 == self._client or frame.stream_id <= self._last_seen:
            raise SpdyError(f"stream {frame.stream_id} opened after stream {self._last_seen}")
        self._last_seen = frame.stream_id
        if len(self.streams) >= MAX_STREAMS:
            await self.send(RstStream(frame.stream_id, spdy.REFUSED_STREAM))
            return
        stream = SpdyStream(self, frame.stream_id, frame.headers, self._initial_window)
        stream.read_done, stream.write_done = frame.fin, frame.unidirectional
        self.streams[frame.stream_id] = stream
        await self.send(SynReply(frame.stream_id))
        self._on_stream(stream)

    def _widen(self, stream_id: int, delta: int) -> None:
        if stream_id == 0:
            window = spdy.INITIAL_WINDOW if self._session_window is None else self._session_window
            self._session_window = min(window + delta, self._session_sent + spdy.MAX_STREAM_ID)
        else:
            self._windows_kept = True
            self._on(stream_id, lambda stream: stream.widen(delta))
        self._roomier.set()

    def _apply(self, values: dict[int, int]) -> None:
        window = values.get(spdy.SETTINGS_INITIAL_WINDOW)
        if window is not None:
            self._windows_kept = True
            for stream in self.streams.values():
                stream.window += window - self._initial_window
            self._initial_window = window
            self._roomier.set()
