"""HTTP/1.1 client on asyncio and httptools: pooled keep-alive connections, streams, upgrades, TLS, unix sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl as tls
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit

from netsim.http.exchange import ClientConnection, Mode, StaleConnection
from netsim.http.types import Request, Response
from netsim.http.wire import render_request

IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
MAX_IDLE = 8
MAX_WHOLE = 8  # a burst shares these: a wait for one costs less than a TLS handshake, on both sides

Dial = Callable[[str, int], Awaitable[socket.socket]]


class HttpClient:
    """A client of one origin; itself a `types.Handler`.

    `base` is `http://host:port[/prefix]`, `https://…` or `unix:/path`. `headers` are sent with every request that
    does not name them itself. `dial(host, port)` returns a connected socket (opened in another network namespace,
    for example). `timeout` bounds, in seconds, getting a connection plus the wait for a whole response, or for the head
    of a streamed or upgraded one. At most `connections` requests for whole responses are under way at once.
    `server_name` overrides the name that the server's certificate is checked against.

    Raises OSError (ConnectionError, TimeoutError, ssl.SSLError among them) when there is no answer; never for a status.
    """

    def __init__(
        self,
        base: str,
        *,
        ssl: tls.SSLContext | None = None,
        headers: Sequence[tuple[str, str]] = (),
        dial: Dial | None = None,
        timeout: float = 30.0,
        server_name: str = "",
        connections: int = MAX_WHOLE,
    ) -> None:
        self._unix, self._host, self._port = "", "", 0
        self._ssl: tls.SSLContext | None = None
        self._parse_base(base, ssl)
        self._headers = list(headers)
        self._dial = dial
        self._timeout = timeout
        self._server_name = server_name or self._host
        self._idle: list[ClientConnection] = []
        self._busy: set[ClientConnection] = set()
        self._closed = False
        self._turns = asyncio.Semaphore(connections)
        self._most_idle = max(MAX_IDLE, connections)

    @property
    def authority(self) -> str:
        """HOST:PORT of the server, or the path of its socket."""
        return self._unix or f"{self._host}:{self._port}"

    def _parse_base(self, base: str, ssl: tls.SSLContext | None) -> None:
        if base.startswith("unix:"):
            self._unix, self._prefix, self._authority = base.removeprefix("unix:"), "", "localhost"
            return
        parts = urlsplit(base)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{base!r}: a server address is http://host:port, https://host:port or unix:/path")
        secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port or (443 if secure else 80)
        self._prefix, self._authority = parts.path.rstrip("/"), parts.netloc.rpartition("@")[2]
        self._ssl = (ssl or tls.create_default_context()) if secure else None

    async def __call__(self, request: Request) -> Response:
        """One request, its whole response: `body` is bytes."""
        return await self._exchange(request, "whole")

    async def stream(self, request: Request) -> Response:
        """The response as soon as its head is there: `body` is an AsyncIterator[bytes] whose `aclose` hangs up."""
        return await self._exchange(request, "stream")

    async def upgrade(self, request: Request) -> Response:
        """On 101 the connection is in `stream`; any other answer comes whole, with `stream` None."""
        return await self._exchange(request, "upgrade")

    async def close(self) -> None:
        """Hang up every connection, also those being streamed."""
        self._closed = True
        idle, self._idle = self._idle, []
        connections = [*idle, *self._busy]
        for connection in connections:
            connection.abort()
        await asyncio.gather(*(connection.closed() for connection in connections))

    async def _exchange(self, request: Request, mode: Mode) -> Response:
        payload = render_request(request, prefix=self._prefix, host=self._authority, defaults=self._headers)
        # Streams and upgraded connections last as long as their users please: they are not counted.
        turn = self._turns if mode == "whole" else contextlib.nullcontext()
        async with asyncio.timeout(self._timeout), turn:
            return await self._attempt(payload, request.method, mode)

    async def _attempt(self, payload: bytes, method: str, mode: Mode) -> Response:
        connection = self._take_idle()
        if connection is not None:
            try:
                return await self._send(connection, payload, method, mode)
            except StaleConnection:
                # The server had closed the pooled connection before it saw the request, or so it seems.
                if method not in IDEMPOTENT:
                    raise
        return await self._send(await self._connect(), payload, method, mode)

    async def _send(self, connection: ClientConnection, payload: bytes, method: str, mode: Mode) -> Response:
        self._busy.add(connection)
        try:
            return await connection.exchange(payload, method, mode)
        except BaseException:
            connection.abort()
            raise

    def _take_idle(self) -> ClientConnection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        return None

    def _released(self, connection: ClientConnection) -> None:
        """A connection finished its exchange (`usable` tells whether another may follow) or was lost."""
        self._busy.discard(connection)
        if not connection.usable:
            if connection in self._idle:
                self._idle.remove(connection)
        elif self._closed or len(self._idle) >= self._most_idle:
            connection.abort()
        else:
            self._idle.append(connection)

    async def _connect(self) -> ClientConnection:
        if self._closed:
            raise ConnectionError("the client is closed")
        loop = asyncio.get_running_loop()
        server_name = self._server_name if self._ssl else None

        def factory() -> ClientConnection:
            return ClientConnection(self._released)

        if self._unix:
            return (await loop.create_unix_connection(factory, self._unix))[1]
        if self._dial is not None:
            sock = await self._dial(self._host, self._port)
            sock.setblocking(False)
            created = await loop.create_connection(factory, sock=sock, ssl=self._ssl, server_hostname=server_name)
        else:
            created = await loop.create_connection(
                factory, self._host, self._port, ssl=self._ssl, server_hostname=server_name
            )
        return created[1]
