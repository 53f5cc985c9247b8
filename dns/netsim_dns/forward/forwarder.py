"""Answers for the names of others, for all forwarded zones together."""

from __future__ import annotations

import asyncio
import logging
import time

from ..config import ConfigError
from ..names import Labels, lower, under
from ..reply import refusal
from ..telemetry.metrics import Metrics
from ..types import HINFO, SERVFAIL
from ..wire import Query
from .config import ForwardConfig, ForwardZone, zone_labels
from .loop import LoopGuard, OnLoop
from .render import read_asked
from .resolver import Clock, Found, Resolver
from .route import Route

LOG = logging.getLogger(__name__)
# queries remembered for each transport, and the longest of them in bytes
ROUTES_MAX = 8192
QUERY_MAX = 512


class Forwarder:
    """Implements `seams.Forwarder`. `resolvers` are the zones in use; who sets `udp_max` anew calls `forget`.

    `served` are the cluster's own zones, `udp_max` the most bytes of an answer over UDP, `server` the label that
    metrics have for this server. Raises ConfigError for zones that are the cluster's own. Belongs to one event loop.
    """

    def __init__(
        self,
        config: ForwardConfig,
        served: tuple[str, ...] = ("cluster.local", "in-addr.arpa", "ip6.arpa"),
        udp_max: int = 4096,
        metrics: Metrics | None = None,
        server: str = "dns://:53",
        clock: Clock = time.monotonic,
    ) -> None:
        self._served: tuple[Labels, ...] = ()
        self.udp_max = udp_max
        self._metrics = metrics or Metrics()
        self._server = server
        self._clock = clock
        self.resolvers: dict[Labels, Resolver] = {}
        self._inside: frozenset[Labels] = frozenset()
        self._on_loop: OnLoop | None = None
        self._guard: LoopGuard | None = None
        self._routes: tuple[dict[bytes, Route], dict[bytes, Route]] = ({}, {})
        self.reconfigure(config, served)

    def reconfigure(self, config: ForwardConfig, served: tuple[str, ...] | None = None) -> None:
        """Go on with these zones, and those `served` (None: as before). One that is as before keeps its cache and what
        is known of its upstreams."""
        own = self._served if served is None else tuple(map(zone_labels, served))
        for zone in config.zones if config.first else ():
            if zone.labels in own:
                raise ConfigError(f"dns forward: zone {zone.zone} is the cluster's own, forward one above or below it")
        self._served, old = own, self.resolvers
        self.resolvers = {zone.labels: self._resolver(zone, old) for zone in config.zones}
        ahead = self.resolvers if config.first else ()
        self._inside = frozenset(z for z in ahead if any(z != s and under(z, s) for s in self._served))
        self.forget()
        for labels, resolver in old.items():
            if self.resolvers.get(labels) is not resolver:
                resolver.retire()
        if self._on_loop:
            self.start(self._on_loop)

    def forget(self) -> None:
        """Read queries anew that have come before: somebody else may answer them now."""
        for routes in self._routes:
            routes.clear()

    def start(self, on_loop: OnLoop) -> None:
        """Look, now and after each change, for upstreams that ask us what we ask them; `on_loop` is told of one.

        The ports must be open by then.
        """
        if self._guard:
            self._guard.close()
        self._on_loop = on_loop
        self._guard = LoopGuard(self.resolvers.values(), on_loop)

    def close(self) -> None:
        """Give up everything under way."""
        if self._guard:
            self._guard.close()
        for resolver in self.resolvers.values():
            resolver.close()

    def owns(self, qname: Labels, _: int) -> bool:
        """See `seams.Forwarder`."""
        return self._is_inside(qname)

    def _is_inside(self, qname: Labels) -> bool:
        """The longest zone wins, and only zones below the cluster's are longer than those."""
        return bool(self._inside) and any(qname[start:] in self._inside for start in range(len(qname)))

    def ask(self, query: Query, data: bytes, stream: bool) -> bytes | asyncio.Future[bytes | None]:
        """See `seams.Forwarder`."""
        qname = lower(query.question.qname)
        route = Route(query, read_asked(query, self.udp_max), self._find(qname), stream)
        if route.resolver is None:
            return data[:2] + refusal(query, SERVFAIL)
        probing = query.question.qtype == HINFO
        if probing and self._guard is not None:
            self._guard.saw(qname)
        # a probe for a loop, ours or another server's, must go round to be seen
        found = route.resolver.find(route.asked, stream, join=not probing)
        if not isinstance(found, Found):
            return _later(found, route, data[:2])
        if found.kept and self._always_ours(qname):
            self._remember(data, route)
        return data[:2] + route.write(found)

    def recall(self, data: bytes, stream: bool) -> bytes | asyncio.Future[bytes | None] | None:
        """See `seams.Forwarder`."""
        route = self._routes[stream].get(data[2:])
        if route is None or route.resolver is None:
            return None
        found = route.resolver.find(route.asked, stream)
        return data[:2] + route.write(found) if isinstance(found, Found) else _later(found, route, data[:2])

    def _always_ours(self, qname: Labels) -> bool:
        """Can no change of the cluster make the name its own?"""
        return self._is_inside(qname) or not any(under(qname, zone) for zone in self._served)

    def _remember(self, data: bytes, route: Route) -> None:
        routes = self._routes[route.stream]
        if len(data) <= QUERY_MAX:
            if len(routes) >= ROUTES_MAX:
                routes.clear()
            routes[data[2:]] = route

    def _resolver(self, zone: ForwardZone, old: dict[Labels, Resolver]) -> Resolver:
        before = old.get(zone.labels)
        return before if before and before.zone == zone else Resolver(zone, self._metrics, self._server, self._clock)

    def _find(self, qname: Labels) -> Resolver | None:
        """The longest forwarded zone a name is in, or what comes after it if the name is excluded from it."""
        starts = range(len(qname) + 1)
        resolver = next((found for start in starts if (found := self.resolvers.get(qname[start:]))), None)
        while resolver and resolver.excludes(qname):
            resolver = resolver.then
        return resolver


def _later(task: asyncio.Task[Found], route: Route, number: bytes) -> asyncio.Future[bytes | None]:
    """The answer to one of those who wait for a question; cancelling it leaves the others theirs."""
    future: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()

    def done(task: asyncio.Task[Found]) -> None:
        if future.done():
            return
        if task.cancelled():
            future.cancel()
            return
        failure = task.exception()
        if failure:
            LOG.error("dns: forwarding %s failed", route.query.question, exc_info=failure)
        found = Found(rcode=SERVFAIL) if failure else task.result()
        future.set_result(number + route.write(found))

    task.add_done_callback(done)
    return future
