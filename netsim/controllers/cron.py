"""Cron schedules as CronJobs write them: five fields, or @hourly and the like, or "@every 1h30m".

The rules are those of the crontab(5) manual as Kubernetes reads it: names of months and weekdays, lists, ranges and
steps; Sunday is 0; a day matches by either day field when both are restricted. In a time zone an hour that a clock
skips is skipped, and one that it repeats comes twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NAMED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_MINUTE, _DAY = timedelta(minutes=1), timedelta(days=1)
_HORIZON = timedelta(days=5 * 366)


@dataclass(frozen=True, slots=True)
class Field:
    """The values of one field; `free` if it is a plain "*" or "?"."""

    values: frozenset[int]
    free: bool


@dataclass(frozen=True, slots=True)
class Schedule:
    """A parsed schedule; `every`, where it is set, is all that counts."""

    minute: Field
    hour: Field
    day: Field
    month: Field
    weekday: Field
    every: timedelta = timedelta()

    def suits_day(self, when: datetime) -> bool:
        """Whether the date matches the day fields."""
        by_day, by_weekday = when.day in self.day.values, when.isoweekday() % 7 in self.weekday.values
        return by_day and by_weekday if self.day.free or self.weekday.free else by_day or by_weekday


@lru_cache(1024)
def parse_schedule(text: str) -> Schedule:
    """Raises ValueError that names the part which cannot be read."""
    every = timedelta()
    if text.startswith("@every "):
        every, text = _duration(text.removeprefix("@every ").strip()), "@daily"
    if text.startswith("@") and text not in _NAMED:
        raise ValueError(f"unrecognized descriptor: {text}")
    parts = _NAMED.get(text, text).split()
    if len(parts) != 5:
        raise ValueError(f"expected exactly 5 fields, found {len(parts)}: [{' '.join(parts)}]")
    return Schedule(
        minute=_field(parts[0], 0, 59),
        hour=_field(parts[1], 0, 23),
        day=_field(parts[2], 1, 31),
        month=_field(parts[3], 1, 12, _MONTHS),
        weekday=_field(parts[4], 0, 6, _WEEKDAYS),
        every=every,
    )


def _duration(text: str) -> timedelta:
    match = _DURATION.fullmatch(text)
    hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (0, 0, 0)
    if not hours and not minutes and not seconds:
        raise ValueError(f"failed to parse duration @every {text}: write it as 1h30m or 90s")
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def _field(text: str, low: int, high: int, words: tuple[str, ...] = ()) -> Field:
    names = {word: number for number, word in enumerate(words, low)}
    ranges = [_range(part, low, high, names) for part in text.split(",")]
    return Field(frozenset(value for values, _ in ranges for value in values), any(free for _, free in ranges))


def _range(text: str, low: int, high: int, names: dict[str, int]) -> tuple[range, bool]:
    span, slash, step_text = text.partition("/")
    step = _number(step_text, {}) if slash else 1
    if step == 0:
        raise ValueError(f"step of range should be a positive number: {text}")
    if span in ("*", "?"):
        return range(low, high + 1, step), step == 1
    first_text, dash, last_text = span.partition("-")
    first = _number(first_text, names)
    last = _number(last_text, names) if dash else high if slash else first
    if first < low:
        raise ValueError(f"beginning of range ({first}) below minimum ({low}): {text}")
    if last > high:
        raise ValueError(f"end of range ({last}) above maximum ({high}): {text}")
    if first > last:
        raise ValueError(f"beginning of range ({first}) beyond end of range ({last}): {text}")
    return range(first, last + 1, step), False


def _number(text: str, names: dict[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    if not text.isascii() or not text.isdecimal():
        raise ValueError(f"failed to parse int from {text!r}")
    return int(text)


def next_time(schedule: Schedule, after: datetime, zone: tzinfo = UTC) -> datetime | None:
    """The first time of the schedule after an aware one, in UTC; None if there is none in five years."""
    if schedule.every:
        return after.astimezone(UTC).replace(microsecond=0) + schedule.every
    when = after.astimezone(UTC).replace(second=0, microsecond=0) + _MINUTE
    while when - after <= _HORIZON:
        later = _skip(schedule, when.astimezone(zone))
        if later is None:
            return when
        when = max(later.astimezone(UTC), when + _MINUTE)
    return None


def _skip(schedule: Schedule, local: datetime) -> datetime | None:
    """The start of the next month, day, hour or minute, if this one does not match; None if all do."""
    midnight = local.replace(hour=0, minute=0, fold=0)
    if local.month not in schedule.month.values:
        return (midnight.replace(day=1) + 32 * _DAY).replace(day=1)
    if not schedule.suits_day(local):
        return midnight + _DAY
    if local.hour not in schedule.hour.values:
        # In real minutes, so that an hour which the clock repeats is seen twice.
        return local.astimezone(UTC) + (60 - local.minute) * _MINUTE
    if local.minute not in schedule.minute.values:
        return local.astimezone(UTC) + _MINUTE
    return None


def last_time(schedule: Schedule, after: datetime, until: datetime, zone: tzinfo = UTC) -> datetime | None:
    """The last time of the schedule after `after` and not after `until`: sought in ever wider windows before
    `until`."""
    window = timedelta(hours=1)
    while True:
        start = max(after, until - window)
        # An interval is counted from where it began, not from wherever one looks.
        found = next_time(schedule, after if schedule.every else start, zone)
        if found is not None and found <= until:
            return _last_from(schedule, found, until, zone)
        if start <= after:
            return None
        window *= 8


def _last_from(schedule: Schedule, found: datetime, until: datetime, zone: tzinfo) -> datetime:
    if schedule.every:
        return found + (until - found) // schedule.every * schedule.every
    while (later := next_time(schedule, found, zone)) is not None and later <= until:
        found = later
    return found


def count_times(schedule: Schedule, after: datetime, until: datetime, zone: tzinfo, most: int) -> int:
    """How many times of the schedule lie between, at most `most`."""
    count, when = 0, next_time(schedule, after, zone)
    while when is not None and when <= until and count < most:
        count, when = count + 1, next_time(schedule, when, zone)
    return count
