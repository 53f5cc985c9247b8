"""DNS messages as bytes: a reader for queries and a writer for answers (RFC 1035, RFC 6891).

Both are our own because a general library loses what this server must keep: the question byte for byte, labels
with any bytes in them, the extended rcode, answers cut at a record's edge, pointers only where they can reach.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from struct import Struct, error, pack, unpack_from

from .names import Labels
from .types import AAAA, FORMERR, NOTIMP, OPT, SERVFAIL, A, Answer, Question, Record

QR, AA, TC, RD, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0010
OPCODE_QUERY, OPCODE_NOTIFY = 0, 4
HEADER_SIZE = 12
POINTER_MAX = 0x3FFF
PLAIN_LIMIT = 512
TCP_LIMIT = 65535
DO = 0x8000
BADVERS_HIGH = 1
# NSID, EXPIRE, COOKIE, TCP-KEEPALIVE and PADDING come back as they were sent
ECHOED_OPTIONS = frozenset((3, 9, 10, 11, 12))
CLIENT_SUBNET = 8
# no upstream gets COOKIE (RFC 7873), TCP-KEEPALIVE (RFC 7828) and PADDING (RFC 7830), which are between two
# neighbours, nor the client's subnet: its answer is kept for all clients
KEPT_OPTIONS = frozenset((CLIENT_SUBNET, 10, 11, 12))

_RECORD = Struct("!HHIH")
_HEADER = Struct("!HHHHHH")

Shuffle = Callable[[list[bytes]], None]


@dataclass(frozen=True, slots=True)
class Edns:
    """The OPT of a query: version, advertised UDP size in bytes, DNSSEC OK, the options to echo as sent, and those
    that an upstream gets."""

    version: int
    size: int
    do: bool
    options: bytes = b""
    forwarded: bytes = b""

    def reply(self) -> bytes:
        """The OPT record of an answer."""
        flags = DO if self.do else 0
        return b"\0" + _RECORD.pack(OPT, self.size, flags, len(self.options)) + self.options


@dataclass(frozen=True, slots=True)
class Query:
    """A query that can be answered; `raw_question` is to be repeated as it is."""

    flags: int
    raw_question: bytes
    question: Question
    edns: Edns | None

    @property
    def opcode(self) -> int:
        """QUERY or NOTIFY."""
        return self.flags >> 11 & 15

    @property
    def reply_flags(self) -> int:
        """QR, and of the query's bits the opcode, RD (not for NOTIFY) and CD."""
        opcode = self.flags & 0x7800
        return QR | opcode | (self.flags & ((RD | CD) if opcode == 0 else CD))


class Malformed(Exception):
    """A query that gets a bare error: `rcode`, and the question if it could still be read."""

    def __init__(self, rcode: int, raw_question: bytes = b"") -> None:
        super().__init__(f"malformed query, rcode {rcode}")
        self.rcode = rcode
        self.raw_question = raw_question


def parse_query(data: bytes) -> Query | None:
    """Read a query of at least 12 bytes; None if it is an answer (never answered: two servers would loop).

    Raises Malformed. The header's counts decide before anything else is read, as a server must whose clients may
    send anything.
    """
    _, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(data)
    if flags & QR:
        return None
    if flags >> 11 & 15 not in (OPCODE_QUERY, OPCODE_NOTIFY):
        raise Malformed(NOTIMP)
    if questions != 1 or answers > 1 or authorities > 1 or additionals > 2:
        raise Malformed(FORMERR)
    if len(data) == HEADER_SIZE:
        raise Malformed(SERVFAIL)
    question, raw, offset = _parse_question(data)
    try:
        edns = _find_edns(data, offset, answers + authorities, additionals)
    except (IndexError, error, ValueError):
        raise Malformed(FORMERR, raw) from None
    return Query(flags, raw, question, edns)


def _parse_question(data: bytes) -> tuple[Question, bytes, int]:
    """Question, its bytes (a missing type or class as zero), offset after it."""
    try:
        qname, end = _parse_labels(data, HEADER_SIZE)
        left = len(data) - end
        if left in (1, 3):
            raise Malformed(FORMERR)
        tail = data[end : end + 4].ljust(4, b"\0")
    except IndexError:
        raise Malformed(FORMERR) from None
    qtype, qclass = unpack_from("!HH", tail)
    return Question(qname, qtype, qclass), data[HEADER_SIZE:end] + tail, min(end + 4, len(data))


def _parse_labels(data: bytes, offset: int) -> tuple[Labels, int]:
    """Labels of a name without pointers (none can be right in the first name of a message)."""
    labels, start = [], offset
    while length := data[offset]:
        if length > 63 or offset + length >= len(data) or offset + length - start > 253:
            raise Malformed(FORMERR)
        labels.append(data[offset + 1 : offset + 1 + length])
        offset += length + 1
    return tuple(labels), offset + 1


def _find_edns(data: bytes, offset: int, skipped: int, additionals: int) -> Edns | None:
    """The last OPT among the additional records; records declared but absent, and bytes after them, are let pass."""
    found = None
    for position in range(skipped + additionals):
        if offset >= len(data):
            break
        offset = _skip_name(data, offset)
        rtype, rclass, ttl, size = _RECORD.unpack_from(data, offset)
        offset += _RECORD.size
        if offset + size > len(data):
            raise ValueError("record data runs over the end")
        if rtype == OPT and position >= skipped:
            found = _parse_edns(rclass, ttl, data[offset : offset + size])
        offset += size
    return found


def _skip_name(data: bytes, offset: int) -> int:
    while length := data[offset]:
        if length >= 0xC0:
            return offset + 2
        if length > 63:
            raise ValueError("reserved label type")
        offset += length + 1
    return offset + 1


