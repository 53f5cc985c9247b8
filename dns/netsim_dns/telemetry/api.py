"""What metrics tell of the API: how long its answers take, and how long changes take to be answered."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from netsim.api.times import parse_time
from netsim.client.transport import Transport
from netsim.http.types import Request, Response

from ..index import Index
from ..records import Slice
from .metrics import Metrics


class ApiMetrics:
    """Watches over what comes from the API between the client and the index."""

    def __init__(self, metrics: Metrics, index: Index) -> None:
        self._metrics, self._index = metrics, index
        self._started = datetime.now(UTC)

    def programmed(self, view: Slice, changed: str) -> None:
        """A slice is answered from now that a change of pods at `changed` (RFC 3339) was the cause of.

        As CoreDNS: of headless Services only, and nothing of what was before the start.
        """
        service = self._index.services.get(view.service)
        try:
            when = parse_time(changed)
        except ValueError:
            return  # whoever wrote the slice wrote no time: there is nothing to measure
        if service is not None and service.headless and when >= self._started:
            took = (datetime.now(UTC) - when).total_seconds()
            self._metrics.observe("kubernetes_dns_programming_duration_seconds", took, "headless_with_selector")


class MeasuredTransport:
    """A transport whose requests are counted; those that are no watches have their time told."""

    def __init__(self, transport: Transport, metrics: Metrics) -> None:
        self._transport, self._metrics = transport, metrics
        self._host = str(getattr(transport, "authority", ""))

    async def __call__(self, request: Request) -> Response:
        start = time.perf_counter()
        response = await self._transport(request)
        took = time.perf_counter() - start
        self._metrics.observe("kubernetes_rest_client_request_duration_seconds", took, request.method, self._host)
        # nothing limits the rate of requests, so that none waits
        self._metrics.observe("kubernetes_rest_client_rate_limiter_duration_seconds", 0.0, request.method, self._host)
        return self._count(request, response)

    async def stream(self, request: Request) -> Response:
        return self._count(request, await self._transport.stream(request))

    async def upgrade(self, request: Request) -> Response:
        return await self._transport.upgrade(request)

    async def close(self) -> None:
        await self._transport.close()

    def _count(self, request: Request, response: Response) -> Response:
        self._metrics.add("kubernetes_rest_client_requests_total", str(response.status), request.method, self._host)
        return response
