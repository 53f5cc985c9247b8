from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvloop

from netsim.http.client import HttpClient
from netsim.http.server import HttpServer, serve
from netsim.http.types import Handler
from support.authority import Authority, server_context
from support.tls_server import Served, handle


def listening() -> socket.socket:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock


@dataclass
class Doors:
    """Servers and clients of one test, all closed at its end."""

    closers: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    async def serve(self, handler: Handler, **options: object) -> HttpServer:
        server = await serve(handler, listening(), **options)  # type: ignore[arg-type]
        self.closers.append(server.close)
        return server

    def client(self, base: str | int, **options: object) -> HttpClient:
        client = HttpClient(base if isinstance(base, str) else f"http://127.0.0.1:{base}", **options)  # type: ignore[arg-type]
        self.closers.append(client.close)
        return client


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Everything here runs on both loops: their transports differ at the ends of connections."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def doors() -> AsyncIterator[Doors]:
    doors = Doors()
    yield doors
    for close in reversed(doors.closers):
        await asyncio.wait_for(close(), 5)
    await asyncio.sleep(0)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def served(doors: Doors, authority: Authority) -> Served:
    return Served(await doors.serve(handle, ssl=server_context(authority)), authority)
