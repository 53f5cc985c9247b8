"""Rules of IPAddresses, ServiceCIDRs and RuntimeClasses: the texts are a real API server's answers."""

from __future__ import annotations

from typing import Any

import pytest

from netsim.api import causes, kinds
from netsim.api.kinds import Kind
from netsim.api.validation import validate_create, validate_update

IP, CIDR, CLASS = kinds.IP_ADDRESSES, kinds.SERVICE_CIDRS, kinds.RUNTIME_CLASSES
PARENT = {"parentRef": {"resource": "services", "namespace": "default", "name": "x"}}
FIXED = causes.IMMUTABLE


def found(kind: Kind, obj: dict[str, Any]) -> list[str]:
    return [f"{cause.field}: {cause.message}" for cause in validate_create(kind, obj)]


def changed(kind: Kind, new: dict[str, Any], old: dict[str, Any]) -> list[str]:
    metadata = {"metadata": {"name": "10.0.0.1"}}
    return [f"{cause.field}: {cause.message}" for cause in validate_update(kind, new | metadata, old | metadata)]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("10.0.0.1", ""),
        ("fd00::", ""),
        ("d", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
        ("fe80::1%eth0", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
        ("010.0.0.1", "must not have leading 0s"),
        ("FD00::0", 'must be in canonical form ("fd00::")'),
        ("fd00::0abc", 'must be in canonical form ("fd00::abc")'),
        ("::ffff:1.2.3.4", "must not be an IPv4-mapped IPv6 address"),
    ],
)
def test_an_address_is_named_canonically(name: str, why: str) -> None:
    wanted = [f'metadata.name: Invalid value: "{name}": {why}'] if why else []
    assert found(IP, {"metadata": {"name": name}, "spec": PARENT}) == wanted


def test_an_address_names_its_parent() -> None:
    at = {"metadata": {"name": "10.0.0.1"}}
    assert found(IP, at) == ["spec.parentRef: Required value"]
    empty = ["spec.parentRef.resource: Required value", "spec.parentRef.name: Required value"]
    assert found(IP, at | {"spec": {"parentRef": {}}}) == empty
    wrong = {"group": "A", "resource": "a/b", "name": "..", "namespace": "%"}
    assert found(IP, at | {"spec": {"parentRef": wrong}}) == [
        f'spec.parentRef.group: Invalid value: "A": {causes.SUBDOMAIN_MESSAGE}',
        "spec.parentRef.resource: Invalid value: \"a/b\": may not contain '/'",
        "spec.parentRef.name: Invalid value: \"..\": may not be '..'",
        "spec.parentRef.namespace: Invalid value: \"%\": may not contain '%'",
    ]


def test_an_address_keeps_its_parent() -> None:
    old = {"spec": PARENT}
    assert changed(IP, old, old) == []
    shown = '{"Group":"","Resource":"services","Namespace":"default","Name":"y"}'
    assert changed(IP, {"spec": {"parentRef": {**PARENT["parentRef"], "name": "y"}}}, old) == [
        f"spec.parentRef: Invalid value: {shown}: {FIXED}"
    ]
    assert changed(IP, {"spec": {}}, old) == [
        "spec.parentRef: Required value", f"spec.parentRef: Invalid value: null: {FIXED}"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("cidrs", "wanted"),
    [
        (["10.0.0.0/24", "fd00::/64"], []),
        ([], [": Required value: at least one CIDR required"]),
        (["x"], ['[0]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)']),
        (["10.0.0.0"], ['[0]: Invalid value: "10.0.0.0": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/6'
                        '4)']),
        (["10.0.0.0/024"], ['[0]: Invalid value: "10.0.0.0/024": must not have leading 0s in IP or prefix length']),
        (["10.0.0.0/255.0.0.0"], ['[0]: Invalid value: "10.0.0.0/255.0.0.0": must be a valid CIDR value, (e.g. 10.9.8.'
                                  "0/24 or 2001:db8::/64)"]),
        (["FD00::/64"], ['[0]: Invalid value: "FD00::/64": must be in canonical form ("fd00::/64")']),
        (["::ffff:1.2.3.0/120"], ['[0]: Invalid value: "::ffff:1.2.3.0/120": must not have an IPv4-mapped IPv6 address'
                                  ]),
        (
            ["10.0.0.1/24", "10.2.0.0/16"],
            [
                '[0]: Invalid value: "10.0.0.1/24": must not have bits set beyond the prefix length',
                ': Invalid value: ["10.0.0.1/24","10.2.0.0/16"]: may specify no more than one IP for each IP family, '
                "i.e 192.168.0.0/24 and 2001:db8::/64",
            ],
        ),
        (
            ["10.0.0.0/24", "10.2.0.0/16", "fd00::/64"],
            [
                ': Invalid value: {"CIDRs":["10.0.0.0/24","10.2.0.0/16","fd00::/64"]}: may only hold up to 2 values'
            ],
        ),
    ],
)  # fmt: skip
def test_ranges(cidrs: list[str], wanted: list[str]) -> None:
    assert found(CIDR, {"metadata": {"name": "a"}, "spec": {"cidrs": cidrs}}) == [f"spec.cidrs{one}" for one in wanted]


def test_a_range_may_get_a_second_family_and_nothing_else() -> None:
    def became(*cidrs: str) -> list[str]:
        return changed(CIDR, {"spec": {"cidrs": list(cidrs)}}, {"spec": {"cidrs": ["10.200.0.0/24"]}})

    assert became("10.200.0.0/24") == became("10.200.0.0/24", "fd00::/64") == []
    assert became("10.201.0.0/24") == [f'spec.cidrs[0]: Invalid value: "10.201.0.0/24": {FIXED}']
    assert became() == [f"spec.cidrs: Invalid value: []: {FIXED}"]
    assert became("10.200.0.0/24", "10.1.0.0/16") == [
        'spec.cidrs: Invalid value: ["10.200.0.0/24","10.1.0.0/16"]: may specify no more than one IP for each IP '
        "family, i.e 192.168.0.0/24 and 2001:db8::/64"
    ]


def test_runtime_classes() -> None:
    assert found(CLASS, {"metadata": {"name": "a"}}) == ["handler: Required value"]
    tolerations = [{"key": "a", "operator": "Exists", "value": "v"}, {"key": "a"}, {"key": "a"}]
    wrong = {
        "handler": "A.b",
        "overhead": {"podFixed": {"cpu": "-1", "foo": "1"}},
        "scheduling": {"nodeSelector": {"a b": "c"}, "tolerations": tolerations},
    }
    assert found(CLASS, {"metadata": {"name": "b"}, **wrong}) == [
        f'handler: Invalid value: "A.b": {causes.LABEL_MESSAGE}',
        'overhead.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0',
        'overhead.limits[foo]: Invalid value: "foo": must be a standard resource type or fully qualified',
        'overhead.limits[foo]: Invalid value: "foo": must be a standard resource for containers',
        f'scheduling.nodeSelector: Invalid value: "a b": {causes.KEY_MESSAGE}',
        "scheduling.tolerations[0].operator: Invalid value: \"v\": value must be empty when `operator` is 'Exists'",
        'scheduling.tolerations[2]: Duplicate value: {"Key":"a","Operator":"","Value":"","Effect":"",'
        '"TolerationSeconds":null}',
    ]
    assert changed(CLASS, {"handler": "x"}, {"handler": "y"}) == [f'handler: Invalid value: "x": {FIXED}']
