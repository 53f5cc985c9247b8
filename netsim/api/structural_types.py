"""Structural schemas as types of the Common Expression Language, and objects of such a schema as its values
(Kubernetes, "Validation rules": how types of OpenAPI map to those of CEL; escaping)."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from netsim.api.structural import EMBEDDED, INT_OR_STRING, LIST_MAP_KEYS, LIST_TYPE, Schema
from netsim.api.structural_values import json_type
from netsim.cel import types
from netsim.cel.errors import EvaluationError
from netsim.cel.times import LONGEST_DURATION, parse_duration, parse_timestamp
from netsim.cel.types import Type
from netsim.cel.values import MapList, SetList

Convert = Callable[[Any], Any]

_RESERVED = frozenset(
    (
        "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import",
        "let", "loop", "package", "namespace", "return", "var", "void", "while",
    )
)  # fmt: skip
_ESCAPES = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_FORMATS = {
    "byte": types.BYTES, "duration": types.DURATION, "date": types.TIMESTAMP, "date-time": types.TIMESTAMP,
}  # fmt: skip
_SCALARS = {"boolean": types.BOOL, "number": types.DOUBLE, "integer": types.INT}
_NAME: Schema = {"type": "string"}


def escaped(name: str) -> str | None:
    """A property's name as rules write it; None for one that they cannot reach."""
    if name in _RESERVED:
        return f"__{name}__"
    if re.fullmatch(r"[A-Za-z_./-][A-Za-z0-9_./-]*", name) is None:
        return None
    return re.sub(r"__|[-./]", lambda found: _ESCAPES[found[0]], name)


def _properties(schema: Schema, resource: bool) -> dict[str, Schema]:
    """The schema's properties; at the root of a resource with those that every one has, and nothing else of its
    metadata."""
    properties: dict[str, Schema] = schema.get("properties") or {}
    if not resource:
        return properties
    metadata = {"type": "object", "properties": {"name": _NAME, "generateName": _NAME}}
    return {**properties, "kind": _NAME, "apiVersion": _NAME, "metadata": metadata}


def _map_schema(schema: Schema) -> Schema | None:
    below = schema.get("additionalProperties")
    return below if isinstance(below, dict) else None


def declared(schema: Schema, resource: bool = False) -> Type | None:
    """The type of a schema; None for what rules do not see. `resource`: it has kind, apiVersion and metadata."""
    if schema.get(INT_OR_STRING):
        return types.DYN
    kind = schema.get("type")
    if kind == "array":
        return _declared_list(schema)
    if kind == "object":
        return _declared_object(schema, resource)
    if kind == "string":
        return _FORMATS.get(schema.get("format") or "", types.STRING)
    return _SCALARS.get(kind or "")


def _below(schema: Schema) -> Type | None:
    return declared(schema, bool(schema.get(EMBEDDED)))


def _declared_list(schema: Schema) -> Type | None:
    items = schema.get("items")
    inner = _below(items) if isinstance(items, dict) else None
    return types.list_of(inner) if inner is not None else None


def _declared_object(schema: Schema, resource: bool) -> Type | None:
    values = _map_schema(schema)
    if values is not None:
        inner = _below(values)
        return types.map_of(types.STRING, inner) if inner is not None else None
    fields: dict[str, Type] = {}
    for name, facts in _properties(schema, resource).items():
        key, inner = escaped(name), _below(facts)
        if key is not None and inner is not None:
            fields[key] = inner
    return types.object_of(fields)


# --- values --------------------------------------------------------------------------------------------------------


def converter(schema: Schema, resource: bool = False) -> Convert:
    """What makes values of CEL from values of a schema that has a type (`declared`). It raises EvaluationError for a
    value of another type: one that is left from an older schema, say."""
    if schema.get(INT_OR_STRING):
        return _int_or_string
    kind = str(schema.get("type") or "")
    makers: dict[str, Callable[[], Convert]] = {
        "array": lambda: _list_converter(schema),
        "object": lambda: _object_converter(schema, resource),
        "string": lambda: _TEXTS.get(schema.get("format") or "", _as_it_is),
        "number": lambda: float,
        "integer": lambda: int,
    }
    return _typed(kind, makers.get(kind, lambda: _as_it_is)())


