"""Lines about queries, in CoreDNS's format (its `log` plugin) or as JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from struct import error, unpack_from
from typing import Any, NamedTuple

from ..names import Labels
from ..seams import Exchange, with_inner
from ..types import NAMES_IN, NOERROR, NS, NXDOMAIN, OPT, REFUSED, SERVFAIL
from ..wire import HEADER_SIZE, PLAIN_LIMIT, RA, TCP_LIMIT, Malformed, Query, parse_query
from ..zones import ZoneTable
from .registry import class_name, rcode_name, type_name

_FLAGS = (("qr", 1 << 15), ("aa", 1 << 10), ("tc", 1 << 9), ("rd", 1 << 8), ("ra", 1 << 7), ("z", 1 << 6),
          ("ad", 1 << 5), ("cd", 1 << 4))  # fmt: skip
_PLAIN_BYTES = frozenset(range(33, 127)) - frozenset(b".\"'\\();@")


class Wanted(NamedTuple):
    """The classes of a block's queries that get a line; the most that a client's UDP size counts for (0: as said)."""

    classes: frozenset[str] = frozenset()
    bufsize: int = 0


NOT_LOGGED = Wanted()


class Line(NamedTuple):
    """What is said of one query; sizes in bytes, that of the answer as if no name were compressed, and without OPT.

    `bare`: nothing was said but that it failed, which CoreDNS has no plugin for, and no word in its line.
    """

    client: str
    port: int
    id: int
    type: str
    qclass: str
    name: str
    proto: str
    size: int
    do: bool
    bufsize: int
    rcode: str
    flags: str
    answer_size: int
    seconds: float
    bare: bool

    def text(self) -> str:
        """As CoreDNS writes it."""
        client = f"[{self.client}]" if ":" in self.client else self.client
        asked = f'"{self.type} {self.qclass} {self.name} {self.proto} {self.size}'
        asked += f' {str(self.do).lower()} {self.bufsize}"'
        took = f"{self.seconds:.9f}".rstrip("0").rstrip(".")
        answered = "- - 0" if self.bare else f"{self.rcode} {self.flags} {self.answer_size}"
        return f"[INFO] {client}:{self.port} - {self.id} {asked} {answered} {took}s"

    def json(self) -> str:
        """One JSON object with these fields; the query's class is `class`."""
        values: dict[str, Any] = self._asdict()
        del values["bare"]
        return json.dumps({"class" if key == "qclass" else key: value for key, value in values.items()})


def render_lines(
    proto: str, exchanges: Sequence[Exchange], seconds: float, wanted: ZoneTable[Wanted], form: str
) -> Iterator[str]:
    """A line for each exchange of a wanted class; queries that cannot be read, are of another version of EDNS, or were
    not answered have none, as no plugin of CoreDNS sees them."""
    for each in exchanges:
        answer, (classes, bufsize) = each.answer, wanted.find(each.query, NOT_LOGGED)
        if answer is not None and ("all" in classes or classify(answer) in classes):
            line = _line(proto, each.query, answer, each.client, seconds / len(exchanges), bufsize)
            if line is not None:
                yield line.json() if form == "json" else line.text()


def classify(answer: bytes) -> str:
    """success, denial (there is no such name, or none of the type) or error."""
    rcode, answers, authorities = answer[3] & 15, answer[6:8], answer[8:10]
    if rcode == NXDOMAIN:
        return "denial"
    if rcode != NOERROR:
        return "error"
    return "denial" if answers == b"\0\0" and authorities != b"\0\0" and not _delegates(answer) else "success"


def _delegates(answer: bytes) -> bool:
    try:
        offset = _expanded(answer, HEADER_SIZE)[1] + 4
        return bool(unpack_from("!H", answer, _expanded(answer, offset)[1])[0] == NS)
    except (IndexError, error):
        return False


def _line(proto: str, data: bytes, answer: bytes, client: Any, seconds: float, most: int) -> Line | None:
    query = _read(data)
    if query is None or (query.edns and query.edns.version):
        return None
    flags = int.from_bytes(answer[2:4], "big")
    question, edns = query.question, query.edns
    return Line(
        client[0], client[1], int.from_bytes(data[:2], "big"), type_name(question.qtype), class_name(question.qclass),
        name_text(question.qname), proto, len(data), bool(edns and edns.do),
        TCP_LIMIT if proto == "tcp" else max(min(edns.size, most or edns.size), PLAIN_LIMIT) if edns else PLAIN_LIMIT,
        rcode_name(flags & 15),
        ",".join(name for name, bit in _FLAGS if flags & bit), uncompressed_size(answer), seconds,
        flags & 15 in (SERVFAIL, REFUSED) and not flags & RA and answer[6:10] == bytes(4),
    )  # fmt: skip


def _read(data: bytes) -> Query | None:
    try:
        return parse_query(data) if len(data) >= HEADER_SIZE else None
    except Malformed:
        return None


def name_text(labels: Labels) -> str:
    """A name in lower case with a dot at its end; bytes that would be misread escaped (RFC 1035, section 5.1)."""
    return ".".join("".join(map(_escaped, label.lower())) for label in labels) + "."


def _escaped(byte: int) -> str:
    if byte in _PLAIN_BYTES:
        return chr(byte)
    return f"\\{chr(byte)}" if 32 <= byte < 127 else f"\\{byte:03}"


def uncompressed_size(message: bytes) -> int:
    """Bytes that a message would have without pointers and OPT; what cannot be read counts as it is."""
    try:
        return _walk(message)
    except (IndexError, error, RecursionError):
        return len(message)


def _walk(message: bytes) -> int:
    questions, *records = unpack_from("!HHHH", message, 4)
    size = offset = HEADER_SIZE
    for _ in range(questions):
        length, offset = _expanded(message, offset)
        size, offset = size + length + 4, offset + 4
    for _ in range(sum(records)):
        length, offset = _expanded(message, offset)
        rtype, data = unpack_from("!H6xH", message, offset)
        offset += 10
        if rtype != OPT:
            size += length + 10 + _data_size(message, offset, rtype, data)
        offset += data
    return size


def _data_size(message: bytes, offset: int, rtype: int, length: int) -> int:
    before, names = NAMES_IN.get(rtype, (0, 0))
    size, at = before, offset + before
    for _ in range(names):
        expanded, at = _expanded(message, at)
        size += expanded
    return size + offset + length - at


def _expanded(message: bytes, offset: int) -> tuple[int, int]:
    """Length of the name without pointers, and where it ends in the message."""
    size, end = 0, 0
    while length := message[offset]:
        if length >= 0xC0:
            end = end or offset + 2
            target = (length & 0x3F) << 8 | message[offset + 1]
            if target >= offset:
                raise IndexError("a pointer must lead back")
            offset = target
        else:
            size, offset = size + length + 1, offset + length + 1
    return size + 1, end or offset + 1


Write = Callable[[str], object]


class QueryLog:
    """Told of exchanges, writes their lines."""

    def __init__(self, wanted: Mapping[str, Wanted], form: str, write: Write) -> None:
        """`wanted` is by the zones of server blocks."""
        self._wanted, self._form, self._write = ZoneTable(wanted), form, write

    def __call__(self, proto: str, exchanges: Sequence[Exchange], seconds: float) -> None:
        lines = list(render_lines(proto, with_inner(exchanges), seconds, self._wanted, self._form))
        if lines:
            self._write("\n".join([*lines, ""]))
