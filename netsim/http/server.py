"""HTTP/1.1 server on asyncio and httptools (RFC 9112): keep-alive, pipelining, streaming and upgrades."""

from __future__ import annotations

import asyncio
import socket
import ssl as tls

from netsim.http.answer import Clock, Outbox
from netsim.http.connection import BODY_LIMIT, Connection
from netsim.http.tls_listener import TlsListener
from netsim.http.types import Handler

__all__ = ["BODY_LIMIT", "HttpServer", "serve"]


class HttpServer:
    """A listening server; see `serve`."""

    def __init__(self, handler: Handler, sock: socket.socket, *, tls: bool, trusted: bool) -> None:
        self.handler, self.tls, self.trusted = handler, tls, trusted
        self.connections: set[Connection] = set()
        self.clock, self.outbox = Clock(), Outbox()
        self.closing = False
        self._listener: asyncio.AbstractServer | TlsListener | None = None
        name = sock.getsockname()
        self.port: int = name[1] if isinstance(name, tuple) else 0

    async def listen(self, sock: socket.socket, ssl: tls.SSLContext | None) -> None:
        if ssl is not None:
            self._listener = TlsListener(sock, ssl, lambda: Connection(self))
            return
        loop = asyncio.get_running_loop()
        create = loop.create_unix_server if sock.family == socket.AF_UNIX else loop.create_server
        self._listener = await create(lambda: Connection(self), sock=sock, backlog=1024)

    async def close(self) -> None:
        """Stop listening, break off every connection, cancel the running handlers and wait for them."""
        self.closing = True
        if self._listener is not None:
            self._listener.close()
        for connection in list(self.connections):
            await connection.shut()
        if self._listener is not None:
            await self._listener.wait_closed()


async def serve(
    handler: Handler, sock: socket.socket, *, ssl: tls.SSLContext | None = None, trusted: bool = False
) -> HttpServer:
    """Serve `handler` on a bound stream socket (TCP or unix), which the server owns from then on.

    `Request.peer` carries CN and O of the client's certificate when `ssl` verified one; `trusted` marks every
    peer of this socket as trusted. A client that disconnects cancels its running handler or stream.
    """
    server = HttpServer(handler, sock, tls=ssl is not None, trusted=trusted)
    await server.listen(sock, ssl)
    return server
