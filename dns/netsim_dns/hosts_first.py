"""Plugged in where a forwarder is: names of the hosts table are answered here, all others as before."""

from __future__ import annotations

import asyncio
import random

from .hosts import HostsConfig, HostsTable
from .names import Labels, is_reverse, lower
from .reply import Body, asker_of, refusal, render
from .seams import Forwarder
from .types import SERVFAIL
from .wire import AA, Query
from .zones import find_zone

EVERYWHERE = HostsConfig()


class HostsFirst:
    """Implements `seams.Forwarder` before another one, or before none."""

    def __init__(
        self, table: HostsTable, ttl: int, udp_max: int, after: Forwarder | None, config: HostsConfig = EVERYWHERE
    ) -> None:
        self._table, self._ttl, self._udp_max, self._after = table, ttl, udp_max, after
        self._zones, self._through = config.zones, config.through

    def owns(self, qname: Labels) -> bool:
        """See `seams.Forwarder`."""
        return self._knows(qname) or self._ends(qname) or (self._after is not None and self._after.owns(qname))

    def _knows(self, name: Labels) -> bool:
        """Names of addresses count whatever the zones are."""
        return name in self._table.records and (is_reverse(name) or find_zone(name, self._zones) is not None)

    def _ends(self, name: Labels) -> bool:
        """Is there nobody to ask for a name that the table does not have?"""
        inside = find_zone(name, self._zones) is not None and not is_reverse(name)
        return inside and find_zone(name, self._through) is None

    def ask(self, query: Query, data: bytes, stream: bool) -> bytes | asyncio.Future[bytes | None]:
        """See `seams.Forwarder`."""
        name = lower(query.question.qname)
        if self._knows(name):
            return data[:2] + self._answer(query, name, stream)
        if self._after is None or self._ends(name):
            return data[:2] + refusal(query, SERVFAIL)
        return self._after.ask(query, data, stream)

    def recall(self, data: bytes, stream: bool) -> bytes | asyncio.Future[bytes | None] | None:
        """See `seams.Forwarder`."""
        return self._after.recall(data, stream) if self._after else None

    def _answer(self, query: Query, name: Labels, stream: bool) -> bytes:
        records = self._table.answer(name, query.question.qtype, self._ttl)
        random.shuffle(records)
        body = Body(AA, tuple(records), size=sum(map(len, records)))
        return render(body, asker_of(query, self._udp_max, stream), b"", list)
