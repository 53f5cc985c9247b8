"""Whether a schema is structural: the rules a CustomResourceDefinition's openAPIV3Schema must keep, in Kubernetes'
words ("Specifying a structural schema")."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from netsim.api.causes import forbidden, invalid, required, unsupported
from netsim.api.errors import Cause
from netsim.api.structural import (
    EMBEDDED,
    INT_OR_STRING,
    LIST_MAP_KEYS,
    LIST_TYPE,
    MAP_TYPE,
    PRESERVE,
    RULES,
    Schema,
    complete,
    has_rules,
    prune,
)
from netsim.api.structural_patterns import patterns_too_large
from netsim.api.structural_values import value_errors
from netsim.cel.errors import EvaluationError
from netsim.cel.regex import compiled

_MISSING = {
    "root": "must not be empty at the root",
    "item": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}
_UNSUPPORTED = ("additionalItems", "patternProperties", "definitions", "dependencies", "id", "$ref")
_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_NOT_NESTED = {
    "default": "must be undefined to be structural",
    "additionalProperties": "must be undefined to be structural",
    LIST_TYPE: "must be undefined to be structural",
    MAP_TYPE: "must be undefined to be structural",
    "type": "must be empty to be structural",
    "title": "must be empty to be structural",
    "description": "must be empty to be structural",
    LIST_MAP_KEYS: "must be empty to be structural",
    RULES: "must be empty to be structural",
    "nullable": "must be false to be structural",
    PRESERVE: "must be false to be structural",
    EMBEDDED: "must be false to be structural",
    INT_OR_STRING: "must be false to be structural",
}
_EITHER = [{"type": "integer"}, {"type": "string"}]


def schema_errors(schema: Any, path: str) -> list[Cause]:
    """Every rule that a version's openAPIV3Schema at `path` breaks, in the order of the fields' paths."""
    if not isinstance(schema, dict):
        return [required(path, "schemas are required")]
    if too_large := patterns_too_large(schema, path):
        return [too_large]
    problems = [*_level(schema, path, "root"), *_complete(schema, schema, path)]
    if not problems:
        problems = [cause for node, where in _places(schema, path) for cause in _default(node, where)]
    if has_rules(schema):
        problems += _rules(schema, path, compiling=not problems)
    return sorted(problems, key=lambda cause: (cause.field, cause.message))


def _rules(schema: Schema, path: str, *, compiling: bool) -> list[Cause]:
    """What is wrong with rules; they are compiled only where nothing else is. The language is loaded only for them."""
    from netsim.api.structural_cel_rules import Reading, expression_errors, form_errors

    problems = [cause for node, where in _places(schema, path) for cause in form_errors(node, where)]
    return list(expression_errors(schema, path, Reading())) if compiling and not problems else problems


def _level(schema: Schema, path: str, level: str) -> Iterator[Cause]:
    """A schema outside of value validation: it and everything below."""
    yield from _anywhere(schema, path)
    yield from _type(schema, path, level)
    yield from _extensions(schema, path)
    if level == "root" or schema.get(EMBEDDED):
        yield from _type_meta(schema, path, level)
    if isinstance(schema.get("items"), dict):
        yield from _level(schema["items"], f"{path}.items", "item")
    elif schema.get("type") == "array":
        yield required(f"{path}.items", "must be specified")
    below = schema.get("additionalProperties")
    if below is not None and level == "root":
        yield forbidden(f"{path}.additionalProperties", "must not be used at the root")
    if isinstance(below, dict):
        yield from _level(below, f"{path}.additionalProperties", "field")
    for name, field in (schema.get("properties") or {}).items():
        if not (level == "root" and name == "metadata"):
            yield from _level(field, f"{path}.properties[{name}]", "field")
    yield from _junctors(schema, path)


def _anywhere(schema: Schema, path: str) -> Iterator[Cause]:
    for name in _UNSUPPORTED:
        if schema.get(name):
            yield forbidden(f"{path}.{name}", f"{name} is not supported")
    if schema.get("uniqueItems"):
        why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield forbidden(f"{path}.uniqueItems", why)
    if not isinstance(schema.get("items") or {}, dict):
        yield forbidden(f"{path}.items", "items must be a schema object and not an array")
    if not isinstance(schema.get("additionalProperties") or {}, (dict, bool)):
        yield invalid(f"{path}.additionalProperties", schema["additionalProperties"], "must be a schema or a boolean")
    if schema.get("properties") and schema.get("additionalProperties") not in (None, True):
        yield forbidden(f"{path}.additionalProperties", "additionalProperties and properties are mutual exclusive")
    if schema.get("pattern"):
        try:
            compiled(schema["pattern"])
        except EvaluationError as error:
            why = f"must be a valid regular expression, but isn't: {error}"
            yield invalid(f"{path}.pattern", schema["pattern"], why)


def _type(schema: Schema, path: str, level: str) -> Iterator[Cause]:
    kind = schema.get("type") or ""
    where = f"{path}.type"
    if schema.get(EMBEDDED) and kind != "object":
        why = "must be object if x-kubernetes-embedded-resource is true"
        yield invalid(where, kind, why) if kind else required(where, why)
    elif not kind and not schema.get(INT_OR_STRING) and not schema.get(PRESERVE):
        yield required(where, _MISSING[level])
    elif level == "root" and kind not in ("", "object"):
        yield invalid(where, kind, "must be object at the root")
    elif kind == "null":
        yield forbidden(where, "type cannot be set to null, use nullable as an alternative")
    elif kind and kind not in _TYPES:
        yield unsupported(where, kind, _TYPES)


def _extensions(schema: Schema, path: str) -> Iterator[Cause]:
    if PRESERVE in schema and schema[PRESERVE] is not True:
        yield invalid(f"{path}.{PRESERVE}", schema[PRESERVE], "must be true or undefined")
    for name in (PRESERVE, EMBEDDED):
        if schema.get(INT_OR_STRING) and schema.get(name):
            yield invalid(f"{path}.{name}", True, f"must be false if {INT_OR_STRING} is true")
    if schema.get(EMBEDDED) and not schema.get(PRESERVE) and not schema.get("properties"):
        why = f"must not be empty if {EMBEDDED} is true without {PRESERVE}"
        yield required(f"{path}.properties", why)
    if schema.get(EMBEDDED) and schema.get("additionalProperties") is not None:
        yield forbidden(f"{path}.additionalProperties", f"must not be used if {EMBEDDED} is set")
    yield from _lists(schema, path)
    if schema.get(MAP_TYPE) is not None and schema[MAP_TYPE] not in ("atomic", "granular"):
        yield unsupported(f"{path}.{MAP_TYPE}", schema[MAP_TYPE], ("atomic", "granular"))


def _lists(schema: Schema, path: str) -> Iterator[Cause]:
    kind, keys = schema.get(LIST_TYPE), schema.get(LIST_MAP_KEYS) or []
    items = schema.get("items") if isinstance(schema.get("items"), dict) else {}
    if kind is None and not keys:
        return
    if kind not in (None, "atomic", "set", "map"):
        yield unsupported(f"{path}.{LIST_TYPE}", kind, ("atomic", "map", "set"))
    if kind is not None and schema.get("type") != "array":
        yield invalid(f"{path}.type", schema.get("type") or "", f"must be array if {LIST_TYPE} is {kind}")
    if keys and kind != "map":
        why = f"must be map if {LIST_MAP_KEYS} is non-empty"
        yield required(f"{path}.{LIST_TYPE}", why) if kind is None else invalid(f"{path}.{LIST_TYPE}", kind, why)
    if kind == "map":
        yield from _map_list(items, keys, path)


def _map_list(items: Any, keys: list[str], path: str) -> Iterator[Cause]:
    if not keys:
        yield required(f"{path}.{LIST_MAP_KEYS}", f"must not be empty if {LIST_TYPE} is map")
    if items.get("type") != "object":
        yield invalid(
            f"{path}.items.type", items.get("type") or "", f"must be object if parent array's {LIST_TYPE} is map"
        )
    for key in keys:
        field = (items.get("properties") or {}).get(key)
        if field is None:
            yield invalid(f"{path}.{LIST_MAP_KEYS}", key, f"must be one of the properties of {path}.items")
        elif key not in (items.get("required") or ()) and "default" not in field:
            why = f"this property is in {LIST_MAP_KEYS}, so it must have a default or be a required property"
            yield required(f"{path}.items.properties[{key}].default", why)


def _type_meta(schema: Schema, path: str, level: str) -> Iterator[Cause]:
    properties = schema.get("properties") or {}
    for name, kind in (("kind", "string"), ("apiVersion", "string"), ("metadata", "object")):
        found = (properties.get(name) or {}).get("type", "")
        if name in properties and found != kind:
            yield invalid(f"{path}.properties[{name}].type", found, f"must be {kind}")
    metadata = properties.get("metadata") or {}
    inside = set(metadata.get("properties") or ()) - {"name", "generateName"}
    if level == "root" and (inside or set(metadata) - {"type", "properties", "description"}):
        why = "must not specify anything other than name and generateName, but metadata is implicitly specified"
        yield forbidden(f"{path}.properties[metadata]", why)


# --- value validation --------------------------------------------------------------------------------------------


def _branches(schema: Schema, path: str) -> Iterator[tuple[Schema, str]]:
    for name in ("anyOf", "allOf", "oneOf"):
        for index, part in enumerate(schema.get(name) or ()):
            yield part, f"{path}.{name}[{index}]"
    if isinstance(schema.get("not"), dict):
        yield schema["not"], f"{path}.not"


def _junctors(schema: Schema, path: str) -> Iterator[Cause]:
    """Schemas in junctors may only judge values; the two patterns of int-or-string apart."""
    either = schema.get(INT_OR_STRING) and (
        schema.get("anyOf") == _EITHER or ((schema.get("allOf") or [{}])[0].get("anyOf") == _EITHER)
    )
    for part, where in _branches(schema, path):
        if not (either and (part in _EITHER or part.get("anyOf") == _EITHER)):
            yield from _nested(part, where)


def _nested(schema: Schema, path: str) -> Iterator[Cause]:
    yield from _anywhere(schema, path)
    for name, why in _NOT_NESTED.items():
        if schema.get(name):
            yield forbidden(f"{path}.{name}", why)
    if isinstance(schema.get("items"), dict):
        yield from _nested(schema["items"], f"{path}.items")
    for name, field in (schema.get("properties") or {}).items():
        yield from _nested(field, f"{path}.properties[{name}]")
    for part, where in _branches(schema, path):
        yield from _nested(part, where)


def _complete(structure: Schema, schema: Schema, path: str) -> Iterator[Cause]:
    """Every field and item that value validation names must be declared outside of it."""
    for part, where in _branches(schema, path):
        yield from _declared(structure, part, where)
    if isinstance(schema.get("items"), dict):
        yield from _complete(schema["items"], schema["items"], f"{path}.items")
    if isinstance(schema.get("additionalProperties"), dict):
        below = schema["additionalProperties"]
        yield from _complete(below, below, f"{path}.additionalProperties")
    for name, field in (schema.get("properties") or {}).items():
        yield from _complete(field, field, f"{path}.properties[{name}]")


def _declared(structure: Schema, nested: Schema, path: str) -> Iterator[Cause]:
    known = structure.get("properties") or {}
    for name, field in (nested.get("properties") or {}).items():
        where = f"{path}.properties[{name}]"
        if name in known:
            yield from _declared(known[name], field, where)
        elif not structure.get(PRESERVE):
            outside = re.sub(r"\.(anyOf|allOf|oneOf)\[\d+\]|\.not(?=\.|$)", "", where)
            yield required(outside, f"because it is defined in {where}")
    if isinstance(nested.get("items"), dict) and isinstance(structure.get("items"), dict):
        yield from _declared(structure["items"], nested["items"], f"{path}.items")
    for part, where in _branches(nested, path):
        yield from _declared(structure, part, where)


def _places(schema: Schema, path: str) -> Iterator[tuple[Schema, str]]:
    """The schema and every schema below it, outside of value validation."""
    yield schema, path
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            yield from _places(schema[name], f"{path}.{name}")
    for name, field in (schema.get("properties") or {}).items():
        yield from _places(field, f"{path}.properties[{name}]")


def _default(schema: Schema, path: str) -> Iterator[Cause]:
    """A default must be valid, and have no unknown fields."""
    if schema.get("default") is None:
        return
    facts = {key: value for key, value in schema.items() if key != "default"}
    holder = {"type": "object", "properties": {"default": facts}}
    value, unknown = prune(holder, {"default": schema["default"]})
    if unknown:
        yield invalid(f"{path}.default", schema["default"], "must not have unknown fields")
    for cause in value_errors(holder, complete(holder, value)):
        yield Cause(
            cause.reason, cause.message.replace("default in body", f"{path}.default in body"), f"{path}.default"
        )
