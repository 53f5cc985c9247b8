"""The two HTTP probes of the pod: /health while the process runs, /ready once the API was read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .config import Listen

HEAD_MAX = 8192
HEAD_TIMEOUT = 5.0

Check = Callable[[], str]


async def serve_probe(listen: Listen, path: str, unready: Check) -> asyncio.Server:
    """Answer GET of `path`: 200 `OK` if `unready()` is empty, else 503 with its text; 404 for any other path."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(HEAD_TIMEOUT):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(_respond(head, path, unready))
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, ConnectionError):
            return  # the prober went away or does not speak HTTP: there is nobody to tell
        finally:
            writer.close()

    return await asyncio.start_server(handle, *listen, limit=HEAD_MAX)


def _respond(head: bytes, path: str, unready: Check) -> bytes:
    target = head.split(b" ", 2)[1:2]
    if target != [path.encode()]:
        return _message("404 Not Found", "404 page not found\n")
    why = unready()
    return _message("503 Service Unavailable", why) if why else _message("200 OK", "OK")


def _message(status: str, body: str) -> bytes:
    headers = f"Content-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\nConnection: close"
    return f"HTTP/1.1 {status}\r\n{headers}\r\n\r\n{body}".encode()
