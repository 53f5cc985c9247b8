"""Times as the API writes them: RFC 3339 in UTC, whole seconds (Time) or microseconds (MicroTime)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86400, 365 * 86400


def format_time(when: datetime) -> str:
    """ "2026-01-01T00:00:00Z"; `when` must be aware."""
    return _text(when, "seconds")


def format_micro_time(when: datetime) -> str:
    """ "2026-01-01T00:00:00.000000Z"; `when` must be aware."""
    return _text(when, "microseconds")


def _text(when: datetime, smallest: str) -> str:
    in_utc = when if when.tzinfo is UTC else when.astimezone(UTC)
    return in_utc.isoformat(timespec=smallest)[: -len("+00:00")] + "Z"  # strftime takes several times as long


def parse_time(text: str) -> datetime:
    """An aware datetime from RFC 3339 with or without fraction; raises ValueError naming the text."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not an RFC 3339 time such as 2026-01-01T00:00:00Z") from error
    if when.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; write it as 2026-01-01T00:00:00Z")
    return when


def seconds_between(earlier: str, later: datetime) -> float:
    """Seconds from an API time to `later`."""
    return (later - parse_time(earlier)) / timedelta(seconds=1)


def short_duration(seconds: float) -> str:
    """kubectl's ages: 95s, 2m45s, 160m, 3h5m, 20h, 2d3h, 325d, 3y20d; "<invalid>" for the future (1 s is forgiven)."""
    total = int(seconds)
    if total < 0:
        return "0s" if total == -1 else "<invalid>"
    minutes, hours, days, years = total // _MINUTE, total // _HOUR, total // _DAY, total // _YEAR
    steps = (
        (2 * _MINUTE, f"{total}s", ""),
        (10 * _MINUTE, f"{minutes}m", _unit(total % _MINUTE, "s")),
        (3 * _HOUR, f"{minutes}m", ""),
        (8 * _HOUR, f"{hours}h", _unit(minutes % 60, "m")),
        (48 * _HOUR, f"{hours}h", ""),
        (8 * _DAY, f"{days}d", _unit(hours % 24, "h")),
        (2 * _YEAR, f"{days}d", ""),
        (8 * _YEAR, f"{years}y", _unit(days % 365, "d")),
    )
    return next((big + small for limit, big, small in steps if total < limit), f"{years}y")


def _unit(amount: int, unit: str) -> str:
    return f"{amount}{unit}" if amount else ""
