"""The questions of one zone on their way to its upstreams, and the answers kept from them."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..expand import read_name
from ..names import Labels
from ..telemetry.metrics import Metrics
from ..telemetry.query_log import name_text
from ..telemetry.registry import type_name
from ..types import FORMERR, NOERROR, NXDOMAIN, REFUSED, SERVFAIL
from ..wire import TC
from .cache import Cache, Hit, Use, kept_for
from .config import ForwardZone, zone_label, zone_labels
from .exchange import Refused, UpstreamError
from .failures import FailureLog
from .message import Kind, Message
from .policy import Tries, order
from .render import Asked, answers
from .upstream import Upstream

# questions fetched anew at a time with no client waiting for them, which `max_concurrent` therefore does not count
FETCHES_MAX = 100

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Found:
    """What a question led to: an upstream's message with the TTL (seconds) of its records, None to leave them.

    Without `message` it is `rcode` alone, and our own. `kept`: it is from an earlier question.
    """

    message: Message | None = None
    ttl: int | None = None
    kept: bool = False
    rcode: int = 0


class Resolver:
    """One zone. Equal questions that are asked at the same time are asked once (RFC 5452, section 5).

    `then` is that of the zone's `then`.
    """

    def __init__(self, zone: ForwardZone, metrics: Metrics, server: str, clock: Clock = time.monotonic) -> None:
        self.zone = zone
        self.upstreams = [Upstream(address, zone, metrics) for address in zone.upstreams]
        self.then = Resolver(zone.then, metrics, server, clock) if zone.then else None
        self.cache = Cache(zone.cache)
        self._excluded = frozenset(map(zone_labels, zone.excluded))
        no_denial = frozenset(map(zone_labels, zone.cache.no_denial))
        self._unkept = {
            Kind.SUCCESS: frozenset(map(zone_labels, zone.cache.no_success)),
            Kind.DENIAL: no_denial,
            Kind.FAILURE: no_denial,
        }
        self._metrics = metrics
        self._clock = clock
        shown = zone.block or zone_label(zone.zone)
        self._labels = (server, shown, "")
        self._type_labels = {name: (server, name, shown, "") for name in ("success", "denial")}
        self._entries = {"success": 0, "denial": 0}
        self._flights: dict[tuple[bytes, bytes, bool], asyncio.Task[Found]] = {}
        self._tasks: set[asyncio.Task[Found]] = set()
        self._waiting = 0
        self._fetching = 0
        self._turn = -1
        self._failures = FailureLog(zone.consolidated)
        for name in ("forward_healthcheck_broken_total", "forward_max_concurrent_rejects_total"):
            metrics.add(name, amount=0.0)

    @property
    def busy(self) -> bool:
        """Is anything under way?"""
        return bool(self._tasks)

    def find(self, asked: Asked, stream: bool, join: bool = True) -> Found | asyncio.Task[Found]:
        """What is known, or the task of asking for it; with `join` an equal question's that is already on its way."""
        hit = self._look_up(asked)
        if hit and hit.use is Use.SERVE_AND_FETCH:
            self._fetch_anew(asked, stream)
        if hit and hit.use is not Use.FETCH_OR_SERVE:
            return Found(hit.message, hit.ttl, kept=True)
        if 0 < self.zone.max_concurrent <= self._waiting:
            self._metrics.add("forward_max_concurrent_rejects_total")
            self._log(asked, REFUSED, f"concurrent queries exceeded maximum {self.zone.max_concurrent}")
            return Found(rcode=REFUSED)
        task = self._start(asked, stream, hit, join)
        self._waiting += 1
        task.add_done_callback(self._end_wait)
        return task

    def excludes(self, qname: Labels) -> bool:
        """Is a name (lower case) of this zone in one that is not asked for?"""
        return _within(qname, self._excluded)

    def close(self) -> None:
        """Give up everything under way."""
        for task in tuple(self._tasks):
            task.cancel()
        if self.then:
            self.then.close()
        self.retire()

    def retire(self) -> None:
        """Ask nothing new; what is under way comes to its end."""
        for upstream in self.upstreams:
            upstream.close()
        self._show_entries(dict.fromkeys(self._entries, 0))
        if self.then:
            self.then.retire()

    def _look_up(self, asked: Asked) -> Hit | None:
        hit = self.cache.get(asked.key, self._clock()) if asked.cacheable else None
        if hit is None:
            return None
        name = "success" if hit.message.kind is Kind.SUCCESS else "denial"
        self._metrics.add("cache_hits_total", *self._type_labels[name])
        if hit.use is not Use.FETCH_OR_SERVE and hit.ttl == 0:
            self._metrics.add("cache_served_stale_total", *self._labels)
        return hit

    def _end_wait(self, _: asyncio.Task[Found]) -> None:
        self._waiting -= 1

    def _fetch_anew(self, asked: Asked, stream: bool) -> None:
        if self._fetching >= FETCHES_MAX:
            self.cache.fetched(asked.key)
            return
        self._metrics.add("cache_prefetch_total", *self._labels)
        self._fetching += 1

        def ended(_: asyncio.Task[Found]) -> None:
            self._fetching -= 1

        self._start(asked, stream, None, True).add_done_callback(ended)

    def _start(self, asked: Asked, stream: bool, fallback: Hit | None, join: bool) -> asyncio.Task[Found]:
        key = (asked.key, asked.apart_from_name, stream)
        task = self._flights.get(key) if join else None
        if task is not None:
            return task
        task = asyncio.get_running_loop().create_task(self._resolve(asked, stream, fallback))
        self._tasks.add(task)
        if join:
            self._flights[key] = task

        def ended(task: asyncio.Task[Found]) -> None:
            self._tasks.discard(task)
            if join:
                del self._flights[key]

        task.add_done_callback(ended)
        return task

    async def _resolve(self, asked: Asked, stream: bool, fallback: Hit | None) -> Found:
        try:
            message = await self.ask(asked, stream)
        except UpstreamError as failure:
            self.cache.fetched(asked.key)
            if fallback:
                return self._stale(fallback)
            self._log(asked, SERVFAIL, str(failure))
            return Found(rcode=SERVFAIL)
        if not answers(message, asked.question):
            self.cache.fetched(asked.key)
            self._metrics.add("cache_drops_total", *self._labels)
            self._log(asked, FORMERR, "an upstream answered another question")
            return Found(rcode=FORMERR)
        if fallback and message.rcode not in (NOERROR, NXDOMAIN):
            return self._stale(fallback)
        self._keep(asked, message)
        return Found(message, int(kept_for(message, self.zone.cache)) or None)

    def _stale(self, kept: Hit) -> Found:
        self._metrics.add("cache_served_stale_total", *self._labels)
        return Found(kept.message, 0, kept=True)

    async def ask(self, asked: Asked, stream: bool) -> Message:
        """Ask upstreams, and those of `then` if they answer so; raises UpstreamError."""
        message = await self._ask(asked, stream)
        if self.then and message.rcode in self.zone.next_rcodes:
            return await self.then.ask(asked, stream)
        return message

    async def _ask(self, asked: Asked, stream: bool) -> Message:
        """The first usable answer; else the last one that has a rcode to go on after; else raises UpstreamError."""
        self._turn += 1
        tries = Tries(
            self.zone, order(self.zone.policy, len(self.upstreams), self._turn, random.shuffle), self._clock()
        )
        why: UpstreamError = Refused("no healthy upstreams")
        last: Message | None = None
        while (index := self._choose(tries, last)) is not None:
            try:
                message = await self._ask_one(self.upstreams[index], asked, stream)
            except UpstreamError as failure:
                why = failure
                if isinstance(failure, Refused):
                    tries.refused(index)
                continue
            if message.rcode not in self.zone.failover:
                return message
            last = message
            tries.refused(index)
        if last is None:
            raise why
        return last

    def _choose(self, tries: Tries, last: Message | None) -> int | None:
        down = [upstream.down for upstream in self.upstreams]
        if all(down) and all(upstream.unreachable for upstream in self.upstreams):
            return None  # asking would be waiting in vain: their probes will tell
        if all(down) and not tries.sprayed:
            self._metrics.add("forward_healthcheck_broken_total")
        return None if last and not tries.untried(down) else tries.next(self._clock(), down)

    async def _ask_one(self, upstream: Upstream, asked: Asked, stream: bool) -> Message:
        zone = self.zone
        exact = b""
        if zone.random_case:
            asked = asked.spelled(secrets.randbits(256))
            exact = asked.question
        by_tcp = zone.force_tcp or zone.tls is not None or (stream and not zone.prefer_udp)
        message = await upstream.ask(asked.wire, asked.size, by_tcp, exact)
        if zone.prefer_udp and message.flags & TC and not by_tcp:
            message = await upstream.ask(asked.wire, asked.size, True, exact)
        return message

    def _keep(self, asked: Asked, message: Message) -> None:
        unkept = self._unkept.get(message.kind)
        if not asked.cacheable or (unkept and _within(read_name(asked.key, 0)[0], unkept)):
            return
        self.cache.put(asked.key, message, self._clock())
        self._show_entries({"success": len(self.cache.success), "denial": len(self.cache.denial)})
        for name, times in self.cache.evicted.items():
            if times:
                self._metrics.add("cache_evictions_total", *self._type_labels[name], amount=times)
                self.cache.evicted[name] = 0

    def _show_entries(self, counts: dict[str, int]) -> None:
        """Have the metrics tell how many entries there are: other zones of the server block count in the same place."""
        for name, count in counts.items():
            self._metrics.add("cache_entries", *self._type_labels[name], amount=count - self._entries[name])
        self._entries = counts

    def _log(self, asked: Asked, rcode: int, why: str) -> None:
        question = asked.question
        name, qtype = question[:-4], int.from_bytes(question[-4:-2], "big")
        self._failures.write(rcode, name_text(read_name(name, 0)[0]), type_name(qtype), why)


def _within(qname: Labels, zones: frozenset[Labels]) -> bool:
    """Is a name (lower case) in one of these zones?"""
    return bool(zones) and any(qname[start:] in zones for start in range(len(qname) + 1))
