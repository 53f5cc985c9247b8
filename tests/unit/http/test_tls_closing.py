"""The ends of TLS connections that others make hard, and turns that are shared."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest

from netsim.http.tls import RECORD, TlsTransport
from support.tls_server import BIG, TIMEOUT, Served, until


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_what_arrives_after_the_farewell_does_not_destroy_the_answer(
    served: Served, version: ssl.TLSVersion
) -> None:
    """A client that sends more than is read of it, as one may that streams its input, still gets all of the answer."""
    served.context.maximum_version = served.context.minimum_version = version

    closing = threading.Event()

    def talk(sock: ssl.SSLSocket) -> bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        first = b""
        while len(first) < len(BIG) - 400_000:
            first += sock.recv(RECORD)
        closing.wait(TIMEOUT)
        sock.sendall(bytes(4 * RECORD))
        return first + b"".join(iter(lambda: sock.recv(RECORD), b""))

    async with asyncio.timeout(TIMEOUT):
        asked = asyncio.create_task(served.blocking(talk))
        await until(lambda: bool(served.server.connections))
        (connection,) = served.server.connections
        await until(lambda: connection._transport.is_closing() and not connection._transport.get_write_buffer_size())
        closing.set()
        answer = await asked
    assert answer.partition(b"\r\n\r\n")[2] == BIG
    await until(lambda: not served.server.connections)


class Pretended:
    """An SSLSocket that has as many full records as one likes, and whose farewell has no room at first."""

    context = None

    def __init__(self, sock: socket.socket) -> None:
        self._sock, self.reads, self.farewells = sock, 0, 0
        self.fileno, self.getsockopt, self.close = sock.fileno, sock.getsockopt, sock.close

    def getpeercert(self) -> None:
        return None

    def recv(self, size: int) -> bytes:
        self.reads += 1
        return bytes(size)

    def write(self, data: bytes) -> int:
        return len(data)

    def unwrap(self) -> None:
        self.farewells += 1
        if self.farewells == 1:
            raise ssl.SSLWantWriteError


class Ended(asyncio.Protocol):
    lost = False

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


async def test_a_farewell_waits_for_room(pair: tuple[socket.socket, socket.socket]) -> None:
    sock, protocol = Pretended(pair[0]), Ended()
    TlsTransport(cast(Any, sock), protocol, "").close()
    assert not protocol.lost
    await until(lambda: protocol.lost)
    assert sock.farewells == 2


async def test_one_who_sends_without_end_has_its_turn_and_no_more(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[1].send(b"x")
    sock, protocol = Pretended(pair[0]), Ended()
    transport = TlsTransport(cast(Any, sock), protocol, "")
    turns = 50
    for _ in range(turns):
        await asyncio.sleep(0)
    transport.abort()
    await until(lambda: protocol.lost)
    assert 0 < sock.reads <= 2 * 16 * (turns + 2)
