"""resource.k8s.io/v1: defaults, refusals in Kubernetes' words, and bodies as its clients send them."""

from __future__ import annotations

from typing import Any

import pytest

from netsim.api import kinds
from netsim.api.defaults import set_defaults
from netsim.api.kinds import Kind, Obj
from netsim.api.protobuf import MAGIC, decode
from netsim.api.validation import validate_create, validate_update

EXACTLY = {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1}
REQUEST = {"name": "r", "exactly": {"deviceClassName": "gpu"}}
ONE_KIND = "exactly one of `exactly` or `firstAvailable` is required"
ONE_PLACE = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
IDENTIFIER = (
    "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters "
    "or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')"
)
REFERENCE = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
POOL = {"name": "p", "generation": 1, "resourceSliceCount": 1}
SLICE = {"driver": "d.example", "nodeName": "n", "pool": POOL}


def claim(*requests: Obj, **more: Any) -> Obj:
    return {"metadata": {"name": "c"}, "spec": {"devices": {"requests": list(requests), **more}}}


def exactly(**fields: Any) -> Obj:
    return claim({"name": "r", "exactly": {"deviceClassName": "gpu", **fields}})


def offered(**fields: Any) -> Obj:
    return {"metadata": {"name": "s"}, "spec": {**SLICE, **fields}}


def refusals(kind: Kind, obj: Obj) -> list[tuple[str, str]]:
    return [(cause.field, cause.message) for cause in validate_create(kind, set_defaults(kind, obj))]


def test_one_device_unless_more_are_asked_for() -> None:
    alternatives = {"name": "a", "firstAvailable": [{"name": "x", "deviceClassName": "gpu"}]}
    all_of_them = {"name": "b", "exactly": {"deviceClassName": "gpu", "allocationMode": "All"}}
    filled = set_defaults(kinds.RESOURCE_CLAIMS, claim(REQUEST, alternatives, all_of_them))
    assert filled["status"] == {}
    first, second, third = filled["spec"]["devices"]["requests"]
    assert first == {"name": "r", "exactly": EXACTLY}
    assert second == {"name": "a", "firstAvailable": [{"name": "x", **EXACTLY}]}
    assert third == all_of_them
    template = {"metadata": {"name": "t"}, "spec": {"spec": claim(REQUEST)["spec"]}}
    made = set_defaults(kinds.RESOURCE_CLAIM_TEMPLATES, template)["spec"]
    assert made == {"metadata": {}, "spec": {"devices": {"requests": [{"name": "r", "exactly": EXACTLY}]}}}


@pytest.mark.parametrize(
    ("kind", "obj"),
    [
        (kinds.RESOURCE_CLAIMS, claim()),
        (kinds.RESOURCE_CLAIMS, claim(REQUEST, constraints=[{"requests": ["r"], "matchAttribute": "a.b/c"}])),
        (kinds.RESOURCE_CLAIM_TEMPLATES, {"metadata": {"name": "t"}}),
        (kinds.DEVICE_CLASSES, {"metadata": {"name": "c"}, "spec": {"extendedResourceName": "a.b/c"}}),
        (kinds.RESOURCE_SLICES, offered(devices=[{"name": "d0"}, {"name": "d1"}])),
    ],
)
def test_what_is_right_is_taken(kind: Kind, obj: Obj) -> None:
    assert refusals(kind, obj) == []


