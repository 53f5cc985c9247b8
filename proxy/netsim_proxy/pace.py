"""When to act: the pace for changes, a doubling delay after failures. Pure; time is given in seconds."""

from __future__ import annotations

import math
import re

from netsim.client.pace import Pace

BURST = 2
FIRST_RETRY = 0.5
LAST_RETRY = 5.0
MANY_LINES = 200
LONGEST_REST, LONGEST_IN_STORM = 3.0, 15.0
CROWDED = 2.0
"""A sync that takes this many times its processor time waits as much as it works: others want the same processors."""
CHECK_SHARE = 20
"""A check of the kernel's rules may take one part in this many of the time."""


def sync_pace(period: float) -> Pace:
    """At most one run every `period` seconds, after a burst of two; no limit if `period` is 0."""
    return Pace(BURST, 1 / period if period else math.inf)


def rest_after(took: float, worked: float, lines: int, storm: int = 0) -> float:
    """Seconds to leave between a sync of `lines` rules and the next, when it took `took` seconds and of those `worked`
    of a processor: as long again where nobody else wanted it, up to eight times as long where many nodes of one machine
    bring thousands of endpoints to its kernel and must leave it time for what changes them. At most 3 s; on such a
    machine, when `storm` syncs before it rested and found more to do, twice as long for each, at most 15 s."""
    if lines <= MANY_LINES:
        return 0.0
    crowd = max(1.0, min(took / worked, CROWDED)) if worked else 1.0
    longest = LONGEST_REST * 2.0 ** min(storm, 30) if crowd == CROWDED else LONGEST_REST
    return min(took * crowd**3, longest, LONGEST_IN_STORM)


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
