"""OpenAPI v3 documents, one per group and version, from the registry and the type facts (pure; made on first use).

What clients read of them: the `fieldValidation` and `dryRun` parameters of each kind's PATCH; for `kubectl explain` the
schemas with their group, version and kind; and, for generators of clients, every operation with its types.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from netsim.api.kinds import Kind, Obj
from netsim.api.schema import REF, definitions
from netsim.api.schema_enums import with_enums
from netsim.server.custom import PATCH_TYPES
from netsim.server.discovery import encode_with_tag
from netsim.server.operations import PATCH, RESOURCES, Operation, group_words, list_name, operations, type_name
from netsim.server.registry import Registry

INFO = {"title": "Kubernetes", "version": "v1.36.2"}
_STRATEGIC = "application/strategic-merge-patch+json"
_JSON, _STREAM = ("application/json", "application/yaml"), "application/json;stream=watch"
_FLAGS = (
    "allowWatchBookmarks", "follow", "force", "insecureSkipTLSVerifyBackend", "orphanDependents", "previous",
    "sendInitialEvents", "stderr", "stdin", "stdout", "timestamps", "tty", "watch",
)  # fmt: skip
_NUMBERS = ("gracePeriodSeconds", "limit", "limitBytes", "ports", "sinceSeconds", "tailLines", "timeoutSeconds")
TYPES = dict.fromkeys(_FLAGS, "boolean") | dict.fromkeys(_NUMBERS, "integer")
_SECURITY = {"BearerToken": {"type": "apiKey", "name": "authorization", "in": "header"}}
_LIST_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"


def types_of(kinds: Iterable[Kind]) -> Obj:
    """The types that the operations of some kinds name and everything those refer to, by name."""
    listed = list(kinds)
    found = {type_name(kind): kind.custom.published for kind in listed if kind.custom}
    found |= {list_name(kind): list_type(kind) for kind in listed if "list" in kind.verbs}
    named = {name for kind in listed for each in operations(kind) for name in (each.takes, each.answers)}
    found |= {PATCH: {"type": "object"}} if PATCH in named else {}
    waiting = {*named, RESOURCES, *map(type_name, listed)}
    waiting = {*waiting, *(name for schema in found.values() for name in _references(schema))} - found.keys() - {""}
    while waiting:
        name = waiting.pop()
        found[name] = definitions()[name]
        waiting |= set(_references(found[name])) - found.keys()
    return dict(sorted(found.items()))


def list_type(kind: Kind) -> Obj:
    """The schema of a list of a kind's objects."""
    text, name = {"type": "string"}, type_name(kind)
    items = {"type": "array", "items": {"$ref": REF + name} if name else {"type": "object"}}
    gvk = {"group": kind.group, "kind": kind.list_kind, "version": kind.version}
    fields = {"apiVersion": text, "items": items, "kind": text, "metadata": {"$ref": REF + _LIST_META}}
    return {"type": "object", "required": ["items"], "properties": fields, "x-kubernetes-group-version-kind": [gvk]}


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, list):
        for item in schema:
            yield from _references(item)
    elif isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"].removeprefix(REF)
        for value in schema.values():
            yield from _references(value)


def variables(path: str) -> list[str]:
    """The path's parameters."""
    return [name for name in ("name", "namespace", "path") if f"{{{name}}}" in path]


def patch_types(kind: Kind) -> tuple[str, ...]:
    """What a PATCH takes. kubectl apply looks whether that can be a strategic merge patch: custom kinds cannot."""
    return PATCH_TYPES if kind.custom else (*PATCH_TYPES, _STRATEGIC)


def extensions(operation: Operation) -> Obj:
    """What clients recognise an operation by."""
    gvk = dict(zip(("group", "version", "kind"), operation.gvk, strict=True))
    return {"x-kubernetes-action": operation.action, "x-kubernetes-group-version-kind": gvk}


def tag_name(group: str, version: str) -> str:
    """Under which generators put a group version's operations: core_v1, rbacAuthorization_v1."""
    words = group_words(group, "")
    return f"{words[0].lower()}{words[1:]}_{version}"


def schema_of(name: str) -> Obj:
    """What refers to a type; text for those that have none."""
    return {"$ref": REF + name} if name else {"type": "string"}


def _operation(kind: Kind, operation: Operation) -> Obj:
    shown: Obj = {
        "tags": [tag_name(kind.group, kind.version)],
        "operationId": operation.name,
        "parameters": [_parameter(name, "query") for name in operation.query],
        "responses": _responses(operation),
        **extensions(operation),
    }
    if operation.takes:
        media = patch_types(kind) if operation.verb == "patch" else ("*/*",)
        body: Obj = {"content": {key: {"schema": schema_of(operation.takes)} for key in media}}
        shown["requestBody"] = body if operation.method == "delete" else {**body, "required": True}
    return shown


def _responses(operation: Operation) -> Obj:
    media: tuple[str, ...] = (*_JSON, _STREAM) if operation.verb == "list" else _JSON
    if not operation.answers:
        media = ("*/*",) if operation.verb == "connect" else ("text/plain",)
    content = {key: {"schema": schema_of(operation.answers)} for key in media}
    said = {"200": "OK", "201": "Created", "202": "Accepted"}
    found: Obj = {code: {"description": said[code], "content": content} for code in operation.codes}
    return {**found, "401": {"description": "Unauthorized"}}


def _parameter(name: str, place: str) -> Obj:
    parameter: Obj = {"name": name, "in": place, "schema": {"type": TYPES.get(name, "string"), "uniqueItems": True}}
    return {**parameter, "required": True} if place == "path" else parameter


def _shared(operation: Operation) -> list[Obj]:
    """The parameters of a path as such."""
    found = [_parameter(name, "path") for name in variables(operation.path)]
    return found if operation.verb == "connect" else [*found, _parameter("pretty", "query")]


def _paths(kinds: Iterable[Kind]) -> Obj:
    paths: Obj = {}
    for kind in kinds:
        for each in operations(kind):
            item = paths.setdefault(each.path, {"parameters": _shared(each)})
            item[each.method] = _operation(kind, each)
    return paths


def _resources(group: str, version: str) -> Obj:
    """The operation that lists what a group version has."""
    name = f"get{group_words(group, version)}APIResources"
    content = {key: {"schema": schema_of(RESOURCES)} for key in _JSON}
    answers = {"200": {"description": "OK", "content": content}, "401": {"description": "Unauthorized"}}
    return {"get": {"tags": [tag_name(group, version)], "operationId": name, "responses": answers}}


def _make(group: str, version: str, kinds: list[Kind]) -> Obj:
    paths = {f"{kinds[0].base}/": _resources(group, version), **_paths(kinds)}
    schemas = {name: with_enums(name, schema) for name, schema in types_of(kinds).items()}
    components = {"schemas": schemas, "securitySchemes": _SECURITY}
    return {"openapi": "3.0.0", "info": INFO, "paths": paths, "components": components}


def document(registry: Registry, group: str, version: str) -> tuple[bytes, str] | None:
    """(JSON, ETag) of a group version's document; None when it is not served."""
    kinds = registry.kinds_of(group, version)
    if not kinds:
        return None
    return registry.remember(("openapi", group, version), lambda: encode_with_tag(_make(group, version, kinds)))


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
