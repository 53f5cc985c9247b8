"""The client's search path, walked on this side: one question gets what the client would find after several.

As CoreDNS's autopath: a name in the first domain of the path that does not exist is tried in the others and by itself;
an alias leads from the name asked for to the one found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .aliases import target_query
from .expand import expand_records
from .index import Index
from .names import Labels, is_reverse, labels_of, lower, under, writable
from .reply import Body, asker_of, render, whole_name
from .responder import Responder
from .seams import Answered
from .telemetry.metrics import Metrics
from .types import CNAME, IN, NOERROR, NXDOMAIN, OPT
from .wire import AA, OPCODE_QUERY, RA, TC, Query, parse_query
from .zones import find_zone


@dataclass(frozen=True, slots=True)
class AutopathConfig:
    """`zones` whose names are tried; `search` the domains; `by_pod`: before them those of the pod that asks, by its
    namespace, and none for who is no pod."""

    zones: tuple[str, ...]
    search: tuple[str, ...]
    by_pod: bool = True


def parse_search(text: str) -> tuple[str, ...]:
    """The search path of a resolv.conf: its last line that has one."""
    lines = [line.split() for line in text.splitlines()]
    return next((tuple(words[1:]) for words in reversed(lines) if words[:1] in (["search"], ["domain"])), ())


class Autopath:
    """Answers clients of a responder by their address. `inner` is asked for the names that are tried."""

    def __init__(
        self, config: AutopathConfig, responder: Responder, inner: Responder, metrics: Metrics, server: str
    ) -> None:
        self._config, self._responder, self._inner = config, responder, inner
        self._search = [lower(labels_of(domain)) for domain in config.search]
        self._metrics, self._server = metrics, server

    def __call__(self, data: bytes, client: str, stream: bool) -> Answered:
        """As `Responder.udp` and `tcp`, for a query from this address."""
        first = self._responder.tcp(data) if stream else self._responder.udp(data)
        if isinstance(first, asyncio.Future):
            return asyncio.ensure_future(self._later(first, data, client, stream))
        return self._go_on(first, data, client, stream)

    async def _later(
        self, waiting: asyncio.Future[bytes | None], data: bytes, client: str, stream: bool
    ) -> bytes | None:
        return await _settled(self._go_on(await waiting, data, client, stream))

    def _go_on(self, first: bytes | None, data: bytes, client: str, stream: bool) -> Answered:
        """The first name's answer unless it is that there is no such name, and another one has an answer."""
        query = parse_query(data) if first is not None and first[3] & 15 == NXDOMAIN else None
        if query is None or query.opcode != OPCODE_QUERY:
            return first
        names = list(self._others(query.question.qname, client))
        return self._walk(query, data, first, names, stream)

    def _others(self, qname: Labels, client: str) -> Iterator[Labels]:
        """The names to try; none if the name is not in the first domain of the client's search path."""
        name = lower(qname)
        search = self._search_of(name, client)
        if find_zone(name, self._config.zones) is None or not search:
            return
        if len(name) > len(search[0]) and under(name, search[0]):
            base = qname[: len(qname) - len(search[0])]
            yield from (base + domain for domain in (*search[1:], ()) if writable(base + domain))

    def _search_of(self, name: Labels, client: str) -> list[Labels]:
        if not self._config.by_pod:
            return self._search
        zone = find_zone(name, self._responder.config.zones)
        namespace = namespace_of(self._responder.index, client)
        if zone is None or is_reverse(zone) or namespace is None:
            return []
        return [(namespace, b"svc", *zone), (b"svc", *zone), zone, *self._search]

    def _walk(self, query: Query, data: bytes, first: bytes | None, names: Sequence[Labels], stream: bool) -> Answered:
        for position, name in enumerate(names):
            inner = target_query(query, name, data[:2])
            answer = self._inner.tcp(inner) if stream else self._inner.udp(inner)
            if isinstance(answer, asyncio.Future):
                return asyncio.ensure_future(self._walk_on(answer, query, data, first, names[position + 1 :], stream))
            if answer is not None and answer[3] & 15 != NXDOMAIN:
                return self._aliased(query, data, answer, stream)
        return first

    async def _walk_on(
        self, waiting: asyncio.Future[bytes | None], query: Query, data: bytes, first: bytes | None,
        names: Sequence[Labels], stream: bool,
    ) -> bytes | None:  # fmt: skip
        answer = await waiting
        if answer is not None and answer[3] & 15 != NXDOMAIN:
            return self._aliased(query, data, answer, stream)
        return await _settled(self._walk(query, data, first, names, stream))

    def _aliased(self, query: Query, data: bytes, answer: bytes, stream: bool) -> bytes:
        """The answer about another name, with an alias that leads to it, to the question that was asked."""
        if answer[3] & 15 == NOERROR:
            self._metrics.add("autopath_success_total", self._server)
        found, *others = [[r for r in section if r.rtype != OPT] for section in expand_records(answer)]
        sections = [[r.under(whole_name(r.owner)) for r in section] for section in (found, *others)]
        if found:
            target = whole_name(found[0].owner)
            alias = found[0]._replace(rtype=CNAME, rclass=IN, data=target)
            sections[0].insert(0, alias.under(whole_name(query.question.qname)))
        flags = int.from_bytes(answer[2:4], "big") & (AA | TC | RA | 15)
        body = Body(flags, tuple(sections[0]), (), tuple(sections[1]), tuple(sections[2]))
        body.size = sum(len(record) for section in sections for record in section)
        return data[:2] + render(body, asker_of(query, self._responder.config.udp_max, stream), b"", list)


async def _settled(answer: Answered) -> bytes | None:
    return await answer if isinstance(answer, asyncio.Future) else answer


def namespace_of(index: Index, address: str) -> bytes | None:
    """The namespace of the pod at an address, None if there is none."""
    keys = index.pods_at.get(address.encode())
    return keys[0][0] if keys else None
