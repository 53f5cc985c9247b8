"""Protobuf bodies: recorded from kubectl 1.37.1 ("kubectl"), and made with an independent descriptor set ("made")."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.api.decoder import decode as decode_json
from netsim.api.kinds import KINDS, split_api_version
from netsim.api.protobuf import MAGIC, ProtobufError, _facts, decode
from netsim.api.schema import prune

BODIES = json.loads(Path(__file__).with_name("protobuf_bodies.json").read_text())
RBAC = "rbac.authorization.k8s.io"


def recorded(name: str) -> dict[str, Any]:
    return decode(bytes.fromhex(BODIES["kubectl"][name]))


def made(name: str) -> dict[str, Any]:
    return decode(bytes.fromhex(BODIES["made"][name]))


@pytest.mark.parametrize("group,name", [(g, n) for g in ("kubectl", "made") for n in BODIES[g]])
def test_every_body_fits_its_schema(group: str, name: str) -> None:
    obj = decode(bytes.fromhex(BODIES[group][name]))
    gvk = (*split_api_version(obj["apiVersion"]), obj["kind"])
    assert decode_json(gvk, obj) == ("", [])
    assert prune(gvk, obj) == obj


@pytest.mark.parametrize("kind", [k for k in KINDS if "create" in k.verbs], ids=lambda kind: kind.resource)
def test_every_served_kind_has_field_facts(kind: Any) -> None:
    assert f"{kind.api_version}/{kind.kind}" in _facts()[0]


@pytest.mark.parametrize("version", ["v1", "discovery.k8s.io/v1", "policy/v1", "example.com/v1"])
def test_what_is_asked_of_a_deletion_may_be_of_any_group(version: str) -> None:
    """client-go names the group of what is deleted."""
    head = b"\n" + bytes([len(version)]) + version.encode() + b"\x12\rDeleteOptions"
    options = b"\x08\x1e" + b"\x22\x0aBackground"
    body = MAGIC + b"\n" + bytes([len(head)]) + head + b"\x12" + bytes([len(options)]) + options
    wanted = {"kind": "DeleteOptions", "gracePeriodSeconds": 30, "propagationPolicy": "Background"}
    assert decode(body) == {"apiVersion": version, **wanted}


def test_create_configmap_keeps_empty_values() -> None:
    assert recorded("configmap") == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "cm"},
        "data": {"a": "b", "empty": ""},
    }


def test_create_secret() -> None:
    assert recorded("secret-generic")["data"] == {"a": "Yg=="}
    assert recorded("secret-docker")["type"] == "kubernetes.io/dockerconfigjson"


def test_create_deployment_keeps_zero_replicas() -> None:
    container = {"name": "nginx", "image": "nginx:1.7.9", "command": ["sleep", "9"], "ports": [{"containerPort": 80}]}
    assert recorded("deployment") == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}},
        },
    }
    assert recorded("deployment-zero")["spec"]["replicas"] == 0


def test_create_services() -> None:
    assert recorded("service-nodeport")["spec"] == {
        "ports": [{"name": "80-http", "protocol": "TCP", "port": 80, "targetPort": "http", "nodePort": 30080}],
        "selector": {"app": "s"},
        "type": "NodePort",
    }
    assert [port["targetPort"] for port in recorded("service-clusterip")["spec"]["ports"]] == [8080, 443]
    assert recorded("service-headless")["spec"]["clusterIP"] == "None"
    assert recorded("service-externalname")["spec"]["externalName"] == "a.b"


def test_create_rbac() -> None:
    assert recorded("role")["rules"][1] == {
        "verbs": ["get", "list"],
        "apiGroups": ["apps"],
        "resources": ["deployments"],
        "resourceNames": ["x"],
    }
    assert recorded("rolebinding")["roleRef"] == {"apiGroup": RBAC, "kind": "Role", "name": "r"}
    assert recorded("clusterrole")["rules"] == [{"verbs": ["get"], "nonResourceURLs": ["/metrics"]}]
    assert recorded("clusterrole-aggregated")["aggregationRule"] == {
        "clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]
    }
    assert recorded("clusterrolebinding")["subjects"] == [{"kind": "Group", "apiGroup": RBAC, "name": "g"}]


def test_reviews_and_tokens() -> None:
    assert recorded("can-i-named")["spec"] == {
        "resourceAttributes": {
            "namespace": "y",
            "verb": "update",
            "group": "apps",
            "resource": "deployments",
            "name": "x",
        }
    }
    assert recorded("can-i-url")["spec"] == {"nonResourceAttributes": {"path": "/metrics", "verb": "get"}}
    assert recorded("can-i-list")["spec"] == {"namespace": "default"}
    assert recorded("whoami") == {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    assert recorded("token")["spec"] == {
        "audiences": ["x"],
        "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": "1"},
        "expirationSeconds": 3600,
    }


def test_a_pod_with_nearly_every_field_comes_through() -> None:
    spec = recorded("debug-copy")["spec"]
    first = spec["containers"][0]
    assert first["lifecycle"]["preStop"] == {"sleep": {"seconds": 5}}
    assert first["env"][2]["valueFrom"] == {"configMapKeyRef": {"name": "cm", "key": "k", "optional": False}}
    assert first["envFrom"] == [
        {"prefix": "P", "configMapRef": {"name": "cm", "optional": True}},
        {"secretRef": {"name": "s"}},
    ]
    assert first["securityContext"]["runAsGroup"] == 0 and first["args"] == [""]
    volumes = {volume.pop("name"): volume for volume in spec["volumes"]}
    assert volumes["v"] == {"emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}
    assert volumes["s"]["secret"]["items"] == [{"key": "a", "path": "b", "mode": 0}]
    assert volumes["p"]["projected"]["sources"][1]["configMap"]["name"] == "ca"
    assert spec["securityContext"]["supplementalGroups"] == [1, 300]
    assert spec["tolerations"][0]["tolerationSeconds"] == 0 and spec["enableServiceLinks"] is False
    assert (
        spec["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0]["namespaceSelector"]
        == {}
    )


def test_times_numbers_and_maps() -> None:
    event = made("event")
    assert event["firstTimestamp"] == "2026-01-01T00:00:00Z" and event["count"] == 2
    assert event["eventTime"] == "2026-01-01T00:00:00.123456Z"
    assert "creationTimestamp" not in event["metadata"] and "fieldPath" not in event["involvedObject"]
    node = made("node")
    assert node["metadata"]["labels"] == {"a": "b", "c": ""}
    assert node["status"]["capacity"] == {"cpu": "2", "memory": "1Gi"}
    assert node["status"]["daemonEndpoints"] == {"kubeletEndpoint": {"Port": 10250}}
    assert made("endpoints")["subsets"][0]["ports"] == [{"port": 80, "protocol": "TCP"}]
    assert made("delete-options")["gracePeriodSeconds"] == 0
    negative = made("negative")
    assert negative["metadata"]["generation"] == -1 and negative["spec"]["terminationGracePeriodSeconds"] == -5


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", MAGIC + b"\xff", MAGIC + b"\x12\x05a", MAGIC + b"\x0a\x00", MAGIC + b"\x0b", MAGIC + b"\x10" * 3],
)
def test_broken_bodies_are_refused(body: bytes) -> None:
    with pytest.raises(ProtobufError):
        decode(body)


@given(st.sampled_from(sorted(BODIES["kubectl"])), st.integers(0, 4000), st.integers(0, 255))
def test_a_damaged_byte_decodes_or_is_refused(name: str, at: int, byte: int) -> None:
    body = bytearray.fromhex(BODIES["kubectl"][name])
    body[at % len(body)] = byte
    try:
        assert isinstance(decode(bytes(body)), dict)
    except ProtobufError as refusal:
        assert str(refusal)
