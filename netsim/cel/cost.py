"""What a call costs, in steps. Values may hold one list many times over, so that few steps make what takes forever to
walk: functions that look at all of a value are charged for all of it, before they run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

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


CHARGES: dict[str, Charge] = {
    "_==_": _compared,
    "_!=_": _compared,
    "@in": lambda values, most: _searched(values[1], values[0], most),
    "indexOf": lambda values, most: _searched(values[0], values[1], most),
    "lastIndexOf": lambda values, most: _searched(values[0], values[1], most),
    **dict.fromkeys(("distinct", "flatten", "format"), _all),
    **dict.fromkeys(("sets.contains", "sets.equivalent", "sets.intersects"), _each_with_each),
}
"""The functions that look deeper than `shallow` counts."""
