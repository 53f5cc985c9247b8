"""Type facts of the served kinds (`schema.json`, made by scripts/prune-schema) and what follows from them: unknown
fields, and the form in which an object is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, cast

from netsim.api.canonical import CANONICAL, QUANTITY
from netsim.api.kinds import Kind, Obj
from netsim.api.omitted import omitted_fields
from netsim.api.schema_extra import EXTRA

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