def _parse_edns(size: int, ttl: int, data: bytes) -> Edns:
    echoed, forwarded, offset = b"", b"", 0
    while offset < len(data):
        code, length = unpack_from("!HH", data, offset)
        end = offset + 4 + length
        if end > len(data):
            raise ValueError("option runs over the end")
        if code == CLIENT_SUBNET:
            _check_client_subnet(data[offset + 4 : end])
        if code in ECHOED_OPTIONS:
            echoed += data[offset:end]
        if code not in KEPT_OPTIONS:
            forwarded += data[offset:end]
        offset = end
    return Edns(ttl >> 16 & 255, size, bool(ttl & DO), echoed, forwarded)


def _check_client_subnet(option: bytes) -> None:
    """RFC 7871, section 6: family 1 or 2 with prefixes that fit it; family 0 only with no prefix."""
    family, source, scope = unpack_from("!HBB", option)
    widest = {0: 0, 1: 32, 2: 128}.get(family)
    if widest is None or source > widest or scope > widest:
        raise ValueError("client subnet of an unknown family or with too long a prefix")


@dataclass(slots=True)
class Reply:
    """An answer ready to be sent, in pieces: `render` puts the addresses in a new order each time (RFC 1794).

    `any_case`: the same records serve the same question in any spelling.
    """

    flags: int
    question: bytes
    fixed: list[bytes] = field(default_factory=list)
    addresses: list[bytes] = field(default_factory=list)
    authority: list[bytes] = field(default_factory=list)
    additional: list[bytes] = field(default_factory=list)
    opt: bytes = b""
    any_case: bool = False

    @property
    def varies(self) -> bool:
        """Is there an order to be changed from one answer to the next?"""
        return len(self.addresses) > 1 or len(self.additional) > 1

    def render(self, limit: int, shuffle: Shuffle) -> bytes:
        """The message without its id, in at most `limit` bytes with it: what does not fit is left out and TC set."""
        shuffle(self.addresses)
        shuffle(self.additional)
        sections = [self.fixed + self.addresses, self.authority, self.additional]
        left = limit - HEADER_SIZE - len(self.question) - len(self.opt)
        flags, counts, body = self.flags, [], [self.question]
        for section in sections:
            kept = section if not flags & TC else []
            size = sum(map(len, kept))
            if size > left:
                flags |= TC
                kept = _fitting(kept, left)
                size = sum(map(len, kept))
            left -= size
            counts.append(len(kept))
            body += kept
        body.append(self.opt)
        head = pack("!HHHHH", flags, bool(self.question), counts[0], counts[1], counts[2] + bool(self.opt))
        return head + b"".join(body)


def _fitting(records: list[bytes], left: int) -> list[bytes]:
    for count, record in enumerate(records):
        left -= len(record)
        if left < 0:
            return records[:count]
    return records


def build_reply(query: Query, answer: Answer) -> Reply:
    """The pieces of the answer to a query."""
    flags = query.reply_flags | answer.rcode | (AA if answer.authoritative else 0)
    reply = Reply(flags, query.raw_question, opt=query.edns.reply() if query.edns else b"")
    writer = _Writer(query, answer.ttl)
    for record in answer.answer:
        (reply.addresses if record.rtype in (A, AAAA) else reply.fixed).append(writer.write(record))
    reply.authority = [writer.write(record) for record in answer.authority]
    reply.additional = [writer.write(record) for record in answer.additional]
    return reply


def badvers_reply(query: Query) -> Reply:
    """BADVERS (RFC 6891, section 6.1.3): our version, 0, in an OPT that repeats nothing."""
    opt = b"\0" + _RECORD.pack(OPT, 0, BADVERS_HIGH << 24, 0)
    return Reply(query.reply_flags, query.raw_question, opt=opt)


def error_reply(flags: int, failure: Malformed) -> Reply:
    """The bare error for a query with these header flags."""
    return Reply(QR | (flags & (0x7800 | RD)) | failure.rcode, failure.raw_question)


class _Writer:
    """Writes records one after the other, with pointers to names already written.

    Address records are put in another order later, so nothing may point into them: they only use names.
    """

    def __init__(self, query: Query, ttl: int) -> None:
        self.ttl = ttl
        self.offset = HEADER_SIZE + len(query.raw_question)
        self.seen: dict[Labels, int] = {}
        self._remember(query.question.qname, HEADER_SIZE)

    def write(self, record: Record) -> bytes:
        """Bytes of one record."""
        moves = record.rtype in (A, AAAA)
        owner = self._name(record.owner, self.offset, learn=not moves)
        start = self.offset + len(owner) + _RECORD.size
        data = record.prefix
        for name in record.names:
            position = start + len(data)
            data += self._name(name, position) if record.compress else self._whole_name(name, position)
        data += record.suffix
        written = owner + _RECORD.pack(record.rtype, 1, self.ttl, len(data)) + data
        if not moves:
            self.offset += len(written)
        return written

    def _remember(self, labels: Labels, offset: int) -> None:
        for position, label in enumerate(labels):
            if offset > POINTER_MAX:
                return
            self.seen.setdefault(labels[position:], offset)
            offset += len(label) + 1

    def _name(self, labels: Labels, offset: int, learn: bool = True) -> bytes:
        written = b""
        for position, label in enumerate(labels):
            target = self.seen.get(labels[position:])
            if target is not None:
                return written + pack("!H", 0xC000 | target)
            if learn and offset + len(written) <= POINTER_MAX:
                self.seen[labels[position:]] = offset + len(written)
            written += bytes([len(label)]) + label
        return written + b"\0"

    def _whole_name(self, labels: Labels, offset: int) -> bytes:
        self._remember(labels, offset)
        return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
