"""Values while an expression runs. Booleans, ints, doubles (float), strings, bytes, null, lists and maps are Python's;
an object is a dict by field name. Python's True == 1 and 1 == 1.0 ask for care with equality."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from netsim.cel.errors import EvaluationError
from netsim.cel.types import Type

LOWEST, HIGHEST, UINT_LIMIT = -(2**63), 2**63 - 1, 2**64
SECOND = 10**9


class UInt(int):
    """An unsigned integer."""


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    """A span of nanoseconds."""

    nanos: int


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """Nanoseconds since 1970, UTC."""

    nanos: int


@dataclass(frozen=True, slots=True)
class Optional:
    """A value, or none if `empty`."""

    value: Any = None
    empty: bool = False


NONE = Optional(empty=True)


class SetList(list[Any]):
    """A list whose order does not count, as `x-kubernetes-list-type: set` has it."""


class MapList(list[Any]):
    """A list of objects told apart by `keys`, whose order does not count."""

    keys: tuple[str, ...] = ()


class Opaque:
    """A value of a library's own type, `type_name`."""

    type_name = ""


_BY_CLASS: dict[type, str] = {
    bool: "bool", int: "int", UInt: "uint", float: "double", str: "string", bytes: "bytes", type(None): "null",
    list: "list", SetList: "list", MapList: "list", dict: "map", Duration: "duration", Timestamp: "timestamp",
    Optional: "optional", Type: "type",
}  # fmt: skip


def type_name(value: Any) -> str:
    """The name of a value's type, as `Type.name` has it."""
    return _BY_CLASS.get(type(value)) or value.type_name


def equal(one: Any, other: Any) -> bool:
    """CEL's equality: numbers by value whatever their type, other types never equal to each other."""
    first, second = type_name(one), type_name(other)
    if first in _NUMBERS and second in _NUMBERS:
        return bool(one == other)
    if first != second:
        return False
    if first == "list":
        return _equal_lists(one, other)
    if first == "map":
        return len(one) == len(other) and all(
            (there := find(other, key)) is not _MISSING and equal(value, there) for key, value in one.items()
        )
    if first == "optional":
        return one.empty == other.empty and (one.empty or equal(one.value, other.value))
    return bool(one == other)


_NUMBERS = frozenset(("int", "uint", "double"))
_MISSING = object()


def _equal_lists(one: list[Any], other: list[Any]) -> bool:
    if len(one) != len(other):
        return False
    if isinstance(one, MapList):
        there = {identity(item, one.keys): item for item in other}
        return all(equal(item, there.get(identity(item, one.keys))) for item in one)
    if isinstance(one, SetList):
        return frozenset(map(hashed, one)) == frozenset(map(hashed, other))
    return all(map(equal, one, other))


def identity(item: Any, keys: tuple[str, ...]) -> Hashable:
    """What tells an item of a list of type map from others."""
    return tuple(hashed(item.get(key)) for key in keys) if isinstance(item, dict) else hashed(item)


def hashed(value: Any) -> Hashable:
    """Equal for values that are `equal`."""
    if isinstance(value, list):
        return ("list", tuple(map(hashed, value)))
    if isinstance(value, dict):
        return ("map", frozenset((key, hashed(item)) for key, item in value.items()))
    if isinstance(value, Optional):
        return ("optional", value.empty, hashed(value.value))
    return ("bool", value) if isinstance(value, bool) else value


def find(entries: dict[Any, Any], key: Any) -> Any:
    """The value at a key, `missing()` if there is none. 1, 1u and 1.0 are one key, true and 1 are not."""
    if isinstance(key, bool):
        return next((v for k, v in entries.items() if k is key), _MISSING)
    if isinstance(key, (int, float)):
        if key not in (0, 1) or key not in entries:
            return entries.get(key, _MISSING)
        return next((v for k, v in entries.items() if k == key and not isinstance(k, bool)), _MISSING)
    return entries.get(key, _MISSING) if isinstance(key, str) else _MISSING


def is_missing(found: Any) -> bool:
    return found is _MISSING


def as_int(number: int) -> int:
    """The number, if it fits an int."""
    if not LOWEST <= number <= HIGHEST:
        raise EvaluationError("integer overflow")
    return int(number)


def as_uint(number: int) -> UInt:
    if not 0 <= number < UINT_LIMIT:
        raise EvaluationError("unsigned integer overflow")
    return UInt(number)
