"""The table of kinds against the discovery of a real API server (discovery.json: recorded facts)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netsim.api import kinds
from netsim.api.kinds import KINDS, Kind

DISCOVERY = json.loads(Path(__file__).with_name("discovery.json").read_text())


@pytest.mark.parametrize("kind", [k for k in KINDS if k.group != "metrics.k8s.io"], ids=lambda kind: kind.resource)
def test_kinds_are_as_a_real_server_lists_them(kind: Kind) -> None:
    real = DISCOVERY[f"{kind.group}/{kind.version}/{kind.plural}"]
    assert (kind.kind, kind.singular, kind.namespaced) == (real["kind"], real["singular"], real["namespaced"])
    assert list(kind.verbs) == real["verbs"]
    assert list(kind.short_names) == real["shortNames"] and list(kind.categories) == real["categories"]
    for sub in kind.subresources:
        assert [sub.group, sub.version, sub.kind, list(sub.verbs)] == real["subresources"][sub.name]
    assert kind.status == ("status" in real["subresources"])


def test_paths() -> None:
    assert kinds.PODS.path() == "/api/v1/pods"
    assert kinds.PODS.path("n", "p", "log") == "/api/v1/namespaces/n/pods/p/log"
    assert kinds.NODES.path("ignored", "n") == "/api/v1/nodes/n"
    assert kinds.DEPLOYMENTS.path("n") == "/apis/apps/v1/namespaces/n/deployments"


def test_look_ups() -> None:
    assert kinds.by_plural("apps", "v1", "deployments") is kinds.DEPLOYMENTS
    assert kinds.by_kind("", "v1", "Pod") is kinds.PODS
    assert kinds.by_kind("", "v1", "Deployment") is None
    assert kinds.kind_of({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role"}) is kinds.ROLES
    assert kinds.kind_of({}) is None
    assert kinds.PODS.api_version == "v1" and kinds.DEPLOYMENTS.api_version == "apps/v1"
    assert kinds.DEPLOYMENTS.resource == "deployments.apps" and kinds.PODS.list_kind == "PodList"
    assert not kinds.TOKEN_REVIEWS.stored and kinds.PODS.stored
    assert kinds.PODS.subresource("binding") is not None and kinds.PODS.subresource("scale") is None
