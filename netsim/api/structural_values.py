"""Custom objects against the value validation of their schema: types, bounds, enums, junctors, unique lists.

The wording is that of Kubernetes' OpenAPI validation. With the object as it was, what has not changed is not judged
again (KEP-4008, "ratcheting"), so that a tightened schema does not lock old objects.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator
from typing import Any

from netsim.api import errors
from netsim.api.causes import duplicate, invalid, required, shown, too_long
from netsim.api.errors import Cause
from netsim.api.structural import EMBEDDED, INT_OR_STRING, LIST_MAP_KEYS, LIST_TYPE, Schema
from netsim.api.structural_formats import fits_format
from netsim.cel.regex import compiled

TOO_MANY = "FieldValueTooMany"
NOWHERE = "<nil>"
"""The field that Kubernetes names in errors of oneOf, anyOf and not."""
_INT_BOUNDS = {"int32": 2**31, "int64": 2**63}
_ABSENT = object()


class _Searches:
    """The patterns held against one object. RE2's time is at worst the text's length times the pattern's states, a
    nanosecond or so for each, so that one object could hold the server for minutes."""

    MOST = 300_000_000

    def __init__(self) -> None:
        self._left = self.MOST
        self.refused: list[Cause] = []
        """What was not searched, kept apart: below `not` or `oneOf` it must be no answer."""

    def finds(self, pattern: str, text: str, path: str) -> bool:
        engine = compiled(pattern)
        self._left -= len(text) * engine.states
        if self._left >= 0:
            return engine.found_in(text)
        why = f"is too long for '{pattern}' and the other patterns of this object's schema"
        self.refused.append(_bad(path, text[:100], why))
        return True


def value_errors(schema: Schema, value: Any, old: Any = _ABSENT) -> list[Cause]:
    """What is wrong with a pruned, defaulted object; `old` is what it was, for updates."""
    searches = _Searches()
    found = list(_errors(searches, schema, value, old, ""))
    return found + searches.refused


def _errors(searches: _Searches, schema: Schema, value: Any, old: Any, path: str) -> Iterator[Cause]:
    if old is not _ABSENT and old == value and type(old) is type(value):
        return
    problem = list(_type_error(schema, value, path))
    if problem or value is None:
        yield from problem
        return
    yield from _junctors(searches, schema, value, path)
    if isinstance(value, str):
        yield from _text_errors(searches, schema, value, path)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield from _number_errors(schema, value, path)
    elif isinstance(value, list):
        yield from _list_errors(searches, schema, value, old, path)
    if "enum" in schema and not any(same(value, choice) for choice in schema["enum"]):
        listed = ", ".join(shown(_plain(choice)) for choice in schema["enum"])
        message = f"Unsupported value: {shown(value)}: supported values: {listed}"
        yield Cause(errors.NOT_SUPPORTED, message, path)
    if isinstance(value, dict):
        yield from _object_errors(searches, schema, value, old, path)


def same(one: Any, other: Any) -> bool:
    """Equality of JSON values, to which true is not 1."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _plain(choice: Any) -> str:
    return choice if isinstance(choice, str) else shown(choice)


def _bad(path: str, value: Any, why: str) -> Cause:
    return invalid(path, value, f"{path} in body {why}")


# --- types -------------------------------------------------------------------------------------------------------


