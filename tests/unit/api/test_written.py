"""What the parts of an object always say, though nobody has said it."""

from __future__ import annotations

from typing import Any

import pytest

from netsim.api import kinds
from netsim.api.defaults import set_defaults
from netsim.api.kinds import Kind
from netsim.api.written import with_zeros

_CONDITION = {"type": "", "status": "", "lastTransitionTime": None}
_CONTAINER = {
    "name": "", "state": {}, "lastState": {}, "ready": False, "restartCount": 0, "image": "", "imageID": "",
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        (kinds.PODS, {"conditions": [{}]}, {"conditions": [{**_CONDITION, "lastProbeTime": None}]}),
        (kinds.PODS, {"containerStatuses": [{}]}, {"containerStatuses": [_CONTAINER]}),
        (
            kinds.PODS,
            {"initContainerStatuses": [{"state": {"running": {}}, "lastState": {"terminated": {}}}]},
            {
                "initContainerStatuses": [
                    {
                        **_CONTAINER,
                        "state": {"running": {"startedAt": None}},
                        "lastState": {"terminated": {"exitCode": 0, "startedAt": None, "finishedAt": None}},
                    }
                ]
            },
        ),
        (
            kinds.PODS,
            {"containerStatuses": [{"user": {"linux": {}}, "volumeMounts": [{}]}]},
            {
                "containerStatuses": [
                    {
                        **_CONTAINER,
                        "user": {"linux": {"uid": 0, "gid": 0}},
                        "volumeMounts": [{"name": "", "mountPath": ""}],
                    }
                ]
            },
        ),
        (kinds.PODS, {"podIP": "10.0.0.1"}, {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]}),
        (kinds.PODS, {"podIPs": [{"ip": "10.0.0.1"}]}, {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]}),
        (
            kinds.PODS,
            {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.2"}]},
            {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]},
        ),
        (kinds.REPLICATION_CONTROLLERS, {"conditions": [{}]}, {"conditions": [_CONDITION]}),
        (kinds.DEPLOYMENTS, {"conditions": [{}]}, {"conditions": [{**_CONDITION, "lastUpdateTime": None}]}),
        (kinds.STATEFUL_SETS, {"conditions": [{"type": "A"}]}, {"conditions": [{**_CONDITION, "type": "A"}]}),
        (kinds.JOBS, {"conditions": [{}]}, {"conditions": [{**_CONDITION, "lastProbeTime": None}]}),
        (
            kinds.POD_DISRUPTION_BUDGETS,
            {"conditions": [{}]},
            {"conditions": [{**_CONDITION, "reason": "", "message": ""}]},
        ),
        (
            kinds.HORIZONTAL_POD_AUTOSCALERS,
            {"currentMetrics": [{"pods": {}}]},
            {"currentMetrics": [{"type": "", "pods": {"metric": {"name": ""}, "current": {}}}]},
        ),
        (kinds.HORIZONTAL_POD_AUTOSCALERS, {"currentMetrics": []}, {"currentMetrics": None}),
    ],
)
def test_status(kind: Kind, given: dict[str, Any], expected: dict[str, Any]) -> None:
    status = set_defaults(kind, {"metadata": {"name": "n"}, "status": given})["status"]
    assert {key: status[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {"volumes": [{"name": "v", "projected": {}}]},
            {"volumes": [{"name": "v", "projected": {"sources": None, "defaultMode": 420}}]},
        ),
        (
            {"securityContext": {"sysctls": [{"name": "a"}]}},
            {"securityContext": {"sysctls": [{"name": "a", "value": ""}]}},
        ),
        (
            {"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1}]}}},
            {
                "affinity": {
                    "nodeAffinity": {
                        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": {}}]
                    }
                }
            },
        ),
    ],
)
def test_pod_specs(spec: dict[str, Any], expected: dict[str, Any]) -> None:
    settled = set_defaults(kinds.PODS, {"spec": spec})["spec"]
    assert {key: settled[key] for key in expected} == expected


def test_containers() -> None:
    amount = {"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}
    given = {
        "env": [amount],
        "lifecycle": {"preStop": {"sleep": {}}},
        "livenessProbe": {"httpGet": {"httpHeaders": [{}]}},
    }
    container = set_defaults(kinds.PODS, {"spec": {"containers": [given]}})["spec"]["containers"][0]
    assert container["env"][0]["valueFrom"]["resourceFieldRef"] == {"resource": "limits.cpu", "divisor": "0"}
    assert container["lifecycle"]["preStop"]["sleep"] == {"seconds": 0}
    assert container["livenessProbe"]["httpGet"]["httpHeaders"] == [{"name": "", "value": ""}]


def test_claims_of_devices_tolerate_values() -> None:
    request = {"name": "r", "exactly": {"deviceClassName": "c", "tolerations": [{"key": "k"}]}}
    claim = set_defaults(kinds.RESOURCE_CLAIMS, {"spec": {"devices": {"requests": [request]}}})
    assert claim["spec"]["devices"]["requests"][0]["exactly"]["tolerations"] == [{"key": "k", "operator": "Equal"}]
    assert set_defaults(kinds.RESOURCE_CLAIMS, {"spec": {}})["spec"] == {"devices": {"requests": None}}


def test_what_says_all_is_shared() -> None:
    pod = set_defaults(kinds.PODS, {"spec": {"containers": [{"name": "c"}]}, "status": {"conditions": [{}]}})
    again = with_zeros(kinds.PODS, pod)
    assert all(again[key] is pod[key] for key in ("spec", "status"))
