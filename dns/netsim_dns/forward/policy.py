"""Which upstream a question goes to next, and when to give up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .config import ForwardZone, Policy

Shuffle = Callable[[list[int]], None]


def order(policy: Policy, count: int, turn: int, shuffle: Shuffle) -> list[int]:
    """The order in which `count` upstreams are tried for the `turn`th question (from 0): indexes.

    By turns the second is the first to be asked, and after the one whose turn it is come the others as listed, as in
    CoreDNS.
    """
    indexes = list(range(count))
    if policy == "random":
        shuffle(indexes)
    elif policy == "round_robin":
        indexes.insert(0, indexes.pop((turn + 1) % count))
    return indexes


@dataclass(slots=True)
class Tries:
    """One question's way through the upstreams of its zone, in the given order; `started` is when it began.

    An upstream that is down is passed over. One that was silent may be asked again in the next round, one that
    refused (at once, so the next round would begin at once too) may not.
    """

    zone: ForwardZone
    order: Sequence[int]
    started: float
    sprayed: bool = False
    _left: list[int] = field(default_factory=list)
    _refused: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._left = list(self.order)

    def next(self, now: float, down: Sequence[bool]) -> int | None:
        """The upstream to ask now, or None to give up; `down` tells for each whether it is passed over.

        With all of them down one is asked nevertheless, unless the zone says to fail fast.
        """
        if now - self.started >= self.zone.budget or self.sprayed:
            return None
        if all(down):
            self.sprayed = True
            return None if self.zone.failfast else next((i for i in self.order if i not in self._refused), None)
        return self._next_up(down) if any(self._wanted(i, down) for i in self.order) else None

    def refused(self, index: int) -> None:
        """The upstream's port is closed or cannot be reached, or what it says is useless."""
        self._refused.add(index)

    def untried(self, down: Sequence[bool]) -> bool:
        """Is there one that was not asked in this round?"""
        return any(self._wanted(i, down) for i in self._left)

    def _next_up(self, down: Sequence[bool]) -> int:
        while True:
            self._left = self._left or list(self.order)
            index = self._left.pop(0)
            if self._wanted(index, down):
                return index

    def _wanted(self, index: int, down: Sequence[bool]) -> bool:
        return not down[index] and index not in self._refused
