"""Answers as bytes (RFC 1035, RFC 6891): records written once per question, messages rendered for each asker.

A body is written for the question in lower case. Owners that equal the question, and the zone in a SOA, are pointers
into it and so have the asker's case; targets of SRV are never compressed (RFC 2782) and get the asker's spelling of
the zone when the message is rendered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from struct import Struct, pack

from .names import Labels
from .types import AAAA, FORMERR, NOTIMP, OPT, SOA, SRV, A, Answer, Question, Record
from .wire import (
    AA,
    AD,
    BADVERS_HIGH,
    CD,
    HEADER_SIZE,
    OPCODE,
    PLAIN_LIMIT,
    QR,
    RA,
    RD,
    TC,
    TCP_LIMIT,
    Malformed,
    Query,
)

POINTER_MAX = 0x3FFF
# serial, refresh, retry, expire, minimum: what a SOA ends with
SOA_NUMBERS = 20

# root's zero, type and class behind the name's labels
QUESTION_TAIL = 5
# an OPT without options
PLAIN_OPT = 11
# QR and opcode, in the first byte of the flags
OTHER_THAN_QUERY = 0xF8

_ALONE, _WITH_OPT, _OPT_HEAD = b"\0\1\0\0\0\0\0\0", b"\0\1\0\0\0\0\0\1", b"\0\0\x29"
# labels that the SOA adds to the zone's; in a question, it may point at them, and then has their case
NAMED_IN_SOA = frozenset((b"dns", b"hostmaster"))
_NO_DO, _DO = bytes(6), b"\0\0\x80\0\0\0"
_RECORD = Struct("!HHIH")
_COUNTS = Struct("!HHHHH")
_TO_QUESTION = pack("!H", 0xC000 | HEADER_SIZE)

Records = tuple[bytes, ...]
Shuffle = Callable[[Records], Sequence[bytes]]


@dataclass(slots=True)
class Body:
    """The records of an answer, and AA and rcode as `flags`.

    `addresses` and `additional` may be sent in any order. `dated`: the only record is a SOA, whose serial is put in
    when rendering. `zone` is the zone's name as SRV targets spell it, empty if there are none.
    """

    flags: int
    fixed: Records = ()
    addresses: Records = ()
    authority: Records = ()
    additional: Records = ()
    dated: bool = False
    zone: bytes = b""
    size: int = 0

    @property
    def varies(self) -> bool:
        """Is there an order to be changed from one answer to the next?"""
        return len(self.addresses) > 1 or len(self.additional) > 1


@dataclass(slots=True)
class Asker:
    """What is of this query alone: QR, opcode, RD and CD; its question as spelled; OPT of the answer; size it takes."""

    flags: int
    question: bytes
    opt: bytes
    limit: int


def render(body: Body, asker: Asker, serial: bytes, shuffle: Shuffle) -> bytes:
    """The message without its id, in at most the asker's limit with it: what does not fit is left out and TC set.

    `serial` is the SOA's, in 4 bytes.
    """
    fixed, authority, additional = body.fixed, body.authority, body.additional
    if body.dated:
        fixed = tuple([dated(record, serial) for record in fixed])
        authority = tuple([dated(record, serial) for record in authority])
    elif body.zone:
        fixed = _respelled(fixed, body.zone, asker.question)
    if body.addresses:
        fixed += tuple(shuffle(body.addresses)) if len(body.addresses) > 1 else body.addresses
    if len(additional) > 1:
        additional = tuple(shuffle(additional))
    left = asker.limit - HEADER_SIZE - len(asker.question) - len(asker.opt)
    flags = asker.flags | body.flags
    if body.size > left:
        flags |= TC
        fixed, authority, additional = _cut((fixed, authority, additional), left)
    opts = 1 if asker.opt else 0
    head = _COUNTS.pack(flags, 1, len(fixed), len(authority), len(additional) + opts)
    return b"".join((head, asker.question, *fixed, *authority, *additional, asker.opt))


def dated(record: bytes, serial: bytes) -> bytes:
    """A SOA with this serial."""
    return record[:-SOA_NUMBERS] + serial + record[4 - SOA_NUMBERS :]


def _respelled(records: Records, zone: bytes, question: bytes) -> Records:
    """SRV records with the zone spelled as the question spells it."""
    spelled = question[len(question) - 4 - len(zone) : -4]
    return records if spelled == zone else tuple(record.replace(zone, spelled) for record in records)


def _cut(sections: Sequence[Records], left: int) -> list[Records]:
    """As many records as fit, in order; after the first that does not fit, none."""
    kept: list[Records] = []
    for records in sections:
        count = 0
        while count < len(records) and len(records[count]) <= left:
            left -= len(records[count])
            count += 1
        kept.append(records[:count])
        if count < len(records):
            left = 0
    return kept


def lower_question(question: bytes) -> bytes:
    """A question, as bytes, with its name in lower case."""
    return question[: -QUESTION_TAIL + 1].lower() + question[1 - QUESTION_TAIL :]


def parse_plain_asker(data: bytes, end: int, udp_max: int, stream: bool) -> Asker | None:
    """As `asker_of`, for the bytes of a query whose question is well-formed and ends at `end`.

    None if there is more to it than a question and perhaps an OPT of version 0 without options.
    """
    flags = data[2]
    if flags & OTHER_THAN_QUERY:
        return None
    limit, opt, size = PLAIN_LIMIT, b"", len(data)
    if size == end + PLAIN_OPT and data[4:HEADER_SIZE] == _WITH_OPT:
        opt = data[end:]
        if opt[:3] != _OPT_HEAD or opt[6] or opt[9:] != b"\0\0":
            return None
        limit = min(max(opt[3] << 8 | opt[4], PLAIN_LIMIT), udp_max)
        opt = opt[:5] + (_DO if opt[7] & 0x80 else _NO_DO)
    elif size != end or data[4:HEADER_SIZE] != _ALONE:
        return None
    own = QR | (flags << 8 | data[3]) & (RD | CD)
    return Asker(own, data[HEADER_SIZE:end], opt, TCP_LIMIT if stream else limit)


def with_size_at_most(data: bytes, most: int) -> bytes:
    """A query as if it had asked for no larger answers over UDP, where an OPT follows its question."""
    at = data.find(0, HEADER_SIZE) + QUESTION_TAIL
    size = at + len(_OPT_HEAD)
    if data[at:size] != _OPT_HEAD or int.from_bytes(data[size : size + 2], "big") <= most:
        return data
    return data[:size] + most.to_bytes(2, "big") + data[size + 2 :]


def asker_of(query: Query, udp_max: int, stream: bool) -> Asker:
    """What an answer to this query begins and ends with, and its limit: what the client takes over UDP, at least 512
    and at most `udp_max`; over TCP what a frame holds."""
    edns = query.edns
    limit = min(max(edns.size, PLAIN_LIMIT), udp_max) if edns else PLAIN_LIMIT
    opt = edns.reply() if edns else b""
    return Asker(query.reply_flags, query.raw_question, opt, TCP_LIMIT if stream else limit)


def error_message(flags: int, failure: Malformed) -> bytes:
    """The bare error, without id, for a query with these header flags.

    What was refused before it was read keeps its flags but AA and Z, as with CoreDNS, and its opcode only if that is
    what is wrong with it; other errors have those of an answer.
    """
    opcode = flags & OPCODE
    if failure.rcode in (FORMERR, NOTIMP):
        own = flags & (TC | RD | RA | AD | CD) | (opcode if failure.rcode == NOTIMP else 0)
    else:
        own = opcode or flags & (RD | CD)
    head = _COUNTS.pack(QR | own | failure.rcode, bool(failure.raw_question), 0, 0, 0)
    return head + failure.raw_question


def refusal(query: Query, rcode: int) -> bytes:
    """An answer of our own that is nothing but an rcode, without id."""
    opt = query.edns.reply() if query.edns else b""
    return _COUNTS.pack(query.reply_flags | rcode, 1, 0, 0, bool(opt)) + query.raw_question + opt


def badvers_message(query: Query) -> bytes:
    """BADVERS without id (RFC 6891, section 6.1.3): our version, 0, in an OPT that repeats nothing."""
    opt = b"\0" + _RECORD.pack(OPT, 0, BADVERS_HIGH << 24, 0)
    return _COUNTS.pack(query.reply_flags, 1, 0, 0, 1) + query.raw_question + opt


def build_body(question: Question, answer: Answer, zone: Labels) -> Body:
    """Write the records of an answer to a question; `zone` is the one that SRV targets end with."""
    if not answer.answer and len(answer.authority) == 1 and NAMED_IN_SOA.isdisjoint(question.qname):
        return _build_denial(question.qname, answer)
    writer = _Writer(question.qname, answer.ttl)
    fixed, addresses = [], []
    dated = targets = False
    for record in answer.answer:
        dated |= record.rtype == SOA
        targets |= record.rtype == SRV
        if record.rtype not in (A, AAAA):
            fixed.append(writer.write(record))
    for record in answer.answer:
        if record.rtype in (A, AAAA):
            addresses.append(writer.write(record))
    authority = [writer.write(record) for record in answer.authority]
    additional = [writer.write(record, own=False) for record in answer.additional]
    return Body(
        answer.rcode | (AA if answer.authoritative else 0),
        tuple(fixed),
        tuple(addresses),
        tuple(authority),
        tuple(additional),
        dated=dated or bool(authority),
        zone=whole_name(zone) if targets else b"",
        size=sum(map(len, [*fixed, *addresses, *authority, *additional])),
    )


def _build_denial(qname: Labels, answer: Answer) -> Body:
    """As `build_body`; all that tells the SOA of one denial from another's is where in the question the zone begins."""
    soa = answer.authority[0]
    below = qname[: len(qname) - len(soa.owner)]
    written = _written_soa(HEADER_SIZE + sum(map(len, below)) + len(below), answer.ttl, soa.suffix[4:])
    flags = answer.rcode | (AA if answer.authoritative else 0)
    return Body(flags, authority=(written,), dated=True, size=len(written))


