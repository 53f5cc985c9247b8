"""The question as an upstream is asked it, and the answer as a client gets it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from struct import pack

from ..names import Labels
from ..reply import whole_name
from ..types import IN, OPT, SERVFAIL
from ..wire import AD, CD, DO, HEADER_SIZE, OPCODE, PLAIN_LIMIT, QR, RA, RD, TC, Query
from .message import Message

# length of flags and counts, which a message without id begins with
_NAME_START = HEADER_SIZE - 2
_NO_RECORDS = bytes(6)
_ONE_ADDITIONAL = b"\0\0\0\0\0\1"

Shuffle = Callable[[list[bytes]], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client asks, as far as an upstream's answer depends on it.

    `key` tells answers apart: name in lower case, type, class, DO and CD. `wire` is the question to send, without id;
    `size` the most bytes that its answer may have over UDP.
    """

    key: bytes
    wire: bytes
    size: int

    @property
    def question(self) -> bytes:
        """Name, type and class as sent; the name in the client's spelling."""
        return self.wire[_NAME_START : _NAME_START + len(self.key) - 2]

    @property
    def cacheable(self) -> bool:
        """Is it a QUERY, and no NOTIFY?"""
        return not self.wire[0] & OPCODE >> 8

    @property
    def apart_from_name(self) -> bytes:
        """Header and OPT as sent."""
        return self.wire[:_NAME_START] + self.wire[_NAME_START + len(self.key) - 2 :]

    def spelled(self, bits: int) -> Asked:
        """The same with the name's letters in upper or lower case by these bits."""
        name = self.key[:-6]
        mixed = bytes(c ^ 0x20 if bits >> i & 1 and 97 <= c <= 122 else c for i, c in enumerate(name))
        start = _NAME_START
        return replace(self, wire=self.wire[:start] + mixed + self.wire[start + len(name) :])


def read_asked(query: Query, udp_max: int) -> Asked:
    """What to ask an upstream for a client's query; it may send no more than `udp_max` bytes over UDP."""
    edns, question = query.edns, query.raw_question
    key = question[:-4].lower() + question[-4:] + bytes((edns is not None and edns.do, query.flags & CD))
    head = pack("!HH", query.flags & (OPCODE | RD | AD | CD), 1)
    if edns is None:
        return Asked(key, head + _NO_RECORDS + question, PLAIN_LIMIT)
    size = min(max(edns.size, PLAIN_LIMIT), udp_max)
    opt = pack("!BHHIH", 0, OPT, size, DO if edns.do else 0, len(edns.forwarded)) + edns.forwarded
    return Asked(key, head + _ONE_ADDITIONAL + question + opt, size)


def bare_question(flags: int, qname: Labels, qtype: int) -> bytes:
    """A question of our own, in class IN and without id."""
    return pack("!HH", flags, 1) + _NO_RECORDS + whole_name(qname) + pack("!HH", qtype, IN)


def answers(message: Message, question: bytes) -> bool:
    """Is this the answer to that question (name, type and class as sent)? Spelling makes no difference."""
    theirs = message.question
    same_kind = theirs[-4:] == question[-4:] and len(theirs) == len(question)
    return same_kind and bool(message.flags & QR) and theirs[:-4].lower() == question[:-4].lower()


def render(message: Message, query: Query, limit: int, ttl: int | None, bits: int, shuffle: Shuffle) -> bytes:
    """A message as answer to a query, without id, in at most `limit` bytes with it.

    `ttl` (seconds) becomes that of every record, None leaves them as they came. `bits` are the answer's AA, RD and CD.
    What does not fit is cut at a record's edge, and TC set.
    """
    body = _adapted(message, query, ttl, shuffle)
    opt, rcode = _opt(message, query)
    flags = query.reply_flags & ~(RD | CD) | bits | message.flags & (RA | TC) | rcode
    if query.flags & AD or (query.edns and query.edns.do):
        flags |= message.flags & AD
    question, counts = query.raw_question, message.counts
    room = limit - HEADER_SIZE - len(question) - len(opt)
    if len(body) > room:
        flags |= TC
        kept = bisect_right(message.ends, room)
        body = body[: message.ends[kept - 1] if kept else 0]
        counts = _cut(counts, kept)
    elif message.exchanges:
        _reorder(body, message.exchanges, shuffle)
    head = pack("!HHHHH", flags, 1, counts[0], counts[1], counts[2] + bool(opt))
    return b"".join((head, question, body, opt))


def _adapted(message: Message, query: Query, ttl: int | None, shuffle: Shuffle) -> bytearray:
    """The records with these TTLs, the question's name spelled as in the query, and addresses in a new order."""
    body = bytearray(message.body)
    if ttl is not None:
        seconds = ttl.to_bytes(4, "big")
        for offset in message.ttls:
            body[offset : offset + 4] = seconds
    if message.spelled:
        name = query.raw_question[:-4]
        for offset in message.spelled:
            body[offset : offset + len(name)] = name
    for size, offsets in message.groups:
        addresses = [message.body[offset : offset + size] for offset in offsets]
        shuffle(addresses)
        for offset, address in zip(offsets, addresses, strict=True):
            body[offset : offset + size] = address
    return body


def _reorder(body: bytearray, spans: Sequence[tuple[int, int]], shuffle: Shuffle) -> None:
    """Put records that follow each other, and may be of different lengths, in a new order."""
    records = [bytes(body[start:end]) for start, end in spans]
    shuffle(records)
    body[spans[0][0] : spans[-1][1]] = b"".join(records)


def _opt(message: Message, query: Query) -> tuple[bytes, int]:
    """The OPT of the answer, and the header's part of the rcode; without OPT a longer rcode can only be SERVFAIL."""
    if query.edns is None:
        return b"", message.rcode if message.rcode < 16 else SERVFAIL
    opt = query.edns.reply()
    return opt[:5] + bytes((message.rcode >> 4,)) + opt[6:], message.rcode & 15


def _cut(counts: tuple[int, int, int], kept: int) -> tuple[int, int, int]:
    answer = min(counts[0], kept)
    authority = min(counts[1], kept - answer)
    return answer, authority, kept - answer - authority
