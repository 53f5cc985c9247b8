"""Custom objects and their structural schemas (apiextensions.k8s.io/v1): pruning, defaults, the published form.

A structural schema gives the type of every field, so that unknown fields can be told and dropped (Kubernetes,
"Specifying a structural schema", "Field pruning", "Defaulting and Nullable").
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from netsim.api import schema as types
from netsim.api.decoder import decode_error
from netsim.api.kinds import CONFIG_MAPS, Kind, Obj
from netsim.api.objects import copy_json

PRESERVE = "x-kubernetes-preserve-unknown-fields"
EMBEDDED = "x-kubernetes-embedded-resource"
INT_OR_STRING = "x-kubernetes-int-or-string"
LIST_TYPE, LIST_MAP_KEYS, MAP_TYPE = "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type"
RULES = "x-kubernetes-validations"
_OBJECT_META = {"$ref": types.REF + "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
_TYPE_META = ("apiVersion", "kind")

Schema = dict[str, Any]


def prune(schema: Schema, obj: Obj) -> tuple[Obj, list[str]]:
    """(the object without the fields its schema does not have, their paths). kind, apiVersion and the fields of
    ObjectMeta stay, at the root and in embedded resources. Input untouched."""
    unknown: list[str] = []
    pruned = _prune(schema, obj, "", unknown, True)
    return cast(Obj, pruned), unknown


def _prune(schema: Schema, value: Any, path: str, unknown: list[str], root: bool) -> Any:
    if isinstance(value, dict):
        return _prune_object(schema, value, path, unknown, root or bool(schema.get(EMBEDDED)))
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        return [_prune(schema["items"], item, f"{path}[{i}]", unknown, False) for i, item in enumerate(value)]
    return value


def _prune_object(schema: Schema, value: Obj, path: str, unknown: list[str], resource: bool) -> Obj:
    properties, below = schema.get("properties") or {}, schema.get("additionalProperties")
    kept: Obj = {}
    for key, item in value.items():
        where = f"{path}.{key}" if path else key
        if resource and key == "metadata" and isinstance(item, dict):
            kept[key] = _prune_metadata(item, where, unknown)
        elif resource and key in _TYPE_META:
            kept[key] = item
        elif key in properties:
            kept[key] = _prune(properties[key], item, where, unknown, False)
        elif isinstance(below, dict):
            kept[key] = _prune(below, item, where, unknown, False)
        elif below is True or schema.get(PRESERVE):
            kept[key] = item
        else:
            unknown.append(where)
    return kept


def _prune_metadata(metadata: Obj, path: str, unknown: list[str]) -> Obj:
    holder = {"metadata": metadata}
    unknown += [path + found.removeprefix("metadata") for found in types.unknown_fields(CONFIG_MAPS, holder)]
    return cast(Obj, types.prune(CONFIG_MAPS, holder)["metadata"])


def metadata_error(obj: Obj) -> str:
    """What a decoder says of metadata of the wrong types, "" if there is nothing to say."""
    return decode_error(CONFIG_MAPS, {"metadata": obj.get("metadata")})


def complete(schema: Schema, obj: Obj) -> Obj:
    """The object with the schema's defaults where fields are absent, and without nulls where they may not be. Input
    untouched."""
    copied = copy_json(obj)
    _complete(schema, copied)
    return cast(Obj, copied)


def _complete(schema: Schema, value: Any) -> None:
    if isinstance(value, dict):
        properties, below = schema.get("properties") or {}, schema.get("additionalProperties")
        for key, facts in properties.items():
            _fill(value, key, facts)
        if isinstance(below, dict):
            for key in [key for key in value if key not in properties]:
                _fill(value, key, below)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for item in value:
            _complete(schema["items"], item)


def _fill(owner: Obj, key: str, facts: Schema) -> None:
    """One field: its default if it is absent, or null where it may not be; then what is below it."""
    if owner.get(key) is None and not (key in owner and facts.get("nullable")):
        if facts.get("default") is not None:
            owner[key] = copy_json(facts["default"])
        else:
            owner.pop(key, None)
    if owner.get(key) is not None:
        _complete(facts, owner[key])


def has_defaults(schema: Any) -> bool:
    """Whether any field of the schema has a default."""
    return any("default" in found for found in nodes(schema))


def has_rules(schema: Any) -> bool:
    """Whether any place of the schema has rules in the Common Expression Language."""
    return any(found.get(RULES) for found in nodes(schema))


def nodes(schema: Any) -> Iterator[Schema]:
    """The schema and every schema in it, in value validation too."""
    if not isinstance(schema, dict):
        return
    yield schema
    for key in ("items", "additionalProperties", "not"):
        yield from nodes(schema.get(key))
    for key in ("allOf", "anyOf", "oneOf"):
        for found in schema.get(key) or ():
            yield from nodes(found)
    for found in (schema.get("properties") or {}).values():
        yield from nodes(found)


def published(schema: Schema, kind: Kind) -> Schema:
    """The schema as clients see it in OpenAPI documents, in the form of `schema.definitions()`: with kind, apiVersion
    and metadata, at the root and in embedded resources."""
    shown = _published(schema, True)
    gvk = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    return {"type": "object", **shown, "x-kubernetes-group-version-kind": [gvk]}


def _published(schema: Schema, root: bool) -> Schema:
    shown = {key: value for key, value in schema.items() if key not in (RULES, "id", "$schema", "example")}
    if shown.get(INT_OR_STRING):
        shown = {key: value for key, value in shown.items() if key not in ("type", "anyOf", "allOf")}
        shown["format"] = "int-or-string"
    if isinstance(schema.get("items"), dict):
        shown["items"] = _published(schema["items"], False)
    if isinstance(schema.get("additionalProperties"), dict):
        shown["additionalProperties"] = _published(schema["additionalProperties"], False)
    properties = {key: _published(below, False) for key, below in (schema.get("properties") or {}).items()}
    if root or schema.get(EMBEDDED):
        properties |= {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": _OBJECT_META}
    return {**shown, "properties": dict(sorted(properties.items()))} if properties else shown
