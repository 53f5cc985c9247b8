"""What Go's JSON decoder says of an object: of values that fit no field, unknown fields and fields given twice (pure).

The decoder goes through a text once. A value of the wrong type is remembered, the first is told; a type that reads
itself (amounts, times, IntOrString) ends it at once. Only where all values fit, unknown and repeated fields are told.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from netsim.api import schema
from netsim.api.canonical import QUANTITY, canonical_base64
from netsim.api.go_time import time_problem
from netsim.api.go_types import REF, element_type, embedded, field_type
from netsim.api.json_text import Literal, Pairs, json_type
from netsim.api.kinds import Kind
from netsim.api.quantity import quantity_problem
from netsim.api.schema import INT_BOUNDS, JSON_SCHEMA, SCHEMA_OR_ELSE, Gvk, Schema, resolve

_MOST_STRICT = 100
_SCHEMA_OR_BOOL = f"{JSON_SCHEMA}OrBool"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
_MICRO_TIME = f"{_META}.MicroTime"
_ANYTHING = frozenset(
    (
        f"{_META}.FieldsV1",
        "io.k8s.apimachinery.pkg.runtime.RawExtension",
        JSON_SCHEMA.replace("JSONSchemaProps", "JSON"),
    )
)
"""Types that are read later, if at all."""


class Misfit(NamedTuple):
    """A value of a wrong type: what it is (with the number, if that is too large or broken), the field of which
    struct it stands in, and the Go type and JSON type wanted."""

    found: str
    place: str
    wanted: str
    json_type: str

    def __str__(self) -> str:
        return f"json: cannot unmarshal {self.found} into Go struct field {self.place} of type {self.wanted}"


class Decoded(NamedTuple):
    """What is wrong with an object ("" if nothing is), and what only strict decoding refuses."""

    error: Misfit | str
    strict: list[str]


def decode(gvk: Gvk | Kind, obj: Any) -> Decoded:
    """What the decoder says of an object of a kind, given as Python has JSON or as `json_text.as_written` does."""
    return _decode(schema.type_name(gvk), obj)


def decode_error(gvk: Gvk | Kind, obj: Any) -> str:
    """The error alone, "" if there is none."""
    return str(decode(gvk, obj).error)


def _decode(name: str, obj: Any) -> Decoded:
    walk = _Walk()
    try:
        walk.value(obj, {"$ref": REF + name}, name.rpartition(".")[2], _Place("", (), ""))
    except _EndedError as end:
        return Decoded(end.problem, [])
    return Decoded(walk.error, [] if walk.error else list(walk.strict))


class _EndedError(Exception):
    """A type that reads itself refused a value; nothing is read any more."""

    def __init__(self, problem: Misfit | str) -> None:
        super().__init__(str(problem))
        self.problem = problem


class _Place(NamedTuple):
    """Where a value stands: the struct that owns the field, the fields that lead to it (with the structs that are
    embedded, without indices), and the path that strict decoding tells."""

    owner: str
    fields: tuple[str, ...]
    path: str

    def child(self, owner: str, key: str) -> _Place:
        name = owner.rpartition(".")[2]
        within = embedded(owner).get(key)
        return _Place(name, (*self.fields, *([within] if within else ()), key), self.key(key))

    def key(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def __str__(self) -> str:
        return ".".join((self.owner, *self.fields))


class _Walk:
    """One pass over a document: the first error, and the strict ones in the order of the text."""

    def __init__(self) -> None:
        self.error: Misfit | str = ""
        self.strict: dict[str, None] = {}

    def value(self, value: Any, facts: Schema, go_type: str, place: _Place) -> None:
        name, facts = resolve(facts)
        if value is None or _reads_itself(value, name, facts, place):
            return
        kind, found = facts.get("type", ""), json_type(value)
        if facts.get("format") == "byte":
            self._bytes(value, place)
        elif kind == "integer" and found == "number":
            if not _holds(value, str(facts.get("format", "int64"))):
                self._misfit(f"number {_digits(value)}", place, go_type, kind)
        elif found != {"integer": "number", "boolean": "bool"}.get(kind, kind):
            self._misfit(found, place, go_type, kind)
        elif found == "object":
            self._object(_pairs(value), name, facts, go_type, place)
        elif found == "array":
            for index, item in enumerate(value):
                at = place._replace(path=f"{place.path}[{index}]")
                self.value(item, facts.get("items", {}), element_type(go_type), at)

    def _object(self, pairs: Iterable[tuple[str, Any]], name: str, facts: Schema, go_type: str, place: _Place) -> None:
        properties, below = facts.get("properties"), facts.get("additionalProperties") or {}
        seen: set[str] = set()
        for key, item in pairs:
            if properties is not None and key not in properties:
                self._strict("unknown", place.key(key))
                continue
            if key in seen:
                self._strict("duplicate", place.key(key))
            seen.add(key)
            if properties is None:
                self.value(item, below, element_type(go_type), place._replace(path=place.key(key)))
            else:
                self.value(item, properties[key], field_type(name, key, properties[key]), place.child(name, key))

    def _bytes(self, value: Any, place: _Place) -> None:
        if not isinstance(value, str):
            self._misfit(json_type(value), place, "[]uint8", "array")
            return
        try:
            canonical_base64(value)
        except ValueError as error:
            self.error = self.error or str(error)

    def _misfit(self, found: str, place: _Place, wanted: str, kind: str) -> None:
        self.error = self.error or Misfit(found, str(place), wanted, kind)

    def _strict(self, what: str, path: str) -> None:
        if len(self.strict) < _MOST_STRICT:
            self.strict[f'{what} field "{path}"'] = None


def _reads_itself(value: Any, name: str, facts: Schema, place: _Place) -> bool:
    """Whether a value is of a type that reads itself, or takes anything; raises _EndedError for what that refuses."""
    form = facts.get("format")
    if name == QUANTITY:
        _end(quantity_problem(_digits(value)) if json_type(value) in ("string", "number") else quantity_problem("x"))
    elif form == "date-time":
        if not isinstance(value, str):
            raise _EndedError(Misfit(json_type(value), str(place), "string", "string"))
        _end(time_problem(value, micro=name == _MICRO_TIME))
    elif form == "int-or-string":
        found = json_type(value)
        if found == "number" and not _holds(value, "int32"):
            raise _EndedError(Misfit(f"number {_digits(value)}", str(place), "int32", "integer"))
        if found not in ("number", "string"):
            raise _EndedError(Misfit(found, str(place), "int32", "integer"))
    elif name in SCHEMA_OR_ELSE:
        _schema_or_else(value, name, place)
    else:
        return name in _ANYTHING
    return True


def _schema_or_else(value: Any, name: str, place: _Place) -> None:
    """A schema where something else may stand is read apart, without a word about unknown fields."""
    schemas = (
        value if isinstance(value, list) and not isinstance(value, Pairs) and name.endswith("OrArray") else [value]
    )
    for item in schemas:
        if json_type(item) == "object":
            error = _decode(JSON_SCHEMA, item).error
            if isinstance(error, Misfit):
                within = error.place.partition(".")[2]
                error = error._replace(place=f"{place}.{within}")
            if error:
                raise _EndedError(error)
    if name == _SCHEMA_OR_BOOL and json_type(value) not in ("object", "bool"):
        raise _EndedError("boolean or JSON schema expected")


def _end(problem: str) -> None:
    if problem:
        raise _EndedError(problem)


def _pairs(value: Any) -> Iterable[tuple[str, Any]]:
    return value if isinstance(value, Pairs) else value.items()


def _holds(value: Any, form: str) -> bool:
    low, high = INT_BOUNDS[form]
    return isinstance(value, int) and low <= value <= high


def _digits(value: Any) -> str:
    return value.text if isinstance(value, Literal) else str(value)
