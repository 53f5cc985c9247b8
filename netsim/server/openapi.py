"""OpenAPI v3 documents from the table of kinds and the pruned type facts (pure; made once, on first use).

What clients read of them: the `fieldValidation` and `dryRun` parameters of each kind's PATCH, and for `kubectl explain`
the schemas with their group, version and kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from netsim.api import schema
from netsim.api.kinds import KINDS, Kind, Obj
from netsim.server.discovery import encode_with_tag, kinds_of

_REF = "#/components/schemas/"
_PARAMETERS = ("dryRun", "fieldManager", "fieldValidation", "force")
SWAGGER_STUB = b"\n\x032.0" + b"\x12\x0c\n\x06netsim\x12\x02v1" + b"B\x00" + b"J\x00"
"""The least openapi.v2 Document in protobuf: swagger 2.0, info, empty paths and definitions."""


def _parameter(name: str) -> Obj:
    return {"name": name, "in": "query", "schema": {"type": "boolean" if name == "force" else "string"}}


def _operation(kind: Kind, action: str, parameters: tuple[str, ...] = ()) -> Obj:
    return {
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "parameters": [_parameter(name) for name in parameters],
        "responses": {"200": {"description": "OK"}},
    }


def _paths(kind: Kind) -> Iterator[tuple[str, Obj]]:
    base = f"{kind.base}/namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else f"{kind.base}/{kind.plural}"
    collection: Obj = {}
    if "list" in kind.verbs:
        collection["get"] = _operation(kind, "list")
    if "create" in kind.verbs:
        collection["post"] = _operation(kind, "post", _PARAMETERS[:3])
    yield base, collection
    if kind.stored:
        item = {"get": _operation(kind, "get"), "delete": _operation(kind, "delete", _PARAMETERS[:1])}
        item |= {"put": _operation(kind, "put", _PARAMETERS[:3]), "patch": _operation(kind, "patch", _PARAMETERS)}
        yield f"{base}/{{name}}", item


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        reference = value.get("$ref")
        if isinstance(reference, str):
            yield reference.rpartition("/")[2]
        for child in value.values():
            yield from _references(child)
    elif isinstance(value, list):
        for child in value:
            yield from _references(child)


def _localised(value: Any) -> Any:
    """A schema with its references pointing into this document."""
    if isinstance(value, dict):
        return {
            key: _REF + child.rpartition("/")[2] if key == "$ref" and isinstance(child, str) else _localised(child)
            for key, child in value.items()
        }
    return [_localised(child) for child in value] if isinstance(value, list) else value


def _schemas(kinds: list[Kind]) -> Obj:
    known = schema.definitions()
    waiting = [schema.type_of_kind(kind) for kind in kinds if schema.type_of(kind.group, kind.version, kind.kind)]
    found: Obj = {}
    while waiting:
        name = waiting.pop()
        if name in found or name not in known:
            continue
        found[name] = _localised(known[name])
        waiting += _references(known[name])
    return found


@lru_cache
def document(group: str, version: str) -> tuple[bytes, str] | None:
    """(JSON, ETag) of a group version's document; None when it is not served."""
    kinds = kinds_of(group, version)
    if not kinds:
        return None
    paths = {path: item for kind in kinds for path, item in _paths(kind)}
    info = {"title": "netsim", "version": "v1.36.2"}
    return encode_with_tag(
        {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": _schemas(kinds)}}
    )


def index() -> Obj:
    """The body of /openapi/v3; the hash in each URL changes with its document."""
    paths: Obj = {}
    for group, version in dict.fromkeys((kind.group, kind.version) for kind in KINDS):
        name = f"apis/{group}/{version}" if group else f"api/{version}"
        found = document(group, version)
        if found is not None:
            paths[name] = {"serverRelativeURL": f"/openapi/v3/{name}?hash={found[1].strip(chr(34))}"}
    return {"paths": paths}
