"""OpenAPI v3 documents, one per group and version, from the registry and the type facts (pure; made on first use).

What clients read of them: the `fieldValidation` and `dryRun` parameters of each kind's PATCH, and for `kubectl explain`
the schemas with their group, version and kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from netsim.api.kinds import Kind, Obj
from netsim.api.schema import REF, definitions, type_of
from netsim.api.schema_enums import with_enums
from netsim.server.custom import PATCH_TYPES
from netsim.server.discovery import encode_with_tag
from netsim.server.registry import Registry

INFO = {"title": "Kubernetes", "version": "v1.36.2"}
_STRATEGIC = "application/strategic-merge-patch+json"
_LIST = ("fieldSelector", "labelSelector", "limit")
_PARAMETERS = {
    "get": ("pretty",),
    "list": (*_LIST, "allowWatchBookmarks", "continue", "resourceVersion", "resourceVersionMatch", "watch"),
    "create": ("dryRun", "fieldManager", "fieldValidation"),
    "update": ("dryRun", "fieldManager", "fieldValidation"),
    "patch": ("dryRun", "fieldManager", "fieldValidation", "force"),
    "delete": ("dryRun", "gracePeriodSeconds", "propagationPolicy"),
    "deletecollection": (*_LIST, "dryRun", "propagationPolicy"),
}
TYPES = {"force": "boolean", "watch": "boolean", "allowWatchBookmarks": "boolean"}
TYPES |= {"limit": "integer", "gracePeriodSeconds": "integer"}
_ACTIONS = {"create": "post", "update": "put"}
_ITEM = (("get", "get"), ("put", "update"), ("patch", "patch"), ("delete", "delete"))
_STATUS = _ITEM[:3]
_COLLECTION = (("get", "list"), ("post", "create"), ("delete", "deletecollection"))


def type_name(kind: Kind) -> str:
    """The name of a kind's type in the documents: com.example.stable.v1.CronTab for custom ones; "" where there are no
    facts of it."""
    if kind.custom is None:
        return type_of(kind.group, kind.version, kind.kind) or ""
    return ".".join((*reversed(kind.group.split(".")), kind.version, kind.kind))


def types_of(kinds: Iterable[Kind]) -> Obj:
    """The types of some kinds and everything they refer to, by name."""
    known, found = definitions(), {type_name(kind): kind.custom.published for kind in kinds if kind.custom}
    waiting = {type_name(kind) for kind in kinds if not kind.custom} - {""}
    waiting |= {name for schema in found.values() for name in _references(schema)}
    while waiting:
        name = waiting.pop()
        found[name] = known[name]
        waiting |= set(_references(known[name])) - found.keys()
    return dict(sorted(found.items()))


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, list):
        for item in schema:
            yield from _references(item)
    elif isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"].removeprefix(REF)
        for value in schema.values():
            yield from _references(value)


def operations(kind: Kind) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Each path of a kind with its (method, verb) pairs."""
    collection = kind.path("{namespace}" if kind.namespaced else None)
    yield collection, [pair for pair in _COLLECTION if pair[1] in kind.verbs]
    if kind.stored:
        yield f"{collection}/{{name}}", [pair for pair in _ITEM if pair[1] in kind.verbs]
        if kind.status:
            yield f"{collection}/{{name}}/status", list(_STATUS)


def variables(path: str) -> list[str]:
    """The path's parameters."""
    return [name for name in ("name", "namespace") if f"{{{name}}}" in path]


def parameters_of(verb: str) -> tuple[str, ...]:
    """The query parameters of a verb."""
    return _PARAMETERS[verb]


def patch_types(kind: Kind) -> tuple[str, ...]:
    """What a PATCH takes. kubectl apply looks whether that can be a strategic merge patch: custom kinds cannot."""
    return PATCH_TYPES if kind.custom else (*PATCH_TYPES, _STRATEGIC)


def extensions(kind: Kind, verb: str) -> Obj:
    """What clients recognise an operation by."""
    gvk = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    return {"x-kubernetes-action": _ACTIONS.get(verb, verb), "x-kubernetes-group-version-kind": gvk}


def _operation(kind: Kind, verb: str) -> Obj:
    name = type_name(kind)
    content: Obj = {"application/json": {"schema": {"$ref": REF + name} if name else {"type": "object"}}}
    operation: Obj = {
        **extensions(kind, verb),
        "parameters": [_parameter(name, "query") for name in parameters_of(verb)],
        "responses": {"200": {"description": "OK", "content": content}},
    }
    if verb in ("create", "update"):
        operation["requestBody"] = {"content": content, "required": True}
    elif verb == "patch":
        body = {media: {"schema": {"type": "object"}} for media in patch_types(kind)}
        operation["requestBody"] = {"content": body, "required": True}
    return operation


def _parameter(name: str, place: str) -> Obj:
    parameter: Obj = {"name": name, "in": place, "schema": {"type": TYPES.get(name, "string"), "uniqueItems": True}}
    return {**parameter, "required": True} if place == "path" else parameter


def _path_item(kind: Kind, path: str, methods: Iterable[tuple[str, str]]) -> Obj:
    item: Obj = {method: _operation(kind, verb) for method, verb in methods}
    if variables(path):
        item["parameters"] = [_parameter(name, "path") for name in variables(path)]
    return item


def _make(kinds: list[Kind]) -> Obj:
    paths = {path: _path_item(kind, path, methods) for kind in kinds for path, methods in operations(kind)}
    schemas = {name: with_enums(name, schema) for name, schema in types_of(kinds).items()}
    return {"openapi": "3.0.0", "info": INFO, "paths": paths, "components": {"schemas": schemas}}


def document(registry: Registry, group: str, version: str) -> tuple[bytes, str] | None:
    """(JSON, ETag) of a group version's document; None when it is not served."""
    kinds = registry.kinds_of(group, version)
    if not kinds:
        return None
    return registry.remember(("openapi", group, version), lambda: encode_with_tag(_make(kinds)))


def _index(registry: Registry) -> Obj:
    paths: Obj = {}
    for group, version in registry.group_versions():
        name = f"apis/{group}/{version}" if group else f"api/{version}"
        found = document(registry, group, version)
        if found is not None:
            paths[name] = {"serverRelativeURL": f"/openapi/v3/{name}?hash={found[1].strip(chr(34))}"}
    return {"paths": paths}


def index(registry: Registry) -> tuple[bytes, str]:
    """(JSON, ETag) of /openapi/v3; the hash in each URL changes with its document."""
    return registry.remember("openapi", lambda: encode_with_tag(_index(registry)))