REQUESTS = "spec.devices.requests"


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (claim({"name": "r"}), [(f"{REQUESTS}[0]", f"Required value: {ONE_KIND}")]),
        (
            claim({**REQUEST, "firstAvailable": [{"name": "a", "deviceClassName": "x"}]}),
            [(f"{REQUESTS}[0]", f"Invalid value: null: {ONE_KIND}, but multiple fields are set")],
        ),
        (claim({"name": "r", "exactly": {}}), [(f"{REQUESTS}[0].exactly.deviceClassName", "Required value")]),
        (claim(REQUEST, REQUEST), [(f"{REQUESTS}[1]", 'Duplicate value: "r"')]),
        (
            exactly(allocationMode="Foo"),
            [
                (
                    f"{REQUESTS}[0].exactly.allocationMode",
                    'Unsupported value: "Foo": supported values: "All", "ExactCount"',
                )
            ],
        ),
        (
            exactly(allocationMode="All", count=2),
            [
                (
                    f"{REQUESTS}[0].exactly.count",
                    "Invalid value: 2: must not be specified when allocationMode is 'All'",
                )
            ],
        ),
        (exactly(count=-1), [(f"{REQUESTS}[0].exactly.count", "Invalid value: -1: must be greater than zero")]),
        (exactly(selectors=[{}]), [(f"{REQUESTS}[0].exactly.selectors[0].cel", "Required value")]),
        (
            exactly(tolerations=[{"key": "a", "operator": "Exists", "value": "b"}]),
            [
                (
                    f"{REQUESTS}[0].exactly.tolerations[0].value",
                    'Invalid value: "b": must be empty for operator `Exists`',
                )
            ],
        ),
        (
            claim(*({**REQUEST, "name": f"r{i}"} for i in range(33))),
            [(REQUESTS, "Too many: 33: must have at most 32 items")],
        ),
        (
            claim(REQUEST, constraints=[{"requests": ["q"], "matchAttribute": "foo"}]),
            [
                ("spec.devices.constraints[0].requests[0]", f'Invalid value: "q": {REFERENCE}'),
                (
                    "spec.devices.constraints[0].matchAttribute",
                    'Invalid value: "foo": a fully qualified name must be a domain and a name separated by a slash',
                ),
            ],
        ),
        (
            claim(REQUEST, constraints=[{"matchAttribute": name} for name in ("A.b/c d", "/c", "a.b/")]),
            [
                ("spec.devices.constraints[0].matchAttribute", f'Invalid value: "c d": {IDENTIFIER}'),
                ("spec.devices.constraints[1].matchAttribute", 'Invalid value: "": the domain must not be empty'),
                ("spec.devices.constraints[2].matchAttribute", 'Invalid value: "": the name must not be empty'),
            ],
        ),
        (
            claim(REQUEST, constraints=[{"requests": ["r", "r"], "matchAttribute": f"a.b/{'x' * 40}"}]),
            [
                ("spec.devices.constraints[0].requests[1]", 'Duplicate value: "r"'),
                ("spec.devices.constraints[0].matchAttribute", "Too long: may not be more than 32 bytes"),
            ],
        ),
        (
            claim(REQUEST, config=[{"opaque": {"driver": "d", "parameters": [1]}}]),
            [
                (
                    "spec.devices.config[0].opaque.parameters",
                    'Invalid value: "<value omitted>": must be a valid JSON object',
                )
            ],
        ),
        (
            claim(REQUEST, config=[{}, {"opaque": {"driver": "d"}}]),
            [
                ("spec.devices.config[0].opaque", "Required value"),
                ("spec.devices.config[1].opaque.parameters", "Required value"),
            ],
        ),
    ],
)
def test_claims_are_refused_in_kubernetes_words(obj: Obj, expected: list[tuple[str, str]]) -> None:
    assert refusals(kinds.RESOURCE_CLAIMS, obj) == expected
    template = {"metadata": {"name": "t"}, "spec": {"spec": obj["spec"]}}
    assert refusals(kinds.RESOURCE_CLAIM_TEMPLATES, template) == [(f"spec.{field}", text) for field, text in expected]


