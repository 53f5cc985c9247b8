"""Discovery: what is served, in the legacy and the aggregated form, from the table of kinds (pure)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import orjson

from netsim.api.kinds import KINDS, Kind, Obj, Subresource

VERSION: Obj = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.2+netsim",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "2026-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "linux/amd64",
}
AGGREGATED = "APIGroupDiscoveryList"


@lru_cache
def groups() -> list[str]:
    """Named groups in the order of the table."""
    return list(dict.fromkeys(kind.group for kind in KINDS if kind.group))


def versions(group: str) -> list[str]:
    return list(dict.fromkeys(kind.version for kind in KINDS if kind.group == group))


def kinds_of(group: str, version: str) -> list[Kind]:
    return [kind for kind in KINDS if (kind.group, kind.version) == (group, version)]


def api_versions(address: str) -> Obj:
    """The body of /api."""
    served = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
    return {"kind": "APIVersions", "versions": versions(""), "serverAddressByClientCIDRs": served}


def _group_entry(group: str) -> Obj:
    found = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions(group)]
    return {"name": group, "versions": found, "preferredVersion": found[0]}


def group_list() -> Obj:
    """The body of /apis."""
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group_entry(group) for group in groups()]}


def group_document(group: str) -> Obj:
    """The body of /apis/GROUP."""
    return {"kind": "APIGroup", "apiVersion": "v1", **_group_entry(group)}


def _optional(kind: Kind) -> Obj:
    found: Obj = {}
    if kind.short_names:
        found["shortNames"] = list(kind.short_names)
    if kind.categories:
        found["categories"] = list(kind.categories)
    return found


def _legacy(kind: Kind) -> Iterator[Obj]:
    yield {
        "name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced, "kind": kind.kind,
        "verbs": list(kind.verbs), **_optional(kind),
    }  # fmt: skip
    for sub in kind.subresources:
        entry: Obj = {"name": f"{kind.plural}/{sub.name}", "singularName": "", "namespaced": kind.namespaced}
        if sub.version:
            entry |= {"group": sub.group, "version": sub.version}
        yield {**entry, "kind": sub.kind, "verbs": list(sub.verbs)}


def resource_list(group: str, version: str) -> Obj:
    """The body of /api/V and /apis/G/V."""
    name = f"{group}/{version}" if group else version
    resources = [entry for kind in kinds_of(group, version) for entry in _legacy(kind)]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": resources}


def _response_kind(kind: Kind, sub: Subresource | None = None) -> Obj:
    if sub is None:
        return {"group": kind.group, "version": kind.version, "kind": kind.kind}
    group, version = (sub.group, sub.version) if sub.version else (kind.group, kind.version)
    return {"group": group, "version": version, "kind": sub.kind}


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


def aggregated(core: bool, version: str) -> Obj:
    """The aggregated document of /api (core) or /apis in apidiscovery.k8s.io `version` (v2 or v2beta1)."""

    def item(group: str) -> Obj:
        listed = [
            {"version": v, "freshness": "Current", "resources": [_aggregated(kind) for kind in kinds_of(group, v)]}
            for v in versions(group)
        ]
        return {"metadata": {"name": group} if group else {}, "versions": listed}

    items = [item(group) for group in ([""] if core else groups())]
    return {"kind": AGGREGATED, "apiVersion": f"apidiscovery.k8s.io/{version}", "metadata": {}, "items": items}


def encode_with_tag(document: Any) -> tuple[bytes, str]:
    """(JSON, ETag) of a document."""
    body = orjson.dumps(document)
    return body, f'"{hashlib.sha256(body).hexdigest().upper()}"'


@lru_cache
def aggregated_bytes(core: bool, version: str) -> tuple[bytes, str]:
    """The aggregated document's JSON and ETag, made once."""
    return encode_with_tag(aggregated(core, version))
