"""Accepting TLS connections: bounded in a turn, handshakes in time, and no client that can hold the others up."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable

from netsim.http.tls import TlsTransport

HANDSHAKE_LIMIT = 30.0
_BACKLOG = 1024
_ACCEPTS_A_TURN = 16
_PAUSE = 1.0
# What Go's server, and so kube-apiserver, says to a client that forgot the s of https.
_NO_TLS = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"

log = logging.getLogger(__name__)


class TlsListener:
    """Serves a bound socket, which it owns: each connection whose handshake succeeds gets a protocol of its own."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, make: Callable[[], asyncio.Protocol]) -> None:
        self._sock, self._context, self.make = sock, context, make
        self._loop = asyncio.get_running_loop()
        self._resume: asyncio.TimerHandle | None = None
        self.handshakes: set[_Handshake] = set()
        sock.setblocking(False)
        sock.listen(_BACKLOG)
        self._watch()

    def close(self) -> None:
        """Stop listening and break off the handshakes."""
        if self._resume is not None:
            self._resume.cancel()
        self._loop.remove_reader(self._sock.fileno())
        self._sock.close()
        for handshake in list(self.handshakes):
            handshake.end()

    async def wait_closed(self) -> None:
        """Connections that were aborted close their sockets in the loop's next turn."""
        await asyncio.sleep(0)

    def _watch(self) -> None:
        self._resume = None
        self._loop.add_reader(self._sock.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_A_TURN):
            try:
                sock, address = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # No more files, or memory: the clients wait until there is some.
                log.error("cannot accept connections, trying again in %g s: %s", _PAUSE, error)
                self._loop.remove_reader(self._sock.fileno())
                self._resume = self._loop.call_later(_PAUSE, self._watch)
                return
            self._greet(sock, address)

    def _greet(self, sock: socket.socket, address: object) -> None:
        try:
            sock.getpeername()  # wrap_socket leaves the sockets of clients that are already gone unclosed
            sock.setblocking(False)
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            secured = self._context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        except OSError as error:
            log.debug("a connection from %s ended before its handshake: %s", address, error)
            sock.close()
            return
        _Handshake(self, secured, address)


class _Handshake:
    """A connection until it has proved to be one."""

    def __init__(self, listener: TlsListener, sock: ssl.SSLSocket, address: object) -> None:
        self._listener, self._sock, self._address = listener, sock, address
        self._loop = asyncio.get_running_loop()
        self._limit = self._loop.call_later(HANDSHAKE_LIMIT, self.end)
        self._writing = False
        listener.handshakes.add(self)
        self._loop.add_reader(sock.fileno(), self._step)

    def _step(self) -> None:
        try:
            self._sock.do_handshake()
        except ssl.SSLWantReadError:
            self._poll_writing(False)
        except ssl.SSLWantWriteError:
            self._poll_writing(True)
        except OSError as error:  # SSLError is one
            log.debug("TLS handshake with %s: %s", self._address, error)
            if isinstance(error, ssl.SSLError) and error.reason == "HTTP_REQUEST":
                _answer_plainly(self._sock)
            self.end()
        else:
            self._forget()
            self._begin()

    def _begin(self) -> None:
        try:
            TlsTransport(self._sock, self._listener.make(), self._address)
        except Exception:
            log.exception("a connection from %s failed at its beginning", self._address)
            self._loop.remove_reader(self._sock.fileno())
            self._loop.remove_writer(self._sock.fileno())
            self._sock.close()

    def _poll_writing(self, wanted: bool) -> None:
        """Reading is polled all the time; writing while the other end's buffers are full."""
        if wanted != self._writing:
            self._writing = wanted
            fd = self._sock.fileno()
            self._loop.add_writer(fd, self._step) if wanted else self._loop.remove_writer(fd)

    def _forget(self) -> None:
        self._limit.cancel()
        self._poll_writing(False)
        self._loop.remove_reader(self._sock.fileno())
        self._listener.handshakes.discard(self)

    def end(self) -> None:
        self._forget()
        self._sock.close()


def _answer_plainly(sock: ssl.SSLSocket) -> None:
    """Answer a request without TLS; what is unread of it would make the close destroy the answer."""
    try:
        socket.socket.recv(sock, 65536)
        socket.socket.send(sock, _NO_TLS)
    except OSError as error:
        log.debug("a client without TLS has gone: %s", error)