def test_an_alternative_is_named_with_its_request() -> None:
    request = {"name": "r", "firstAvailable": [{"name": "a", "deviceClassName": "gpu"}]}
    good = claim(request, constraints=[{"requests": ["r/a"], "distinctAttribute": "a.b/c"}])
    assert refusals(kinds.RESOURCE_CLAIMS, good) == []
    bad = claim(request, constraints=[{"requests": ["r/b"], "distinctAttribute": "a.b/c"}])
    assert refusals(kinds.RESOURCE_CLAIMS, bad) == [
        ("spec.devices.constraints[0].requests[0]", f'Invalid value: "r/b": {REFERENCE}')
    ]


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (
            {"metadata": {"name": "s"}, "spec": {}},
            [
                ("spec.driver", "Required value"),
                ("spec.pool.name", "Required value"),
                ("spec.pool.resourceSliceCount", "Invalid value: 0: must be greater than zero"),
                ("spec", f"Required value: {ONE_PLACE}"),
            ],
        ),
        (
            offered(allNodes=True),
            [("spec", f'Invalid value: "{{`nodeName`, `allNodes`}}": {ONE_PLACE}, but multiple fields are set')],
        ),
        (
            {"metadata": {"name": "s"}, "spec": {**SLICE, "nodeName": "", "allNodes": False}},
            [
                ("spec.nodeName", 'Invalid value: "": must be either unset or set to a non-empty string'),
                ("spec.allNodes", "Invalid value: false: must be either unset or set to true"),
                ("spec", f"Required value: {ONE_PLACE}"),
            ],
        ),
        (
            {
                "metadata": {"name": "s"},
                "spec": {"driver": "d", "pool": POOL, "nodeSelector": {"nodeSelectorTerms": [{}, {}]}},
            },
            [
                (
                    "spec.nodeSelector.nodeSelectorTerms",
                    'Invalid value: [{"MatchExpressions":null,"MatchFields":null},'
                    '{"MatchExpressions":null,"MatchFields":null}]: must have exactly one node selector term',
                )
            ],
        ),
        (
            offered(pool={**POOL, "name": "x" * 254}) | {"metadata": {"name": "s"}},
            [
                ("spec.pool.name", "Too long: may not be more than 253 bytes"),
                ("spec.pool.name", f'Invalid value: "{"x" * 254}": must be no more than 253 characters'),
            ],
        ),
        (
            offered(sharedCounters=[{"name": "x", "counters": {}}], devices=[]),
            [
                ("spec", 'Invalid value: "": only one of `sharedCounters` or `devices` is allowed'),
                ("spec.sharedCounters[0].counters", "Required value"),
            ],
        ),
        (offered(devices=[{"name": "a"}, {"name": "a"}]), [("spec.devices[1]", 'Duplicate value: "a"')]),
        (
            offered(pool={**POOL, "generation": -1}),
            [("spec.pool.generation", "Invalid value: -1: must be greater than or equal to zero")],
        ),
    ],
)
def test_slices_are_refused_in_kubernetes_words(obj: Obj, expected: list[tuple[str, str]]) -> None:
    assert refusals(kinds.RESOURCE_SLICES, obj) == expected


OWN_PLACE = "when `perDeviceNodeSelection` is set to true in the ResourceSlice spec"


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ({"nodeName": "n"}, [("", "Invalid value: null: `nodeName`, `nodeSelector` and `allNodes` can only be set if "
                              "`perDeviceNodeSelection` is set to true in the ResourceSlice spec")]),
        ({"attributes": {"a": {}}}, [(".attributes[a]", 'Invalid value: "": exactly one value must be specified')]),
        (
            {"attributes": {"a": {"int": 1, "string": "x"}}},
            [
                (
                    ".attributes[a]",
                    'Invalid value: {"IntValue":1,"BoolValue":null,"StringValue":"x","VersionValue":null,'
                    '"IntValues":null,"BoolValues":null,"StringValues":null,"VersionValues":null}: '
                    "exactly one value must be specified",
                )
            ],
        ),
        ({"attributes": {"a b": {"int": 1}}}, [(".attributes", f'Invalid value: "a b": {IDENTIFIER}')]),
        ({"attributes": {"a/b/c": {"int": 1}}}, []),
        (
            {"attributes": {"a": {"string": "x" * 65}, "b": {"version": "1.x"}, "c": {"version": "1.0.0-rc.1+b"}}},
            [
                (".attributes[a].string", "Too long: may not be more than 64 bytes"),
                (
                    ".attributes[b].version",
                    'Invalid value: "1.x": must be a string compatible with semver.org spec 2.0.0',
                ),
            ],
        ),
        (
            {"attributes": {f"a{i}": {"int": 1} for i in range(33)}},
            [("", "Invalid value: 33: the total number of attributes and capacities must not exceed 32")],
        ),
        ({"capacity": {"b c": {"value": "1"}}}, [(".capacity", f'Invalid value: "b c": {IDENTIFIER}')]),
        (
            {"taints": [{"key": "a", "effect": "Foo"}]},
            [
                (
                    ".taints[0].effect",
                    'Unsupported value: "Foo": supported values: "NoExecute", "NoSchedule", "None"',
                )
            ],
        ),
        (
            {"taints": [{"key": f"a{i}", "effect": "None"} for i in range(17)]},
            [(".taints", "Too many: 17: must have at most 16 items")],
        ),
        (
            {"consumesCounters": [{}]},
            [
                (".consumesCounters[0].counterSet", "Required value"),
                (".consumesCounters[0].counters", "Required value"),
            ],
        ),
        (
            {"bindingConditions": ["a"]},
            [
                (
                    ".bindingFailureConditions",
                    "Invalid value: null: bindingFailureConditions are required to use bindingConditions",
                )
            ],
        ),
        (
            {"bindingConditions": ["a", "a"], "bindingFailureConditions": ["b"]},
            [(".bindingConditions[1]", 'Duplicate value: "a"')],
        ),
    ],
)  # fmt: skip
def test_devices_are_refused_in_kubernetes_words(device: Obj, expected: list[tuple[str, str]]) -> None:
    found = refusals(kinds.RESOURCE_SLICES, offered(devices=[{"name": "d", **device}]))
    assert found == [(f"spec.devices[0]{field}", text) for field, text in expected]


