"""The door a client speaks through: a socket (netsim.http.client.HttpClient) or the server's own handler."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Protocol

from netsim.http.stream import pipe
from netsim.http.types import Handler, Peer, Request, Response


class Transport(Protocol):
    """HttpClient satisfies it; see there for the three ways of asking."""

    async def __call__(self, request: Request) -> Response: ...

    async def stream(self, request: Request) -> Response: ...

    async def upgrade(self, request: Request) -> Response: ...

    async def close(self) -> None: ...


async def _single(body: bytes) -> AsyncIterator[bytes]:
    if body:
        yield body


async def _collect(body: bytes | AsyncIterator[bytes]) -> bytes:
    return body if isinstance(body, bytes) else b"".join([chunk async for chunk in body])


class InProcessTransport:
    """Calls a handler directly, as `peer`: no socket, no copying; bodies and streams are passed through as they are."""

    def __init__(self, handler: Handler, peer: Peer) -> None:
        self._handler = handler
        self._peer = peer
        self._upgraded: set[asyncio.Task[None]] = set()

    async def _ask(self, request: Request) -> Response:
        return await self._handler(replace(request, peer=self._peer))

    async def __call__(self, request: Request) -> Response:
        response = await self._ask(request)
        response.body = await _collect(response.body)
        return response

    async def stream(self, request: Request) -> Response:
        response = await self._ask(request)
        if isinstance(response.body, bytes):
            response.body = _single(response.body)
        return response

    async def upgrade(self, request: Request) -> Response:
        response = await self._ask(request)
        if response.upgrade is None:
            response.body = await _collect(response.body)
            return response
        ours, theirs = pipe()
        task = asyncio.ensure_future(response.upgrade(theirs))
        self._upgraded.add(task)
        task.add_done_callback(self._upgraded.discard)
        response.stream = ours
        return response

    async def close(self) -> None:
        """Cancel the upgraded connections and wait for their handlers."""
        tasks = list(self._upgraded)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class BearerTransport:
    """Adds `Authorization: Bearer` from a token file, read again when it changes (ServiceAccount tokens rotate)."""

    def __init__(self, inner: Transport, token_file: str) -> None:
        self._inner = inner
        self._path = token_file
        self._read_at = 0.0
        self._header = ("authorization", "")

    @property
    def authority(self) -> str:
        """That of the inner transport, "" if it has none."""
        return str(getattr(self._inner, "authority", ""))

    def _signed(self, request: Request) -> Request:
        now = asyncio.get_running_loop().time()
        if not self._header[1] or now - self._read_at > 10:
            with open(self._path, encoding="ascii") as file:
                self._header = ("authorization", f"Bearer {file.read().strip()}")
            self._read_at = now
        return replace(request, headers=[*request.headers, self._header])

    async def __call__(self, request: Request) -> Response:
        return await self._inner(self._signed(request))

    async def stream(self, request: Request) -> Response:
        return await self._inner.stream(self._signed(request))

    async def upgrade(self, request: Request) -> Response:
        return await self._inner.upgrade(self._signed(request))

    async def close(self) -> None:
        await self._inner.close()
