"""When to act: a token bucket for changes, a doubling delay after failures. Pure; time is given in seconds."""

from __future__ import annotations

import re

BURST = 2
FIRST_RETRY = 0.5
LAST_RETRY = 5.0
CHECK_SHARE = 20
"""A check of the kernel's rules may take one part in this many of the time."""


class TokenBucket:
    """At most one run every `period` seconds, after a burst of two; no limit if `period` is 0."""

    def __init__(self, period: float, now: float, burst: int = BURST) -> None:
        self._period, self._burst = period, float(burst)
        self._tokens, self._at = float(burst), now

    def take(self, now: float) -> float:
        """Take a token; how long to wait before acting on it."""
        if not self._period:
            return 0.0
        self._tokens = min(self._burst, self._tokens + (now - self._at) / self._period) - 1
        self._at = now
        return max(0.0, -self._tokens * self._period)


def retry_delay(failures: int, longest: float) -> float:
    """Seconds to wait after that many failures in a row: doubling, at most 5 s and `longest`."""
    return min(longest, LAST_RETRY, FIRST_RETRY * 2.0 ** min(failures - 1, 30))


def check_delay(period: float, took: float) -> float:
    """Seconds until the next check of the kernel's rules, when the last one took `took` seconds."""
    return max(period, took * CHECK_SHARE)


def failing_lines(payload: str, message: str, around: int = 3) -> str:
    """The lines of a payload about the one that an iptables-restore error names, numbered; "" if it names none."""
    named = re.search(r"line:? (\d+)", message)
    if named is None:
        return ""
    number = int(named.group(1))
    first = max(1, number - around)
    lines = payload.splitlines()[first - 1 : number + around]
    return "\n".join(f"{first + index}: {line}" for index, line in enumerate(lines))
