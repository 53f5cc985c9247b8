"""Whether an object is already in the form a typed decoder keeps it in: the common case, decided in one quick walk.

Every type is compiled once to a predicate. What does not fit is looked at again by `schema`, which finds the words.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from netsim.api.canonical import CANONICAL, canonical_base64
from netsim.api.kinds import Kind, Obj
from netsim.api.schema import (
    INT_BOUNDS,
    JSON_SCHEMA,
    SCHEMA_OR_ELSE,
    Gvk,
    Schema,
    definitions,
    omitted,
    resolve,
    type_name,
)

Fits = Callable[[Any], bool]
_EXACT: dict[str, type] = {"string": str, "boolean": bool}


def fits(kind: Gvk | Kind, obj: Obj) -> bool:
    """True if `decoder.decode` finds nothing and `schema.prune` changes nothing."""
    return _type_fits(type_name(kind))(obj)


@cache
def _type_fits(name: str) -> Fits:
    form = CANONICAL.get(name)
    if form is not None:
        return lambda value: type(value) is str and _is_canonical(form, value)
    if name in SCHEMA_OR_ELSE:
        return lambda value: _type_fits(JSON_SCHEMA)(value) if type(value) is dict else value is not None
    facts = definitions()[name]
    return _struct_fits(facts["properties"], omitted(name)) if "properties" in facts else _compile(facts)


def _is_canonical(form: Callable[[Any], str], text: str) -> bool:
    try:
        return form(text) == text
    except ValueError:
        return False


def _compile(schema: Schema) -> Fits:
    """The predicate of a schema. None never fits: where it is allowed, it is dropped, which is a change."""
    name, facts = resolve(schema)
    if name:
        return _type_fits(name)
    if facts.get("format") == "int-or-string":
        low, high = INT_BOUNDS["int32"]
        return lambda value: type(value) is str or (type(value) is int and low <= value <= high)
    kind = facts.get("type")
    if kind == "object":
        return _compile_object(facts)
    if kind == "array":
        return _compile_array(facts)
    return _compile_scalar(str(kind), str(facts.get("format")))


def _compile_object(facts: Schema) -> Fits:
    if "properties" in facts:
        return _struct_fits(facts["properties"])
    below = facts.get("additionalProperties")
    if not below:
        return lambda value: type(value) is dict
    every = _compile(below)
    return lambda value: type(value) is dict and all(map(every, value.values()))


def _struct_fits(properties: dict[str, Schema], omitted: frozenset[str] = frozenset()) -> Fits:
    fields: dict[str, Fits] = {}  # compiled when they are first met: types may contain themselves
    plain = {key: kind for key, below in properties.items() if (kind := _plain_type(below)) is not None}

    def fits_struct(value: Any) -> bool:
        if type(value) is not dict:
            return False
        for key, item in value.items():  # a generator for each object would take half of the time
            if not item and key in omitted:
                return False
            if plain.get(key) is type(item):
                continue
            if key not in fields:
                if key not in properties:
                    return False
                fields[key] = _compile(properties[key])
            if not fields[key](item):
                return False
        return True

    return fits_struct


def _plain_type(schema: Schema) -> type | None:
    """The type that a value needs and no more, if that is so: most fields are texts, and need no call then."""
    return _EXACT.get(str(schema.get("type"))) if "$ref" not in schema and not schema.get("format") else None


def _compile_array(facts: Schema) -> Fits:
    every = _compile(facts.get("items", {}))
    return lambda value: type(value) is list and all(map(every, value))


def _compile_scalar(kind: str, form: str) -> Fits:
    if kind == "string" and form == "byte":
        return lambda value: type(value) is str and _is_canonical(canonical_base64, value)
    if kind == "integer":
        low, high = INT_BOUNDS.get(form, INT_BOUNDS["int64"])
        return lambda value: type(value) is int and low <= value <= high
    exact = _EXACT.get(kind)
    if exact is not None:
        return lambda value: type(value) is exact
    if kind == "number":
        return lambda value: type(value) is float or type(value) is int
    return lambda value: value is not None
