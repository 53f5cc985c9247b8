"""One question to one upstream, by UDP or TCP, on sockets that are kept for a while.

A UDP socket is connected to its upstream: the kernel gives it a random port and passes nothing but what that upstream
sends, so a forger must guess port and id (RFC 5452). It has one question at a time, few of them, and not for long.
"""

from __future__ import annotations

import asyncio
import errno
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from ..config import Listen
from .config import Tls
from .message import BadMessage
from .recverr import TOLD_OF_ERRORS
from .tls import tls_context

DATAGRAM_MAX = 65535
# datagrams read in one turn of the loop, of which all but the last are forged or late
BATCH = 16
IDLE_MAX = 64
# questions that a UDP socket is used for: who finds out its port must do so anew after that
USES_MAX = 16
TIMED_OUT = "i/o timeout"

T = TypeVar("T")
Accept = Callable[[bytes], T | None]
"""Reads an answer; None for one that belongs to another question. May raise BadMessage."""


class UpstreamError(Exception):
    """An upstream gave no answer that can be used."""


class Refused(UpstreamError):
    """It cannot be reached, its port is closed, or what it sends is no answer: asking again would bring the same."""


class Unreachable(Refused):
    """A router, or this machine, knows no way to it."""


class Silent(UpstreamError):
    """It did not answer in time."""


class OutOfSockets(Refused):
    """This process may open no more sockets, for which the upstream is not to blame."""


@dataclass(slots=True)
class _Socket:
    """A UDP socket: when it must be closed (by the loop's clock), how often it was used; `clean` while nothing has come
    to it but the answers that were waited for."""

    sock: socket.socket
    until: float
    uses: int = 0
    clean: bool = True


class UdpPool:
    """Sockets connected to one upstream, each for one question at a time.

    One that had its answer is kept for other questions, but for USES_MAX of them at most, no longer than a given time
    since it was opened, and not if anything else has come to it: a late answer, or a forger's.
    """

    def __init__(self, upstream: Listen, count: Callable[[bool], None]) -> None:
        """`count` is told of each question whether a socket was there."""
        self._upstream = upstream
        self._count = count
        self._idle: list[_Socket] = []

    async def ask(self, message: bytes, accept: Accept[T], patience: float, expire: float) -> T:
        """Ask by UDP, and wait `patience` seconds; raises UpstreamError, in the words that CoreDNS logs.

        A new socket is kept `expire` seconds.
        """
        used = self._take() or self._open(expire)
        good = False
        try:
            found = await self._ask(used, message, accept, patience)
            used.uses += 1
            good = used.clean and used.uses < USES_MAX and len(self._idle) < IDLE_MAX
            return found
        finally:
            if good and asyncio.get_running_loop().time() < used.until:
                self._idle.append(used)
            else:
                used.sock.close()

    def close(self) -> None:
        """Close the idle sockets."""
        while self._idle:
            self._idle.pop().sock.close()

    def _take(self) -> _Socket | None:
        """One of the idle sockets, by chance."""
        while self._idle:
            used = self._idle.pop(secrets.randbelow(len(self._idle)))
            if _silent(used.sock):
                self._count(True)
                return used
            used.sock.close()
        return None

    def _open(self, expire: float) -> _Socket:
        self._count(False)
        family = _family(self._upstream)
        try:
            sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        except OSError as failure:
            raise OutOfSockets(f"dial udp {socket_text(self._upstream)}: {_words(failure)}") from failure
        try:
            sock.setsockopt(*TOLD_OF_ERRORS[family])
            sock.connect(self._upstream)
        except OSError as failure:
            sock.close()
            raise _refused(failure, f"udp {socket_text(self._upstream)}") from failure
        loop = asyncio.get_running_loop()
        opened = _Socket(sock, loop.time() + expire)
        if expire:
            loop.call_later(expire, self._drop, opened)
        return opened

    def _drop(self, old: _Socket) -> None:
        if old in self._idle:
            self._idle.remove(old)
            old.sock.close()

    async def _ask(self, used: _Socket, message: bytes, accept: Accept[T], patience: float) -> T:
        loop, sock = asyncio.get_running_loop(), used.sock
        future: asyncio.Future[T] = loop.create_future()
        try:
            sock.send(message)
            # by number: asyncio makes a text of a socket object each time
            loop.add_reader(sock.fileno(), _receive, used, accept, future)
            timer = loop.call_later(patience, _expire, future)
            try:
                return await future
            finally:
                timer.cancel()
                loop.remove_reader(sock.fileno())
        except UpstreamError as failure:
            between = f"{socket_text(sock.getsockname())}->{socket_text(self._upstream)}"
            raise type(failure)(f"read udp {between}: {failure}") from failure
        except OSError as failure:
            raise _refused(failure, f"udp {socket_text(self._upstream)}") from failure


