"""Cron schedules: what they mean, and what is said of those that mean nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.api.cron import CronError, parse_schedule


def test_fields() -> None:
    schedule = parse_schedule("*/20 8-10,22 1 JAN,jul Mon-Fri/2")
    assert (sorted(schedule.minutes), sorted(schedule.hours)) == ([0, 20, 40], [8, 9, 10, 22])
    assert (sorted(schedule.days), sorted(schedule.months), sorted(schedule.weekdays)) == ([1], [1, 7], [1, 3, 5])
    assert sorted(parse_schedule("50/4 * * * *").minutes) == [50, 54, 58]


def test_days_fit_either_way_when_both_are_restricted() -> None:
    either = parse_schedule("0 0 13 * 5")
    assert either.fits_day(13, 1, 2) and either.fits_day(2, 1, 5) and not either.fits_day(2, 1, 2)
    friday = parse_schedule("0 0 * * 5")
    assert friday.fits_day(2, 1, 5) and not friday.fits_day(13, 1, 2)
    thirteenth = parse_schedule("0 0 13 2 ?")
    assert thirteenth.fits_day(13, 2, 2) and not thirteenth.fits_day(13, 1, 2)


def test_descriptors() -> None:
    assert parse_schedule("@daily") == parse_schedule("0 0 * * *")
    assert parse_schedule("@weekly").weekdays == {0}
    assert parse_schedule("@every 1h30m").every == 5400
    assert parse_schedule("@every 10ms").every == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty spec string"),
        ("* * *", "expected exactly 5 fields, found 3: [* * *]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("* * * * 7", "end of range (7) above maximum (6): 7"),
        ("5-2 * * * *", "beginning of range (5) beyond end of range (2): 5-2"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("*/1/2 * * * *", "too many slashes: */1/2"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("x * * * *", 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'),
        ("@often", "unrecognized descriptor: @often"),
        ("@every 5", 'failed to parse duration @every 5: time: invalid duration "5"'),
    ],
)
def test_refusals(text: str, why: str) -> None:
    with pytest.raises(CronError) as refusal:
        parse_schedule(text)
    assert str(refusal.value) == why


@given(st.text(alphabet="0123456789*/-,?@ adehilmnouwy", max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        schedule = parse_schedule(text)
    except CronError as refusal:
        assert str(refusal)
    else:
        assert schedule.every or (schedule.minutes and schedule.hours and schedule.days and schedule.months)
