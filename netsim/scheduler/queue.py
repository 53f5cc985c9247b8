"""The pods that wait: those to be tried now, by priority; those that were tried in vain, with what kept them back."""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import heappop, heappush

from netsim.scheduler.needs import PodNeeds

FIRST_BACKOFF, LAST_BACKOFF = 1.0, 10.0
LONGEST_WAIT = 300.0
"""A pod that nothing has woken for so many seconds is tried all the same, as in Kubernetes."""


@dataclass(frozen=True, slots=True)
class Stuck:
    """A pod that found no node, why, since when."""

    needs: PodNeeds
    reasons: frozenset[str]
    since: float


@dataclass(slots=True)
class SchedulingQueue:
    """Times are seconds of one clock. A pod tried in vain comes back when something has changed; until its back-off
    (1 s, doubled with each attempt, at most 10 s) is over it lets all others go first, but it does not wait while
    nobody else does."""

    _active: list[tuple[int, float, int, str]] = field(default_factory=list)
    _backing: list[tuple[float, int, int, str]] = field(default_factory=list)
    _where: dict[str, int] = field(default_factory=dict)
    _attempts: dict[str, tuple[int, float]] = field(default_factory=dict)
    _count: int = 0
    stuck: dict[str, Stuck] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self._where)

    def add(self, key: str, priority: int, now: float) -> None:
        """A pod to be tried; if it waits already it keeps its turn."""
        if key in self._where:
            return
        self.stuck.pop(key, None)
        attempts, failed = self._attempts.get(key, (0, 0.0))
        self._count += 1
        self._where[key] = self._count
        due = failed + min(FIRST_BACKOFF * 2.0 ** min(attempts - 1, 10), LAST_BACKOFF) if attempts else 0.0
        if due > now:
            heappush(self._backing, (due, -priority, self._count, key))
        else:
            heappush(self._active, (-priority, now, self._count, key))

    def take(self) -> str | None:
        """The next pod: of the highest priority the first that came; None when nobody waits."""
        while self._active:
            *_, ticket, key = heappop(self._active)
            if self._where.get(key) == ticket:
                del self._where[key]
                return key
        while self._backing:
            *_, ticket, key = heappop(self._backing)
            if self._where.get(key) == ticket:
                del self._where[key]
                return key
        return None

    def ripen(self, now: float) -> None:
        """Put pods whose back-off is over among the others."""
        while self._backing and self._backing[0][0] <= now:
            due, rank, ticket, key = heappop(self._backing)
            if self._where.get(key) == ticket:
                heappush(self._active, (rank, due, ticket, key))

    def fail(self, needs: PodNeeds, reasons: frozenset[str], now: float) -> None:
        """The pod was tried and found no node."""
        attempts, _ = self._attempts.get(needs.key, (0, 0.0))
        self._attempts[needs.key] = (attempts + 1, now)
        self._where.pop(needs.key, None)
        self.stuck[needs.key] = Stuck(needs, reasons, now)

    def drop(self, key: str) -> None:
        """The pod has a node, or is gone."""
        self._where.pop(key, None)
        self.stuck.pop(key, None)
        self._attempts.pop(key, None)

    def overdue(self, now: float) -> list[str]:
        """Stuck pods that have waited long enough."""
        return [key for key, stuck in self.stuck.items() if now - stuck.since >= LONGEST_WAIT]
