"""Names asked for under others: a query for one is answered with what is known of the other, under the name asked.

As CoreDNS's `rewrite name exact` and `suffix` with `answer auto`. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from struct import Struct

from .aliases import read_name
from .config import ConfigError
from .names import Labels, labels_of, lower, under, writable
from .reply import Body, whole_name
from .types import NAMES_IN, OPT
from .wire import AA, HEADER_SIZE, TC

RA = 0x0080
_HEADER, _RECORD = Struct("!HHHHHH"), Struct("!HHIH")


@dataclass(frozen=True, slots=True)
class Rewrite:
    """`source` becomes `target`: whole names (lower case), or with `suffix` what names end in."""

    source: Labels
    target: Labels
    suffix: bool = False

    def apply(self, name: Labels) -> Labels | None:
        """The name (lower case) under its other name, None if this is not about it."""
        if not self.suffix:
            return self.target if name == self.source else None
        count = len(name) - len(self.source)
        return name[:count] + self.target if count > 0 and under(name, self.source) else None


def parse_rewrite(text: str) -> Rewrite:
    """`FROM TO`, names; with a dot before them what names end in: `.old.example .new.example`. Raises ConfigError."""
    words = text.split()
    if len(words) != 2 or words[0].startswith(".") != words[1].startswith("."):
        raise ConfigError(f"{text!r} is not `FROM TO` or `.FROM .TO`, such as `db.example db.shop.svc.cluster.local`")
    source, target = (lower(labels_of(word.removeprefix("."))) for word in words)
    if not source or not target or not writable(source) or not writable(target):
        raise ConfigError(f"{text!r}: one of these is no name such as db.example")
    return Rewrite(source, target, words[0].startswith("."))


def find_target(rewrites: Iterable[Rewrite], name: Labels) -> Labels | None:
    """The other name by the first rule that is about this one (lower case); None, also if it would be too long."""
    targets = (rewrite.apply(name) for rewrite in rewrites)
    target = next((each for each in targets if each is not None), None)
    return target if target is not None and writable(target) else None


def restored(message: bytes, target: Labels, name: Labels) -> Body:
    """The records of a well-formed message about `target`, those that it owns under `name`; its flags."""
    _, flags, questions, *counts = _HEADER.unpack_from(message)
    offset = HEADER_SIZE
    for _ in range(questions):
        offset = read_name(message, offset)[1] + 4
    sections: list[tuple[bytes, ...]] = []
    for count in counts:
        records = []
        for _ in range(count):
            owner, offset = read_name(message, offset)
            rtype, rclass, ttl, size = _RECORD.unpack_from(message, offset)
            offset += _RECORD.size
            if rtype != OPT:
                data = b"".join(_data(message, offset, rtype, size))
                head = whole_name(name if lower(owner) == target else owner)
                records.append(head + _RECORD.pack(rtype, rclass, ttl, len(data)) + data)
            offset += size
        sections.append(tuple(records))
    fixed, authority, additional = sections
    length = sum(len(record) for records in sections for record in records)
    return Body(flags & (AA | TC | RA | 15), fixed, (), authority, additional, size=length)


def _data(message: bytes, offset: int, rtype: int, size: int) -> Iterator[bytes]:
    """A record's data in pieces, its names without pointers."""
    before, names = NAMES_IN.get(rtype, (size, 0))
    yield message[offset : offset + before]
    at = offset + before
    for _ in range(names):
        name, at = read_name(message, at)
        yield whole_name(name)
    yield message[at : offset + size]
