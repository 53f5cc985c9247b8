"""The standard library: arithmetic, comparison, conversion, sizes, optional values."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from netsim.cel.errors import EvaluationError, no_such_overload
from netsim.cel.times import show_duration, show_timestamp
from netsim.cel.types import DYN, Type, list_of, map_of, optional_of
from netsim.cel.values import (
    HIGHEST,
    LOWEST,
    NONE,
    SECOND,
    UINT_LIMIT,
    Duration,
    MapList,
    Optional,
    SetList,
    Timestamp,
    UInt,
    as_int,
    as_uint,
    equal,
    find,
    hashed,
    identity,
    is_missing,
    type_name,
)

Functions = dict[str, Callable[..., Any]]


def _never(*values: Any) -> Any:
    """Computed by the evaluator itself, which must not compute every argument."""
    raise no_such_overload()


# --- arithmetic ----------------------------------------------------------------------------------------------------


def _divide(one: int, other: int) -> int:
    if other == 0:
        raise EvaluationError("division by zero")
    return abs(one) // abs(other) * (1 if (one < 0) == (other < 0) else -1)


def _modulo(one: int, other: int) -> int:
    """The remainder has the sign of the dividend."""
    if other == 0:
        raise EvaluationError("modulus by zero")
    return one - other * _divide(one, other)


def _divide_doubles(one: float, other: float) -> float:
    if other == 0:
        if one == 0 or math.isnan(one):
            return math.nan
        return math.copysign(math.inf, one) * math.copysign(1.0, other)
    return one / other


def _integers(name: str, fit: Callable[[int], int]) -> Functions:
    plain = {"_+_": operator.add, "_-_": operator.sub, "_*_": operator.mul, "_/_": _divide, "_%_": _modulo}
    return {f"{sign}({name},{name}) {name}": _fitted(compute, fit) for sign, compute in plain.items()}


def _fitted(compute: Callable[[int, int], int], fit: Callable[[int], int]) -> Callable[[int, int], int]:
    return lambda one, other: fit(compute(int(one), int(other)))


def _multiplied(one: float, other: float) -> float:
    return one * other


_ARITHMETIC: Functions = {
    **_integers("int", as_int),
    **_integers("uint", as_uint),
    "_+_(double,double) double": operator.add,
    "_-_(double,double) double": operator.sub,
    "_*_(double,double) double": _multiplied,
    "_/_(double,double) double": _divide_doubles,
    "-_(int) int": lambda number: as_int(-number),
    "-_(double) double": operator.neg,
    "!_(bool) bool": operator.not_,
}


# --- lists and texts -----------------------------------------------------------------------------------------------


def _joined(one: list[Any], other: list[Any]) -> list[Any]:
    """+ of two lists; of lists whose order does not count it is their union."""
    if isinstance(one, MapList):
        return _merged(one, other)
    if isinstance(one, SetList):
        known = set(map(hashed, one))
        return SetList([*one, *(item for item in other if hashed(item) not in known)])
    return [*one, *other]


def _merged(one: MapList, other: list[Any]) -> MapList:
    keys = one.keys
    newer = {identity(item, keys): item for item in other}
    made = MapList([newer.pop(identity(item, keys), item) for item in one])
    made.extend(newer.values())
    made.keys = keys
    return made


def _contains(item: Any, found: list[Any]) -> bool:
    return any(equal(item, each) for each in found)


_COLLECTIONS: Functions = {
    "_+_(string,string) string": operator.add,
    "_+_(bytes,bytes) bytes": operator.add,
    "_+_(list(A),list(A)) list(A)": _joined,
    "_[_](list(A),int) A": _never,
    "_[_](map(A,B),A) B": _never,
    "@in(A,list(A)) bool": _contains,
    "@in(A,map(A,B)) bool": lambda key, found: not is_missing(find(found, key)),
    **{f"size({each}) int": len for each in ("string", "bytes", "list(A)", "map(A,B)")},
    **{f"{each}::size() int": len for each in ("string", "bytes", "list(A)", "map(A,B)")},
}


# --- comparison ----------------------------------------------------------------------------------------------------

_ORDERS = {"_<_": operator.lt, "_<=_": operator.le, "_>_": operator.gt, "_>=_": operator.ge}
_ORDERED = ("bool", "int", "uint", "double", "string", "bytes", "duration", "timestamp")
_MIXED = [(a, b) for a in ("int", "uint", "double") for b in ("int", "uint", "double") if a != b]
_COMPARISON: Functions = {
    "_==_(A,A) bool": equal,
    "_!=_(A,A) bool": lambda one, other: not equal(one, other),
    **{f"{sign}({kind},{kind}) bool": compute for sign, compute in _ORDERS.items() for kind in _ORDERED},
    **{f"{sign}({one},{other}) bool": compute for sign, compute in _ORDERS.items() for one, other in _MIXED},
}


# --- conversion ----------------------------------------------------------------------------------------------------


def _to_int(number: float) -> int:
    if math.isnan(number) or not LOWEST < number < HIGHEST:
        raise EvaluationError("integer overflow")
    return int(number)


def _to_uint(number: float) -> UInt:
    if math.isnan(number) or not 0 <= number < UINT_LIMIT:
        raise EvaluationError("unsigned integer overflow")
    return UInt(int(number))


def _parsed(text: str, kind: str, read: Callable[[str], Any]) -> Any:
    try:
        if text != text.strip() or "_" in text or not text.isascii():
            raise ValueError
        return read(text)
    except ValueError:
        raise EvaluationError(f'cannot convert "{text}" to {kind}') from None


_BOOLS = dict.fromkeys(("1", "t", "true", "TRUE", "True"), True) | dict.fromkeys(
    ("0", "f", "false", "FALSE", "False"), False
)


def _to_bool(text: str) -> bool:
    if text not in _BOOLS:
        raise EvaluationError(f'strconv.ParseBool: parsing "{text}": invalid syntax')
    return _BOOLS[text]


def _to_text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise EvaluationError("invalid UTF-8 in bytes, cannot convert to string") from None


def show_double(number: float) -> str:
    """As short as it can be read back: 1, 2.5, 1e+21, NaN."""
    if math.isnan(number) or math.isinf(number):
        return "NaN" if math.isnan(number) else "+Inf" if number > 0 else "-Inf"
    if number == int(number) and abs(number) < 1e21:
        return str(int(number))
    mantissa, _, exponent = repr(number).partition("e")
    return f"{mantissa}e{int(exponent):+03d}" if exponent else mantissa


def show(value: Any) -> str:
    """string(value) of a simple value."""
    kind = type_name(value)
    if kind == "bool":
        return "true" if value else "false"
    if kind == "null":
        return "null"
    writers: dict[str, Callable[[Any], str]] = {
        "double": show_double, "bytes": _to_text, "duration": show_duration, "timestamp": show_timestamp,
    }  # fmt: skip
    return writers.get(kind, str)(value)


def type_value(value: Any) -> Type:
    """The type of a value, as a value."""
    name = type_name(value)
    known = {"list": list_of(DYN), "map": map_of(DYN, DYN), "optional": optional_of(DYN)}
    return known.get(name) or Type(name)


_CONVERSION: Functions = {
    **{f"{kind}({kind}) {kind}": lambda value: value for kind in ("bool", "int", "uint", "double", "string", "bytes")},
    "int(uint) int": lambda number: as_int(int(number)),
    "int(double) int": _to_int,
    "int(string) int": lambda text: as_int(_parsed(text, "int", int)),
    "uint(int) uint": as_uint,
    "uint(double) uint": _to_uint,
    "uint(string) uint": lambda text: as_uint(_parsed(text, "uint", int)),
    "double(int) double": float,
    "double(uint) double": float,
    "double(string) double": lambda text: _parsed(text, "double", float),
    **{f"string({kind}) string": show for kind in ("bool", "int", "uint", "double", "bytes")},
    "bytes(string) bytes": str.encode,
    "bool(string) bool": _to_bool,
    "dyn(A) dyn": lambda value: value,
    "type(A) type(A)": type_value,
}


# --- optional values -----------------------------------------------------------------------------------------------

_EMPTY: tuple[Any, ...] = (None, False, 0, "", b"", Duration(0), Timestamp(-62135596800 * SECOND))


def _of_non_zero(value: Any) -> Optional:
    kind = type_name(value)
    empty = not value if kind in ("list", "map") else any(type_name(e) == kind and e == value for e in _EMPTY)
    return NONE if empty or (kind in ("uint", "double") and value == 0) else Optional(value)


def _unwrapped(found: Optional) -> Any:
    if found.empty:
        raise EvaluationError("optional.none() dereference")
    return found.value


def _unwrapped_list(found: list[Any]) -> list[Any]:
    return [each.value for each in found if not each.empty]


_OPTIONAL: Functions = {
    "optional.of(A) optional(A)": Optional,
    "optional.none() optional(A)": lambda: NONE,
    "optional.ofNonZeroValue(A) optional(A)": _of_non_zero,
    "optional(A)::hasValue() bool": lambda found: not found.empty,
    "optional(A)::value() A": _unwrapped,
    "optional(A)::orValue(A) A": _never,
    "optional(A)::or(optional(A)) optional(A)": _never,
    "optional.unwrap(list(optional(A))) list(A)": _unwrapped_list,
    "list(optional(A))::unwrapOpt() list(A)": _unwrapped_list,
    "_[?_](list(A),int) optional(A)": _never,
    "_[?_](map(A,B),A) optional(B)": _never,
    "_[?_](optional(list(A)),int) optional(A)": _never,
    "_[?_](optional(map(A,B)),A) optional(B)": _never,
    "_[_](optional(list(A)),int) optional(A)": _never,
    "_[_](optional(map(A,B)),A) optional(B)": _never,
}
_LOGIC: Functions = {
    "_&&_(bool,bool) bool": _never,
    "_||_(bool,bool) bool": _never,
    "_?_:_(bool,A,A) A": _never,
}

FUNCTIONS: Functions = {**_LOGIC, **_ARITHMETIC, **_COLLECTIONS, **_COMPARISON, **_CONVERSION, **_OPTIONAL}
