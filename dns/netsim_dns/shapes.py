"""What the counts need to know of an exchange, made once for all that count alike. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from .wire import HEADER_SIZE

# from the zero that ends the name: type and class, and of an OPT that follows type, size, version and flags
TAIL = 14
SHAPES_MAX = 4096

Key = tuple[bytes, int, int, int]
"""End of the query, its size; flags' second byte of the answer (-1: there was none), its size."""


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """A key that is hashed and compared as an object, which takes a third of the time: this is done for every query."""

    key: Key


def key_of(query: bytes, answer: bytes) -> Key:
    """What an exchange counts as; both with their ids."""
    end = query.find(0, HEADER_SIZE)
    return query[end : end + TAIL], len(query), answer[3], len(answer)


class Shapes:
    """One shape for all exchanges of a key, but for those forgotten when there were too many."""

    def __init__(self) -> None:
        self._known: dict[Key, Shape] = {}

    def of(self, query: bytes, answer: bytes) -> Shape:
        """The shape of an exchange."""
        if len(self._known) >= SHAPES_MAX:
            self._known.clear()
        key = key_of(query, answer)
        return self._known.setdefault(key, Shape(key))
