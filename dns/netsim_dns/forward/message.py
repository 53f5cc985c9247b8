"""An upstream's message as bytes: where its records, their TTLs and their addresses are.

The bytes are kept as they came, so that records of any type pass (RFC 3597) and pointers stay right; only TTLs, the
spelling of the question and the order of addresses change. Only what those need is read, and that strictly.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from struct import Struct, error, unpack_from

from ..expand import expand_records, read_name
from ..reply import whole_name
from ..types import AAAA, AXFR, CNAME, IXFR, NOERROR, NOTIMP, NS, NXDOMAIN, OPT, PTR, SERVFAIL, SOA, SRV, TXT, A
from ..wire import HEADER_SIZE, OPCODE, PLAIN_LIMIT, QR, TC

MX, DNAME, TSIG, SIG = 15, 39, 250, 24
# seconds for a message whose records give no time: an error, or one without records
DEFAULT_TTL = 5
NAME_MAX = 255

# types whose data has names: bytes before the first one, and how many
_NAMES = {NS: (0, 1), CNAME: (0, 1), PTR: (0, 1), DNAME: (0, 1), MX: (2, 1), SRV: (6, 1), SOA: (0, 2)}
_ADDRESS_SIZES = {A: 4, AAAA: 16}
_PLACES = {CNAME: 0, A: 2, AAAA: 2, MX: 3}
_TO_QUESTION = bytes((0xC0, HEADER_SIZE))
_RECORD = Struct("!HHIH")
_HEADER = Struct("!HHHHHH")


class BadMessage(Exception):
    """Bytes that are no DNS message, or none that can be passed on."""


class Kind(Enum):
    """What an answer says, as far as keeping it is concerned (RFC 2308)."""

    SUCCESS = "success"
    DENIAL = "denial"
    FAILURE = "failure"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Message:
    """A reply. `question` is its question as bytes, empty unless there is exactly one; `body` the records after it
    without OPT. Offsets are into `body`: of each record's end (`ends`), of each TTL (`ttls`), of each place where the
    question's name is written out (`spelled`), and of the data of addresses that belong together (`groups`: size in
    bytes, offsets). `exchanges` are start and end of the answer's MX records if they may change places: they follow
    each other, and nothing points into them. `counts` are the records of answer, authority and additional; `ttl` in
    seconds is the least of all.
    """

    flags: int
    rcode: int
    question: bytes
    body: bytes
    counts: tuple[int, int, int]
    ends: tuple[int, ...]
    ttls: tuple[int, ...]
    spelled: tuple[int, ...]
    groups: tuple[tuple[int, tuple[int, ...]], ...]
    exchanges: tuple[tuple[int, int], ...]
    kind: Kind
    ttl: int


@dataclass(frozen=True, slots=True)
class _Read:
    """One record: its section (0 to 2), owner in lower case, and where it is in the message."""

    section: int
    owner: bytes
    written_out: bool
    rtype: int
    ttl: int
    start: int
    data: int
    end: int


def parse_message(data: bytes) -> Message:
    """Read a whole message; raises BadMessage. Records after an OPT or a signature of the message are left out."""
    try:
        return _parse(data)
    except (IndexError, error) as failure:
        raise BadMessage(f"a message of {len(data)} bytes is cut short") from failure


def cut_message(data: bytes) -> Message:
    """What is left of an answer that did not fit where it was sent: header and question, with TC."""
    head = data[:4] + b"\0\1" + bytes(6)
    flags = int.from_bytes(head[2:4], "big") | TC
    name_end = _skip_name(data, HEADER_SIZE)
    return parse_message(head[:2] + flags.to_bytes(2, "big") + head[4:] + data[HEADER_SIZE : name_end + 4])


def _parse(data: bytes) -> Message:
    _, flags, questions, *counts = _HEADER.unpack_from(data)
    offset = HEADER_SIZE
    for _ in range(questions):
        offset = _read_name(data, offset)[1] + 4
    if offset > len(data):
        raise BadMessage("the question is cut short")
    question = data[HEADER_SIZE:offset] if questions == 1 else b""
    records, opt_ttl = _read_records(data, offset, counts)
    if question and len(_exchanges(records)) > 1 and len(apart := _apart(data, question)) <= PLAIN_LIMIT:
        data = apart
        records, opt_ttl = _read_records(data, offset, counts)
        movable = _exchanges(records)
    else:
        movable = []
    end = records[-1].end if records else offset
    rcode = opt_ttl >> 24 << 4 | flags & 15
    asked = int.from_bytes(question[-4:-2], "big")
    kind = Kind.OTHER if asked in (AXFR, IXFR) else _classify(flags, rcode, records)
    return Message(
        flags=flags,
        rcode=rcode,
        question=question,
        body=data[offset:end],
        counts=(_count(records, 0), _count(records, 1), _count(records, 2)),
        ends=tuple(r.end - offset for r in records),
        ttls=tuple(r.data - 6 - offset for r in records),
        spelled=tuple(r.start - offset for r in records if r.written_out and r.owner == question[:-4].lower()),
        groups=tuple((size, tuple(at - offset for at in where)) for size, where in _groups(records)),
        exchanges=tuple((r.start - offset, r.end - offset) for r in movable),
        kind=Kind.OTHER if flags & TC else kind,
        ttl=_least_ttl(kind, records),
    )


def _exchanges(records: Iterable[_Read]) -> list[_Read]:
    return [record for record in records if record.rtype == MX and record.section == 0]


def _apart(data: bytes, question: bytes) -> bytes:
    """A message with its records written out, and those of the answer in the order of CoreDNS's loadbalance: aliases,
    others, addresses, mail exchanges."""
    answer, *others = expand_records(data)
    answer.sort(key=lambda record: _PLACES.get(record.rtype, 1))
    asked = read_name(question, 0)[0]
    records = [r.under(_TO_QUESTION if r.owner == asked else whole_name(r.owner)) for s in (answer, *others) for r in s]
    return data[:HEADER_SIZE] + data[HEADER_SIZE : HEADER_SIZE + len(question)] + b"".join(records)


def _read_records(data: bytes, offset: int, counts: Iterable[int]) -> tuple[list[_Read], int]:
    """The records before OPT or a signature of the message, and OPT's TTL field, which holds the rcode's upper bits."""
    found, opt_ttl, whole = [], 0, True
    for section, count in enumerate(counts):
        for _ in range(count):
            record = _read_record(data, offset, section)
            offset = record.end
            if section == 2 and record.rtype in (OPT, TSIG, SIG):
                opt_ttl, whole = record.ttl if record.rtype == OPT else opt_ttl, False
            elif whole:
                found.append(record)
    return found, opt_ttl


def _read_record(data: bytes, start: int, section: int) -> _Read:
    owner, offset = _read_name(data, start)
    rtype, _, ttl, size = _RECORD.unpack_from(data, offset)
    content = offset + _RECORD.size
    end = content + size
    if end > len(data):
        raise BadMessage("record data runs over the end")
    if _ADDRESS_SIZES.get(rtype, size) != size:
        raise BadMessage(f"an address of {size} bytes")
    if rtype in _NAMES:
        _check_names(data, rtype, content, end)
    elif rtype == TXT:
        _check_strings(data, content, end)
    # a TTL with its first bit set is taken for zero (RFC 2181, section 8); OPT has flags there
    seconds = ttl if ttl < 1 << 31 or rtype == OPT else 0
    return _Read(section, owner, offset - start == len(owner), rtype, seconds, start, content, end)


def _check_names(data: bytes, rtype: int, offset: int, end: int) -> None:
    before, names = _NAMES[rtype]
    offset += before
    for _ in range(names):
        offset = _read_name(data, offset)[1]
    if offset + (20 if rtype == SOA else 0) != end:
        raise BadMessage(f"data of type {rtype} does not end with its names")


def _check_strings(data: bytes, offset: int, end: int) -> None:
    while offset < end:
        offset += 1 + data[offset]
    if offset != end:
        raise BadMessage("a text that runs over its record's end")


def _read_name(data: bytes, offset: int) -> tuple[bytes, int]:
    """A name in lower case with its pointers followed, and the offset after it; pointers must lead backwards."""
    labels, size, after, bound = [], 1, 0, offset
    while length := data[offset]:
        if length >= 0xC0:
            target = unpack_from("!H", data, offset)[0] & 0x3FFF
            after = after or offset + 2
            if target >= bound or target < HEADER_SIZE:
                raise BadMessage("a pointer that does not lead backwards")
            offset = bound = target
            continue
        size += length + 1
        if length > 63 or size > NAME_MAX or offset + length >= len(data):
            raise BadMessage("a name that is too long or cut short")
        labels.append(data[offset : offset + length + 1])
        offset += length + 1
    return b"".join(labels).lower() + b"\0", after or offset + 1


def _skip_name(data: bytes, offset: int) -> int:
    try:
        return _read_name(data, offset)[1]
    except (IndexError, error) as failure:
        raise BadMessage("the question is cut short") from failure


def _count(records: Iterable[_Read], section: int) -> int:
    return sum(r.section == section for r in records)


def _groups(records: Iterable[_Read]) -> list[tuple[int, list[int]]]:
    """Data of addresses with the same owner and type in one section: exchanging those changes nothing but the order."""
    groups: dict[tuple[int, bytes, int], list[int]] = {}
    for record in records:
        if record.rtype in _ADDRESS_SIZES:
            groups.setdefault((record.section, record.owner, record.rtype), []).append(record.data)
    return [(_ADDRESS_SIZES[rtype], where) for (_, _, rtype), where in groups.items() if len(where) > 1]


def _classify(flags: int, rcode: int, records: Iterable[_Read]) -> Kind:
    if flags & OPCODE or not flags & QR:
        return Kind.OTHER
    answered = any(r.section == 0 for r in records)
    authority = {r.rtype for r in records if r.section == 1}
    if rcode in (SERVFAIL, NOTIMP):
        return Kind.FAILURE
    if rcode == NXDOMAIN:
        return Kind.DENIAL if SOA in authority else Kind.OTHER
    if rcode != NOERROR:
        return Kind.OTHER
    return Kind.DENIAL if SOA in authority and not answered else Kind.SUCCESS


def _least_ttl(kind: Kind, records: Sequence[_Read]) -> int:
    """Seconds that the whole message may be kept: what says nothing of the name, and a delegation, not for long.

    A denial's are those of its SOA, which has the lesser of its own time and its last field's (RFC 2308, section 3).
    """
    delegates = not _count(records, 0) and any(r.rtype == NS and r.section == 1 for r in records)
    if (delegates and kind is Kind.SUCCESS) or kind not in (Kind.SUCCESS, Kind.DENIAL) or not records:
        return DEFAULT_TTL
    return min(r.ttl for r in records)
