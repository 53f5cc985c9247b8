"""Type facts of the served kinds (`schema.json`, made by scripts/prune-schema) and what follows from them:
unknown fields, JSON types that do not fit, duplicate keys, and the form in which an object is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, cast

from netsim.api.canonical import CANONICAL, QUANTITY, canonical_base64
from netsim.api.errors import TYPE_INVALID, Cause
from netsim.api.kinds import Kind, Obj
from netsim.api.omitted import omitted_fields
from netsim.api.quantity import QUANTITY_MESSAGE, is_quantity
from netsim.api.schema_extra import EXTRA
from netsim.api.times import parse_time

Schema = dict[str, Any]
Gvk = tuple[str, str, str]

REF = "#/components/schemas/"
_GVK = "x-kubernetes-group-version-kind"
JSON_SCHEMA = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
SCHEMA_OR_ELSE = frozenset(f"{JSON_SCHEMA}Or{other}" for other in ("Array", "Bool", "StringArray"))
"""Types of which the facts say nothing: an object there is a schema."""
INT_BOUNDS = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}


@cache
def definitions() -> dict[str, Schema]:
    """Every type by its OpenAPI name, such as io.k8s.api.core.v1.Pod. Shared: not to be changed."""
    return cast(dict[str, Schema], json.loads(Path(__file__).with_name("schema.json").read_bytes())) | EXTRA


@cache
def _types_by_kind() -> dict[Gvk, str]:
    return {
        (gvk["group"], gvk["version"], gvk["kind"]): name
        for name, schema in definitions().items()
        for gvk in schema.get(_GVK, ())
    }


def type_of(group: str, version: str, kind: str) -> str | None:
    """OpenAPI name of a kind's type; also knows Binding, Eviction, Scale, TokenRequest, DeleteOptions."""
    return _types_by_kind().get((group, version, kind))


def type_of_kind(kind: Kind) -> str:
    """OpenAPI name of a served kind's type."""
    return _types_by_kind()[kind.group, kind.version, kind.kind]


def resolve(schema: Schema | None) -> tuple[str, Schema]:
    """(type name or "", schema) behind a possible `$ref`."""
    if not schema:
        return "", {}
    reference = schema.get("$ref")
    if reference is None:
        return "", schema
    name = reference.removeprefix(REF)
    return name, definitions()[name]


def type_name(gvk: Gvk | Kind) -> str:
    """OpenAPI name of a kind's type, served or not; KeyError when its facts are not there."""
    if isinstance(gvk, Kind):
        return type_of_kind(gvk)
    name = type_of(*gvk)
    if name is None:
        raise KeyError(f"no type facts for {gvk}; add the kind to scripts/prune-schema and run it")
    return name


# --- walking -----------------------------------------------------------------------------------------------------


def unknown_fields(gvk: Gvk | Kind, obj: Obj) -> list[str]:
    """Paths of fields the type does not have, such as `spec.containers[0].imagee`, in the object's order."""
    return list(_unknown(obj, {"$ref": REF + type_name(gvk)}, ""))


def _unknown(value: Any, schema: Schema, path: str) -> Iterator[str]:
    _, facts = resolve(schema)
    if isinstance(value, dict):
        properties = facts.get("properties")
        below: Schema = facts.get("additionalProperties") or {}
        for key, item in value.items():
            where = f"{path}.{key}" if path else key
            if properties is not None and key not in properties:
                yield where
            elif properties is not None or below:
                yield from _unknown(item, properties[key] if properties else below, where)
    elif isinstance(value, list) and "items" in facts:
        for index, item in enumerate(value):
            yield from _unknown(item, facts["items"], f"{path}[{index}]")


def prune(gvk: Gvk | Kind, obj: Obj) -> Obj:
    """The object as a typed decoder keeps it: without unknown fields, nulls (which in lists and maps are zeros) and
    empty fields that Go leaves out, amounts and times in the one text they have. Input untouched."""
    return cast(Obj, _prune(obj, {"$ref": REF + type_name(gvk)}))


def _prune(value: Any, schema: Schema) -> Any:
    name, facts = resolve(schema)
    if name in SCHEMA_OR_ELSE and isinstance(value, dict):
        name, facts = resolve({"$ref": REF + JSON_SCHEMA})
    if isinstance(value, list):
        items = facts.get("items", {})
        return [_prune(_zero(items) if item is None else item, items) for item in value]
    if not isinstance(value, dict):
        write = CANONICAL.get(name or str(facts.get("format")))
        return value if write is None or value is None else write(value)
    properties = facts.get("properties")
    if properties is None:
        below = facts.get("additionalProperties")
        return {k: _prune(_zero(below) if v is None else v, below) for k, v in value.items()} if below else value
    kept = {k: _prune(v, properties[k]) for k, v in value.items() if v is not None and k in properties}
    left_out = omitted(name)
    return {k: v for k, v in kept.items() if v or k not in left_out}


def omitted(name: str) -> frozenset[str]:
    """The fields of a type that are left out when they are empty."""
    return omitted_fields(name, tuple(definitions()[name].get("required", ()))) if name else frozenset()


def _zero(schema: Schema) -> Any:
    """What Go's decoder makes of null where no field can be left out; a time stays null."""
    name, facts = resolve(schema)
    if facts.get("format") == "date-time":
        return None
    if name == QUANTITY:
        return "0"
    return {"object": {}, "string": "", "integer": 0, "number": 0, "boolean": False}.get(facts.get("type", ""))


