"""Rules of Services, their endpoints, Nodes, Namespaces and what they hold: what is refused, and in which words."""

from __future__ import annotations

from typing import Any

import pytest

from netsim.api import kinds
from netsim.api.defaults import set_defaults
from netsim.api.deprecations import warnings_of
from netsim.api.kinds import Kind
from netsim.api.validation import validate_create, validate_update
from support.changes import merged

SVC, EP, SLICE, NODE, NS = (kinds.SERVICES, kinds.ENDPOINTS, kinds.ENDPOINT_SLICES, kinds.NODES, kinds.NAMESPACES)
TWO_PORTS = [{"name": "a", "port": 80}, {"name": "b", "port": 81}]
BASES: dict[Kind, dict[str, Any]] = {
    SVC: {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}}},
    EP: {
        "metadata": {"name": "e"},
        "subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": TWO_PORTS}],
    },
    SLICE: {
        "metadata": {"name": "e"}, "addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}],
        "ports": TWO_PORTS,
    },
    NODE: {
        "metadata": {"name": "n"}, "spec": {"podCIDR": "10.244.1.0/24", "providerID": "x://y"},
        "status": {"capacity": {"cpu": "4"}, "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]},
    },
    NS: {"metadata": {"name": "n"}},
    kinds.CONFIG_MAPS: {"metadata": {"name": "c"}, "data": {"a": "b"}},
    kinds.SECRETS: {"metadata": {"name": "s"}, "data": {"a": "YQ=="}},
}  # fmt: skip
BAD_LABEL = "a lowercase RFC 1123 label must consist of"
BAD_NAME = "a lowercase RFC 1123 subdomain must consist of"
BAD_VALUE = "a valid label must be an empty string or consist of"
POLICIES = '"PreferDualStack", "RequireDualStack", "SingleStack"'
FEATURE = 'invalid feature name "a": must start with an UpperCamelCase segment'
PORT, ADDRESS, END = "subsets[0].ports[0]", "subsets[0].addresses[0]", "endpoints[0]"


@pytest.mark.parametrize("kind", BASES, ids=lambda kind: kind.resource)
def test_good_objects_are_accepted_and_may_stay_as_they_are(kind: Kind) -> None:
    obj = set_defaults(kind, BASES[kind])
    assert validate_create(kind, obj) == []
    assert validate_update(kind, obj, obj) == []


