"""Defaults: the values clients depend on, and stability (a second pass changes nothing)."""

from __future__ import annotations

import copy
import functools
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netsim.api import kinds
from netsim.api.decoder import decode_error
from netsim.api.defaults import set_defaults
from netsim.api.pod_defaults import pull_policy, qos_class
from netsim.api.schema import SCHEMA_OR_ELSE, Schema, definitions, prune, resolve, type_of_kind
from netsim.api.validation import validate_create, validate_update

OR_ELSE: dict[str, Any] = {"Array": [{"type": "string"}], "Bool": True, "StringArray": ["a"]}
"""What may stand in the place of a schema, by the name of the field's type."""


def leaf(schema: Schema) -> st.SearchStrategy[Any]:
    if schema.get("format") == "int-or-string":
        return st.sampled_from([0, 80, "http", "25%"])
    if "oneOf" in schema:
        return st.sampled_from(["1", "500m", "1Gi", 2])
    if schema.get("format") == "date-time":
        return st.just("2026-01-01T00:00:00Z")
    if schema.get("format") == "byte":
        return st.sampled_from(["", "YQ=="])
    if "type" not in schema:  # any JSON
        return st.sampled_from(["a", 1, True, [], {}, [1], {"type": "string"}])
    choices: dict[str, list[Any]] = {"integer": [0, 1, 80], "boolean": [True, False]}
    choices["string"] = ["", "a", "ClusterIP", "NodePort", "LoadBalancer", "ExternalName", "None", "ClientIP"]
    return st.sampled_from(choices.get(schema.get("type", ""), [None]))


def values(schema: Schema, depth: int) -> st.SearchStrategy[Any]:
    """Values of any shape that the schema's types allow."""
    name, facts = resolve(schema)
    if name.endswith("MicroTime"):
        return st.just("2026-01-01T00:00:00.000000Z")
    if name in SCHEMA_OR_ELSE:
        return st.sampled_from([{"type": "string"}, OR_ELSE[name.rpartition("Or")[2]]])
    return named_values(name, depth) if name else build_values(facts, depth)


@functools.cache
def named_values(name: str, depth: int) -> st.SearchStrategy[Any]:
    return build_values(definitions()[name], depth)


def build_values(facts: Schema, depth: int) -> st.SearchStrategy[Any]:
    kind = facts.get("type")
    if kind == "array":
        return st.lists(values(facts["items"], depth - 1), max_size=2) if depth > 0 else st.just([])
    if kind != "object":
        return leaf(facts)
    if depth <= 0 or not ("properties" in facts or "additionalProperties" in facts):
        return st.just({})
    if "properties" not in facts:
        return st.dictionaries(
            st.sampled_from(["a", "cpu", "memory"]), values(facts["additionalProperties"], depth - 1)
        )
    fields = {name: st.deferred(lambda f=field: values(f, depth - 1)) for name, field in facts["properties"].items()}
    return st.sets(st.sampled_from(sorted(fields)), max_size=6).flatmap(
        lambda chosen: st.fixed_dictionaries({name: fields[name] for name in sorted(chosen)})
    )


STORED = [kind for kind in kinds.KINDS if kind.stored]


@pytest.mark.parametrize("kind", STORED, ids=lambda kind: kind.resource)
@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_defaults_are_idempotent_and_stay_in_the_schema(kind: kinds.Kind, data: st.DataObject) -> None:
    obj = prune(kind, data.draw(named_values(type_of_kind(kind), 6)))
    before = copy.deepcopy(obj)
    once = set_defaults(kind, obj)
    assert obj == before
    assert set_defaults(kind, once) == once
    assert set_defaults(kind, prune(kind, once)) == once  # what a type writes as null is not read again
    assert not decode_error(kind, once)


@pytest.mark.parametrize("kind", kinds.KINDS, ids=lambda kind: kind.resource)
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_typed_object_can_be_validated(kind: kinds.Kind, data: st.DataObject) -> None:
    shape = named_values(type_of_kind(kind), 6)
    old, new = (set_defaults(kind, {"metadata": {}, **prune(kind, data.draw(shape))}) for _ in range(2))
    found = validate_create(kind, new) + validate_update(kind, new, old)
    assert all(cause.reason and cause.message for cause in found)


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "nginx"}], **spec}}


def test_pod_defaults() -> None:
    spec = set_defaults(kinds.PODS, pod())["spec"]
    assert spec["securityContext"] == {}
    expected = {
        "restartPolicy": "Always",
        "dnsPolicy": "ClusterFirst",
        "terminationGracePeriodSeconds": 30,
        "schedulerName": "default-scheduler",
        "enableServiceLinks": True,
    }
    assert {key: spec[key] for key in expected} == expected
    assert [(t["key"], t["tolerationSeconds"]) for t in spec["tolerations"]] == [
        ("node.kubernetes.io/not-ready", 300),
        ("node.kubernetes.io/unreachable", 300),
    ]
    assert spec["containers"][0] == {
        "name": "c",
        "image": "nginx",
        "imagePullPolicy": "Always",
        "resources": {},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
    }


@pytest.mark.parametrize(
    "given_names",
    [{"serviceAccountName": "a"}, {"serviceAccount": "a"}, {"serviceAccountName": "a", "serviceAccount": "b"}],
)
def test_both_names_of_the_service_account_agree(given_names: dict[str, str]) -> None:
    spec = set_defaults(kinds.PODS, pod(**given_names))["spec"]
    assert spec["serviceAccountName"] == spec["serviceAccount"] == "a"


