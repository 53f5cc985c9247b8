"""Unknown fields, wrong types, duplicates, and the OpenAPI documents."""

from __future__ import annotations

from typing import Any

import pytest

from netsim.api import kinds, schema, schema_fit
from netsim.api.decoder import decode_error
from netsim.api.json_text import duplicate_fields


def test_unknown_fields_are_found_at_any_depth() -> None:
    pod = {
        "foo": 1,
        "metadata": {"labels": {"anything": "goes"}, "nam": "x"},
        "spec": {"containers": [{"name": "a"}, {"imagee": "b"}]},
    }
    assert schema.unknown_fields(kinds.PODS, pod) == ["foo", "metadata.nam", "spec.containers[1].imagee"]
    assert schema.unknown_fields(("policy", "v1", "Eviction"), {"x": 1}) == ["x"]


def test_prune_drops_what_a_decoder_drops() -> None:
    pod: dict[str, Any] = {
        "foo": 1,
        "metadata": {"labels": {"a": None, "b": "c"}, "name": None, "finalizers": [None]},
        "spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": 1}}}, None]},
    }
    assert schema.prune(kinds.PODS, pod) == {
        "metadata": {"labels": {"a": "", "b": "c"}, "finalizers": [""]},
        "spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": "1"}}}, {}]},
    }
    assert pod["foo"] == 1
    budget = {"status": {"disruptedPods": {"a": None, "b": "2026-01-01T00:00:00.5Z"}}}
    times = {"a": None, "b": "2026-01-01T00:00:00Z"}
    assert schema.prune(kinds.POD_DISRUPTION_BUDGETS, budget) == {"status": {"disruptedPods": times}}
    items = {"items": {"type": "object", "properties": {"a": {"type": "string"}, "b": None}}}
    version = {"name": "v1", "schema": {"openAPIV3Schema": items}}
    kept = schema.prune(kinds.CUSTOM_RESOURCE_DEFINITIONS, {"spec": {"versions": [version]}})
    assert kept["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["items"]["properties"]["b"] == {}
    secret = {"data": {"a": "YW\nJj\r\nZA==\n", "b": "YWE="}}
    assert not schema_fit.fits(kinds.SECRETS, secret) and not decode_error(kinds.SECRETS, secret)
    assert schema.prune(kinds.SECRETS, secret) == {"data": {"a": "YWJjZA==", "b": "YWE="}}


@pytest.mark.parametrize(
    ("kind", "obj", "kept"),
    [
        (kinds.PODS, {"spec": {"hostNetwork": False, "nodeName": "", "volumes": [], "nodeSelector": {}}}, {"spec": {}}),
        (  # pointers are kept, and so are structs and what a type requires
            kinds.PODS,
            {"spec": {"hostUsers": False, "priority": 0, "containers": [], "securityContext": {}, "affinity": {}}},
            {"spec": {"hostUsers": False, "priority": 0, "containers": [], "securityContext": {}, "affinity": {}}},
        ),
        (
            kinds.DEPLOYMENTS,
            {"spec": {"paused": False, "replicas": 0, "template": {"metadata": {"annotations": {}}}}},
            {"spec": {"replicas": 0, "template": {"metadata": {}}}},
        ),
        (kinds.NETWORK_POLICIES, {"spec": {"ingress": [{"from": []}], "egress": []}}, {"spec": {"ingress": [{}]}}),
        (kinds.ROLES, {"rules": []}, {"rules": []}),
        (kinds.ENDPOINT_SLICES, {"endpoints": [], "ports": []}, {"endpoints": [], "ports": []}),
        (kinds.CONFIG_MAPS, {"data": {}, "immutable": False}, {"immutable": False}),
    ],
)
def test_prune_drops_the_empty_fields_that_go_leaves_out(kind: kinds.Kind, obj: Any, kept: Any) -> None:
    assert schema.prune(kind, obj) == kept
    assert schema_fit.fits(kind, kept) and schema_fit.fits(kind, obj) == (obj == kept)


def unmarshal(found: str, field: str, wanted: str) -> str:
    return f"json: cannot unmarshal {found} into Go struct field {field} of type {wanted}"


@pytest.mark.parametrize(
    ("kind", "obj", "message"),
    [
        (
            kinds.DEPLOYMENTS,
            {"spec": {"replicas": "3"}},
            unmarshal("string", "DeploymentSpec.spec.replicas", "int32"),
        ),
        (
            kinds.DEPLOYMENTS,
            {"spec": {"replicas": 2**31}},
            unmarshal("number 2147483648", "DeploymentSpec.spec.replicas", "int32"),
        ),
        (kinds.CONFIG_MAPS, {"data": {"a": 1}}, unmarshal("number", "ConfigMap.data", "string")),
        (kinds.CONFIG_MAPS, {"data": []}, unmarshal("array", "ConfigMap.data", "map[string]string")),
        (
            kinds.PODS,
            {"spec": {"containers": {"name": "a"}}},
            unmarshal("object", "PodSpec.spec.containers", "[]v1.Container"),
        ),
        (
            kinds.PODS,
            {"spec": {"containers": [{"env": [{"name": "a", "value": 1}]}]}},
            unmarshal("number", "EnvVar.spec.containers.env.value", "string"),
        ),
        (kinds.PODS, {"spec": "x"}, unmarshal("string", "Pod.spec", "v1.PodSpec")),
        (kinds.PODS, {"spec": {"hostNetwork": 1}}, unmarshal("number", "PodSpec.spec.hostNetwork", "bool")),
        (
            kinds.CUSTOM_RESOURCE_DEFINITIONS,
            {"spec": {"versions": [{"schema": {"openAPIV3Schema": {"items": {"properties": {"a": []}}}}}]}},
            unmarshal(
                "array", "JSONSchemaProps.spec.versions.schema.openAPIV3Schema.items.properties", "v1.JSONSchemaProps"
            ),
        ),
        (kinds.SECRETS, {"data": {"a": "?"}}, "illegal base64 data at input byte 0"),
        (kinds.SECRETS, {"data": {"a": "AAAA\nAA"}}, "illegal base64 data at input byte 5"),
        (kinds.SECRETS, {"data": {"a": "AA=x"}}, "illegal base64 data at input byte 3"),
        (kinds.SECRETS, {"data": {"a": "AAAA="}}, "illegal base64 data at input byte 4"),
        (kinds.SECRETS, {"data": {"a": "YWé="}}, "illegal base64 data at input byte 2"),
        (
            kinds.SERVICES,
            {"spec": {"ports": [{"port": 1.5}]}},
            unmarshal("number 1.5", "ServicePort.spec.ports.port", "int32"),
        ),
        (
            kinds.SERVICES,
            {"spec": {"ports": [{"targetPort": True}]}},
            unmarshal("bool", "ServicePort.spec.ports.targetPort", "int32"),
        ),
    ],
)
def test_wrong_types(kind: kinds.Kind, obj: dict[str, Any], message: str) -> None:
    assert decode_error(kind, obj) == message


def test_quantities_and_times_are_read() -> None:
    bad = {"spec": {"containers": [{"resources": {"limits": {"cpu": "1 Gi"}}}]}}
    assert decode_error(kinds.PODS, bad).startswith("quantities must match")
    assert decode_error(kinds.LEASES, {"spec": {"renewTime": "now"}}).startswith('parsing time "now"')
    fine = {"metadata": {"creationTimestamp": None}, "spec": {"renewTime": "2026-01-01T00:00:00.000000Z"}}
    assert decode_error(kinds.LEASES, fine) == ""


def test_duplicate_fields() -> None:
    body = b'{"metadata": {"name": "a", "name": "b"}, "spec": [{"x": 1, "x": 2}], "kind": "A"}'
    assert duplicate_fields(body) == ["metadata.name", "spec[0].x"]
    assert duplicate_fields(b'{"a": {"b": 1}, "c": {"b": 1}}') == []
    with pytest.raises(ValueError, match="Expecting"):
        duplicate_fields(b"{")
