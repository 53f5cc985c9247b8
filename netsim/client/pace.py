"""How fast something may go on: a token bucket (pure)."""

from __future__ import annotations


class Pace:
    """`burst` steps at once, and then `rate` a second."""

    def __init__(self, burst: int, rate: float) -> None:
        self._burst, self._rate = burst, rate
        self._next = float("-inf")
        """When the next step would be due if there were no burst."""

    def delay(self, now: float) -> float:
        """Take a step: how many seconds it has to wait. `now` is a clock that never goes back, in seconds."""
        self._next = max(self._next, now - (self._burst - 1) / self._rate)
        delay = max(self._next - now, 0.0)
        self._next += 1 / self._rate
        return delay
