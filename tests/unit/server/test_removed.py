"""Removed versions: the answer to requests, and who finds them in discovery."""

from __future__ import annotations

from typing import Any

import pytest

from netsim.api.kinds import KINDS, by_kind, split_api_version
from netsim.api.removed import REMOVED, removed
from netsim.http.types import Peer, Request
from netsim.server.removed import wants_removed

KUBECTL = "kubectl/v1.37.1 (linux/amd64) kubernetes/x"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def request(path: str = "/apis", **headers: str) -> Request:
    given = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return Request("GET", path, [], given, b"", Peer(trusted=True))


@pytest.mark.parametrize("row", REMOVED, ids=lambda row: f"{row.api_version}/{row.kind}")
def test_successors_are_served_and_removed_versions_are_not(row: Any) -> None:
    group, version = split_api_version(row.api_version)
    assert not any((k.group, k.version, k.kind) == (group, version, row.kind) for k in KINDS)
    kind = row.as_kind(())
    assert removed(group, version, kind.plural) is row
    if row.instead:
        successor = by_kind(*split_api_version(row.instead), row.kind)
        assert successor is not None
        assert (successor.plural, successor.namespaced) == (kind.plural, kind.namespaced)
        assert f"write apiVersion: {row.instead}" in row.message()


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
async def test_every_request_is_told(api: Any, method: str) -> None:
    for name in ("", "/web"):
        status = await api.refused(method, f"/apis/extensions/v1beta1/namespaces/default/ingresses{name}", {})
        assert (status["code"], status["reason"]) == (404, "NotFound")
        assert "write apiVersion: networking.k8s.io/v1" in status["message"]


async def test_what_never_was_is_not_found_as_ever(api: Any) -> None:
    response = await api.send("GET", "/apis/extensions/v1beta1/namespaces/default/nopes")
    assert (response.status, response.body) == (404, b"404 page not found\n")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"user_agent": KUBECTL, "kubectl_command": "kubectl apply"}, True),
        ({"user_agent": "kubectl/v1.20.2 (linux/amd64) kubernetes/x"}, True),
        ({"user_agent": KUBECTL, "kubectl_command": "kubectl api-versions"}, False),
        ({"user_agent": KUBECTL, "kubectl_command": "kubectl api-resources"}, False),
        ({"user_agent": "OpenAPI-Generator/37.0.0/python"}, False),
        ({"user_agent": "kube-controller-manager/v1.36.2 (linux/amd64) kubernetes/x"}, False),
        ({}, False),
    ],
)
async def test_only_kubectl_finds_them(api: Any, headers: dict[str, str], expected: bool) -> None:
    assert wants_removed(request(**headers)) is expected
    for accept in ("application/json", AGGREGATED):
        body = (await api.app(request(accept=accept, **headers))).body
        assert (b'"extensions"' in body) is expected
        assert (b"v2beta2" in body) is expected
    found = await api.app(request("/apis/extensions/v1beta1", **headers))
    assert found.status == (200 if expected else 404)
    described = await api.app(request("/openapi/v3/apis/extensions/v1beta1", **headers))
    assert (b"fieldValidation" in described.body) is expected
