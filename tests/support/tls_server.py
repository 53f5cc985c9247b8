"""A server with TLS that answers simple requests, and ways to connect to it."""

from __future__ import annotations

import asyncio
import hashlib
import random
import socket
import ssl
from collections.abc import Callable
from typing import Any

from netsim.http.server import HttpServer
from netsim.http.types import Request, Response
from support.authority import Authority, client_context

TIMEOUT = 10.0
BIG = random.Random(7).randbytes(10 << 20)
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT):
        while not condition():
            await asyncio.sleep(0.005)


async def handle(request: Request) -> Response:
    """/big answers 10 MB, /sum a digest of what was sent, others "ok"."""
    if request.path == "/big":
        return Response(200, [], BIG)
    return Response(200, [], hashlib.sha256(request.body).hexdigest().encode() if request.path == "/sum" else b"ok")


class Served:
    """A TLS server and ways to connect to it."""

    def __init__(self, server: HttpServer, authority: Authority) -> None:
        self.server, self.authority, self.context = server, authority, client_context(authority)

    async def raw(self) -> socket.socket:
        """A connection without TLS."""
        sock = socket.socket()
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.server.port))
        return sock

    async def open(self, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.server.port, ssl=self.context, **options)

    async def blocking(self, talk: Callable[[ssl.SSLSocket], Any]) -> Any:
        """What `talk` makes of a connected blocking socket, in a thread."""

        def run() -> Any:
            with (
                socket.create_connection(("127.0.0.1", self.server.port), TIMEOUT) as plain,
                self.context.wrap_socket(plain, server_hostname="127.0.0.1") as sock,
            ):
                return talk(sock)

        return await asyncio.to_thread(run)

    async def answers(self) -> None:
        """It still serves others."""
        reader, writer = await self.open()
        writer.write(GET)
        async with asyncio.timeout(TIMEOUT):
            assert b"200 OK" in await reader.readuntil(b"ok")
            writer.close()
            await writer.wait_closed()