REFUSALS: list[tuple[Kind, dict[str, Any], str, str]] = [
    (SVC, {"spec.ipFamilyPolicy": ""}, "spec.ipFamilyPolicy", f'Unsupported value: "": supported values: {POLICIES}'),
    (SVC, {"spec.internalTrafficPolicy": ""}, "spec.internalTrafficPolicy", 'Unsupported value: "": supported'),
    (
        SVC,
        {"spec": {"type": "ExternalName", "externalName": "a.io", "ipFamilyPolicy": ""}},
        "spec.ipFamilyPolicy",
        "Forbidden: may not be set for ExternalName services",
    ),
    (
        SVC,
        {"spec.clusterIPs": ["10.96.0.9"]},
        "spec.clusterIPs",
        'Invalid value: ["10.96.0.9"]: must be empty when `clusterIP` is not specified',
    ),
    (EP, {"subsets.0.ports.0.name": "a.b"}, f"{PORT}.name", 'Invalid value: "a.b": must not contain dots'),
    (EP, {"subsets.0.ports.0.appProtocol": ""}, f"{PORT}.appProtocol", 'Invalid value: "": name part must be non-em'),
    (EP, {"subsets.0.addresses.0.hostname": "A"}, f"{ADDRESS}.hostname", f'Invalid value: "A": {BAD_LABEL}'),
    (EP, {"subsets.0.addresses.0.nodeName": ""}, f"{ADDRESS}.nodeName", f'Invalid value: "": {BAD_NAME}'),
    (EP, {"subsets.0.addresses.0.ip": "x"}, f"{ADDRESS}.ip", 'Invalid value: "x": must be a valid IP address'),
    (SLICE, {"endpoints.0.hostname": "A"}, f"{END}.hostname", f'Invalid value: "A": {BAD_LABEL}'),
    (SLICE, {"endpoints.0.nodeName": ""}, f"{END}.nodeName", f'Invalid value: "": {BAD_NAME}'),
    (
        SLICE,
        {"endpoints.0.hints": {"forZones": [{"name": "a b"}]}},
        f"{END}.hints.forZones[0].name",
        f'Invalid value: "a b": {BAD_VALUE}',
    ),
    (
        SLICE,
        {"endpoints.0.hints": {"forNodes": [{"name": "a"}, {"name": "a"}]}},
        f"{END}.hints.forNodes[1].name",
        'Duplicate value: "a"',
    ),
    (SLICE, {"endpoints.0.addresses": ["10.0.0.1"] * 101}, f"{END}.addresses", "Too many: 101: must have at most 100"),
    (SLICE, {"addressType": "FQDN", "endpoints": [{"addresses": ["a"]}]}, f"{END}.addresses[0]",
     'Invalid value: "a": should be a domain with at least two segments separated by dots'),
    (SLICE, {"addressType": "FQDN", "endpoints": [{"addresses": [""]}]}, f"{END}.addresses[0]", "Required value"),
    (SLICE, {"ports.0.protocol": ""}, "ports[0].protocol", 'Unsupported value: "": supported values: "SCTP", "TCP"'),
    (SLICE, {"ports.0.appProtocol": "a b"}, "ports[0].appProtocol", 'Invalid value: "a b": name part must consist of'),
    (SLICE, {"ports.1.name": "a"}, "ports[1].name", 'Duplicate value: "a"'),
    (NODE, {"spec.taints": [{"effect": "NoSchedule"}]}, "metadata.taints[0].key", 'Invalid value: "": name part must'),
    (NODE, {"spec.taints": [{"key": "a"}]}, "metadata.taints[0].effect", "Required value"),
    (
        NODE,
        {"spec.taints": [{"key": "a", "effect": "NoSchedule", "value": "b c"}]},
        "metadata.taints[0].value",
        f'Invalid value: "b c": {BAD_VALUE}',
    ),
    (
        NODE,
        {"spec.taints": [{"key": "a", "effect": "NoSchedule", "value": "b"}] * 2},
        "metadata.taints[1]",
        'Duplicate value: {"Key":"a","Value":"b","Effect":"NoSchedule","TimeAdded":null}: taints must be unique by key',
    ),
    (NODE, {"status.capacity": {"cpu": "-1"}}, "status.capacity.cpu", 'Invalid value: "-1": must be greater than or'),
    (NODE, {"status.capacity": {"x.io/y": "1.5"}}, "status.capacity.x.io/y", 'Invalid value: "1.5": must be an int'),
    (NODE, {"status.declaredFeatures": ["a"]}, "status.declaredFeatures[0]", f'Invalid value: "a": {FEATURE}'),
    (
        NODE,
        {"spec.podCIDRs": ["10.244.1.0/24", "10.244.2.0/24"]},
        "spec.podCIDRs",
        'Invalid value: ["10.244.1.0/24","10.244.2.0/24"]: may specify no more than one CIDR for each IP family',
    ),
    (NODE, {"spec.podCIDR": "x"}, "spec.podCIDRs[0]", 'Invalid value: "x": must be a valid CIDR value'),
    (NS, {"spec": {"finalizers": ["a"]}}, "spec.finalizers", 'Invalid value: "a": name is neither a standard fin'),
    (kinds.CONFIG_MAPS, {"data": {"..a": ""}}, "data[..a]", "Invalid value: \"..a\": must not start with '..'"),
    (kinds.CONFIG_MAPS, {"data": {"..": ""}}, "data[..]", "Invalid value: \"..\": must not be '..'"),
    (
        kinds.SECRETS,
        {"type": "kubernetes.io/ssh-auth", "data": {"ssh-privatekey": ""}},
        "data[ssh-privatekey]",
        "Required value",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "changes", "field", "message"), REFUSALS)
def test_refusals(kind: Kind, changes: dict[str, Any], field: str, message: str) -> None:
    found = validate_create(kind, set_defaults(kind, merged(BASES[kind], changes)))
    assert any(cause.field == field and cause.message.startswith(message) for cause in found), found


