"""What the API's Go types call themselves and their fields: a decoder's complaints name them (pure).

Most names follow from the schemas. `go_types.json` holds the others, `{TYPE: {FIELD: GO TYPE}}` by OpenAPI name: a
container port's protocol is a `v1.Protocol`, the limits of a container are a `v1.ResourceList`.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, cast

from netsim.api import protobuf
from netsim.api.omitted import message_of

Schema = dict[str, Any]

REF = "#/components/schemas/"
_SCALARS = {"string": "string", "boolean": "bool", "number": "float64"}
_ELEMENTS = {
    "v1.ExtraValue": "string", "v1.ResourceList": "resource.Quantity", "v1.ValidationRules": "v1.ValidationRule",
    "v1.JSONSchemaDefinitions": "v1.JSONSchemaProps",
}  # fmt: skip
"""What named lists and maps hold."""


@cache
def _facts() -> dict[str, dict[str, str]]:
    return cast(dict[str, dict[str, str]], json.loads(Path(__file__).with_name("go_types.json").read_bytes()))


def field_type(owner: str, field: str, schema: Schema) -> str:
    """The Go type of a type's field, such as []v1.Container."""
    named: str = _facts().get(owner, {}).get(field, "")
    return named or written_type(schema)


def written_type(schema: Schema) -> str:
    """The Go type of a value, as far as its schema tells."""
    if "$ref" in schema:
        return ".".join(str(schema["$ref"]).removeprefix(REF).split(".")[-2:])
    kind, form = str(schema.get("type", "")), schema.get("format")
    if form == "byte":
        return "[]uint8"
    if kind == "integer":
        return cast(str, form or "int64")
    if kind == "array":
        return "[]" + written_type(schema.get("items", {}))
    if "additionalProperties" in schema:
        return "map[string]" + written_type(schema["additionalProperties"])
    return _SCALARS.get(kind, kind)


def element_type(go_type: str) -> str:
    """The Go type of what a list or map of the given Go type holds."""
    if go_type in _ELEMENTS:
        return _ELEMENTS[go_type]
    return go_type.partition("]")[2]


@cache
def embedded(owner: str) -> dict[str, str]:
    """The fields a type has from a struct within it, and that struct's name, as {"hostPath": "VolumeSource"}."""
    return protobuf.inlined(message_of(owner))
