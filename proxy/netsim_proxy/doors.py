"""The proxy's HTTP doors: health, metrics, and a port for each Service with a healthCheckNodePort."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from netsim.api.prometheus import CONTENT_TYPE
from netsim.http.server import HttpServer, serve
from netsim.http.types import Handler, Request, Response
from netsim_proxy.config import ProxyConfig
from netsim_proxy.flags import render_configuration
from netsim_proxy.health import Answer
from netsim_proxy.listeners import open_listener
from netsim_proxy.metrics import render_indicators
from netsim_proxy.tally import HealthChecks
from netsim_proxy.telemetry import Telemetry

log = logging.getLogger(__name__)
RETRY_SECONDS = 1.0
_NO_SNIFFING = ("X-Content-Type-Options", "nosniff")
_TEXT = [("Content-Type", "text/plain; charset=utf-8"), _NO_SNIFFING]


def health_handler(telemetry: Telemetry) -> Handler:
    """/healthz and /livez."""

    async def handle(request: Request) -> Response:
        match request.path:
            case "/healthz":
                return _respond(telemetry.answer_healthz())
            case "/livez":
                return _respond(telemetry.answer_livez())
        return _not_found()

    return handle


def metrics_handler(config: ProxyConfig, render: Callable[[], Awaitable[str]]) -> Handler:
    """/metrics (what `render` gives), /metrics/slis, /healthz, /proxyMode and /configz."""
    pings = 0

    async def handle(request: Request) -> Response:
        nonlocal pings
        match request.path:
            case "/metrics":
                return Response(200, [("Content-Type", CONTENT_TYPE)], (await render()).encode())
            case "/metrics/slis":
                return Response(200, [("Content-Type", CONTENT_TYPE)], render_indicators(pings).encode())
            case "/healthz":
                pings += 1
                return Response(200, _TEXT, b"ok")
            case "/proxyMode":
                return Response(200, _TEXT, config.mode.encode())
            case "/configz":
                document = {"kubeproxy.config.k8s.io": render_configuration(config)}
                headers = [("Content-Type", "application/json"), _NO_SNIFFING]
                return Response(200, headers, json.dumps(document).encode())
        return _not_found()

    return handle


def _respond(answer: Answer) -> Response:
    status, headers, body = answer
    return Response(status, list(headers), body)


def _not_found() -> Response:
    return Response(404, _TEXT, b"404 page not found\n")


class ServiceHealthServers:
    """A listener for each health check that is wanted, on all of the given addresses. For one event loop."""

    def __init__(self, answer: Callable[[str, int], Answer], failed: Callable[[str, int, str], None]) -> None:
        """`answer(key, local)` is what a Service's port says; `failed(key, port, why)` tells of one that cannot be
        opened, which is tried again with every `update`."""
        self._answer, self._failed = answer, failed
        self._wanted: HealthChecks = {}
        self._open: dict[str, tuple[int, tuple[str, ...], list[HttpServer]]] = {}
        self._troubles: dict[str, str] = {}

    async def update(self, wanted: HealthChecks, addresses: Sequence[str]) -> None:
        """Open and close, so that exactly these are there; counts are answered as of the last update."""
        self._wanted = wanted
        places = tuple(addresses)
        for key, (port, where, _) in list(self._open.items()):
            if key not in wanted or (wanted[key][0], places) != (port, where):
                await self._close(key)
        for key in self._troubles.keys() - wanted.keys():
            del self._troubles[key]
        for key, (port, _) in wanted.items():
            if key not in self._open:
                await self._try_open(key, port, places)

    async def _try_open(self, key: str, port: int, places: tuple[str, ...]) -> None:
        servers: list[HttpServer] = []
        try:
            for place in places:
                servers.append(await serve(partial(self._handle, key), open_listener((place, port))))
        except OSError as error:
            for server in servers:
                await server.close()
            why = error.strerror or str(error)
            if self._troubles.get(key) != why:
                self._troubles[key] = why
                self._failed(key, port, why)
            return
        self._troubles.pop(key, None)
        self._open[key] = (port, places, servers)

    async def _handle(self, key: str, _request: Request) -> Response:
        return _respond(self._answer(key, self._wanted.get(key, (0, 0))[1]))

    async def _close(self, key: str) -> None:
        for server in self._open.pop(key)[2]:
            await server.close()

    async def close(self) -> None:
        """Close all of them."""
        for key in list(self._open):
            await self._close(key)


async def keep_health_servers(
    telemetry: Telemetry, servers: ServiceHealthServers, addresses: Callable[[], Awaitable[Sequence[str]]]
) -> None:
    """Bring the listeners up to date whenever health checks change, until cancelled. While addresses cannot be read
    they stay as they are."""
    try:
        while True:
            await telemetry.health_changed.wait()
            telemetry.health_changed.clear()
            wanted = telemetry.health_checks
            try:
                places = await addresses() if wanted else ()
            except OSError as error:
                log.warning("addresses for health checks of Services cannot be read: %s; another try follows", error)
                telemetry.health_changed.set()
                await asyncio.sleep(RETRY_SECONDS)
                continue
            await servers.update(wanted, places)
    finally:
        await servers.close()
