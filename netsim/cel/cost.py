"""What a call costs, in steps. Values may hold one list many times over, so that few steps make what takes forever to
walk: functions that look at all of a value are charged for all of it, before they run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from math import ceil
from typing import Any

from netsim.cel.errors import EvaluationError
from netsim.cel.regex import Pattern, compiled, reading_steps
from netsim.cel.values import Optional

Charge = Callable[[Sequence[Any], int], int]
_DEEP = (list, dict, Optional)


def shallow(values: Sequence[Any]) -> int:
    """The steps that long values take."""
    total = 0
    for value in values:
        if isinstance(value, (str, bytes)):
            total += len(value) // 10
        elif isinstance(value, (list, dict)):
            total += len(value)
    return total


def weight(value: Any, most: int) -> int:
    """The steps of a walk through a value and all that is in it; no more are counted than a little over `most`."""
    total, ahead = 0, [value]
    while ahead and total <= most:
        each = ahead.pop()
        total += 1
        if isinstance(each, (str, bytes)):
            total += len(each) // 10
        elif isinstance(each, list):
            ahead.extend(each)
        elif isinstance(each, dict):
            ahead.extend(each.values())
        elif isinstance(each, Optional):
            ahead.append(each.value)
    return total


def _all(values: Sequence[Any], most: int) -> int:
    return weight(values, most)


def _compared(values: Sequence[Any], most: int) -> int:
    """The smaller one tells when two values differ."""
    if not (isinstance(values[0], _DEEP) and isinstance(values[1], _DEEP)):
        return 0
    return weight(values[0], weight(values[1], most))


def _searched(found: Any, item: Any, most: int) -> int:
    return len(found) * weight(item, most) if isinstance(found, list) else 1


def _each_with_each(values: Sequence[Any], most: int) -> int:
    one, other = values
    if not (isinstance(one, list) and isinstance(other, list)):
        return 1
    return len(one) * len(other) + min(len(one) * weight(other, most), len(other) * weight(one, most))


def _pattern_of(values: Sequence[Any]) -> Pattern | None:
    """None where the call will fail."""
    if not (isinstance(values[0], str) and isinstance(values[1], str)):
        return None
    try:
        return compiled(values[1])
    except EvaluationError:
        return None


def _matched(values: Sequence[Any], most: int) -> int:
    """The length of the text times that of the pattern, with Kubernetes' factors (cel-go's runtime cost of `matches`,
    k8s.io/apiserver's of `find`); a part that is repeated a thousand times is as long as that."""
    pattern = _pattern_of(values)
    if pattern is None:
        return 0
    return ceil((1 + len(values[0])) * 0.1) * ceil(max(len(values[1]), pattern.states) * 0.25)


def _matched_again(values: Sequence[Any], most: int) -> int:
    """Besides, every match may have needed a look at the rest of the text; a simple pattern's is a quick one."""
    total, pattern = _matched(values, most), _pattern_of(values)
    if pattern is None or total > most:
        return total
    left = len(values[0])
    for found in islice(pattern.each(values[0]), values[2] if len(values) > 2 and values[2] >= 0 else None):
        total += left * pattern.states // 2000
        left -= len(found)
        if total > most:
            break
    return total


def _read_first(search: Charge) -> Charge:
    """Also for compiling the pattern; a literal one of `matches` was compiled when the rule was checked."""

    def charge(values: Sequence[Any], most: int) -> int:
        reading = reading_steps(values[1]) if isinstance(values[1], str) else 0
        return reading if reading > most else reading + search(values, most - reading)

    return charge


_SEARCHES: dict[str, Charge] = {"matches": _matched, "find": _matched, "findAll": _matched_again}


def charge_of(function: str, literal: Sequence[bool]) -> Charge | None:
    """What a call is charged besides what `shallow` counts; `literal` says which of its values stand in the text."""
    search = _SEARCHES.get(function)
    if search is not None:
        return search if function == "matches" and literal[1] else _read_first(search)
    return _CHARGES.get(function)


_CHARGES: dict[str, Charge] = {
    "_==_": _compared,
    "_!=_": _compared,
    "@in": lambda values, most: _searched(values[1], values[0], most),
    "indexOf": lambda values, most: _searched(values[0], values[1], most),
    "lastIndexOf": lambda values, most: _searched(values[0], values[1], most),
    **dict.fromkeys(("distinct", "flatten", "format"), _all),
    **dict.fromkeys(("sets.contains", "sets.equivalent", "sets.intersects"), _each_with_each),
}
"""The functions that look deeper than `shallow` counts."""
