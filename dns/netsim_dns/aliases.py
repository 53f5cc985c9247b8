"""The rest of an ExternalName's answer: what an upstream says of a target outside the cluster. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

from .expand import expand_records, read_name
from .names import Labels
from .reply import whole_name
from .types import AAAA, CNAME, IN, NOERROR, OPT, A, Answer, Record
from .wire import CD, DO, RD, Query

_HEADER = Struct("!HHHHHH")
_RECORD = Struct("!HHIH")


def target_query(query: Query, target: Labels, number: bytes) -> bytes:
    """The query for an alias's target that a client's query leads to, with its id, RD, CD and OPT."""
    raw = whole_name(target) + query.question.qtype.to_bytes(2, "big") + IN.to_bytes(2, "big")
    edns = query.edns
    opt = b""
    if edns:
        opt = b"\0" + _RECORD.pack(OPT, edns.size, DO if edns.do else 0, len(edns.forwarded)) + edns.forwarded
    flags = query.flags & (RD | CD)
    head = _HEADER.pack(int.from_bytes(number, "big"), flags, 1, 0, 0, bool(opt))
    return head + raw + opt


def add_followed(found: Answer, message: bytes) -> Answer:
    """An alias with the records that a well-formed message has of its target; alone if it has none."""
    if message[3] & 15 != NOERROR:
        return found
    records = list(_answers(message))
    ttl = min([found.ttl, *(ttl for _, ttl in records)])
    return found._replace(answer=(*found.answer, *(record for record, _ in records)), ttl=ttl)


def _answers(message: bytes) -> Iterator[tuple[Record, int]]:
    """Aliases and addresses of the answer section, each with its TTL in seconds."""
    for found in expand_records(message)[0]:
        if found.rtype == CNAME:
            yield Record(found.owner, CNAME, names=(read_name(found.data, 0)[0],)), found.ttl
        elif found.rtype in (A, AAAA):
            yield Record(found.owner, found.rtype, prefix=found.data), found.ttl
