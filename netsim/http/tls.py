"""TLS connections of a server, with OpenSSL directly on the non-blocking socket (an `asyncio.Transport`).

asyncio's and uvloop's TLS pass every byte through two buffers in memory, which costs twice the CPU time of letting
OpenSSL read and write the socket itself (docs/decisions/0012-computed-once.md).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import deque
from typing import cast

RECORD = 16 * 1024
"""The most that one TLS record carries (RFC 8446, 5.1). Reads ask for so much, so OpenSSL never keeps a rest of one."""
PIECE = 256 * 1024
"""The most that OpenSSL is given at once."""
# What one connection may send or receive before the others have their turn.
_SENT_A_TURN = 1024 * 1024
_READS_A_TURN = 16
CLOSE_LIMIT = 30.0
PARTING_LIMIT = 5.0
_LATE = "APPLICATION_DATA_AFTER_CLOSE_NOTIFY"

log = logging.getLogger(__name__)


class TlsTransport(asyncio.Transport):
    """One connection whose handshake is done. `write` sends at once what the socket takes; the rest waits here."""

    __slots__ = (
        "_closing", "_eof", "_high", "_limit", "_loop", "_lost", "_low", "_more", "_parting", "_paused", "_polled",
        "_protocol", "_read_wants_write", "_reading", "_send", "_size", "_sock", "_waiting", "_write_wants_read",
    )  # fmt: skip

    def __init__(self, sock: ssl.SSLSocket, protocol: asyncio.Protocol, peername: object) -> None:
        extra = {"peername": peername, "socket": sock, "ssl_object": sock, "sslcontext": sock.context}
        super().__init__({**extra, "peercert": sock.getpeercert()})
        self._loop = asyncio.get_running_loop()
        # What SSLSocket.send comes to by way of two calls, which count when many are told of an event.
        self._sock, self._protocol, self._send = sock, protocol, getattr(sock, "_sslobj", sock).write
        # OpenSSL wants a write it broke off to be repeated with the same bytes: the first of these is not changed.
        self._waiting: deque[bytearray | memoryview] = deque()
        self._size = 0
        self.set_write_buffer_limits()
        self._paused = self._closing = self._parting = self._lost = self._eof = False
        self._reading = True
        self._more = self._read_wants_write = self._write_wants_read = False
        self._polled = (False, False)
        self._limit: asyncio.TimerHandle | None = None
        protocol.connection_made(self)
        self._poll()

    # asyncio.BaseTransport

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = cast(asyncio.Protocol, protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        """Send what waits, for at most CLOSE_LIMIT seconds, then part from the other end and close."""
        if self._closing:
            return
        self._closing = True
        if self._waiting:
            self._restart_limit(CLOSE_LIMIT)
            self._poll()
        else:
            self._say_goodbye()

    def abort(self) -> None:
        self._lose(None)

    # asyncio.ReadTransport

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        self._reading = False
        self._poll()

    def resume_reading(self) -> None:
        self._reading = True
        self._poll()

    # asyncio.WriteTransport

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = high if high is not None else 4 * (low if low is not None else RECORD)
        self._low = low if low is not None else self._high // 4

    def get_write_buffer_size(self) -> int:
        return self._size

    def can_write_eof(self) -> bool:
        return False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send, or keep until the socket takes it; a large `data` is kept itself and must not change."""
        if not data or self._closing:
            return
        if not self._waiting and len(data) <= PIECE:
            try:
                self._send(data)  # whole, or to be said again
                return
            except ssl.SSLError as error:
                if not self._want(error, writing=True):
                    self._lose(error)
                    return
            except OSError as error:
                self._lose(error)
                return
            self._keep(data)
            self._poll()
        else:
            idle = not self._waiting
            self._keep(data)
            if idle:
                self._flush()
        if self._size > self._high and not self._paused:
            self._paused = True
            self._protocol.pause_writing()

    # within

    def _keep(self, data: bytes | bytearray | memoryview) -> None:
        """Put into the queue: small writes together, large ones in pieces."""
        self._size += len(data)
        last = self._waiting[-1] if len(self._waiting) > 1 else None
        if isinstance(last, bytearray) and len(last) + len(data) <= RECORD:
            last += data
        elif len(data) <= RECORD:
            self._waiting.append(bytearray(data))
        else:
            view = memoryview(data).cast("B")
            self._waiting.extend(view[start : start + PIECE] for start in range(0, len(view), PIECE))

    def _flush(self) -> None:
        """Send of what waits as much as the socket takes."""
        left = _SENT_A_TURN
        while self._waiting and left > 0:
            try:
                self._send(self._waiting[0])
            except ssl.SSLError as error:
                if not self._want(error, writing=True):
                    self._lose(error)
                    return
                break
            except OSError as error:
                self._lose(error)
                return
            sent = len(self._waiting.popleft())
            self._size -= sent
            left -= sent
        self._poll()
        if self._closing and not self._waiting:
            self._say_goodbye()
        elif self._paused and self._size <= self._low:
            self._paused = False
            self._protocol.resume_writing()

    def _want(self, error: ssl.SSLError, *, writing: bool) -> bool:
        """Note what OpenSSL waits for; False when the error is another. Either direction may need the other one:
        renegotiation and key updates (RFC 8446, 4.6.3) are answered from within reads and writes."""
        reads = isinstance(error, ssl.SSLWantReadError)
        if writing:
            self._write_wants_read = reads
        else:
            self._read_wants_write = isinstance(error, ssl.SSLWantWriteError)
        return reads or isinstance(error, ssl.SSLWantWriteError)

    def _writable(self) -> None:
        wanted, self._read_wants_write = self._read_wants_write, False
        if self._parting:
            self._say_goodbye()
            return
        if wanted and self._wants_input():
            self._receive()
        if not self._lost:
            self._flush()

    def _readable(self) -> None:
        if self._write_wants_read:
            self._write_wants_read = False
            self._flush()
        if self._wants_input():
            self._receive()

    def _wants_input(self) -> bool:
        return not self._lost and (self._parting or (self._reading and not (self._eof or self._closing)))

    def _read_on(self) -> None:
        self._more = False
        self._readable()

    def _receive(self) -> None:
        for _ in range(_READS_A_TURN):
            try:
                data = self._sock.recv(RECORD)
            except ssl.SSLError as error:
                if self._want(error, writing=False):
                    self._poll()
                else:
                    self._lose(error)
                return
            except OSError as error:
                self._lose(error)
                return
            self._pass_on(data)
            if not self._reading or self._closing:
                return
            # A record that is not full is mostly the last. But of a reset uvloop tells just once, also when there was
            # something to read before it: then go on until it is met.
            if len(data) < RECORD and not self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                return
        if not self._more:  # the socket's events read as well: were each to ask for more, there would be ever more
            self._more = True
            self._loop.call_soon(self._read_on)

    def _pass_on(self, data: bytes) -> None:
        """To the protocol; b"" is the end, by TLS's farewell or without."""
        if self._parting:
            if not data:
                self._say_goodbye()
            return
        try:
            if data:
                self._protocol.data_received(data)
                return
            self._eof = True
            if not self._protocol.eof_received():
                self.close()
            self._poll()
        except Exception as error:
            context = {"message": "a protocol failed", "exception": error, "transport": self}
            self._loop.call_exception_handler({**context, "protocol": self._protocol})
            self._lose(error)

    def _poll(self) -> None:
        """Have the loop watch for what is wanted now."""
        reads = self._wants_input() and not self._read_wants_write
        writes = bool(self._waiting) and not self._write_wants_read
        wanted = (reads or self._write_wants_read, writes or self._read_wants_write)
        if wanted == self._polled:
            return
        loop, fd = self._loop, self._sock.fileno()
        if wanted[0] != self._polled[0]:
            loop.add_reader(fd, self._readable) if wanted[0] else loop.remove_reader(fd)
        if wanted[1] != self._polled[1]:
            loop.add_writer(fd, self._writable) if wanted[1] else loop.remove_writer(fd)
        self._polled = wanted

    def _say_goodbye(self) -> None:
        """Tell the other end that this was all (close_notify), and close when it has said so too. Closing at once would
        answer its farewell, or what it still sends, with a reset: some clients take that for the loss of what they have
        not read yet, and what is not sent yet is lost indeed. So all is read, and thrown away."""
        try:
            self._sock.unwrap()
        except OSError as error:
            if isinstance(error, ssl.SSLError) and (self._want(error, writing=False) or error.reason == _LATE):
                if not self._parting:
                    self._parting = True
                    self._restart_limit(PARTING_LIMIT)
                self._poll()
                return
            log.debug("a connection ended without TLS's farewell: %s", error)
        self._lose(None)

    def _restart_limit(self, seconds: float) -> None:
        if self._limit is not None:
            self._limit.cancel()
        self._limit = self._loop.call_later(seconds, self.abort)

    def _lose(self, error: Exception | None) -> None:
        if self._lost:
            return
        if error is not None:
            log.debug("a connection broke: %s", error)
        self._lost = self._closing = True
        self._read_wants_write = self._write_wants_read = False
        self._waiting.clear()
        self._size = 0
        self._poll()
        if self._limit is not None:
            self._limit.cancel()
        self._loop.call_soon(self._end, error)

    def _end(self, error: Exception | None) -> None:
        try:
            self._protocol.connection_lost(error)
        finally:
            self._sock.close()
