"""The token bucket."""

from __future__ import annotations

import pytest

from netsim.client.pace import Pace


def test_a_burst_goes_at_once_and_the_rest_at_the_rate() -> None:
    pace, now, times = Pace(3, 10.0), 100.0, []
    for _ in range(6):
        now += pace.delay(now)
        times.append(now - 100.0)
    assert times == pytest.approx([0, 0, 0, 0.1, 0.2, 0.3])


def test_after_a_pause_there_is_a_burst_again_but_no_larger_one() -> None:
    pace = Pace(2, 1.0)
    assert [pace.delay(0.0), pace.delay(0.0)] == [0, 0]
    assert [pace.delay(50.0), pace.delay(50.0), pace.delay(50.0)] == pytest.approx([0, 0, 1])
