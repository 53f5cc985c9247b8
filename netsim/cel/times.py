"""Durations and timestamps: reading, writing, arithmetic, parts."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from netsim.cel.errors import EvaluationError
from netsim.cel.values import HIGHEST, LOWEST, SECOND, Duration, Timestamp

_UNITS = {
    "h": 3600 * SECOND,
    "m": 60 * SECOND,
    "s": SECOND,
    "ms": 10**6,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ns": 1,
}
_PIECE = re.compile(r"(\d+\.?\d*|\.\d+)(h|ms|m|s|us|µs|μs|ns)")
LONGEST_DURATION = 1000
"""Characters; Python reads no number of more than 4,300 digits."""
_DURATION = re.compile(rf"[-+]?(?:0|(?:{_PIECE.pattern})+)")
_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = -62135596800 * SECOND, 253402300800 * SECOND - 1


def parse_duration(text: str) -> Duration:
    """ "1h30m" and the like, in Go's syntax."""
    if len(text) > LONGEST_DURATION or _DURATION.fullmatch(text) is None:
        raise EvaluationError(f'time: invalid duration "{text}"')
    nanos = int(sum(Fraction(number) * _UNITS[unit] for number, unit in _PIECE.findall(text)))
    return _duration(-nanos if text[0] == "-" else nanos)


def _duration(nanos: int) -> Duration:
    if not LOWEST <= nanos <= HIGHEST:
        raise EvaluationError("duration overflow")
    return Duration(nanos)


def parse_timestamp(text: str) -> Timestamp:
    """RFC 3339."""
    found = _TIME.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        year, month, day, hour, minute, second = (int(found[i]) for i in range(1, 7))
        moment = datetime(year, month, day, hour, minute, second, tzinfo=_offset(found[8]))
    except (ValueError, OverflowError):
        raise EvaluationError(f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00": cannot parse it') from None
    whole = (moment - _EPOCH) // timedelta(seconds=1)
    return _timestamp(whole * SECOND + int(f"{found[7] or '0':0<9.9}"))


def _timestamp(nanos: int) -> Timestamp:
    if not _FIRST <= nanos <= _LAST:
        raise EvaluationError("timestamp overflow")
    return Timestamp(nanos)


def _offset(text: str) -> tzinfo:
    if text in "Zz":
        return UTC
    sign = -1 if text[0] == "-" else 1
    hours, _, minutes = text.lstrip("+-").partition(":")
    return timezone(sign * timedelta(hours=int(hours), minutes=int(minutes)))


def show_duration(span: Duration) -> str:
    """ "5400s": seconds with as many digits as it takes."""
    sign, rest = ("-" if span.nanos < 0 else ""), abs(span.nanos)
    whole, part = divmod(rest, SECOND)
    return f"{sign}{whole}" + (f".{part:09d}".rstrip("0") if part else "") + "s"


def show_timestamp(when: Timestamp) -> str:
    moment, part = _moment(when, UTC), when.nanos % SECOND
    text = moment.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
    return text + (f".{part:09d}".rstrip("0") if part else "") + "Z"


def _moment(when: Timestamp, zone: tzinfo) -> datetime:
    try:
        return (_EPOCH + timedelta(seconds=when.nanos // SECOND)).astimezone(zone)
    except OverflowError:  # Python's years are those from 1 to 9999, also where it is still or already another
        raise EvaluationError("timestamp overflow") from None


def _zone(name: str) -> tzinfo:
    try:
        if re.fullmatch(r"[+-]?\d\d:\d\d", name):
            return _offset(name)
        return UTC if name in ("", "UTC") else ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise EvaluationError(f"unknown time zone {name}") from None


_PARTS: dict[str, Callable[[datetime, int], int]] = {
    "getFullYear": lambda m, n: m.year,
    "getMonth": lambda m, n: m.month - 1,
    "getDate": lambda m, n: m.day,
    "getDayOfMonth": lambda m, n: m.day - 1,
    "getDayOfWeek": lambda m, n: m.isoweekday() % 7,
    "getDayOfYear": lambda m, n: m.timetuple().tm_yday - 1,
    "getHours": lambda m, n: m.hour,
    "getMinutes": lambda m, n: m.minute,
    "getSeconds": lambda m, n: m.second,
    "getMilliseconds": lambda m, n: n // 10**6,
}
_WHOLE = {"getHours": 3600 * SECOND, "getMinutes": 60 * SECOND, "getSeconds": SECOND, "getMilliseconds": 10**6}


def _toward_zero(number: int, unit: int) -> int:
    return number // unit if number >= 0 else -(-number // unit)


def _span_part(name: str) -> Callable[[Duration], int]:
    return lambda span: _toward_zero(span.nanos, _WHOLE[name])


def _time_part(name: str) -> Callable[..., int]:
    def part(when: Timestamp, zone: str = "UTC") -> int:
        return _PARTS[name](_moment(when, _zone(zone)), when.nanos % SECOND)

    return part


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "duration(string) duration": parse_duration,
    "duration(duration) duration": lambda span: span,
    "duration(int) duration": lambda number: _duration(number * SECOND),
    "timestamp(string) timestamp": parse_timestamp,
    "timestamp(timestamp) timestamp": lambda when: when,
    "timestamp(int) timestamp": lambda number: _timestamp(number * SECOND),
    "string(duration) string": show_duration,
    "string(timestamp) string": show_timestamp,
    "int(timestamp) int": lambda when: when.nanos // SECOND,
    "int(duration) int": lambda span: span.nanos,
    "_+_(duration,duration) duration": lambda a, b: _duration(a.nanos + b.nanos),
    "_+_(duration,timestamp) timestamp": lambda a, b: _timestamp(a.nanos + b.nanos),
    "_+_(timestamp,duration) timestamp": lambda a, b: _timestamp(a.nanos + b.nanos),
    "_-_(duration,duration) duration": lambda a, b: _duration(a.nanos - b.nanos),
    "_-_(timestamp,duration) timestamp": lambda a, b: _timestamp(a.nanos - b.nanos),
    "_-_(timestamp,timestamp) duration": lambda a, b: _duration(a.nanos - b.nanos),
    **{f"duration::{name}() int": _span_part(name) for name in _WHOLE},
    **{f"timestamp::{name}() int": _time_part(name) for name in _PARTS},
    **{f"timestamp::{name}(string) int": _time_part(name) for name in _PARTS},
}
