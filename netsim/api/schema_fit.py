"""Objects in the form that a typed decoder keeps them in, made in one quick walk where nothing is wrong with them.

Every type is compiled once to a function. What does not fit is looked at again by `decoder`, which finds the words.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import cache
from typing import Any, cast

from netsim.api.canonical import CANONICAL, QUANTITY, canonical_base64
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

Keep = Callable[[Any], Any]
"""From a value to the same as it is kept (the value itself, if nothing changes), or to MISFIT."""
_EXACT: dict[str, type] = {"string": str, "boolean": bool}
_MISFIT: Any = object()


def kept(kind: Gvk | Kind, obj: Obj) -> Obj | None:
    """What `schema.prune` makes of an object, itself if that changes nothing; None if `decoder.decode` may find
    something. Nulls in lists and maps, and broken numbers as amounts, which are rare, are left to those two."""
    found = _keep_type(type_name(kind))(obj)
    return None if found is _MISFIT else cast(Obj, found)


def fits(kind: Gvk | Kind, obj: Obj) -> bool:
    """True if `decoder.decode` finds nothing and `schema.prune` changes nothing."""
    return kept(kind, obj) is obj


@cache
def _keep_type(name: str) -> Keep:
    form = CANONICAL.get(name)
    if form is not None:
        return _keep_amount(form) if name == QUANTITY else _keep_text(form)
    if name in SCHEMA_OR_ELSE:
        return lambda value: _keep_type(JSON_SCHEMA)(value) if type(value) is dict else _not_null(value)
    facts = definitions()[name]
    return _keep_struct(facts["properties"], omitted(name)) if "properties" in facts else _compile(facts)


def _keep_text(form: Callable[[Any], str]) -> Keep:
    def keep_text(value: Any) -> Any:
        if type(value) is not str:
            return _MISFIT
        try:
            written = form(value)
        except ValueError:
            return _MISFIT
        return value if written == value else written

    return keep_text


def _keep_amount(form: Callable[[Any], str]) -> Keep:
    keep_text = _keep_text(form)
    return lambda value: form(value) if type(value) is int else keep_text(value)


def _not_null(value: Any) -> Any:
    return _MISFIT if value is None else value


def _compile(schema: Schema) -> Keep:
    """The function of a schema. None never fits: fields that are null are dropped by what they are fields of."""
    name, facts = resolve(schema)
    if name:
        return _keep_type(name)
    if facts.get("format") == "int-or-string":
        low, high = INT_BOUNDS["int32"]
        return lambda value: value if type(value) is str or (type(value) is int and low <= value <= high) else _MISFIT
    kind = facts.get("type")
    if kind == "object":
        return _keep_object(facts)
    if kind == "array":
        return _keep_array(facts)
    return _keep_scalar(str(kind), str(facts.get("format")))


def _keep_object(facts: Schema) -> Keep:
    if "properties" in facts:
        return _keep_struct(facts["properties"])
    below = facts.get("additionalProperties")
    if not below:
        return lambda value: value if type(value) is dict else _MISFIT
    every = _compile(below)

    def keep_map(value: Any) -> Any:
        if type(value) is not dict:
            return _MISFIT
        items = list(value.values())
        found = _keep_all(every, items)
        if found is items:
            return value
        return _MISFIT if found is _MISFIT else dict(zip(value, found, strict=True))

    return keep_map


def _keep_struct(properties: dict[str, Schema], omitted: frozenset[str] = frozenset()) -> Keep:
    fields: dict[str, Keep] = {}  # compiled when they are first met: types may contain themselves
    plain = {key: kind for key, below in properties.items() if (kind := _plain_type(below)) is not None}

    def keep_field(key: str, item: Any) -> Any:
        """None for a field that is left out."""
        if key not in properties:
            return _MISFIT
        if item is None:
            return None
        if key not in fields:
            fields[key] = _compile(properties[key])
        found = fields[key](item)
        return None if not found and key in omitted else found

    def keep_struct(value: Any) -> Any:
        if type(value) is not dict:
            return _MISFIT
        changes: Obj = {}
        for key, item in value.items():  # a generator for each object would take half of the time
            if plain.get(key) is type(item) and (item or key not in omitted):
                continue
            found = keep_field(key, item)
            if found is _MISFIT:
                return _MISFIT
            if found is not item or found is None:
                changes[key] = found
        return {k: v for k, v in (value | changes).items() if v is not None} if changes else value

    return keep_struct


def _plain_type(schema: Schema) -> type | None:
    """The type that a value needs and no more, if that is so: most fields are texts, and need no call then."""
    return _EXACT.get(str(schema.get("type"))) if "$ref" not in schema and not schema.get("format") else None


def _keep_array(facts: Schema) -> Keep:
    every = _compile(facts.get("items", {}))
    return lambda value: _keep_all(every, value) if type(value) is list else _MISFIT


def _keep_all(every: Keep, items: list[Any]) -> Any:
    """The list itself, if all items are kept as they are."""
    found = list(map(every, items))
    if all(map(operator.is_, found, items)):
        return items
    return _MISFIT if any(item is _MISFIT for item in found) else found


def _keep_scalar(kind: str, form: str) -> Keep:
    if kind == "string" and form == "byte":
        return _keep_text(canonical_base64)
    if kind == "integer":
        low, high = INT_BOUNDS.get(form, INT_BOUNDS["int64"])
        return lambda value: value if type(value) is int and low <= value <= high else _MISFIT
    exact = _EXACT.get(kind)
    if exact is not None:
        return lambda value: value if type(value) is exact else _MISFIT
    if kind == "number":
        return lambda value: value if type(value) is float or type(value) is int else _MISFIT
    return _not_null