def test_devices_that_say_themselves_where_they_are() -> None:
    spec = {"driver": "d", "pool": POOL, "perDeviceNodeSelection": True}
    good = {"metadata": {"name": "s"}, "spec": {**spec, "devices": [{"name": "d", "nodeName": "n"}]}}
    assert refusals(kinds.RESOURCE_SLICES, good) == []
    bad = {"metadata": {"name": "s"}, "spec": {**spec, "devices": [{"name": "d"}]}}
    one = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required"
    assert refusals(kinds.RESOURCE_SLICES, bad) == [("spec.devices[0]", f"Required value: {one} {OWN_PLACE}")]


def test_an_extended_resource_has_a_domain_that_is_not_kubernetes() -> None:
    for name in ("foo", "kubernetes.io/foo", "requests.a/b", "a/b c"):
        refused = refusals(kinds.DEVICE_CLASSES, {"metadata": {"name": "c"}, "spec": {"extendedResourceName": name}})
        assert refused == [
            ("spec.extendedResourceName", f'Invalid value: "{name}": must be a valid extended resource name')
        ]


def changed(kind: Kind, old: Obj, new: Obj) -> list[str]:
    return [cause.field for cause in validate_update(kind, set_defaults(kind, new), set_defaults(kind, old))]


def test_what_stays_for_ever() -> None:
    other = claim({**REQUEST, "name": "q"})
    assert changed(kinds.RESOURCE_CLAIMS, claim(REQUEST), other) == ["spec"]
    old, new = ({"metadata": {"name": "t"}, "spec": {"spec": each["spec"]}} for each in (claim(REQUEST), other))
    assert changed(kinds.RESOURCE_CLAIM_TEMPLATES, old, new) == ["spec"]
    moved = offered(driver="q.example", nodeName="z", pool={**POOL, "name": "o"})
    assert changed(kinds.RESOURCE_SLICES, offered(), moved) == ["spec.pool.name", "spec.driver", "spec.nodeName"]
    assert changed(kinds.RESOURCE_SLICES, offered(), offered(pool={**POOL, "generation": 2})) == []


def with_status(**status: Any) -> Obj:
    return {**claim(REQUEST), "status": status}


def test_only_what_is_allocated_can_be_reserved_and_it_stays_as_it_is() -> None:
    user = {"resource": "pods", "name": "p", "uid": "u"}
    allocated = with_status(allocation={"devices": {}}, reservedFor=[user])
    assert changed(kinds.RESOURCE_CLAIMS, claim(REQUEST), with_status(reservedFor=[user])) == ["status.reservedFor"]
    assert changed(kinds.RESOURCE_CLAIMS, claim(REQUEST), allocated) == []
    nameless = with_status(allocation={"devices": {}}, reservedFor=[{"resource": "pods", "uid": "u"}])
    assert changed(kinds.RESOURCE_CLAIMS, claim(REQUEST), nameless) == ["status.reservedFor[0].name"]
    elsewhere = with_status(allocation={"devices": {}, "nodeSelector": {"nodeSelectorTerms": []}})
    assert changed(kinds.RESOURCE_CLAIMS, allocated, elsewhere) == ["status.allocation"]
    assert changed(kinds.RESOURCE_CLAIMS, allocated, claim(REQUEST)) == []


