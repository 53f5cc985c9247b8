"""The OpenAPI v2 document (pure): as protobuf (gnostic's openapi.v2.Document), which kubectl up to 1.28 insists on, and
as JSON, which generators of clients and editors read.

It serves their client-side validation, `explain`, and the question whether a kind's PATCH knows `dryRun`. Field numbers
are those of openapiv2/OpenAPIv2.proto. Extensions are YAML text, for which JSON does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from netsim.api.kinds import Kind, Obj
from netsim.api.schema import REF
from netsim.server.discovery import tag_of
from netsim.server.openapi import (
    INFO,
    TYPES,
    extensions,
    patch_types,
    schema_of,
    tag_name,
    types_of,
    variables,
)
from netsim.server.operations import Operation, operations
from netsim.server.registry import Registry

_METHODS = {"get": 2, "put": 3, "post": 4, "delete": 5, "options": 6, "head": 7, "patch": 8}
_PLAIN = {"Quantity": "string", "IntOrString": "string"}
"""Types that OpenAPI v2 cannot say the alternatives of: v2 has no oneOf."""


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, data: bytes) -> bytes:
    return _number(number << 3 | 2) + _number(len(data)) + data


def _text(number: int, text: str) -> bytes:
    return _field(number, text.encode()) if text else b""


def _flag(number: int, value: bool) -> bytes:
    return _number(number << 3) + b"\1" if value else b""


def _any(value: Any) -> bytes:
    """openapi.v2.Any."""
    return _text(2, json.dumps(value, separators=(",", ":")))


def _named(name: str, value: bytes) -> bytes:
    """NamedSchema, NamedPathItem, NamedAny and their like."""
    return _text(1, name) + _field(2, value)


def _schema(schema: Obj) -> bytes:
    """openapi.v2.Schema."""
    if "$ref" in schema:
        return _text(1, "#/definitions/" + schema["$ref"].removeprefix(REF)) + _extensions(schema)
    fields = [_text(2, schema.get("format", "")), _text(4, schema.get("description", ""))]
    if "default" in schema:
        fields.append(_field(5, _any(schema["default"])))
    fields += [_text(19, name) for name in schema.get("required", ())]
    fields += [_field(20, _any(value)) for value in schema.get("enum", ())]
    below = schema.get("additionalProperties")
    if isinstance(below, dict):
        fields.append(_field(21, _field(1, _schema(below))))
    if _type(schema):
        fields.append(_field(22, _text(1, _type(schema))))
    if "items" in schema:
        fields.append(_field(23, _field(1, _schema(schema["items"]))))
    if "properties" in schema:
        fields.append(_field(25, _properties(schema["properties"])))
    return b"".join(fields) + _extensions(schema)


def _type(schema: Obj) -> str:
    if schema.get("format") == "int-or-string":
        return "string"
    return str(schema.get("type", ""))


def _properties(properties: Obj) -> bytes:
    return b"".join(_field(1, _named(name, _schema(value))) for name, value in properties.items())


def _extensions(schema: Obj) -> bytes:
    return b"".join(_field(31, _named(key, _any(value))) for key, value in schema.items() if key[:2] == "x-")


def _plain(name: str, schema: Obj) -> str | None:
    return _PLAIN.get(name.rpartition(".")[2]) if "oneOf" in schema and "type" not in schema else None


def _definition(name: str, schema: Obj) -> bytes:
    plain = _plain(name, schema)
    return _schema({"type": plain, "format": schema.get("format", "")} if plain else schema)


def _parameter(name: str, place: str) -> bytes:
    """A ParametersItem with a NonBodyParameter: one in the query (3) or the path (4)."""
    number = {"query": 3, "path": 4}[place]
    type_number = {"query": 6, "path": 5}[place]
    sub = _flag(1, place == "path") + _text(2, place) + _text(4, name) + _text(type_number, TYPES.get(name, "string"))
    return _field(1, _field(2, _field(number, sub)))


def _operation(kind: Kind, operation: Operation) -> bytes:
    """openapi.v2.Operation."""
    parts = [_text(1, tag_name(kind.group, kind.version)), _text(5, operation.name)]
    parts += [_text(7, media) for media in (patch_types(kind) if operation.verb == "patch" else ())]
    parts += [_field(8, _parameter(name, "query")) for name in operation.query]
    answers = b"".join(_field(2, _named(code, _field(1, _text(1, "OK")))) for code in operation.codes)
    parts.append(_field(9, answers))
    parts += [_field(13, _named(key, _any(value))) for key, value in extensions(operation).items()]
    return b"".join(parts)


def _path_item(kind: Kind, path: str, found: Iterable[Operation]) -> bytes:
    methods = b"".join(_field(_METHODS[each.method], _operation(kind, each)) for each in found)
    return methods + b"".join(_field(9, _parameter(name, "path")) for name in variables(path))


def _by_path(kinds: Iterable[Kind]) -> Iterator[tuple[Kind, str, list[Operation]]]:
    """(kind, path, operations) of every path."""
    for kind in kinds:
        for path, found in groupby(sorted(operations(kind), key=_path_of), _path_of):
            yield kind, path, list(found)


def _path_of(operation: Operation) -> str:
    return operation.path


def encode(kinds: Iterable[Kind]) -> bytes:
    """The Document for some kinds."""
    listed = list(kinds)
    paths = b"".join(_field(2, _named(path, _path_item(kind, path, found))) for kind, path, found in _by_path(listed))
    types = b"".join(_field(1, _named(name, _definition(name, schema))) for name, schema in types_of(listed).items())
    info = _text(1, INFO["title"]) + _text(2, INFO["version"])
    return _text(1, "2.0") + _field(2, info) + _field(8, paths) + _field(9, types)


def json_document(registry: Registry) -> tuple[bytes, str]:
    """As `document`, in JSON."""

    def make() -> tuple[bytes, str]:
        paths = {path: _json_path(kind, path, found) for kind, path, found in _by_path(registry.kinds)}
        types = {name: _json_definition(name, schema) for name, schema in types_of(registry.kinds).items()}
        text = json.dumps({"swagger": "2.0", "info": INFO, "paths": paths, "definitions": types})
        body = text.replace(f'"{REF}', '"#/definitions/').encode()
        return body, tag_of(body)

    return registry.remember("swagger-json", make)


def _json_path(kind: Kind, path: str, found: Iterable[Operation]) -> Obj:
    item: Obj = {each.method: _json_operation(kind, each) for each in found}
    if variables(path):
        item["parameters"] = [_json_parameter(name, "path") for name in variables(path)]
    return item


def _json_operation(kind: Kind, operation: Operation) -> Obj:
    answer = {"description": "OK", "schema": schema_of(operation.answers)}
    parameters = [_json_parameter(name, "query") for name in operation.query]
    if operation.takes:
        body: Obj = {"name": "body", "in": "body", "schema": schema_of(operation.takes)}
        parameters.append(body if operation.method == "delete" else {**body, "required": True})
    found: Obj = {
        "tags": [tag_name(kind.group, kind.version)],
        "operationId": operation.name,
        "parameters": parameters,
        "responses": dict.fromkeys(operation.codes, answer),
        **extensions(operation),
    }
    return {**found, "consumes": list(patch_types(kind))} if operation.verb == "patch" else found


def _json_parameter(name: str, place: str) -> Obj:
    parameter: Obj = {"name": name, "in": place, "type": TYPES.get(name, "string"), "uniqueItems": True}
    return {**parameter, "required": True} if place == "path" else parameter


def _json_definition(name: str, schema: Obj) -> Obj:
    plain = _plain(name, schema)
    return {"type": plain, "format": schema.get("format", "")} if plain else schema


def document(registry: Registry) -> tuple[bytes, str]:
    """(protobuf, ETag) of everything served, made on first use."""

    def make() -> tuple[bytes, str]:
        body = encode(registry.kinds)
        return body, tag_of(body)

    return registry.remember("swagger", make)