def _silent(sock: socket.socket) -> bool:
    """Has nothing come to a socket, neither a datagram nor a router's word?"""
    try:
        sock.recv(1)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _receive(used: _Socket, accept: Accept[T], future: asyncio.Future[T]) -> None:
    try:
        for _ in range(BATCH):
            if future.done():
                return
            found = accept(used.sock.recv(DATAGRAM_MAX))
            if found is not None:
                future.set_result(found)
            else:
                used.clean = False
    except BlockingIOError:
        return  # nothing more has come yet
    except OSError as failure:
        future.set_exception(_refused(failure, "read"))
    except BadMessage as failure:
        future.set_exception(Refused(str(failure)))


def _refused(failure: OSError, where: str) -> Refused:
    return _KINDS.get(failure.errno or 0, Refused)(f"{where}: {_words(failure)}")


_KINDS = {errno.EMFILE: OutOfSockets, errno.ENFILE: OutOfSockets,
          errno.ENETUNREACH: Unreachable, errno.EHOSTUNREACH: Unreachable}  # fmt: skip


def _expire(future: asyncio.Future[T]) -> None:
    if not future.done():
        future.set_exception(Silent(TIMED_OUT))


class TcpPool:
    """Connections to one upstream, each for one question at a time and kept open for the next one for a while."""

    def __init__(self, upstream: Listen, count: Callable[[bool], None], tls: Tls | None = None) -> None:
        """`count` is told of each question whether a connection was there. Raises ConfigError for TLS files."""
        self._upstream = upstream
        self._tls: dict[str, Any] = (
            {"ssl": tls_context(tls), "server_hostname": tls.server_name or upstream[0]} if tls else {}
        )
        self._count = count
        self._idle: list[_Connection] = []

    async def ask(self, message: bytes, accept: Accept[T], patience: float, expire: float) -> T:
        """Ask by TCP; raises UpstreamError. The connection is kept `expire` seconds if the answer was good."""
        where = f"tcp {socket_text(self._upstream)}"
        try:
            async with asyncio.timeout(patience):
                return await self._ask(message, accept, expire)
        except TimeoutError:
            raise Silent(f"{where}: {TIMED_OUT}") from None
        except OSError as failure:
            raise _refused(failure, where) from failure
        except EOFError:
            raise Refused(f"{where}: EOF") from None
        except BadMessage as failure:
            raise Refused(f"{where}: {failure}") from failure

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().close()

    async def _ask(self, message: bytes, accept: Accept[T], expire: float) -> T:
        while (kept := self._take()) is not None:
            try:
                return await self._ask_on(kept, message, accept, expire)
            except (OSError, EOFError):
                continue  # the upstream closed it while it was idle, which says nothing about a new one
        reader, writer = await asyncio.open_connection(*self._upstream, **self._tls)
        return await self._ask_on(_Connection(reader, writer), message, accept, expire)

    def _take(self) -> _Connection | None:
        connection = self._idle.pop() if self._idle else None
        self._count(connection is not None)
        if connection and connection.timer:
            connection.timer.cancel()
        return connection

    async def _ask_on(self, connection: _Connection, message: bytes, accept: Accept[T], expire: float) -> T:
        good = False
        try:
            found = await connection.ask(message, accept)
            good = expire > 0 and len(self._idle) < IDLE_MAX
            return found
        finally:
            self._keep(connection, expire) if good else connection.close()

    def _keep(self, connection: _Connection, expire: float) -> None:
        def drop() -> None:
            if connection in self._idle:
                self._idle.remove(connection)
                connection.close()

        connection.timer = asyncio.get_running_loop().call_later(expire, drop)
        self._idle.append(connection)


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.timer: asyncio.TimerHandle | None = None

    async def ask(self, message: bytes, accept: Accept[T]) -> T:
        self._writer.write(len(message).to_bytes(2, "big") + message)
        while True:
            size = int.from_bytes(await self._reader.readexactly(2), "big")
            found = accept(await self._reader.readexactly(size))
            if found is not None:
                return found

    def close(self) -> None:
        if self.timer:
            self.timer.cancel()
        self._writer.transport.abort()


def _family(upstream: Listen) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in upstream[0] else socket.AF_INET


def socket_text(address: Any) -> str:
    """`ADDRESS:PORT` of a socket address, an IPv6 address in brackets."""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _words(failure: OSError) -> str:
    return (failure.strerror or str(failure)).lower()