RESULT = {"request": "r", "driver": "d.example", "pool": "p", "device": "d0"}
DEVICE = {"driver": "d.example", "pool": "p", "device": "d0"}
SHOWN = '{"Driver":"d.example","Pool":"p","Device":"d0","ShareID":""}'
LABEL = "status.allocation.devices.results[0]"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (
            {"allocation": {"devices": {"results": [{**RESULT, "request": "zz"}]}}},
            [(f"{LABEL}.request", f'Invalid value: "zz": {REFERENCE}')],
        ),
        (
            {"allocation": {"devices": {"config": [{}]}}},
            [
                ("status.allocation.devices.config[0].source", "Required value"),
                ("status.allocation.devices.config[0].opaque", "Required value"),
            ],
        ),
        (
            {"devices": [DEVICE]},
            [("status.devices[0]", f"Invalid value: {SHOWN}: must be an allocated device in the claim")],
        ),
        (
            {"allocation": {"devices": {"results": [RESULT]}}, "devices": [DEVICE, DEVICE]},
            [("status.devices[1]", f"Duplicate value: {SHOWN}")],
        ),
        (
            {
                "allocation": {"devices": {"results": [RESULT]}},
                "reservedFor": [{"resource": "pods", "name": "p", "uid": "u"}] * 2,
            },
            [("status.reservedFor[1]", 'Duplicate value: "u"')],
        ),
        (
            {
                "allocation": {"devices": {"results": [RESULT]}},
                "devices": [
                    {
                        **DEVICE,
                        "networkData": {
                            "interfaceName": "e" * 300,
                            "ips": ["10.0.0.1", "10.0.0.1/24", "10.0.0.1/24", "fd00::1/128"],
                            "hardwareAddress": "x" * 200,
                        },
                    }
                ],
            },
            [
                ("status.devices[0].networkData.interfaceName", "Too long: may not be more than 256 bytes"),
                ("status.devices[0].networkData.hardwareAddress", "Too long: may not be more than 128 bytes"),
                (
                    "status.devices[0].networkData.ips[0]",
                    'Invalid value: "10.0.0.1": must be a valid address in CIDR form, '
                    "(e.g. 10.9.8.7/24 or 2001:db8::1/64)",
                ),
                ("status.devices[0].networkData.ips[2]", 'Duplicate value: "10.0.0.1/24"'),
            ],
        ),
        (
            {
                "allocation": {"devices": {"results": [RESULT]}},
                "devices": [{**DEVICE, "conditions": [{"type": "a"}], "data": {"a": 1}}],
            },
            [
                (
                    "status.devices[0].conditions[0].status",
                    'Unsupported value: "": supported values: "False", "True", "Unknown"',
                ),
                ("status.devices[0].conditions[0].lastTransitionTime", "Required value"),
                ("status.devices[0].conditions[0].reason", "Required value"),
            ],
        ),
    ],
)
def test_a_status_is_refused_in_kubernetes_words(status: Obj, expected: list[tuple[str, str]]) -> None:
    old, new = (set_defaults(kinds.RESOURCE_CLAIMS, obj) for obj in (claim(REQUEST), with_status(**status)))
    found = [(cause.field, cause.message) for cause in validate_update(kinds.RESOURCE_CLAIMS, new, old)]
    assert found == expected


def test_what_was_allocated_is_told_as_go_has_it() -> None:
    old = with_status(allocation={"devices": {"results": [RESULT]}})
    new = with_status(allocation={"devices": {"results": [{**RESULT, "device": "d1"}]}})
    (cause,) = validate_update(kinds.RESOURCE_CLAIMS, new, old)
    assert cause.message == (
        'Invalid value: {"Devices":{"Results":[{"Request":"r","Driver":"d.example","Pool":"p","Device":"d1",'
        '"AdminAccess":null,"Tolerations":null,"BindingConditions":null,"BindingFailureConditions":null,'
        '"ShareID":null,"ConsumedCapacity":null}],"Config":null},"NodeSelector":null,"AllocationTimestamp":null}: '
        "field is immutable"
    )


def message(*fields: tuple[int, bytes]) -> bytes:
    """A protobuf message of length-delimited fields, each below 128 bytes."""
    return b"".join(bytes((number << 3 | 2, len(value))) + value for number, value in fields)


def test_a_claim_as_protobuf() -> None:
    wish = message((1, b"gpu"), (3, b"ExactCount")) + bytes((4 << 3, 2))
    spec = message((1, message((1, message((1, b"r"), (2, wish))))))
    result = message((1, b"r"), (2, b"d.example"), (3, b"p"), (4, b"d0"))
    user = message((3, b"pods"), (4, b"p"), (5, b"u"))
    status = message((1, message((1, message((1, result))))), (2, user))
    body = message((1, message((1, b"c"))), (2, spec), (3, status))
    kind = message((1, b"resource.k8s.io/v1"), (2, b"ResourceClaim"))
    found = decode(MAGIC + message((1, kind), (2, body)))
    assert found["spec"] == {"devices": {"requests": [{"name": "r", "exactly": {**EXACTLY, "count": 2}}]}}
    device = {"request": "r", "driver": "d.example", "pool": "p", "device": "d0"}
    assert found["status"] == {
        "allocation": {"devices": {"results": [device]}},
        "reservedFor": [{"resource": "pods", "name": "p", "uid": "u"}],
    }