def test_pod_status_defaults() -> None:
    assert set_defaults(kinds.PODS, pod())["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    running = {**pod(), "status": {"phase": "Running", "qosClass": "Burstable"}}
    assert set_defaults(kinds.PODS, running)["status"] == running["status"]


def test_host_network_copies_ports_and_limits_become_requests() -> None:
    container = {"name": "c", "ports": [{"containerPort": 80}], "resources": {"limits": {"cpu": "1"}}}
    filled = set_defaults(kinds.PODS, pod(hostNetwork=True, containers=[container]))["spec"]["containers"][0]
    assert filled["ports"] == [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}]
    assert filled["resources"] == {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}


def test_volumes_and_probes() -> None:
    spec = pod(volumes=[{"name": "a"}, {"name": "b", "configMap": {"name": "x"}}])["spec"]
    spec["containers"][0]["readinessProbe"] = {"httpGet": {"port": 80}}
    filled = set_defaults(kinds.PODS, {"spec": spec})["spec"]
    assert filled["volumes"][0] == {"name": "a", "emptyDir": {}}
    assert filled["volumes"][1]["configMap"]["defaultMode"] == 420
    assert filled["containers"][0]["readinessProbe"] == {
        "httpGet": {"path": "/", "port": 80, "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.7.9", "IfNotPresent"),
        ("host:5000/nginx", "Always"),
        ("host:5000/nginx:1", "IfNotPresent"),
        ("nginx@sha256:abc", "IfNotPresent"),
    ],
)
def test_pull_policy(image: str, policy: str) -> None:
    assert pull_policy(image) == policy


@pytest.mark.parametrize(
    ("resources", "qos"),
    [
        ([{}], "BestEffort"),
        ([{"requests": {"cpu": "0"}}], "BestEffort"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}}], "Guaranteed"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1024Mi"}}], "Guaranteed"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}}, {}], "Burstable"),
        ([{"requests": {"memory": "1"}}], "Burstable"),
    ],
)
def test_qos_class(resources: list[dict[str, Any]], qos: str) -> None:
    assert qos_class({"containers": [{"resources": r} for r in resources]}) == qos


def test_service_defaults() -> None:
    service = {"spec": {"ports": [{"port": 80}]}}
    assert set_defaults(kinds.SERVICES, service) == {
        "spec": {
            "type": "ClusterIP",
            "sessionAffinity": "None",
            "internalTrafficPolicy": "Cluster",
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
        },
        "status": {"loadBalancer": {}},
    }


def test_service_types() -> None:
    def spec(**fields: Any) -> dict[str, Any]:
        filled: dict[str, Any] = set_defaults(kinds.SERVICES, {"spec": fields})["spec"]
        return filled

    assert spec(type="NodePort")["externalTrafficPolicy"] == "Cluster"
    assert spec(type="LoadBalancer")["allocateLoadBalancerNodePorts"] is True
    assert spec(clusterIP="None")["clusterIPs"] == ["None"]
    assert spec(clusterIP="fd00::1")["ipFamilies"] == ["IPv6"]
    assert spec(type="ExternalName", externalName="a.b").keys() == {"type", "externalName", "sessionAffinity"}
    assert "sessionAffinityConfig" not in spec(sessionAffinityConfig={"clientIP": {"timeoutSeconds": 5}})
    affinity = spec(sessionAffinity="ClientIP")["sessionAffinityConfig"]
    assert affinity == {"clientIP": {"timeoutSeconds": 10800}}


def test_deployment_defaults() -> None:
    spec = set_defaults(kinds.DEPLOYMENTS, {"spec": {"template": pod()}})["spec"]
    assert (spec["replicas"], spec["revisionHistoryLimit"], spec["progressDeadlineSeconds"]) == (1, 10, 600)
    rolling = {"maxSurge": "25%", "maxUnavailable": "25%"}
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": rolling}
    assert "tolerations" not in spec["template"]["spec"]
    assert "enableServiceLinks" not in spec["template"]["spec"]
    assert set_defaults(kinds.DEPLOYMENTS, {"spec": {"replicas": 0}})["spec"]["replicas"] == 0


def test_namespace_finalizer_is_not_put_back_while_it_goes() -> None:
    created = set_defaults(kinds.NAMESPACES, {"metadata": {"name": "a"}})
    assert created["metadata"]["labels"] == {"kubernetes.io/metadata.name": "a"}
    assert created["spec"] == {"finalizers": ["kubernetes"]} and created["status"] == {"phase": "Active"}
    going = {"metadata": {"name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": {}}
    assert set_defaults(kinds.NAMESPACES, going)["spec"] == {}


def test_small_kinds() -> None:
    secret = set_defaults(kinds.SECRETS, {"stringData": {"a": "b"}, "data": {"a": "eA==", "c": "eA=="}})
    assert secret == {"type": "Opaque", "data": {"a": "Yg==", "c": "eA=="}}
    node = set_defaults(kinds.NODES, {"spec": {"podCIDR": "10.0.0.0/24"}, "status": {"capacity": {"cpu": "1"}}})
    assert node["spec"]["podCIDRs"] == ["10.0.0.0/24"] and node["status"]["allocatable"] == {"cpu": "1"}
    sliced = set_defaults(kinds.ENDPOINT_SLICES, {"ports": [{"port": 80}]})
    assert sliced["ports"] == [{"name": "", "port": 80, "protocol": "TCP"}]
    binding = set_defaults(kinds.ROLE_BINDINGS, {"roleRef": {}, "subjects": [{"kind": "User", "name": "u"}]})
    assert binding["subjects"][0]["apiGroup"] == "rbac.authorization.k8s.io"
