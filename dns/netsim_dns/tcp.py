"""The TCP side (RFC 7766): length-prefixed messages, answered in order, many to a connection."""

from __future__ import annotations

import asyncio
import socket
import time
from ipaddress import ip_address

from .seams import Exchange, Observe, Respond

FIRST_TIMEOUT = 3.0
IDLE_TIMEOUT = 10.0
WRITE_TIMEOUT = 5.0
BACKLOG = 1024


def open_tcp(address: str, port: int, share: bool = False) -> socket.socket:
    """A listening socket on one address; with `share` other processes may listen there too."""
    version = ip_address(address).version
    sock = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if version == 6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address, port))
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


class DnsStream(asyncio.Protocol):
    """One connection. It is closed 3 s after it began without a message, 10 s after its last one, or when the
    client takes nothing for 5 s."""

    def __init__(self, respond: Respond, open_streams: set[DnsStream], observe: Observe | None = None) -> None:
        self._respond = respond
        self._observe = observe
        self._waited: asyncio.Future[bytes | None] | None = None
        self._open = open_streams
        self._buffer = bytearray()
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._open.add(self)
        self._arm(FIRST_TIMEOUT)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._answer()

    def eof_received(self) -> bool:
        """The client has asked all: what was asked is answered (also if it must wait), then the end."""
        self._ended = True
        return self._paused or self._waited is not None

    def pause_writing(self) -> None:
        self._paused = True
        if self._transport:
            self._transport.pause_reading()
        self._arm(WRITE_TIMEOUT)

    def resume_writing(self) -> None:
        self._paused = False
        self._arm(IDLE_TIMEOUT)
        self._answer()
        self._go_on()

    def _go_on(self) -> None:
        """Read on, or end as the client has, once nothing is waited for."""
        if self._transport and not self._paused and self._waited is None:
            self._transport.close() if self._ended else self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self)
        if self._timer:
            self._timer.cancel()

    def abort(self) -> None:
        """Drop the connection with whatever is unsent."""
        if self._transport:
            self._transport.abort()

    def _answer(self) -> None:
        """Answer every complete message, each length and answer in one piece, until the client must read first."""
        while not self._paused and self._waited is None and len(self._buffer) >= 2:
            end = 2 + int.from_bytes(self._buffer[:2], "big")
            if len(self._buffer) < end:
                return
            message = bytes(self._buffer[2:end])
            del self._buffer[:end]
            start = time.perf_counter() if self._observe else 0.0
            reply = self._respond(message)
            if isinstance(reply, asyncio.Future):
                self._wait(reply, message)
                return
            self._send(message, reply, start)

    def _send(self, message: bytes, reply: bytes | None, start: float) -> None:
        if self._transport and reply is not None:
            self._transport.write(len(reply).to_bytes(2, "big") + reply)
        if self._transport and self._observe:
            client = self._transport.get_extra_info("peername")
            self._observe("tcp", [Exchange(message, reply, client)], time.perf_counter() - start)
        if not self._paused:
            self._arm(IDLE_TIMEOUT)

    def _wait(self, reply: asyncio.Future[bytes | None], message: bytes) -> None:
        """Answers go out in the order of the queries: what follows waits for this one."""
        start, self._waited = time.perf_counter(), reply
        if self._transport:
            self._transport.pause_reading()
        if self._timer:
            self._timer.cancel()

        def done(future: asyncio.Future[bytes | None]) -> None:
            self._waited = None
            if self._transport and not self._transport.is_closing():
                self._send(message, None if future.cancelled() else future.result(), start)
                self._answer()
                self._go_on()

        reply.add_done_callback(done)

    def _arm(self, seconds: float) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self.abort)
