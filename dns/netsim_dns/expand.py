"""The records of a message, each by itself: with no pointer into the rest of the message (RFC 1035, 4.1.4). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from .names import Labels
from .reply import whole_name
from .types import NAMES_IN
from .wire import HEADER_SIZE

_COUNTS, _RECORD = Struct("!HHHH"), Struct("!HHIH")


class Expanded(NamedTuple):
    """A record; names in `data` are written out."""

    owner: Labels
    rtype: int
    rclass: int
    ttl: int
    data: bytes

    def under(self, owner: bytes) -> bytes:
        """The record as bytes, with this as its owner: a name written out, or a pointer."""
        return owner + _RECORD.pack(self.rtype, self.rclass, self.ttl, len(self.data)) + self.data


Sections = tuple[list[Expanded], list[Expanded], list[Expanded]]


def expand_records(message: bytes) -> Sections:
    """Answer, authority and additional section of a well-formed message."""
    questions, *counts = _COUNTS.unpack_from(message, 4)
    offset = HEADER_SIZE
    for _ in range(questions):
        offset = read_name(message, offset)[1] + 4
    sections: Sections = ([], [], [])
    for section, count in zip(sections, counts, strict=True):
        for _ in range(count):
            owner, offset = read_name(message, offset)
            rtype, rclass, ttl, size = _RECORD.unpack_from(message, offset)
            offset += _RECORD.size
            section.append(Expanded(owner, rtype, rclass, ttl, b"".join(_data(message, offset, rtype, size))))
            offset += size
    return sections


def _data(message: bytes, offset: int, rtype: int, size: int) -> Iterator[bytes]:
    before, names = NAMES_IN.get(rtype, (size, 0))
    yield message[offset : offset + before]
    at = offset + before
    for _ in range(names):
        name, at = read_name(message, at)
        yield whole_name(name)
    yield message[at : offset + size]


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
