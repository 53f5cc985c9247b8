"""Counts of what was exchanged, cheap while queries are answered, and put under metrics' names when read. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

from netsim.api.prometheus import Histogram

from ..config import Listen
from ..seams import Exchange, with_inner
from ..settings import Block
from ..shapes import TAIL, Key, Shape, key_of
from ..types import FORMERR, NOTIMP, REFUSED, SERVFAIL
from ..zones import ZoneTable
from .metrics import Metrics
from .registry import TYPES, rcode_name

KEYS_MAX = 4096
_V4_SIZES = (2, 16)  # of a socket address as a tuple, and as bytes
WAITING_MAX = 256
_DO = 0x80
_RA = 0x80
_IN = b"\0\1"
DROPPED = "dropped"
# the types that CoreDNS counts one by one
COUNTED_TYPES = frozenset({
    "A", "AAAA", "CNAME", "DNSKEY", "DS", "MX", "NSEC3", "NSEC", "NS", "PTR", "RRSIG", "SOA", "SRV", "TXT", "HTTPS",
    "IXFR", "AXFR", "ANY",
})  # fmt: skip

_Kind = tuple[str, str, str]
"""Transport, family, zone of the server block."""


@dataclass(slots=True)
class _Pile:
    """What is to be counted of one kind: as it came, and how often each key and each shape was there."""

    durations: Histogram
    exchanges: list[Exchange] = field(default_factory=list)
    shapes: list[Shape] = field(default_factory=list)
    keys_seen: Counter[Key] = field(default_factory=Counter)
    shapes_seen: Counter[Shape] = field(default_factory=Counter)

    def take(self) -> None:
        """Count what came, many at a time, which takes half as long."""
        self.shapes_seen.update(self.shapes)
        self.shapes.clear()
        if self.exchanges:
            self.keys_seen.update(_keys(with_inner(self.exchanges)))
            self.exchanges.clear()

    def seen(self) -> Iterator[tuple[Key, int]]:
        """What was counted since the last time."""
        yield from self.keys_seen.items()
        yield from ((shape.key, times) for shape, times in self.shapes_seen.items())
        self.keys_seen.clear()
        self.shapes_seen.clear()


class Tally:
    """Collects exchanges of one server, labelled as `server_label` says.

    `blocks` are the server blocks, of which those that say so are counted.
    """

    def __init__(self, metrics: Metrics, listen: Sequence[Listen], blocks: Sequence[Block] = (Block(),)) -> None:
        self._metrics = metrics
        self._server = server_label(listen)
        self._piles: dict[_Kind, _Pile] = {}
        self._zones = ZoneTable({zone: zone for block in blocks for zone in block.zones})
        self.by_shape = [block.zones for block in blocks if block.counted] == [(".",)] and len(blocks) == 1
        self._cached = frozenset(zone for block in blocks for zone in block.zones if block.cached)
        self._outermost = {zone: block.outermost for block in blocks for zone in block.zones}
        self._uncounted = frozenset(zone for block in blocks for zone in block.zones if not block.counted)

    def __call__(self, proto: str, exchanges: Sequence[Exchange], seconds: float) -> None:
        """Take in exchanges of one socket."""
        family = "1" if len(exchanges[0].whence) in _V4_SIZES else "2"
        if self.by_shape:
            self._wait((proto, family, "."), exchanges, seconds)
            return
        for zone, group in self._by_block(exchanges).items():
            if zone in self._uncounted:
                continue
            self._wait((proto, family, zone), group, seconds * len(group) / len(exchanges))

    def count(self, proto: str, six: bool, shapes: Sequence[Shape], seconds: float) -> None:
        """Take in exchanges of one socket by their shapes, which is enough while there is one block."""
        kind = (proto, "2" if six else "1", ".")
        pile = self._piles.get(kind) or self._new_pile(kind)
        pile.shapes += shapes
        self._counted(kind, pile, len(shapes), seconds)

    def _wait(self, kind: _Kind, exchanges: Sequence[Exchange], seconds: float) -> None:
        pile = self._piles.get(kind) or self._new_pile(kind)
        pile.exchanges += exchanges
        self._counted(kind, pile, len(exchanges), seconds)

    def _counted(self, kind: _Kind, pile: _Pile, times: int, seconds: float) -> None:
        pile.durations.observe(seconds / times, times)
        if len(pile.exchanges) + len(pile.shapes) >= WAITING_MAX:
            pile.take()
            if len(pile.keys_seen) + len(pile.shapes_seen) > KEYS_MAX:
                self._name(kind, pile)

    def _new_pile(self, kind: _Kind) -> _Pile:
        durations = self._metrics.histogram("dns_request_duration_seconds", self._server, kind[2], "")
        pile = self._piles[kind] = _Pile(durations)
        return pile

    def _by_block(self, exchanges: Sequence[Exchange]) -> dict[str, list[Exchange]]:
        groups: dict[str, list[Exchange]] = {}
        for each in exchanges:
            groups.setdefault(self._zones.find(each.query, DROPPED), []).append(each)
        return groups

    def flush(self) -> None:
        """Put what was seen under the metrics' names."""
        for kind, pile in self._piles.items():
            pile.take()
            self._name(kind, pile)
        self._count_misses()

    def _count_misses(self) -> None:
        """What was put to a cache without a hit: all of the cluster's own names, which are not kept there."""
        values = self._metrics.values
        hits: Counter[tuple[str, ...]] = Counter()
        for (server, _, zones, view), times in values["cache_hits_total"].items():
            hits[(server, zones, view)] += int(times)
        for block, asked in values["cache_requests_total"].items():
            values["cache_misses_total"][block] = max(0.0, asked - hits[block])

    def _name(self, kind: _Kind, pile: _Pile) -> None:
        for key, times in pile.seen():
            self._count(*kind, key, times)

    def _count(self, proto: str, family: str, zone: str, key: Key, times: int) -> None:
        tail, query_size, flags, answer_size = key
        rcode = flags if flags < 0 else flags & 15
        bare = answer_size <= query_size and not flags & _RA
        wrong = rcode == NOTIMP or (rcode == FORMERR and answer_size < query_size) or _bad_version(tail)
        if rcode < 0 or wrong or (bare and rcode == REFUSED and tail[3:5] != _IN):
            zone = DROPPED  # no plugin has seen such a query
        block, metrics = (self._server, zone, ""), self._metrics
        metrics.add("dns_requests_total", *block, proto, family, _type_label(tail), amount=times)
        metrics.observe("dns_request_size_bytes", query_size, *block, proto, times=times)
        if _wants_dnssec(tail):
            metrics.add("dns_do_requests_total", *block, amount=times)
        if rcode >= 0:
            name = "BADVERS" if _bad_version(tail) else rcode_name(rcode)
            # what says nothing but SERVFAIL or REFUSED was made of a plugin's word that it failed
            own = zone == DROPPED or (bare and rcode in (SERVFAIL, REFUSED))
            plugin = "" if own else self._outermost[zone][0 if flags & _RA else 1]
            if zone in self._cached:
                metrics.add("cache_requests_total", *block, amount=times)
            metrics.add("dns_responses_total", *block, name, plugin, amount=times)
            metrics.observe("dns_response_size_bytes", answer_size, *block, proto, times=times)


def _keys(exchanges: Sequence[Exchange]) -> list[Key]:
    """An exchange without an answer has none of the query's end."""
    return [(b"", len(query), -1, 0) if answer is None else key_of(query, answer) for query, answer, _ in exchanges]


def _type_label(tail: bytes) -> str:
    name = TYPES.get(int.from_bytes(tail[1:3], "big"), "other")
    return name if name in COUNTED_TYPES else "other"


def _opt(tail: bytes) -> bytes:
    """Extended rcode, version and flags of an OPT right after the question."""
    return tail[10:] if tail[5:8] == b"\0\0\x29" and len(tail) == TAIL else b"\0\0\0\0"


def _wants_dnssec(tail: bytes) -> bool:
    return bool(_opt(tail)[2] & _DO)


def _bad_version(tail: bytes) -> bool:
    return _opt(tail)[1] > 0


def server_label(listen: Sequence[Listen]) -> str:
    """CoreDNS's name of a server: `dns://:53`, or `dns://IP:53` when bound to an address."""
    address, port = listen[0]
    if ip_address(address).is_unspecified:
        return f"dns://:{port}"
    return f"dns://[{address}]:{port}" if ":" in address else f"dns://{address}:{port}"