def _typed(kind: str, convert: Convert) -> Convert:
    def check(value: Any) -> Any:
        if not _IS_OF[kind](value):
            raise EvaluationError(f"invalid data, expected {kind}, got {json_type(value)}")
        return convert(value)

    return check


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_IS_OF: dict[str, Callable[[Any], bool]] = {
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "number": _is_number,
    "integer": lambda value: _is_number(value) and value == value // 1,
}


def _as_it_is(value: Any) -> Any:
    return value


def _int_or_string(value: Any) -> Any:
    if not isinstance(value, str) and not _IS_OF["integer"](value):
        raise EvaluationError(
            f"invalid data, expected XIntOrString value to be either a string or integer, got {json_type(value)}"
        )
    return value if isinstance(value, str) else int(value)


_SPAN = re.compile(r"(\d+\.?\d*|\.\d+)\s*([a-zµ]+)")
_SECOND = 10**9
_UNITS = {
    "ns": 1, "us": 1000, "µs": 1000, "ms": 10**6, "s": _SECOND, "m": 60 * _SECOND, "h": 3600 * _SECOND,
    "d": 86400 * _SECOND, "w": 7 * 86400 * _SECOND, "nan": 1, "mic": 1000, "mil": 10**6, "sec": _SECOND,
    "min": 60 * _SECOND, "hou": 3600 * _SECOND, "day": 86400 * _SECOND,
}  # fmt: skip
"""Of the long names the first three letters tell."""


def _bytes(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:  # binascii.Error is one
        raise EvaluationError("invalid data, expected a base64 encoded string") from None


def _duration(value: str) -> Any:
    """ "1h30m", and what the format allows beside Go's: "2 days", "1w"."""
    parts = [(number, unit[:3] if len(unit) > 2 else unit) for number, unit in _SPAN.findall(value)]
    if not parts or len(value) > LONGEST_DURATION or any(unit not in _UNITS for _, unit in parts):
        return parse_duration(value)
    nanos = sum(Fraction(number) * _UNITS[unit] for number, unit in parts)
    return parse_duration(f"{'-' if value.startswith('-') else ''}{int(nanos)}ns")


def _date(value: str) -> Any:
    return parse_timestamp(value if "T" in value.upper() else f"{value}T00:00:00Z")


_TEXTS: dict[str, Convert] = {"byte": _bytes, "duration": _duration, "date": _date, "date-time": parse_timestamp}


def _nullable(convert: Convert) -> Convert:
    return lambda value: None if value is None else convert(value)


def _list_converter(schema: Schema) -> Convert:
    items = schema["items"]
    item = _nullable(converter(items, bool(items.get(EMBEDDED))))
    kind, keys = schema.get(LIST_TYPE), tuple(escaped(key) or "" for key in schema.get(LIST_MAP_KEYS) or ())

    def convert(value: Any) -> Any:
        made = [item(each) for each in value]
        if kind == "set":
            return SetList(made)
        if kind != "map":
            return made
        keyed = MapList(made)
        keyed.keys = keys
        return keyed

    return convert


def _object_converter(schema: Schema, resource: bool) -> Convert:
    values = _map_schema(schema)
    if values is not None:
        inner = _nullable(converter(values, bool(values.get(EMBEDDED))))
        return lambda value: {key: inner(each) for key, each in value.items()}
    fields: dict[str, tuple[str, Convert]] = {}
    for name, facts in _properties(schema, resource).items():
        key = escaped(name)
        if key is not None and _below(facts) is not None:
            fields[name] = key, converter(facts, bool(facts.get(EMBEDDED)))

    def convert(value: Any) -> dict[str, Any]:
        """A field that is null counts as absent."""
        given = ((name, each) for name, each in value.items() if each is not None and name in fields)
        return {fields[name][0]: fields[name][1](each) for name, each in given}

    return convert
