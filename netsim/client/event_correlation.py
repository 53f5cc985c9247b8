"""What becomes of one more event of a source: counted, combined with similar ones, or dropped as spam. Pure.

The rules and numbers are those of client-go's correlator: events that differ only in their message are combined from
the tenth within ten minutes on; a source may send 25 about an object, then one every five minutes.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Generic, TypeVar

SIMILAR, SIMILAR_SECONDS = 10, 600.0
BURST, REFILL_SECONDS = 25, 300.0
REMEMBERED = 4096
COMBINED = "(combined from similar events): "

Key = tuple[str, ...]
_V = TypeVar("_V")


class Recent(Generic[_V]):
    """The most recently used values by key; the least recently used goes first."""

    def __init__(self, most: int = REMEMBERED) -> None:
        self._values: OrderedDict[Key, _V] = OrderedDict()
        self._most = most

    def get(self, key: Key) -> _V | None:
        if key in self._values:
            self._values.move_to_end(key)
        return self._values.get(key)

    def put(self, key: Key, value: _V) -> _V:
        self._values[key] = value
        self._values.move_to_end(key)
        while len(self._values) > self._most:
            self._values.popitem(last=False)
        return value


@dataclass(slots=True)
class _Similar:
    """Messages seen of one reason, and when the last was."""

    messages: dict[str, None] = field(default_factory=dict)
    last: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Under which key an event is counted, its message there, and whether it is sent at all."""

    key: Key
    message: str
    sent: bool


class Correlator:
    """Remembers what the sources of one process have said."""

    def __init__(self) -> None:
        self._similar: Recent[_Similar] = Recent()
        self._tokens: Recent[tuple[float, float]] = Recent()

    def judge(self, source: Key, about: Key, kind: Key, message: str, seconds: float) -> Verdict:
        """`source` is component and host, `about` the object, `kind` the event's type and reason; `seconds` is a clock
        that never goes back."""
        group = (*source, *about, *kind)
        combined = self._is_one_too_many(group, message, seconds)
        key, text = (group, COMBINED + message) if combined else ((*group, message), message)
        return Verdict(key, text, self._has_token((*source, *about), seconds))

    def _is_one_too_many(self, group: Key, message: str, seconds: float) -> bool:
        seen = self._similar.get(group)
        if seen is None or seconds - seen.last > SIMILAR_SECONDS:
            seen = self._similar.put(group, _Similar())
        seen.messages[message] = None
        seen.last = seconds
        if len(seen.messages) < SIMILAR:
            return False
        seen.messages.popitem()  # the set grows no larger
        return True

    def _has_token(self, key: Key, seconds: float) -> bool:
        tokens, since = self._tokens.get(key) or (float(BURST), seconds)
        tokens = min(float(BURST), tokens + (seconds - since) / REFILL_SECONDS)
        allowed = tokens >= 1
        self._tokens.put(key, (tokens - 1 if allowed else tokens, seconds))
        return allowed