def typed_errors(gvk: Gvk | Kind, obj: Obj) -> list[Cause]:
    """Values whose JSON type (or, for times, quantities and base64, text) does not fit the field. The messages are
    those of a decoder; answer 400 with `decode_error(kind, causes)`."""
    name = type_name(gvk)
    return list(_type_errors(obj, {"$ref": REF + name}, _Place(_go_name(name), "", "")))


def decode_error(kind: Kind, causes: list[Cause]) -> str:
    """The text of the 400 that a body with wrong types gets; only the first is told, as a decoder stops there."""
    return f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {causes[0].message}'


class _Place:
    """Where a value stands: the struct that owns the field, the dotted path without and with list indices."""

    __slots__ = ("dotted", "owner", "path")

    def __init__(self, owner: str, dotted: str, path: str) -> None:
        self.owner, self.dotted, self.path = owner, dotted, path

    def child(self, owner: str, key: str) -> _Place:
        dotted = f"{self.dotted}.{key}" if self.dotted else key
        return _Place(owner, dotted, f"{self.path}.{key}" if self.path else key)

    def indexed(self, index: int | str) -> _Place:
        return _Place(self.owner, self.dotted, f"{self.path}[{index}]")


def _type_errors(value: Any, schema: Schema, place: _Place) -> Iterator[Cause]:
    name, facts = resolve(schema)
    if name in SCHEMA_OR_ELSE and isinstance(value, dict):
        name, facts = resolve({"$ref": REF + JSON_SCHEMA})
    if value is None:
        return
    problem = _mismatch(value, name, facts)
    if problem:
        yield Cause(TYPE_INVALID, problem.format(place=f"{place.owner}.{place.dotted}"), place.path)
    elif isinstance(value, dict):
        yield from _object_errors(value, name, facts, place)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _type_errors(item, facts.get("items", {}), place.indexed(index))


def _object_errors(value: Obj, name: str, facts: Schema, place: _Place) -> Iterator[Cause]:
    properties = facts.get("properties")
    below = facts.get("additionalProperties") or {}
    for key, item in value.items():
        if properties is None:
            yield from _type_errors(item, below, place.indexed(key))
        elif key in properties:
            yield from _type_errors(item, properties[key], place.child(_go_name(name), key))


def _mismatch(value: Any, name: str, facts: Schema) -> str:
    """A decoder's message with `{place}` to fill in, or "" if the value fits."""
    if name == QUANTITY:
        fits = isinstance(value, (str, int, float)) and not isinstance(value, bool) and is_quantity(value)
        return "" if fits else _literal(QUANTITY_MESSAGE)
    if facts.get("format") == "int-or-string":
        fits = isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))
        return "" if fits else _cannot(value, "intstr.IntOrString")
    expected, found = facts.get("type"), _json_type(value)
    if expected is None:
        return ""
    if found != expected and not (expected == "number" and found == "integer"):
        return _cannot(value, _go_type(name, facts))
    return _bad_content(value, facts)


def _bad_content(value: Any, facts: Schema) -> str:
    form = facts.get("format")
    if form in INT_BOUNDS and not INT_BOUNDS[form][0] <= value <= INT_BOUNDS[form][1]:
        return _cannot(value, str(form))
    if form == "byte":
        return _bad_base64(value)
    if form == "date-time":
        return bad_time(value)
    return ""


def bad_time(text: str) -> str:
    """What a decoder says to a time that is not RFC 3339, "" for one that is."""
    try:
        parse_time(text)
    except ValueError:
        return _literal(
            f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00": cannot parse "{text}" as an RFC 3339 time'
        )
    return ""


def _bad_base64(text: str) -> str:
    """What a decoder says to text that is not base64, "" for base64."""
    try:
        canonical_base64(text)
    except ValueError as error:
        return str(error)
    return ""


def _literal(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _cannot(value: Any, go_type: str) -> str:
    found = {"integer": "number", "boolean": "bool"}.get(_json_type(value), _json_type(value))
    if isinstance(value, (int, float)) and not isinstance(value, bool) and go_type in INT_BOUNDS:
        found = f"number {value}"
    return f"json: cannot unmarshal {found} into Go struct field {{place}} of type {_literal(go_type)}"


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    for python, name in ((str, "string"), (int, "integer"), (float, "number"), (dict, "object"), (list, "array")):
        if isinstance(value, python):
            return name
    return "null"


_GO_TYPES = {"string": "string", "boolean": "bool", "number": "float64"}


def _go_type(name: str, facts: Schema) -> str:
    kind = facts.get("type", "")
    if kind == "integer":
        return cast(str, facts.get("format", "int64"))
    if kind == "array":
        return "[]" + _go_element(facts.get("items", {}))
    if "additionalProperties" in facts:
        return "map[string]" + _go_element(facts["additionalProperties"])
    return _qualified(name) if kind == "object" and name else str(_GO_TYPES.get(kind, kind))


def _go_element(schema: Schema) -> str:
    name, facts = resolve(schema)
    return _qualified(name) if name else _go_type(name, facts)


def _qualified(name: str) -> str:
    return ".".join(name.split(".")[-2:])


def _go_name(name: str) -> str:
    return name.rpartition(".")[2]


# --- duplicates --------------------------------------------------------------------------------------------------


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as its pairs, so that repeated keys are still there."""


def duplicate_fields(body: bytes) -> list[str]:
    """Paths of keys that a JSON body gives more than once. Raises ValueError for what is not JSON."""
    return list(_duplicates(json.loads(body, object_pairs_hook=_Pairs), ""))


def _duplicates(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for key, item in value:
            where = f"{path}.{key}" if path else key
            if key in seen:
                yield where
            seen.add(key)
            yield from _duplicates(item, where)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _duplicates(item, f"{path}[{index}]")