UPDATES: list[tuple[Kind, dict[str, Any], str, str]] = [
    (NODE, {"spec.providerID": ""}, "spec.providerID", "Forbidden: node updates may not change providerID except from"),
    (NODE, {"spec.externalID": "x"}, "spec.externalID", "Forbidden: may not be updated"),
    (
        NODE,
        {"status.addresses.1": {"type": "InternalIP", "address": "10.0.0.1"}},
        "status.addresses[1]",
        'Duplicate value: {"Type":"InternalIP","Address":"10.0.0.1"}',
    ),
    (NS, {"status.phase": "Terminating"}, "status.Phase", "Invalid value: \"Terminating\": may only be 'Active' if"),
    (NS, {"spec.finalizers": ["kubernetes", "x"]}, "spec.finalizers[1]", 'Invalid value: "x": name is neither'),
    (
        SVC,
        {"spec.loadBalancerClass": "a/b"},
        "spec.loadBalancerClass",
        "Forbidden: may only be used when `type` is 'LoadBalancer'",
    ),
]


@pytest.mark.parametrize(("kind", "changes", "field", "message"), UPDATES)
def test_refused_changes(kind: Kind, changes: dict[str, Any], field: str, message: str) -> None:
    old = set_defaults(kind, BASES[kind])
    found = validate_update(kind, set_defaults(kind, merged(old, changes)), old)
    assert any(cause.field == field and cause.message.startswith(message) for cause in found), found


def test_wrong_addresses_of_a_service_are_told_alone() -> None:
    spec = {"clusterIP": "x", "clusterIPs": ["x"], "ports": [{"port": 0}]}
    found = validate_create(SVC, set_defaults(SVC, {"metadata": {"name": "?"}, "spec": spec}))
    assert [cause.field for cause in found] == ["spec.clusterIPs[0]"]


def test_what_may_not_change_is_told_before_what_is_wrong() -> None:
    old = {"metadata": {"name": "c"}, "data": {"a": "b"}, "immutable": True}
    found = validate_update(kinds.CONFIG_MAPS, {**old, "data": {"?": ""}}, old)
    assert [cause.field for cause in found] == ["data", "data[?]"]


def test_endpoints_say_their_conditions_and_no_older_topology() -> None:
    given = {**BASES[SLICE], "endpoints": [{"addresses": ["10.0.0.1"], "deprecatedTopology": {"a": "b"}}], "ports": []}
    found = set_defaults(SLICE, given)
    assert found["endpoints"] == [{"addresses": ["10.0.0.1"], "conditions": {}}]
    assert found["ports"] is None
    assert "deprecatedTopology" in given["endpoints"][0]


def test_an_external_name_has_no_internal_policy() -> None:
    spec = {"type": "ExternalName", "externalName": "a.io", "internalTrafficPolicy": "Local"}
    assert "internalTrafficPolicy" not in set_defaults(SVC, {"metadata": {"name": "s"}, "spec": spec})["spec"]


def test_a_node_keeps_neither_a_dynamic_configuration_nor_ranges_that_differ() -> None:
    spec = {"configSource": {}, "podCIDR": "10.1.0.0/24", "podCIDRs": ["10.2.0.0/24"]}
    node = {"metadata": {"name": "n"}, "spec": spec, "status": {"config": {}, "conditions": [{"type": "Ready"}]}}
    found = set_defaults(NODE, node)
    assert found["spec"] == {"podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24"]}
    assert "config" not in found["status"]
    never = {"lastHeartbeatTime": None, "lastTransitionTime": None}
    assert found["status"]["conditions"] == [{"type": "Ready", "status": "", **never}]


@pytest.mark.parametrize(
    ("kind", "changes", "warning"),
    [
        (SLICE, {"addressType": "FQDN"}, "spec.addressType: FQDN endpoints are deprecated"),
        (
            kinds.SECRETS,
            {"type": "kubernetes.io/tls", "data": {"tls.crt": "YQ==", "tls.key": "YQ=="}},
            "tls: failed to find any PEM data in certificate input",
        ),
        (NODE, {"spec.externalID": "x"}, "spec.externalID: this field is deprecated, and is unused by Kubernetes"),
        (
            SVC,
            {"spec.clusterIP": "None", "spec.externalIPs": ["10.0.0.9"]},
            "spec.externalIPs is ignored for headless services",
        ),
    ],
)
def test_warnings(kind: Kind, changes: dict[str, Any], warning: str) -> None:
    assert warnings_of(kind, set_defaults(kind, merged(BASES[kind], changes))) == [warning]
