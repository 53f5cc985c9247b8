"""The pages in use: /health, /ready and /metrics, each at its place, which may change."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from .config import Listen
from .probes import Page, serve_page

Places = Mapping[str, Listen | None]
"""Where each page is served, by its path; None: nowhere."""


class _Served(NamedTuple):
    listen: Listen
    server: asyncio.Server
    beside: asyncio.Task[None] | None


class Pages:
    """`pages` by path. What is `beside` a page runs as long as that is served, and is told where."""

    def __init__(
        self, pages: Mapping[str, Page], beside: Mapping[str, Callable[[Listen], Awaitable[None]]] | None = None
    ) -> None:
        self._pages, self._beside = pages, beside or {}
        self._served: dict[str, _Served] = {}

    async def move(self, places: Places) -> None:
        """Serve the pages there, and no longer where they were. OSError: nothing has changed."""
        wanted = {path: listen for path, listen in places.items() if listen is not None}
        same = {path for path, served in self._served.items() if wanted.get(path) == served.listen}
        new: dict[str, _Served] = {}
        try:
            for path in wanted.keys() - same:
                new[path] = await self._serve(path, wanted[path])
        except BaseException:
            for served in new.values():
                _end(served)
            raise
        for path in tuple(self._served.keys() - same):
            self.close(path)
        self._served |= new

    def close(self, *paths: str) -> None:
        """Serve these pages no longer, or none at all."""
        for path in paths or tuple(self._served):
            if path in self._served:
                _end(self._served.pop(path))

    async def _serve(self, path: str, listen: Listen) -> _Served:
        server = await serve_page(listen, path, self._pages[path])
        beside = self._beside.get(path)
        return _Served(listen, server, asyncio.ensure_future(beside(listen)) if beside else None)


def _end(served: _Served) -> None:
    served.server.close()
    if served.beside:
        served.beside.cancel()
