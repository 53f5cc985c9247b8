"""How the values of a type merge: the topology facts of an OpenAPI schema, compiled once.

Facts (Kubernetes, "Server-Side Apply", merge strategy): `x-kubernetes-map-type` granular (default) or atomic,
`x-kubernetes-list-type` atomic (default), set or map with `x-kubernetes-list-map-keys`. Where the schema says nothing,
the value decides: maps are granular, lists atomic.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from netsim.api.schema import REF, Gvk, Schema, definitions, type_of

SCALAR, ATOMIC, MAP, KEYED, SET, ANY = "scalar", "atomic", "map", "keyed", "set", "any"

_OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_NUMERIC = ("integer", "number")
_KEY_DEFAULTS = {"protocol": "TCP"}
"""Defaults of list keys of the built-in types: the schema's own are gone from `schema.json`."""


class FieldType:
    """One type. `relation` is how it merges; `fields` are the declared fields of a map and `element` the type of its
    other values (None: there are none) or of a list's items; `keys` and `defaults` are those of a keyed list;
    `shape` is map, list, string, numeric, boolean or "" (anything)."""

    __slots__ = ("defaults", "element", "fields", "keys", "relation", "shape")

    def __init__(self, relation: str) -> None:
        self.relation = relation
        self.shape = ""
        self.fields: Mapping[str, FieldType] = {}
        self.element: FieldType | None = None
        self.keys: tuple[str, ...] = ()
        self.defaults: Mapping[str, Any] = {}

    def below(self, key: str) -> FieldType:
        """The type of a map's value; of an undeclared one, what its value makes of it."""
        return self.fields.get(key) or self.element or UNKNOWN


UNKNOWN = FieldType(ANY)


@cache
def built_in_type(gvk: Gvk) -> FieldType:
    """The type of a kind of `schema.json`; of another kind, one that knows only its metadata."""
    name = type_of(*gvk)
    return _named(name) if name else custom_type({"type": "object"})


def custom_type(schema: Schema) -> FieldType:
    """The type of a custom resource from its OpenAPI v3 schema (structural, so without references)."""
    found = _Compiler().compile({"type": "object", **schema})
    scalar = FieldType(SCALAR)
    head = {"apiVersion": scalar, "kind": scalar, "metadata": _named(_OBJECT_META)}
    found.fields = {**found.fields, **head}
    return found


def _named(name: str) -> FieldType:
    return _BUILT_IN.named(name)


_WHATEVER = ".RawExtension"
"""Any object, which is owned as a whole."""


class _Compiler:
    """Schemas to types. Named types are compiled once and may contain themselves."""

    def __init__(self) -> None:
        self._named: dict[str, FieldType] = {}

    def named(self, name: str) -> FieldType:
        found = self._named.get(name)
        if found is None:
            found = self._named[name] = FieldType(ANY)
            self._fill(found, definitions()[name])
            if name.endswith(_WHATEVER):
                found.relation = ATOMIC
        return found

    def compile(self, schema: Schema) -> FieldType:
        reference = schema.get("$ref")
        if reference is None:
            return self._fill(FieldType(ANY), schema)
        name = reference.removeprefix(REF)
        own = {key: fact for key, fact in schema.items() if key in ("x-kubernetes-map-type", "x-kubernetes-list-type")}
        return self._fill(FieldType(ANY), {**definitions()[name], **own}) if own else self.named(name)

    def _fill(self, found: FieldType, schema: Schema) -> FieldType:
        kind = schema.get("type")
        if kind == "object":
            self._fill_map(found, schema)
        elif kind == "array":
            self._fill_list(found, schema)
        elif kind is not None or "oneOf" in schema or schema.get("x-kubernetes-int-or-string"):
            found.relation = SCALAR
            found.shape = "numeric" if kind in _NUMERIC else kind or ""
        return found

    def _fill_map(self, found: FieldType, schema: Schema) -> None:
        found.shape = "map"
        found.relation = ATOMIC if schema.get("x-kubernetes-map-type") == "atomic" else MAP
        found.fields = {key: self.compile(below) for key, below in (schema.get("properties") or {}).items()}
        below = schema.get("additionalProperties")
        open_ended = not found.fields or schema.get("x-kubernetes-preserve-unknown-fields")
        found.element = self.compile(below) if isinstance(below, dict) else UNKNOWN if open_ended else None
        if schema.get("x-kubernetes-embedded-resource"):
            found.fields = {**found.fields, "metadata": _named(_OBJECT_META)}

    def _fill_list(self, found: FieldType, schema: Schema) -> None:
        items = schema.get("items")
        found.shape = "list"
        found.element = self.compile(items) if isinstance(items, dict) else UNKNOWN
        found.relation = {"map": KEYED, "set": SET}.get(str(schema.get("x-kubernetes-list-type")), ATOMIC)
        if found.relation == KEYED:
            found.keys = tuple(sorted(schema.get("x-kubernetes-list-map-keys") or ()))
            found.defaults = _key_defaults(found.keys, items or {})


def _key_defaults(keys: tuple[str, ...], items: Schema) -> dict[str, Any]:
    """What stands for a key that an item leaves out."""
    properties = items.get("properties") or {}
    stated = {key: properties[key]["default"] for key in keys if "default" in properties.get(key, {})}
    built_in = {key: _KEY_DEFAULTS[key] for key in keys if key in _KEY_DEFAULTS and "$ref" in items}
    return {**built_in, **stated}


_BUILT_IN = _Compiler()