@lru_cache(maxsize=1024)
def _written_soa(zone: int, ttl: int, numbers: bytes) -> bytes:
    """The SOA of a zone whose name is written at `zone`, its serial 0."""
    to_zone = pack("!H", 0xC000 | zone)
    names = (b"\2ns\3dns", b"\x0ahostmaster")
    data = b"".join(name + to_zone for name in names) + bytes(4) + numbers
    return to_zone + _RECORD.pack(SOA, 1, ttl, len(data)) + data


def whole_name(labels: Labels) -> bytes:
    """A name without pointers."""
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


class _Writer:
    """Writes records one after the other, with pointers to names already written.

    Address records are put in another order later, so nothing may point into them: they only use names.
    """

    def __init__(self, qname: Labels, ttl: int) -> None:
        self._qname = qname
        self._ttl = ttl
        self._seen: dict[Labels, int] = {}
        self._remember(qname, HEADER_SIZE)
        self._offset = HEADER_SIZE + sum(map(len, qname)) + len(qname) + 5

    def write(self, record: Record, own: bool = True) -> bytes:
        """Bytes of one record; `own`: an owner that equals the question points to it."""
        moves = record.rtype in (A, AAAA)
        to_question = own and record.owner == self._qname
        owner = _TO_QUESTION if to_question else self._name(record.owner, self._offset, learn=not moves)
        start = self._offset + len(owner) + _RECORD.size
        data = record.prefix
        for name in record.names:
            position = start + len(data)
            data += self._name(name, position) if record.compress else self._target(name, position)
        data += record.suffix
        written = owner + _RECORD.pack(record.rtype, 1, self._ttl, len(data)) + data
        if not moves:
            self._offset += len(written)
        return written

    def _remember(self, labels: Labels, offset: int) -> None:
        for position, label in enumerate(labels):
            if offset > POINTER_MAX:
                return
            self._seen.setdefault(labels[position:], offset)
            offset += len(label) + 1

    def _name(self, labels: Labels, offset: int, learn: bool = True) -> bytes:
        written = b""
        for position, label in enumerate(labels):
            target = self._seen.get(labels[position:])
            if target is not None:
                return written + pack("!H", 0xC000 | target)
            if learn and offset + len(written) <= POINTER_MAX:
                self._seen[labels[position:]] = offset + len(written)
            written += bytes([len(label)]) + label
        return written + b"\0"

    def _target(self, labels: Labels, offset: int) -> bytes:
        """A name written whole; records about it point here, and not to a question that spells it otherwise."""
        if offset <= POINTER_MAX:
            self._seen[labels] = offset
        self._remember(labels, offset)
        return whole_name(labels)
