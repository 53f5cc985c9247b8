"""OpenAPI v3 documents, one per group and version, from the type facts: what kubectl needs to validate, to patch
with `fieldValidation`, and to `explain` (types without descriptions)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any

from netsim.api.kinds import Kind, Obj
from netsim.api.schema import REF, definitions, type_of_kind

_VERSION = "v1.36.2"
_PARAMETERS = {
    "get": ("pretty",),
    "list": ("allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit", "resourceVersion", "watch"),
    "create": ("dryRun", "fieldManager", "fieldValidation"),
    "update": ("dryRun", "fieldManager", "fieldValidation"),
    "patch": ("dryRun", "fieldManager", "fieldValidation", "force"),
    "delete": ("dryRun", "gracePeriodSeconds", "propagationPolicy"),
    "deletecollection": ("dryRun", "fieldSelector", "labelSelector", "limit", "propagationPolicy"),
}
_TYPES = {"force": "boolean", "watch": "boolean", "allowWatchBookmarks": "boolean"}
_TYPES |= {"limit": "integer", "gracePeriodSeconds": "integer"}
_ITEM = (("get", "get"), ("put", "update"), ("patch", "patch"), ("delete", "delete"))
_COLLECTION = (("get", "list"), ("post", "create"), ("delete", "deletecollection"))
_ACTIONS = {"create": "post", "update": "put"}
_PATCH_TYPES = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)


def openapi_paths(kinds: Iterable[Kind]) -> dict[str, Obj]:
    """{"api/v1": document, "apis/apps/v1": document, ...} for the given kinds, in their order."""
    groups: dict[str, list[Kind]] = {}
    for kind in kinds:
        groups.setdefault(kind.base.removeprefix("/"), []).append(kind)
    return {path: _document(members) for path, members in groups.items()}


def openapi_index(documents: dict[str, Obj]) -> Obj:
    """The answer of /openapi/v3; every URL carries a hash of its document, by which clients cache."""
    urls = {path: f"/openapi/v3/{path}?hash={_digest(document)}" for path, document in documents.items()}
    return {"paths": {path: {"serverRelativeURL": url} for path, url in urls.items()}}


def _digest(document: Obj) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest().upper()


def _document(kinds: list[Kind]) -> Obj:
    paths: Obj = {}
    for kind in kinds:
        paths |= _kind_paths(kind)
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": _VERSION},
        "paths": paths,
        "components": {"schemas": _closure(type_of_kind(kind) for kind in kinds)},
    }


def _kind_paths(kind: Kind) -> Obj:
    collection = kind.path("{namespace}" if kind.namespaced else None)
    paths = {collection: _path_item(kind, _COLLECTION, collection)}
    if kind.stored:
        item = f"{collection}/{{name}}"
        paths[item] = _path_item(kind, _ITEM, item)
        if kind.status:
            methods = tuple(entry for entry in _ITEM if entry[1] != "delete")
            paths[f"{item}/status"] = _path_item(kind, methods, item)
    return paths


def _path_item(kind: Kind, methods: tuple[tuple[str, str], ...], path: str) -> Obj:
    item: Obj = {method: _operation(kind, verb) for method, verb in methods if verb in kind.verbs}
    variables = [name for name in ("name", "namespace") if f"{{{name}}}" in path]
    if variables:
        item["parameters"] = [_parameter(name, "path") for name in variables]
    return item


def _operation(kind: Kind, verb: str) -> Obj:
    content: Obj = {"application/json": {"schema": {"$ref": REF + type_of_kind(kind)}}}
    operation: Obj = {
        "x-kubernetes-action": _ACTIONS.get(verb, verb),
        "x-kubernetes-group-version-kind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "parameters": [_parameter(name, "query") for name in _PARAMETERS[verb]],
        "responses": {"200": {"description": "OK", "content": content}},
    }
    if verb in ("create", "update"):
        operation["requestBody"] = {"content": content, "required": True}
    elif verb == "patch":
        body = {media: {"schema": {"type": "object"}} for media in _PATCH_TYPES}
        operation["requestBody"] = {"content": body, "required": True}
    return operation


def _parameter(name: str, place: str) -> Obj:
    parameter: Obj = {"name": name, "in": place, "schema": {"type": _TYPES.get(name, "string"), "uniqueItems": True}}
    return {**parameter, "required": True} if place == "path" else parameter


def _closure(roots: Iterable[str]) -> dict[str, Any]:
    """The named types and everything they refer to."""
    waiting, found = set(roots), {}
    while waiting:
        name = waiting.pop()
        found[name] = definitions()[name]
        waiting |= set(_references(found[name])) - found.keys()
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
