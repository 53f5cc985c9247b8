"""Versions of kinds that are gone: requests for them are told what to write, and kubectl finds its way to that answer.

kubectl looks a manifest's kind up in discovery before it sends anything, and says `no matches for kind` on its own when
it is not there. So kubectl, and nobody else, finds the removed versions in discovery, without verbs: it sends its
request, and shows our answer. See docs/decisions/0008-removed-versions.md.
"""

from __future__ import annotations

from netsim.api.errors import StatusError
from netsim.api.kind import COLLECTION
from netsim.api.removed import REMOVED, removed
from netsim.http.types import Request
from netsim.server.registry import Registry
from netsim.server.requests import Target

_LISTS_VERSIONS = ("kubectl api-resources", "kubectl api-versions")
_FOUND = tuple(row.as_kind(()) for row in REMOVED)
_DESCRIBED = tuple(row.as_kind(COLLECTION) for row in REMOVED)


def refuse_removed(target: Target) -> None:
    """404, naming the version to write, for a resource of a version that is gone."""
    row = removed(target.group, target.version, target.resource) if target.kind is None else None
    if row is not None:
        details = {"group": target.group, "kind": target.resource} | ({"name": target.name} if target.name else {})
        raise StatusError(404, "NotFound", row.message(), details)


def wants_removed(request: Request) -> bool:
    """Whether the client is a kubectl that looks for a kind, and does not list what there is."""
    command = request.header("kubectl-command")
    return request.header("user-agent").startswith("kubectl") and command not in _LISTS_VERSIONS


def discovered(registry: Registry, request: Request) -> Registry:
    """The registry as this client finds it in discovery."""
    return registry.beside(_FOUND) if wants_removed(request) else registry


def described(registry: Registry, request: Request) -> Registry:
    """The registry as this client finds it in OpenAPI, where it looks whether a kind's PATCH knows fieldValidation."""
    return registry.beside(_DESCRIBED) if wants_removed(request) else registry
