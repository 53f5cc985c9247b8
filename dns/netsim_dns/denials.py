"""The answers that say no: to a type (NODATA) or to a name (NXDOMAIN), each with the zone's SOA (RFC 2308)."""

from __future__ import annotations

from struct import Struct

from .context import Context
from .types import NOERROR, NXDOMAIN, SOA, TXT, Answer, Record

SOA_TTL_MAX = 300
_SOA_NUMBERS = Struct("!IIIII")


def soa(context: Context) -> Record:
    """The zone's SOA, its names spelled as in the question."""
    serial = context.index.serial if context.index.synced else 0
    numbers = (serial, 7200, 1800, 86400, context.config.ttl)
    zone = context.spelled
    suffix = _SOA_NUMBERS.pack(*numbers)
    return Record(zone, SOA, names=((b"ns", b"dns", *zone), (b"hostmaster", *zone)), suffix=suffix)


def soa_ttl(context: Context, denial: bool = True) -> int:
    """Seconds that a denial may be kept, which is the SOA's TTL too (RFC 2308)."""
    return context.config.through_cache(min(context.config.ttl, SOA_TTL_MAX), denial)


def empty(context: Context) -> Answer:
    """NODATA: the name exists, this type does not."""
    return Answer(NOERROR, authority=(soa(context),), ttl=soa_ttl(context))


def denied(context: Context) -> Answer:
    """NXDOMAIN: there is no such name."""
    if context.question.qtype == SOA and context.config.quirks.soa_anywhere:
        return empty(context)
    return Answer(NXDOMAIN, authority=(soa(context),), ttl=soa_ttl(context))


def parent(context: Context, exists: bool) -> Answer:
    """A name that exists, if at all, only because names below it may."""
    if context.question.qtype == TXT and context.config.quirks.txt_nxdomain:
        return denied(context)
    return empty(context) if exists else denied(context)
