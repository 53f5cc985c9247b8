"""Functions of lists and sets: Kubernetes' own, cel-go's lists (version 3) and sets."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from netsim.cel.errors import EvaluationError, no_such_overload
from netsim.cel.values import Duration, UInt, as_int, as_uint, equal, hashed, type_name

_ORDERED = ("int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes")
_LONGEST_RANGE = 1_000_000


def _comparable(values: Sequence[Any]) -> None:
    kinds = {type_name(value) for value in values}
    if len(kinds) > 1 or not kinds <= set(_ORDERED):
        raise no_such_overload()


def _is_sorted(found: list[Any]) -> bool:
    _comparable(found)
    return all(found[index] <= found[index + 1] for index in range(len(found) - 1))


def _extreme(name: str, choose: Callable[..., Any]) -> Callable[[list[Any]], Any]:
    def pick(found: list[Any]) -> Any:
        if not found:
            raise EvaluationError(f"{name} called on empty list")
        _comparable(found)
        return choose(found)

    return pick


def _sum(zero: Any) -> Callable[[list[Any]], Any]:
    """The sum of a list of the type that `zero` has."""

    def add(found: list[Any]) -> Any:
        if any(type_name(item) != type_name(zero) for item in found):
            raise no_such_overload()
        if isinstance(zero, Duration):
            return Duration(as_int(sum(item.nanos for item in found)))
        total = sum(found)
        return float(total) if isinstance(zero, float) else as_uint(total) if isinstance(zero, UInt) else as_int(total)

    return add


def _index_of(found: list[Any], item: Any) -> int:
    return next((index for index, each in enumerate(found) if equal(each, item)), -1)


def _last_index_of(found: list[Any], item: Any) -> int:
    return next((index for index in reversed(range(len(found))) if equal(found[index], item)), -1)


def _slice(found: list[Any], start: int, end: int) -> list[Any]:
    if start < 0 or end < 0:
        raise EvaluationError(f"cannot slice({start}, {end}), negative indexes not supported")
    if start > end:
        raise EvaluationError(f"cannot slice({start}, {end}), start index must be less than or equal to end index")
    if end > len(found):
        raise EvaluationError(f"cannot slice({start}, {end}), list is length {len(found)}")
    return list(found[start:end])


def _flatten(found: list[Any], depth: int = 1) -> list[Any]:
    if depth < 0:
        raise EvaluationError("level must be non-negative")
    flat: list[Any] = []
    for item in found:
        flat.extend(_flatten(item, depth - 1) if isinstance(item, list) and depth > 0 else [item])
    return flat


def _distinct(found: list[Any]) -> list[Any]:
    first: dict[Hashable, Any] = {}
    for item in found:
        first.setdefault(hashed(item), item)
    return list(first.values())


def sorted_by(found: list[Any], keys: Sequence[Any]) -> list[Any]:
    """The items in the order of their keys."""
    _comparable(keys)
    return [found[index] for index in sorted(range(len(found)), key=keys.__getitem__)]


def _range(count: int) -> list[int]:
    if count > _LONGEST_RANGE:
        raise EvaluationError(f"lists.range: at most {_LONGEST_RANGE} elements")
    return list(range(count))


def _within(one: list[Any], other: list[Any]) -> bool:
    """Whether every element of `other` is in `one`."""
    return all(any(equal(item, each) for each in one) for item in other)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{f"list({kind})::isSorted() bool": _is_sorted for kind in _ORDERED},
    **{f"list({kind})::min() {kind}": _extreme("min", min) for kind in _ORDERED},
    **{f"list({kind})::max() {kind}": _extreme("max", max) for kind in _ORDERED},
    "list(int)::sum() int": _sum(0),
    "list(uint)::sum() uint": _sum(UInt(0)),
    "list(double)::sum() double": _sum(0.0),
    "list(duration)::sum() duration": _sum(Duration(0)),
    "list(A)::indexOf(A) int": _index_of,
    "list(A)::lastIndexOf(A) int": _last_index_of,
    "list(A)::slice(int,int) list(A)": _slice,
    "list(dyn)::flatten() list(dyn)": _flatten,
    "list(dyn)::flatten(int) list(dyn)": _flatten,
    "list(A)::distinct() list(A)": _distinct,
    "list(A)::reverse() list(A)": lambda found: found[::-1],
    **{f"list({kind})::sort() list({kind})": lambda found: sorted_by(found, found) for kind in _ORDERED},
    "lists.range(int) list(int)": _range,
    "sets.contains(list(A),list(A)) bool": _within,
    "sets.equivalent(list(A),list(A)) bool": lambda one, other: _within(one, other) and _within(other, one),
    "sets.intersects(list(A),list(A)) bool": lambda one, other: any(any(equal(a, b) for b in other) for a in one),
}