def json_type(value: Any) -> str:
    """The name of a JSON value's type; a number without a fraction is an integer."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "integer" if isinstance(value, int) or value.is_integer() else "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def _type_error(schema: Schema, value: Any, path: str) -> Iterator[Cause]:
    wanted = ["integer", "string"] if schema.get(INT_OR_STRING) else [schema["type"]] if schema.get("type") else []
    found = json_type(value)
    if not wanted or found in wanted or (found == "integer" and "number" in wanted):
        return
    if found == "null" and schema.get("nullable"):
        return
    why = f'{path} in body must be of type {",".join(wanted)}: "{found}"'
    yield Cause(errors.TYPE_INVALID, f'Invalid value: "{found}": {why}', path)


def _text_errors(searches: _Searches, schema: Schema, value: str, path: str) -> Iterator[Cause]:
    longest, shortest, pattern = schema.get("maxLength"), schema.get("minLength"), schema.get("pattern")
    if longest is not None and len(value) > longest:
        yield too_long(path, longest)
    if shortest is not None and len(value) < shortest:
        yield _bad(path, value, f"should be at least {shortest} chars long")
    if pattern and not searches.finds(pattern, value, path):
        yield _bad(path, value, f"should match '{pattern}'")
    form = schema.get("format") or ""
    if not fits_format(form, value):
        why = f"{path} in body must be of type {form}: {shown(value)}"
        yield Cause(errors.TYPE_INVALID, f"Invalid value: {shown(value)}: {why}", path)


def _number_errors(schema: Schema, value: float, path: str) -> Iterator[Cause]:
    least, most, step = schema.get("minimum"), schema.get("maximum"), schema.get("multipleOf")
    bound = _INT_BOUNDS.get(schema.get("format") or "")
    if bound is not None and not -bound <= value < bound:
        yield invalid(path, value, f"Checked value must be of type integer with format {schema['format']} in body")
    if most is not None and (value > most or (schema.get("exclusiveMaximum") and value == most)):
        yield _bad(path, value, f"should be less than {'' if schema.get('exclusiveMaximum') else 'or equal to '}{most}")
    if least is not None and (value < least or (schema.get("exclusiveMinimum") and value == least)):
        or_equal = "" if schema.get("exclusiveMinimum") else "or equal to "
        yield _bad(path, value, f"should be greater than {or_equal}{least}")
    if step and math.isfinite(value / step) and abs(value / step - round(value / step)) > 1e-9:
        yield _bad(path, value, f"should be a multiple of {step}")


# --- lists and objects -------------------------------------------------------------------------------------------


def _size_errors(schema: Schema, size: int, path: str, what: str, limits: tuple[str, str]) -> Iterator[Cause]:
    least, most = schema.get(limits[0]), schema.get(limits[1])
    if least is not None and size < least:
        yield _bad(path, size, f"should have at least {least} {what}")
    if most is not None and size > most:
        yield Cause(TOO_MANY, f"Too many: {size}: must have at most {most} items", path)


def _list_errors(searches: _Searches, schema: Schema, value: list[Any], old: Any, path: str) -> Iterator[Cause]:
    yield from _size_errors(schema, len(value), path, "items", ("minItems", "maxItems"))
    items, before = schema.get("items"), _counterparts(schema, value, old)
    if isinstance(items, dict):
        for index, item in enumerate(value):
            yield from _errors(searches, items, item, before[index], f"{path}[{index}]")
    if schema.get(LIST_TYPE) in ("set", "map"):
        seen: set[Hashable] = set()
        for index, item in enumerate(value):
            identity = _identity(schema, item)
            if _hashed(identity) in seen:
                yield duplicate(f"{path}[{index}]", identity)
            seen.add(_hashed(identity))


def _identity(schema: Schema, item: Any) -> Any:
    """What makes a list's item unique: itself, or its keys."""
    if schema.get(LIST_TYPE) != "map" or not isinstance(item, dict):
        return item
    return {key: item[key] for key in schema.get(LIST_MAP_KEYS) or () if key in item}


def _hashed(value: Any) -> Hashable:
    """A JSON value as what can be looked up; equal for those that are the `same`, all the way down."""
    if isinstance(value, dict):
        return frozenset((key, _hashed(item)) for key, item in value.items())
    if isinstance(value, list):
        return tuple(map(_hashed, value))
    return isinstance(value, bool), value


def _counterparts(schema: Schema, value: list[Any], old: Any) -> list[Any]:
    """The old item of each item, where one can be told: in a map list the one with the same keys."""
    if not isinstance(old, list) or schema.get(LIST_TYPE) != "map":
        return [_ABSENT] * len(value)
    known = {_hashed(_identity(schema, item)): item for item in reversed(old)}
    return [known.get(_hashed(_identity(schema, item)), _ABSENT) for item in value]


def _object_errors(searches: _Searches, schema: Schema, value: dict[str, Any], old: Any, path: str) -> Iterator[Cause]:
    yield from _size_errors(schema, len(value), path, "properties", ("minProperties", "maxProperties"))
    for name in schema.get("required") or ():
        if name not in value:
            yield required(f"{path}.{name}" if path else name)
    if schema.get(EMBEDDED):
        for name in ("apiVersion", "kind"):
            if not value.get(name):
                yield required(f"{path}.{name}", "must not be empty")
    properties, below = schema.get("properties") or {}, schema.get("additionalProperties")
    for key, item in value.items():
        facts = properties.get(key, below)
        if isinstance(facts, dict):
            before = old.get(key, _ABSENT) if isinstance(old, dict) else _ABSENT
            yield from _errors(searches, facts, item, before, f"{path}.{key}" if path else key)


# --- junctors ----------------------------------------------------------------------------------------------------


def _junctors(searches: _Searches, schema: Schema, value: Any, path: str) -> Iterator[Cause]:
    for part in schema.get("allOf") or ():
        found = list(_errors(searches, part, value, _ABSENT, path))
        if found:
            yield _junctor(f'"{path}" must validate all the schemas (allOf)')
            yield from found
            break
    alternatives = [] if schema.get(INT_OR_STRING) else schema.get("anyOf") or []
    tries = [list(_errors(searches, part, value, _ABSENT, path)) for part in alternatives]
    if tries and all(tries):
        yield _junctor(f'"{path}" must validate at least one schema (anyOf)')
        yield from min(tries, key=len)
    tries = [list(_errors(searches, part, value, _ABSENT, path)) for part in schema.get("oneOf") or ()]
    valid = sum(not found for found in tries)
    if tries and valid != 1:
        why = f"Found {valid} valid alternatives" if valid else "Found none valid"
        yield _junctor(f'"{path}" must validate one and only one schema (oneOf). {why}')
        yield from min(tries, key=len) if not valid else ()
    if isinstance(schema.get("not"), dict) and not list(_errors(searches, schema["not"], value, _ABSENT, path)):
        yield _junctor(f'"{path}" must not validate the schema (not)')


def _junctor(message: str) -> Cause:
    return Cause(errors.INVALID, f'Invalid value: "": {message}', NOWHERE)
