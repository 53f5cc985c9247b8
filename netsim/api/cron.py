"""Cron schedules as CronJobs write them: five fields, names of months and days, lists, ranges, steps, descriptors.

Source: the format of crontab(5) with the extensions of Vixie cron; `@every DURATION` is kept as seconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAY_NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTHS = {name: n + 1 for n, name in enumerate(_MONTH_NAMES)}
_DAYS = {name: n for n, name in enumerate(_DAY_NAMES)}
_FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, _MONTHS),
    (0, 6, _DAYS),
)
_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(h|ms|m|s)")
_SIGN = re.compile("[+-]?")
_UNIT_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_NUMBER_DIGITS = 9


class CronError(ValueError):
    """The schedule cannot be read; the text says why."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Which minutes, hours, days of the month (1-31), months (1-12) and days of the week (0 is Sunday) are meant.

    If both day fields are restricted, a day fits when either does; `every` seconds, if not 0, stands for all of it.
    """

    minutes: frozenset[int] = frozenset()
    hours: frozenset[int] = frozenset()
    days: frozenset[int] = frozenset()
    months: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()
    any_day: bool = True
    any_weekday: bool = True
    every: int = 0

    def fits_day(self, day: int, month: int, weekday: int) -> bool:
        """Whether the schedule is about that date; `weekday` counts from Sunday, 0."""
        if month not in self.months:
            return False
        by_day, by_weekday = day in self.days, weekday in self.weekdays
        return by_day and by_weekday if self.any_day or self.any_weekday else by_day or by_weekday


def parse_schedule(text: str) -> Schedule:
    """The schedule that "*/5 * * * mon-fri", "@daily" or "@every 1h30m" stand for; raises CronError."""
    if not text.strip():
        raise CronError("empty spec string")
    if text.startswith("@"):
        return _descriptor(text)
    fields = text.split()
    if len(fields) != len(_FIELDS):
        raise CronError(f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]")
    minutes, hours, days, months, weekdays = (_field(f, *bounds) for f, bounds in zip(fields, _FIELDS, strict=True))
    any_day, any_weekday = _is_free(fields[2]), _is_free(fields[4])
    return Schedule(minutes, hours, days, months, weekdays, any_day=any_day, any_weekday=any_weekday)


def _is_free(field: str) -> bool:
    """Whether a field is "*" or "?" somewhere; with a step above 1 it restricts, as Kubernetes' parser has it."""
    parts = (part.partition("/") for part in field.split(","))
    return any(span in ("*", "?") and step in ("", "1") for span, _, step in parts)


def _descriptor(text: str) -> Schedule:
    if text in _DESCRIPTORS:
        return parse_schedule(_DESCRIPTORS[text])
    if not text.startswith("@every "):
        raise CronError(f"unrecognized descriptor: {text}")
    duration = text.removeprefix("@every ")
    parts = _DURATION.findall(duration)
    if not parts or "".join(number + unit for number, unit in parts) != _SIGN.sub("", duration, count=1):
        raise CronError(f'failed to parse duration {text}: time: invalid duration "{duration}"')
    seconds = sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts) if duration[0] != "-" else 0
    return Schedule(every=max(1, int(seconds)))


def _field(text: str, low: int, high: int, names: dict[str, int]) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        found |= _range(part, low, high, names)
    return frozenset(found)


def _range(text: str, low: int, high: int, names: dict[str, int]) -> set[int]:
    span, slash, step_text = text.partition("/")
    if "/" in step_text:
        raise CronError(f"too many slashes: {text}")
    start_text, dash, end_text = span.partition("-")
    if "-" in end_text:
        raise CronError(f"too many hyphens: {text}")
    if start_text in ("*", "?"):
        start, end = low, high
    else:
        start = _number(start_text, names)
        end = _number(end_text, names) if dash else (high if slash else start)
    step = _number(step_text, {}) if slash else 1
    _check(text, start, end, step, low, high)
    return set(range(start, end + 1, step))


def _check(text: str, start: int, end: int, step: int, low: int, high: int) -> None:
    if start < low:
        raise CronError(f"beginning of range ({start}) below minimum ({low}): {text}")
    if end > high:
        raise CronError(f"end of range ({end}) above maximum ({high}): {text}")
    if start > end:
        raise CronError(f"beginning of range ({start}) beyond end of range ({end}): {text}")
    if step == 0:
        raise CronError(f"step of range should be a positive number: {text}")


def _number(text: str, names: dict[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    digits = text.isascii() and text.isdigit()
    if not digits or len(text) > _NUMBER_DIGITS:
        why = "value out of range" if digits else "invalid syntax"
        raise CronError(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": {why}')
    return int(text)
