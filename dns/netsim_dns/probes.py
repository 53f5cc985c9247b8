"""The pages of the pod, each on a port of its own: /health, /ready, /metrics."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from netsim.api.prometheus import CONTENT_TYPE

from .config import Listen
from .telemetry.metrics import Metrics

LOG = logging.getLogger(__name__)
HEAD_MAX = 8192
HEAD_TIMEOUT = 5.0
POLL_SECONDS = 1.0
TEXT = "text/plain; charset=utf-8"

Said = tuple[str, str, str]
"""Status, content type, body."""
Page = Callable[[], Awaitable[Said]]


def probe(unready: Callable[[], str]) -> Page:
    """200 `OK` if `unready()` is empty, else 503 with its text."""

    async def page() -> Said:
        why = unready()
        return ("503 Service Unavailable", TEXT, why) if why else ("200 OK", TEXT, "OK")

    return page


def metrics_page(render: Callable[[], Awaitable[str]]) -> Page:
    """200 with Prometheus' text."""

    async def page() -> Said:
        return "200 OK", CONTENT_TYPE, await render()

    return page


async def serve_page(listen: Listen, path: str, page: Page) -> asyncio.Server:
    """Answer GET of `path` with the page, any other path with 404. OSError names the address."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(HEAD_TIMEOUT):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(await _respond(head, path, page))
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, ConnectionError):
            return  # the prober went away or does not speak HTTP: there is nobody to tell
        finally:
            writer.close()

    try:
        return await asyncio.start_server(handle, *listen, limit=HEAD_MAX)
    except OSError as failure:
        where = f"{listen[0]} port {listen[1]}"
        raise OSError(failure.errno, f"dns cannot serve {path} on {where}: {failure.strerror}") from failure


async def _respond(head: bytes, path: str, page: Page) -> bytes:
    target = b"".join(head.split(b" ", 2)[1:2]).partition(b"?")[0]
    said = await page() if target == path.encode() else ("404 Not Found", TEXT, "404 page not found\n")
    status, kind, body = said
    content = body.encode()
    headers = f"Content-Type: {kind}\r\nContent-Length: {len(content)}\r\nConnection: close"
    return f"HTTP/1.1 {status}\r\n{headers}\r\n\r\n".encode() + (b"" if head.startswith(b"HEAD ") else content)


async def poll_health(listen: Listen, metrics: Metrics) -> None:
    """Ask one's own /health each second for ever: an overloaded server tells of it in its metrics and its log."""
    while True:
        await asyncio.sleep(POLL_SECONDS)
        start = time.perf_counter()
        answered = await _ask_health(listen)
        took = time.perf_counter() - start
        metrics.observe("health_request_duration_seconds", took)
        if not answered:
            metrics.add("health_request_failures_total")
        if took > POLL_SECONDS:
            LOG.warning("dns: the local health request took %.1f s: the server is overloaded", took)


async def _ask_health(listen: Listen) -> bool:
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen[0], listen[0])
    try:
        async with asyncio.timeout(HEAD_TIMEOUT):
            reader, writer = await asyncio.open_connection(address, listen[1])
            try:
                writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
                return (await reader.read()).startswith(b"HTTP/1.1 200")
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
