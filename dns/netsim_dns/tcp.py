"""The TCP side (RFC 7766): length-prefixed messages, many to a connection, answered in order."""

from __future__ import annotations

import asyncio
import math
import socket
import time
from collections import deque
from dataclasses import dataclass
from ipaddress import ip_address
from operator import attrgetter
from typing import Any, cast

from .limits import open_files_max
from .seams import Answered, ByClient, Exchange, Observe, Respond, nobody

FIRST_TIMEOUT = 3.0
IDLE_TIMEOUT = 10.0
WRITE_TIMEOUT = 5.0
BACKLOG = 1024
# connections at a time, if they are no more than half of the files that may be open
STREAMS_MAX = 4096
# of one connection in one turn of the loop: messages answered, and bytes after which no more are. Other connections
# and UDP have theirs in between
TURN = 128
TURN_BYTES = 256 << 10
# queries of one connection that wait for upstreams, or for one that does
WAITING_MAX = 64


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


@dataclass(slots=True)
class _Waiting:
    """A query whose answer is not there yet, or may not be sent before an earlier one's."""

    query: bytes
    reply: Answered
    began: float

    @property
    def ready(self) -> bool:
        return not isinstance(self.reply, asyncio.Future) or self.reply.done()

    def answer(self) -> bytes | None:
        if isinstance(self.reply, asyncio.Future):
            return None if self.reply.cancelled() else self.reply.result()
        return self.reply


class DnsStream(asyncio.Protocol):
    """One connection. Its queries are worked on at the same time, and answered in their order.

    It is closed 3 s after it began without a message, 10 s after its last answer, or when the client takes nothing
    for 5 s. With `STREAMS_MAX` connections open, the one that is nearest to its end makes room for a new one.
    """

    def __init__(
        self,
        respond: Respond,
        open_streams: set[DnsStream],
        observe: Observe | None = None,
        by_client: ByClient = nobody,
    ) -> None:
        self._respond = respond
        self._by_client = by_client
        self._observe = observe
        self._open = open_streams
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._client: Any = None
        self._unread = b""
        self._waiting: deque[_Waiting] = deque()
        self._paused = False
        self._ended = False
        self._turn: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.deadline = math.inf

    @property
    def pending(self) -> list[asyncio.Future[bytes | None]]:
        """The answers on their way."""
        return [waiting.reply for waiting in self._waiting if isinstance(waiting.reply, asyncio.Future)]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._client = transport.get_extra_info("peername")
        to = self._by_client()
        if to and self._client:
            self._respond = lambda data: to(data, self._client[0], True)
        if len(self._open) >= min(STREAMS_MAX, open_files_max() // 2):
            min(self._open, key=attrgetter("deadline")).abort()
        self._open.add(self)
        self._end_in(FIRST_TIMEOUT)

    def data_received(self, data: bytes) -> None:
        self._unread = self._unread + data if self._unread else data
        if self._turn is None:
            self._go_on()

    def eof_received(self) -> bool:
        """The client has asked all: what was asked is answered (also if it must wait), then the end."""
        self._ended = True
        return self._paused or self._turn is not None or bool(self._waiting)

    def pause_writing(self) -> None:
        self._paused = True
        self._end_in(WRITE_TIMEOUT)

    def resume_writing(self) -> None:
        self._paused = False
        self._end_in(IDLE_TIMEOUT)
        self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self)
        self._transport = None
        self._waiting.clear()
        for handle in (self._timer, self._turn):
            if handle:
                handle.cancel()

    def abort(self) -> None:
        """Drop the connection with whatever is unsent."""
        self._open.discard(self)
        if self._transport:
            self._transport.abort()

    def _go_on(self) -> None:
        """Send what is ready, answer what has come, and read on, end or wait, whatever it takes now."""
        self._turn = None
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._send_ready()
        more = self._answer() if not self._busy else False
        if more and not self._busy:
            self._turn = self._loop.call_soon(self._go_on)
        if more or self._busy:
            transport.pause_reading()
        elif not self._ended:
            transport.resume_reading()
        elif not self._waiting:
            transport.close()

    @property
    def _busy(self) -> bool:
        """Must the client or an upstream be waited for before more is answered?"""
        return self._paused or len(self._waiting) >= WAITING_MAX

    def _answer(self) -> bool:
        """Answer as many complete messages as one turn may take; may there be more?"""
        unread, start, frames, size, answered = self._unread, 0, list[bytes](), 0, list[Exchange]()
        began = time.perf_counter()
        for _ in range(TURN):
            end = start + 2 + int.from_bytes(unread[start : start + 2], "big")
            if end > len(unread) or size > TURN_BYTES or len(self._waiting) >= WAITING_MAX:
                break
            message, start = unread[start + 2 : end], end
            reply = self._respond(message)
            if self._waiting or isinstance(reply, asyncio.Future):
                self._wait(_Waiting(message, reply, began))
                continue
            if reply is not None:
                frames += (len(reply).to_bytes(2, "big"), reply)
                size += len(reply)
            if self._observe:
                answered.append(Exchange(message, reply, self._client))
        else:
            end = start
        self._unread = unread[start:]
        self._send(frames, answered, began)
        if start:
            self._await_next()
        return end <= len(unread) and len(unread) - start >= 2

    def _wait(self, waiting: _Waiting) -> None:
        self._waiting.append(waiting)
        self._end_in(math.inf)
        if isinstance(waiting.reply, asyncio.Future):
            waiting.reply.add_done_callback(self._arrived)

    def _arrived(self, _: asyncio.Future[bytes | None]) -> None:
        if self._turn is None:
            self._go_on()

    def _send_ready(self) -> None:
        """Send the answers that were waited for, up to the first that is not there yet."""
        while self._waiting and not self._paused and self._waiting[0].ready:
            first = self._waiting.popleft()
            reply = first.answer()
            frames = [len(reply).to_bytes(2, "big"), reply] if reply is not None else []
            self._send(frames, [Exchange(first.query, reply, self._client)], first.began)
            self._await_next()

    def _send(self, frames: list[bytes], answered: list[Exchange], began: float) -> None:
        """Write answers, each with its length before it and all in one piece."""
        if frames and self._transport:
            self._transport.write(b"".join(frames))
        if answered and self._observe:
            self._observe("tcp", answered, time.perf_counter() - began)

    def _await_next(self) -> None:
        """The client's time for its next query begins, unless it has answers to read or to wait for."""
        if not self._paused and not self._waiting:
            self._end_in(IDLE_TIMEOUT)

    def _end_in(self, seconds: float) -> None:
        """End the connection after this time, unless told otherwise until then."""
        self.deadline = self._loop.time() + seconds
        if seconds < math.inf and (self._timer is None or self._timer.when() > self.deadline):
            if self._timer:
                self._timer.cancel()
            self._timer = self._loop.call_at(self.deadline, self._expire)

    def _expire(self) -> None:
        self._timer = None
        if self._loop.time() >= self.deadline:
            self.abort()
        elif self.deadline < math.inf:
            self._timer = self._loop.call_at(self.deadline, self._expire)
