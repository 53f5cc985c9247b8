"""When a cron schedule's times come: the next, the last, how many.

In a time zone an hour that a clock skips is skipped, and one that it repeats comes twice, as in Kubernetes.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

from netsim.api.cron import Schedule

_MINUTE, _DAY = timedelta(minutes=1), timedelta(days=1)
_HORIZON = timedelta(days=5 * 366)


def next_time(schedule: Schedule, after: datetime, zone: tzinfo = UTC) -> datetime | None:
    """The first time of the schedule after an aware one, in UTC; None if there is none in five years."""
    if schedule.every:
        return after.astimezone(UTC).replace(microsecond=0) + _interval(schedule)
    when = after.astimezone(UTC).replace(second=0, microsecond=0) + _MINUTE
    while when - after <= _HORIZON:
        later = _skip(schedule, when.astimezone(zone))
        if later is None:
            return when
        when = max(later.astimezone(UTC), when + _MINUTE)
    return None


def _interval(schedule: Schedule) -> timedelta:
    return timedelta(seconds=schedule.every)


def _skip(schedule: Schedule, local: datetime) -> datetime | None:
    """The start of the next month, day, hour or minute, if this one does not match; None if all do."""
    midnight = local.replace(hour=0, minute=0, fold=0)
    if local.month not in schedule.months:
        return (midnight.replace(day=1) + 32 * _DAY).replace(day=1)
    if not schedule.fits_day(local.day, local.month, local.isoweekday() % 7):
        return midnight + _DAY
    if local.hour not in schedule.hours:
        # In real minutes, so that an hour which the clock repeats is seen twice.
        return local.astimezone(UTC) + (60 - local.minute) * _MINUTE
    if local.minute not in schedule.minutes:
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
        return found + (until - found) // _interval(schedule) * _interval(schedule)
    while (later := next_time(schedule, found, zone)) is not None and later <= until:
        found = later
    return found


def count_times(schedule: Schedule, after: datetime, until: datetime, zone: tzinfo, most: int) -> int:
    """How many times of the schedule lie between, at most `most`."""
    count, when = 0, next_time(schedule, after, zone)
    while when is not None and when <= until and count < most:
        count, when = count + 1, next_time(schedule, when, zone)
    return count
