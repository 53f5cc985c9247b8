"""Times as Go's decoder reads them, and its words for what is none (pure). Facts: time.Parse of RFC 3339, with six
digits of a second where a MicroTime is wanted."""

from __future__ import annotations

import calendar
import re

from netsim.api.go_text import quoted

_LAYOUT = "2006-01-02T15:04:05Z07:00"
_MICRO_LAYOUT = "2006-01-02T15:04:05.000000Z07:00"
_FRACTION = re.compile(r"[.,]\d+")
_STEPS = (
    ("", "2006", "", re.compile(r"\d{4}")),
    ("-", "01", "month", re.compile(r"\d\d")),
    ("-", "02", "", re.compile(r"\d\d")),
    ("T", "15", "hour", re.compile(r"\d\d?")),
    (":", "04", "minute", re.compile(r"\d\d")),
    (":", "05", "second", re.compile(r"\d\d")),
)
"""Separator, how the layout writes the number, what it is called out of range, its digits."""
_RANGES = {"month": range(1, 13), "hour": range(24), "minute": range(60), "second": range(60)}
_ZONE = re.compile(r"Z|[+-]\d\d:\d\d")
_ZONE_HOURS, _ZONE_MINUTES = 24, 60
_LEAP = 4
"""Has the days of the year 0, which calendar does not know."""


def time_problem(text: str, *, micro: bool = False) -> str:
    """What the decoder says of a text that is no time, "" for one that is."""
    rest, numbers = text, list[int]()
    for separator, layout, name, digits in _STEPS:
        if not rest.startswith(separator):
            return _unread(text, rest, separator, micro)
        rest = rest[len(separator) :]
        found = digits.match(rest)
        if found is None:
            return _unread(text, rest, layout, micro)
        numbers.append(int(found[0]))
        rest = rest[found.end() :]
        if name and numbers[-1] not in _RANGES[name]:
            return f"parsing time {quoted(text)}: {name} out of range"
    return _end_problem(text, rest, numbers, micro)


def _end_problem(text: str, rest: str, numbers: list[int], micro: bool) -> str:
    """What is wrong from the fraction of the second on, or with the day."""
    fraction = _FRACTION.match(rest)
    if micro and (fraction is None or fraction.end() < len(".000000")):
        return _unread(text, rest, ".000000", micro)
    rest = rest[7 if micro else fraction.end() if fraction else 0 :]
    zone = _ZONE.match(rest)
    if zone is None:
        return _unread(text, rest, "Z07:00", micro)
    wrong = _out_of_range(zone[0], *numbers[:3])
    if not wrong and zone.end() < len(rest):
        wrong = f"extra text: {quoted(rest[zone.end() :])}"
    return f"parsing time {quoted(text)}: {wrong}" if wrong else ""


def _out_of_range(zone: str, year: int, month: int, day: int) -> str:
    if len(zone) > 1 and int(zone[1:3]) > _ZONE_HOURS:
        return "time zone offset hour out of range"
    if len(zone) > 1 and int(zone[4:]) > _ZONE_MINUTES:
        return "time zone offset minute out of range"
    return "" if 1 <= day <= calendar.monthrange(year or _LEAP, month)[1] else "day out of range"


def _unread(text: str, rest: str, wanted: str, micro: bool) -> str:
    layout = _MICRO_LAYOUT if micro else _LAYOUT
    return f"parsing time {quoted(text)} as {quoted(layout)}: cannot parse {quoted(rest)} as {quoted(wanted)}"
