"""The rest of an ExternalName's answer: what an upstream says of a target outside the cluster. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

from .names import Labels
from .reply import whole_name
from .types import AAAA, CNAME, IN, NOERROR, OPT, A, Answer, Question, Record
from .wire import CD, DO, HEADER_SIZE, RD, Query

_HEADER = Struct("!HHHHHH")
_RECORD = Struct("!HHIH")


def target_query(query: Query, target: Labels, number: bytes) -> tuple[Query, bytes]:
    """The question for an alias's target that a client's query leads to, with its id, RD, CD and OPT; and its bytes."""
    question = Question(target, query.question.qtype, IN)
    raw = whole_name(target) + question.qtype.to_bytes(2, "big") + IN.to_bytes(2, "big")
    edns = query.edns
    opt = b""
    if edns:
        opt = b"\0" + _RECORD.pack(OPT, edns.size, DO if edns.do else 0, len(edns.forwarded)) + edns.forwarded
    flags = query.flags & (RD | CD)
    head = _HEADER.pack(int.from_bytes(number, "big"), flags, 1, 0, 0, bool(opt))
    return Query(flags, raw, question, edns), head + raw + opt


def add_followed(found: Answer, message: bytes) -> Answer:
    """An alias with the records that a well-formed message has of its target; alone if it has none."""
    if message[3] & 15 != NOERROR:
        return found
    records = list(_answers(message))
    ttl = min([found.ttl, *(ttl for _, ttl in records)])
    return found._replace(answer=(*found.answer, *(record for record, _ in records)), ttl=ttl)


def _answers(message: bytes) -> Iterator[tuple[Record, int]]:
    """Aliases and addresses of the answer section, each with its TTL in seconds."""
    _, _, questions, answers, _, _ = _HEADER.unpack_from(message)
    offset = HEADER_SIZE
    for _ in range(questions):
        offset = read_name(message, offset)[1] + 4
    for _ in range(answers):
        owner, offset = read_name(message, offset)
        rtype, _, ttl, size = _RECORD.unpack_from(message, offset)
        offset += _RECORD.size
        if rtype == CNAME:
            yield Record(owner, rtype, names=(read_name(message, offset)[0],)), ttl
        elif rtype in (A, AAAA):
            yield Record(owner, rtype, prefix=message[offset : offset + size]), ttl
        offset += size


def read_name(message: bytes, offset: int) -> tuple[Labels, int]:
    """Labels of a name, its pointers followed, and the offset after it."""
    labels, after = [], 0
    while length := message[offset]:
        if length >= 0xC0:
            after = after or offset + 2
            offset = (length & 0x3F) << 8 | message[offset + 1]
            continue
        labels.append(message[offset + 1 : offset + 1 + length])
        offset += length + 1
    return tuple(labels), after or offset + 1
