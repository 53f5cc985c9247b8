"""Cron schedules: the next and the last time, time zones with their clock changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.api.cron import parse_schedule
from netsim.controllers.cron import count_times, last_time, next_time

NEW_YORK = ZoneInfo("America/New_York")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text if "+" in text or text.endswith("Z") else f"{text}+00:00")


@pytest.mark.parametrize(
    ("schedule", "after", "expected"),
    [
        ("* * * * *", "2026-01-01T00:00:00", "2026-01-01T00:01:00"),
        ("* * * * *", "2026-01-01T00:00:59.5", "2026-01-01T00:01:00"),
        ("*/15 * * * *", "2026-01-01T00:45:00", "2026-01-01T01:00:00"),
        ("5-20/5 * * * *", "2026-01-01T00:20:00", "2026-01-01T01:05:00"),
        ("20/20 * * * *", "2026-01-01T00:20:00", "2026-01-01T00:40:00"),
        ("30 3 * * *", "2026-12-31T03:30:00", "2027-01-01T03:30:00"),
        ("0 0 29 2 *", "2026-03-01T00:00:00", "2028-02-29T00:00:00"),
        ("0 12 * Mar,JUN Mon-Fri", "2026-03-31T12:00:00", "2026-06-01T12:00:00"),
        ("0 0 13 * 5", "2026-02-01T00:00:00", "2026-02-06T00:00:00"),  # either, as both are restricted
        ("0 0 */2 * 5", "2026-02-01T00:00:00", "2026-02-03T00:00:00"),  # a step restricts, too
        ("0 0 13 * ?", "2026-02-01T00:00:00", "2026-02-13T00:00:00"),
        ("@hourly", "2026-01-01T00:30:00", "2026-01-01T01:00:00"),
        ("@weekly", "2026-01-01T00:30:00", "2026-01-04T00:00:00"),
        ("@yearly", "2026-01-01T00:00:00", "2027-01-01T00:00:00"),
        ("@every 1h30m", "2026-01-01T00:10:00", "2026-01-01T01:40:00"),
        ("0 0 31 2 *", "2026-01-01T00:00:00", None),
    ],
)
def test_next_time(schedule: str, after: str, expected: str | None) -> None:
    assert next_time(parse_schedule(schedule), at(after)) == (at(expected) if expected else None)


def times(schedule: str, after: str, count: int) -> list[str]:
    when, found = at(after), []
    for _ in range(count):
        following = next_time(parse_schedule(schedule), when, NEW_YORK)
        assert following is not None
        when = following
        found.append(when.astimezone(NEW_YORK).isoformat(timespec="minutes"))
    return found


def test_clock_changes() -> None:
    """On 8 March 2026 New York's clocks go from 2 to 3, on 1 November from 2 back to 1."""
    assert times("30 2 * * *", "2026-03-08T05:00:00Z", 1) == ["2026-03-09T02:30-04:00"]
    hourly = ["2026-03-08T01:00-05:00", "2026-03-08T03:00-04:00"]
    assert times("0 * * * *", "2026-03-08T05:30:00Z", 2) == hourly
    twice = ["2026-11-01T01:30-04:00", "2026-11-01T01:30-05:00", "2026-11-02T01:30-05:00"]
    assert times("30 1 * * *", "2026-11-01T04:30:00Z", 3) == twice
    assert times("0 9 * * *", "2026-03-07T20:00:00Z", 1) == ["2026-03-08T09:00-04:00"]


FIELDS = st.tuples(
    st.sampled_from(["*", "*/7", "0", "3,33", "10-50/20"]),
    st.sampled_from(["*", "*/5", "0", "2", "22-23"]),
    st.sampled_from(["*", "1", "28-31", "*/10"]),
    st.sampled_from(["*", "2", "jan,jul"]),
    st.sampled_from(["*", "0", "mon-wed"]),
)
MOMENTS = st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1)).map(lambda when: when.replace(tzinfo=UTC))
ZONES = st.sampled_from([UTC, NEW_YORK, ZoneInfo("Asia/Kathmandu"), ZoneInfo("Australia/Lord_Howe")])


@given(FIELDS, MOMENTS, ZONES, st.timedeltas(timedelta(0), timedelta(days=2)))
def test_next_and_last_agree_with_trying_every_minute(
    fields: tuple[str, ...], moment: datetime, zone: ZoneInfo, span: timedelta
) -> None:
    schedule, until = parse_schedule(" ".join(fields)), moment + span
    minute = moment.replace(second=0, microsecond=0) + timedelta(minutes=1)
    tried = []
    while minute <= until:
        local = minute.astimezone(zone)
        clock = local.minute in schedule.minutes and local.hour in schedule.hours
        if clock and schedule.fits_day(local.day, local.month, local.isoweekday() % 7):
            tried.append(minute)
        minute += timedelta(minutes=1)
    first = next_time(schedule, moment, zone)
    assert (first if first is not None and first <= until else None) == (tried[0] if tried else None)
    assert last_time(schedule, moment, until, zone) == (tried[-1] if tried else None)
    assert count_times(schedule, moment, until, zone, 5) == min(len(tried), 5)


def test_an_interval_is_counted_from_its_start() -> None:
    every = parse_schedule("@every 7m")
    assert last_time(every, at("2026-01-01T00:00:00"), at("2026-01-01T05:00:00")) == at("2026-01-01T04:54:00")
    assert last_time(every, at("2026-01-01T00:00:00"), at("2026-01-01T00:06:59")) is None
