"""A reader for queries (RFC 1035, RFC 6891).

It is our own because a general library loses what this server must keep: the question byte for byte, labels with any
bytes in them, queries that say less than they should.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct, error, unpack_from

from .names import Labels
from .types import FORMERR, NOTIMP, OPT, SERVFAIL, Question

QR, AA, TC, RD, RA, AD, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0020, 0x0010
OPCODE = 0x7800
OPCODE_QUERY, OPCODE_NOTIFY = 0, 4
HEADER_SIZE = 12
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
        """QR, and of the query's bits the opcode, or RD and CD if it is no NOTIFY."""
        opcode = self.flags & OPCODE
        return QR | opcode if opcode else QR | self.flags & (RD | CD)


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
