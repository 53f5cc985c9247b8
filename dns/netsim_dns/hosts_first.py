"""Plugged in where a forwarder is: names of the hosts table are answered here, all others as before."""

from __future__ import annotations

import asyncio
import random

from .hosts import HostsConfig, HostsTable
from .names import Labels, is_reverse, lower
from .reply import Body, asker_of, refusal, render
from .seams import Forwarder
from .types import PTR, SERVFAIL
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

    def owns(self, qname: Labels, qtype: int) -> bool:
        """See `seams.Forwarder`."""
        after = self._after is not None and self._after.owns(qname, qtype)
        return self._knows(qname, qtype) or self._ends(qname, qtype) or after

    def _knows(self, name: Labels, qtype: int) -> bool:
        """Names of addresses count whatever the zones are, but for PTR only, which others do not count for."""
        if name not in self._table.records or is_reverse(name) != (qtype == PTR):
            return False
        return is_reverse(name) or find_zone(name, self._zones) is not None

    def _ends(self, name: Labels, qtype: int) -> bool:
        """Is there nobody to ask for a name that the table does not have? Of addresses' names others may know more."""
        inside = find_zone(name, self._zones) is not None and not is_reverse(name) and qtype != PTR
        return inside and find_zone(name, self._through) is None

    def ask(self, query: Query, data: bytes, stream: bool) -> bytes | asyncio.Future[bytes | None]:
        """See `seams.Forwarder`."""
        name, qtype = lower(query.question.qname), query.question.qtype
        if self._knows(name, qtype):
            return data[:2] + self._answer(query, name, stream)
        if self._after is None or self._ends(name, qtype):
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
