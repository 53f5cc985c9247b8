"""A work queue of keys as a plain data structure: no tasks, no clock of its own (times are seconds handed in).

A key is queued at most once, worked on by one worker at a time, and queued again after `done` if it was added
meanwhile. Failures push a key back by a delay that doubles.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import NamedTuple


class Backoff(NamedTuple):
    """Seconds a key waits after its first failure, and at most."""

    first: float
    longest: float


BACKOFF = Backoff(0.005, 30.0)


@dataclass(slots=True)
class WorkQueue:
    """`ready` keys in order of arrival, `running` ones, those to run `again`, and timers for later."""

    ready: dict[str, None] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    again: set[str] = field(default_factory=set)
    failures: dict[str, int] = field(default_factory=dict)
    resting: dict[str, float] = field(default_factory=dict)
    _timers: dict[str, float] = field(default_factory=dict)
    _heap: list[tuple[float, str]] = field(default_factory=list)

    def add(self, key: str, now: float) -> None:
        """Queue a key now, or when its rest is over."""
        if key in self.running:
            self.again.add(key)
        elif self.resting.get(key, 0.0) > now:
            self.add_at(key, self.resting[key])
        else:
            self.resting.pop(key, None)
            self.ready[key] = None

    def add_at(self, key: str, when: float) -> None:
        """Queue a key at a time. One timer a key is kept, the earliest."""
        if self._timers.get(key, float("inf")) <= when:
            return
        self._timers[key] = when
        heapq.heappush(self._heap, (when, key))

    def wake(self, now: float) -> None:
        """Move the keys whose time has come to the ready ones."""
        while self._heap and self._heap[0][0] <= now:
            when, key = heapq.heappop(self._heap)
            if self._timers.get(key) == when:
                del self._timers[key]
                self.add(key, now)

    def next_time(self) -> float | None:
        """When the next timer is due."""
        while self._heap and self._timers.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take(self) -> str | None:
        """The next ready key, now running; None if there is none."""
        if not self.ready:
            return None
        key = next(iter(self.ready))
        del self.ready[key]
        self.running.add(key)
        return key

    def done(self, key: str, now: float, rest: float = 0.0) -> None:
        """Work on a key has ended. `rest` is how long it is left alone at least, however often it is added."""
        self.running.discard(key)
        if rest > 0:
            self.resting[key] = now + rest
        if key in self.again:
            self.again.discard(key)
            self.add(key, now)

    def failed(self, key: str, now: float, backoff: Backoff = BACKOFF) -> float:
        """Queue a key again after its back-off, and return that delay in seconds."""
        count = self.failures.get(key, 0)
        self.failures[key] = count + 1
        delay: float = min(backoff.first * 2 ** min(count, 30), backoff.longest)
        self.add_at(key, now + delay)
        return delay

    def succeeded(self, key: str) -> None:
        """Forget a key's failures."""
        self.failures.pop(key, None)
