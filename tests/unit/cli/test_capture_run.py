"""In which order packets come out of a capture, and which still do when it ends."""

from __future__ import annotations

import queue
import time

from netsim.cli.capture_run import Captured, _in_order


def packet(time_ns: int) -> Captured:
    return Captured(0, time_ns, 0, b"", None)


def test_what_passed_before_the_end_is_shown_and_what_came_after_is_not():
    received: queue.SimpleQueue[Captured] = queue.SimpleQueue()
    now = time.time_ns()
    for moment in (now - 2, now - 5, now - 9, now + 3_600 * 10**9):
        received.put(packet(moment))
    shown = [captured.time_ns for captured in _in_order(received, lambda: True)]
    assert shown == [now - 9, now - 5, now - 2]


def test_a_busy_link_does_not_keep_a_capture_from_ending():
    class Endless(queue.SimpleQueue):  # type: ignore[type-arg]
        def get(self, block: bool = True, timeout: float | None = None) -> Captured:
            return packet(time.time_ns() + 10**12)

    before = time.monotonic()
    assert list(_in_order(Endless(), lambda: True)) == []
    assert time.monotonic() - before < 5
