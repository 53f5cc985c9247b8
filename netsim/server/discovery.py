"""Discovery: what is served, in the legacy and the aggregated form, from the registry of kinds (pure)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import Any

import orjson

from netsim.api.kinds import Kind, Obj, Subresource, split_api_version
from netsim.server.registry import Registry

_HASH_BYTES = 8
_HASHED_AS = {"customresourcedefinitions.apiextensions.k8s.io": "apiextensions.k8s.io/v1beta1"}
"""Definitions are hashed in the version that was stored first, whichever they are stored in since."""
VERSION: Obj = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.2+netsim",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "2026-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "linux/amd64",
}
AGGREGATED = "APIGroupDiscoveryList"


def api_versions(registry: Registry, address: str) -> Obj:
    """The body of /api."""
    served = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
    return {"kind": "APIVersions", "versions": registry.versions(""), "serverAddressByClientCIDRs": served}


def _group_entry(registry: Registry, group: str) -> Obj:
    found = [{"groupVersion": f"{group}/{version}", "version": version} for version in registry.versions(group)]
    return {"name": group, "versions": found, "preferredVersion": found[0]}


def group_list(registry: Registry) -> Obj:
    """The body of /apis."""
    groups = [_group_entry(registry, group) for group in registry.groups()]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group_document(registry: Registry, group: str) -> Obj:
    """The body of /apis/GROUP."""
    return {"kind": "APIGroup", "apiVersion": "v1", **_group_entry(registry, group)}


def _optional(kind: Kind) -> Obj:
    found: Obj = {}
    if kind.short_names:
        found["shortNames"] = list(kind.short_names)
    if kind.categories:
        found["categories"] = list(kind.categories)
    return found


def _storage_hash(kind: Kind) -> Obj:
    """By which clients see that objects are stored in another version than before; as Kubernetes makes it."""
    if not kind.stored:
        return {}
    group, version = split_api_version(_HASHED_AS.get(kind.resource) or kind.view_of or kind.api_version)
    digest = hashlib.sha256(f"{group}/{version}/{kind.kind}".encode()).digest()
    return {"storageVersionHash": base64.b64encode(digest[:_HASH_BYTES]).decode()}


def _legacy(kind: Kind) -> Iterator[Obj]:
    yield {
        "name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced, "kind": kind.kind,
        "verbs": list(kind.verbs), **_optional(kind), **_storage_hash(kind),
    }  # fmt: skip
    for sub in kind.subresources:
        entry: Obj = {"name": f"{kind.plural}/{sub.name}", "singularName": "", "namespaced": kind.namespaced}
        if sub.version:
            entry |= {"group": sub.group, "version": sub.version}
        yield {**entry, "kind": sub.kind, "verbs": list(sub.verbs)}


def resource_list(registry: Registry, group: str, version: str) -> Obj:
    """The body of /api/V and /apis/G/V."""
    name = f"{group}/{version}" if group else version
    resources = [entry for kind in registry.kinds_of(group, version) for entry in _legacy(kind)]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": resources}


def _response_kind(kind: Kind, sub: Subresource | None = None) -> Obj:
    """Group and version are empty where they are those of the list, as Kubernetes writes built-in kinds."""
    group, version = (kind.group, kind.version) if kind.custom else ("", "")
    if sub is not None and sub.version:
        group, version = sub.group, sub.version
    return {"group": group, "version": version, "kind": sub.kind if sub else kind.kind}


def _aggregated(kind: Kind) -> Obj:
    entry: Obj = {
        "resource": kind.plural, "responseKind": _response_kind(kind),
        "scope": "Namespaced" if kind.namespaced else "Cluster", "singularResource": kind.singular,
        "verbs": list(kind.verbs), **_optional(kind),
    }  # fmt: skip
    if kind.subresources:
        entry["subresources"] = [
            {"subresource": sub.name, "responseKind": _response_kind(kind, sub), "verbs": list(sub.verbs)}
            for sub in kind.subresources
        ]
    return entry


def aggregated(registry: Registry, core: bool, version: str) -> Obj:
    """The aggregated document of /api (core) or /apis in apidiscovery.k8s.io `version` (v2 or v2beta1)."""
    items = [_aggregated_group(registry, group) for group in ([""] if core else registry.groups())]
    return {"kind": AGGREGATED, "apiVersion": f"apidiscovery.k8s.io/{version}", "metadata": {}, "items": items}


def _aggregated_group(registry: Registry, group: str) -> Obj:
    versions = [
        {
            "version": version, "freshness": "Current",
            "resources": [_aggregated(kind) for kind in registry.kinds_of(group, version)],
        }
        for version in registry.versions(group)
    ]  # fmt: skip
    return {"metadata": {"name": group} if group else {}, "versions": versions}


def encode_with_tag(document: Any) -> tuple[bytes, str]:
    """(JSON, ETag) of a document."""
    body = orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)
    return body, tag_of(body)


def tag_of(body: bytes) -> str:
    """A strong ETag that follows from the content."""
    return f'"{hashlib.sha256(body).hexdigest().upper()}"'


def aggregated_bytes(registry: Registry, core: bool, version: str) -> tuple[bytes, str]:
    """The aggregated document's JSON and ETag, made once."""
    return registry.remember(
        ("aggregated", core, version), lambda: encode_with_tag(aggregated(registry, core, version))
    )
