"""Names asked for under others: a query for one is answered with what is known of the other, under the name asked.

As CoreDNS's `rewrite name` with `answer auto`. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from .config import ConfigError
from .expand import Expanded, expand_records, read_name
from .names import Labels, labels_of, lower, under, writable
from .reply import Body, whole_name
from .types import NAMES_IN, OPT
from .wire import AA, RA, TC

_GROUP = re.compile(r"\{(\d+)\}")


@dataclass(frozen=True, slots=True)
class Rewrite:
    """`source` becomes `target`: whole names (lower case), or with `suffix` what names end in.

    With `pattern`, which is looked for in a name as text with a dot at its end, `template` is the new name, in which
    `{1}` stands for the first group; with `every` it is what each place becomes.
    """

    source: Labels
    target: Labels
    suffix: bool = False
    pattern: re.Pattern[str] | None = None
    template: str = ""
    every: bool = False

    def apply(self, name: Labels) -> Labels | None:
        """The name (lower case) under its other name, None if this is not about it."""
        if self.pattern:
            return self._matched(self.pattern, name)
        if not self.suffix:
            return self.target if name == self.source else None
        count = len(name) - len(self.source)
        return name[:count] + self.target if count > 0 and under(name, self.source) else None

    def _matched(self, pattern: re.Pattern[str], name: Labels) -> Labels | None:
        text = "".join(f"{label.decode('latin-1')}." for label in name)
        found = pattern.search(text)
        if found is None or any(b"." in label for label in name):
            return None
        if self.every:
            return _labels(pattern.sub(lambda _: self.template, text))
        return _labels(_GROUP.sub(lambda group: _group(found, int(group[1])), self.template))


def _group(found: re.Match[str], number: int) -> str:
    return (found[number] or "") if number <= found.re.groups else ""


def _labels(text: str) -> Labels | None:
    labels = tuple(label.lower() for label in text.encode("latin-1", "replace").removesuffix(b".").split(b"."))
    return labels if writable(labels) else None


def parse_rewrite(text: str) -> Rewrite:
    """`FROM TO`, names; with a dot before them what names end in: `.old.example .new.example`. Raises ConfigError."""
    words = text.split()
    if len(words) != 2 or words[0].startswith(".") != words[1].startswith("."):
        raise ConfigError(f"{text!r} is not `FROM TO` or `.FROM .TO`, such as `db.example db.shop.svc.cluster.local`")
    source, target = (lower(labels_of(word.removeprefix("."))) for word in words)
    if not source or not target or not writable(source) or not writable(target):
        raise ConfigError(f"{text!r}: one of these is no name such as db.example")
    return Rewrite(source, target, words[0].startswith("."))


def find_target(rewrites: Iterable[Rewrite], name: Labels) -> tuple[Labels, int] | None:
    """The other name by the first rule that is about this one (lower case), and how many of its first labels are this
    one's for all that; None, also if it would be too long."""
    for rewrite in rewrites:
        target = rewrite.apply(name)
        if target is not None:
            kept = len(name) - len(rewrite.source) if rewrite.suffix else 0
            return (target, kept) if writable(target) else None
    return None


def restored(message: bytes, inner: Labels, outer: Labels) -> Body:
    """The records of a well-formed message, and its flags. Names that are or end with `inner` have `outer` instead:
    those of owners, and the first in the data of aliases, SRV and the like."""

    def back(name: Labels) -> Labels:
        if not under(lower(name), inner):
            return name
        other = name[: len(name) - len(inner)] + outer
        return other if writable(other) else name

    def written(record: Expanded) -> bytes:
        data, place = record.data, NAMES_IN.get(record.rtype)
        if place:
            name, end = read_name(data, place[0])
            data = data[: place[0]] + whole_name(back(name)) + data[end:]
        return record._replace(data=data).under(whole_name(back(record.owner)))

    sections = [tuple(written(r) for r in section if r.rtype != OPT) for section in expand_records(message)]
    size = sum(len(record) for records in sections for record in records)
    flags = int.from_bytes(message[2:4], "big") & (AA | TC | RA | 15)
    return Body(flags, sections[0], (), sections[1], sections[2], size=size)
