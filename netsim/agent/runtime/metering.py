"""What each in-process workload uses of the one process that they all live in.

A workload has no process of its own, so its share is worked out. CPU: the host's own CPU time, divided among its
containers by the time that each one's protocol callbacks took; so the kernel's and the event loop's part of serving
is with whoever was served, and the shares of a busy host add up to what it really used. Memory: an equal part of
the host's resident memory for each container.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

_T = TypeVar("_T")
PAGE = os.sysconf("SC_PAGE_SIZE")


class Meter:
    """One container's account: `busy_ns` in callbacks since the last division, `cpu_ns` assigned in all, and when the
    last callback ended (`used_ns`, of time.perf_counter_ns)."""

    __slots__ = ("busy_ns", "cpu_ns", "used_ns")

    def __init__(self) -> None:
        self.busy_ns = self.cpu_ns = self.used_ns = 0


def metered(callback: Callable[..., _T]) -> Callable[..., _T]:
    """A protocol's callback that adds its duration to the protocol's `meter`. Callbacks never wait, so the clock on
    the wall does, which is quicker to read than the thread's."""

    @wraps(callback)
    def timed(self: Any, *arguments: Any) -> _T:
        began = time.perf_counter_ns()
        try:
            return callback(self, *arguments)
        finally:
            self.meter.used_ns = ended = time.perf_counter_ns()
            self.meter.busy_ns += ended - began

    return timed


def divide(total: int, weights: Mapping[str, int]) -> dict[str, int]:
    """`total` in parts by weight, rounded down; {} when nothing weighs anything (pure)."""
    whole = sum(weights.values())
    return {key: total * weight // whole for key, weight in weights.items()} if whole else {}


class HostMeter:
    """Divides the CPU time of this process among meters."""

    def __init__(self) -> None:
        self._divided = time.process_time_ns()

    def settle(self, meters: Mapping[str, Meter]) -> None:
        """Assign what the process has used since the last time."""
        now = time.process_time_ns()
        shares = divide(now - self._divided, {key: meter.busy_ns for key, meter in meters.items()})
        self._divided = now
        for key, meter in meters.items():
            meter.cpu_ns += shares.get(key, 0)
            meter.busy_ns = 0


def resident_bytes(pid: int | str = "self") -> int:
    """Resident memory of a process, from /proc/PID/statm."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * PAGE
