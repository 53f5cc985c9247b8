"""What nodes and controllers may write to the status of a pod, and conditions of the common form."""

from __future__ import annotations

from typing import Any

import pytest

from netsim.api import kinds
from netsim.api.defaults import set_defaults
from netsim.api.validation import validate_create, validate_update

_OLD = {"qosClass": "Burstable", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]}


def _told(kind: kinds.Kind, status: dict[str, Any], before: dict[str, Any]) -> list[str]:
    obj = {"metadata": {"name": "o", "namespace": "v"}, "spec": {}}
    found = validate_update(kind, {**obj, "status": status}, {**obj, "status": before})
    return [f"{cause.field}: {cause.message}"[:100] for cause in found]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"conditions": [{"type": "Ready"}, {"type": "a.b/C"}]}, []),
        ({"conditions": [{"type": "a/b/c"}]}, ['status.conditions[0].Type: Invalid value: "a/b/c"']),
        ({"observedGeneration": -1}, ["status.observedGeneration: Invalid value: -1: must be a non-negative integer"]),
        ({"qosClass": "x"}, ['status.qosClass: Invalid value: "x": field is immutable']),
        ({"nominatedNodeName": "N!"}, ['status.nominatedNodeName: Invalid value: "N!"']),
        ({"podIPs": [{"ip": "x"}]}, ['status.podIPs[0]: Invalid value: "x": must be a valid IP address']),
        ({"podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]}, []),
        (
            {"podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}]},
            ['status.podIPs: Invalid value: [{"IP":"10.0.0.1"},{"IP":"10.0.0.2"}]: may specify no more'],
        ),
        (
            {"hostIPs": [{"ip": "1.2.3.4"}]},
            ['status.hostIPs[0].ip: Invalid value: "1.2.3.4": must be equal to `hostIP`'],
        ),
        ({"hostIP": "1.2.3.4", "hostIPs": [{"ip": "1.2.3.4"}]}, []),
        (
            {"containerStatuses": [{"name": "c", "user": {"linux": {"uid": -1, "gid": 0}}}]},
            ["status.containerStatuses[0].user.linux.uid: Invalid value: -1: must be between 0 and 2147483647"],
        ),
    ],
)
def test_pods(changed: dict[str, Any], told: list[str]) -> None:
    found = _told(kinds.PODS, {**_OLD, **changed}, _OLD)
    assert len(found) == len(told) and all(map(str.startswith, found, told)), found


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, []),
        ({"type": "a!"}, ['status.conditions[0].type: Invalid value: "a!"']),
        (
            {"status": "x"},
            ['status.conditions[0].status: Unsupported value: "x": supported values: "False", "True", "Unknown"'],
        ),
        ({"lastTransitionTime": None}, ["status.conditions[0].lastTransitionTime: Required value"]),
        ({"reason": ""}, ["status.conditions[0].reason: Required value"]),
        ({"reason": "a b"}, ['status.conditions[0].reason: Invalid value: "a b": a condition reason must']),
        ({"observedGeneration": -1}, ["status.conditions[0].observedGeneration: Invalid value: -1: must be"]),
        ({"message": "m" * 32769}, ["status.conditions[0].message: Too long: may not be more than 32768 bytes"]),
    ],
)
def test_conditions_of_disruption_budgets(changed: dict[str, Any], told: list[str]) -> None:
    good = {"type": "X", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z", "reason": "R", "message": ""}
    found = _told(kinds.POD_DISRUPTION_BUDGETS, {"conditions": [{**good, **changed}]}, {})
    assert len(found) == len(told) and all(map(str.startswith, found, told)), found
    twice = _told(kinds.POD_DISRUPTION_BUDGETS, {"conditions": [good, good]}, {})
    assert twice == ['status.conditions[1].type: Duplicate value: "X"']


def test_the_history_of_a_stateful_set_has_no_rule() -> None:
    spec = {"revisionHistoryLimit": -1, "selector": {"matchLabels": {"a": "b"}}}
    spec["template"] = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    new = set_defaults(kinds.STATEFUL_SETS, {"metadata": {"name": "s"}, "spec": spec})
    assert validate_create(kinds.STATEFUL_SETS, new) == []
