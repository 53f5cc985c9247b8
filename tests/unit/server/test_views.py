"""Kinds with two forms: what is written in one is read in the other, and nothing is lost on the way."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from netsim.api.kinds import EVENTS_V1, HORIZONTAL_POD_AUTOSCALERS, HORIZONTAL_POD_AUTOSCALERS_V1
from netsim.server.codec import stored_kind
from netsim.server.views import shown_form, stored_form

NEW, OLD = HORIZONTAL_POD_AUTOSCALERS, HORIZONTAL_POD_AUTOSCALERS_V1
CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}
MEMORY = {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}}
PODS = {
    "type": "Pods",
    "pods": {"metric": {"name": "q", "selector": {}}, "target": {"type": "AverageValue", "averageValue": "5"}},
}
EXTERNAL = {
    "type": "External",
    "external": {"metric": {"name": "q"}, "target": {"type": "Value", "value": "7"}},
}
OBJECT = {
    "type": "Object",
    "object": {
        "metric": {"name": "q"},
        "describedObject": {"kind": "Service", "name": "s"},
        "target": {"type": "Value", "value": "7"},
    },
}
BEHAVIOR = {"scaleUp": {"selectPolicy": "Max", "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}]}}
USED = {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 10, "averageValue": "5m"}}}
CONDITION = {"type": "AbleToScale", "status": "True", "reason": "R", "message": "m"}
REFERENCE = {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"}


def autoscaler(**status: Any) -> dict[str, Any]:
    return {
        "kind": "HorizontalPodAutoscaler",
        "apiVersion": "autoscaling/v2",
        "metadata": {"name": "h", "annotations": {"own": "kept"}},
        "spec": {
            "scaleTargetRef": REFERENCE, "minReplicas": 1, "maxReplicas": 5, "behavior": BEHAVIOR,
            "metrics": [MEMORY, PODS, EXTERNAL, OBJECT, CPU],
        },
        "status": {"currentReplicas": 2, "desiredReplicas": 3, **status},
    }  # fmt: skip


def test_views_share_a_store() -> None:
    assert stored_kind(OLD) is NEW and stored_kind(NEW) is NEW
    assert stored_kind(EVENTS_V1).api_version == "v1"


def test_autoscalers_as_version_1_has_them() -> None:
    old = shown_form(OLD, autoscaler(currentMetrics=[USED], conditions=[CONDITION]))
    assert old["apiVersion"] == "autoscaling/v1"
    assert old["spec"] == {
        "scaleTargetRef": REFERENCE, "minReplicas": 1, "maxReplicas": 5, "targetCPUUtilizationPercentage": 50,
    }  # fmt: skip
    assert old["status"] == {"currentReplicas": 2, "desiredReplicas": 3, "currentCPUUtilizationPercentage": 10}
    kept = {key.rpartition("/")[2]: value for key, value in old["metadata"]["annotations"].items()}
    metrics = json.loads(kept["metrics"])
    assert metrics[0] == {"type": "Resource", "resource": {"name": "memory", "targetAverageValue": "1Gi"}}
    assert metrics[1]["pods"] == {"metricName": "q", "selector": {}, "targetAverageValue": "5"}
    assert metrics[3]["object"]["target"] == {"kind": "Service", "name": "s"}
    assert json.loads(kept["behavior"])["ScaleUp"]["Policies"][0]["PeriodSeconds"] == 15
    assert json.loads(kept["conditions"]) == [{**CONDITION, "lastTransitionTime": None}]
    assert json.loads(kept["current-metrics"])[0]["resource"]["currentAverageUtilization"] == 10
    assert kept["own"] == "kept"


def test_nothing_is_lost_there_and_back() -> None:
    new = autoscaler(currentMetrics=[USED], conditions=[CONDITION])
    before = copy.deepcopy(new)
    assert stored_form(OLD, shown_form(OLD, new)) == new == before


def test_annotations_as_go_writes_them() -> None:
    """In the order of its types, with the zeros that these do not leave out."""
    present = [
        {"type": "Pods", "pods": {"metric": {"name": "q"}, "current": {"averageValue": "5"}}},
        {"type": "Object", "object": {**OBJECT["object"], "current": {"averageValue": "5"}}},
        {"type": "External", "external": {"metric": {"name": "q"}, "current": {"averageValue": "5"}}},
        {
            "type": "ContainerResource",
            "containerResource": {"container": "c", "name": "cpu", "current": {"averageUtilization": 7}},
        },
    ]
    new = autoscaler(currentMetrics=present)
    average = {"type": "AverageValue", "averageValue": "5"}
    new["spec"]["metrics"] = [{"type": "Object", "object": {**OBJECT["object"], "target": average}}]
    new["spec"]["behavior"] = {"scaleDown": {"stabilizationWindowSeconds": 5}}
    new["metadata"]["annotations"] |= {"autoscaling.alpha.kubernetes.io/conditions": "somebody else's"}
    shown = shown_form(OLD, new)
    kept = {key.rpartition("/")[2]: value for key, value in shown["metadata"]["annotations"].items()}
    of_object = '"object":{"target":{"kind":"Service","name":"s"},"metricName":"q",'
    assert kept == {
        "own": "kept",
        "metrics": f'[{{"type":"Object",{of_object}"targetValue":"0","averageValue":"5"}}}}]',
        "current-metrics": '[{"type":"Pods","pods":{"metricName":"q","currentAverageValue":"5"}},'
        f'{{"type":"Object",{of_object}"currentValue":"0","averageValue":"5"}}}},'
        '{"type":"External","external":{"metricName":"q","currentValue":"0","currentAverageValue":"5"}},'
        '{"type":"ContainerResource","containerResource":{"name":"cpu","currentAverageUtilization":7,'
        '"currentAverageValue":"0","container":"c"}}]',
        "behavior": '{"ScaleUp":null,"ScaleDown":{"StabilizationWindowSeconds":5,"SelectPolicy":null,"Policies":null,'
        '"Tolerance":null}}',
    }
    back = stored_form(OLD, shown)
    assert back["spec"] == new["spec"]
    assert back["status"]["currentMetrics"][1]["object"]["current"] == {"value": "0", "averageValue": "5"}


async def test_the_cpu_utilisation_of_a_status_in_version_1(api: Any) -> None:
    """It is kept where there is no annotation, which says more."""
    path = "namespaces/default/horizontalpodautoscalers"
    old, new = (f"/apis/autoscaling/{version}/{path}" for version in ("v1", "v2"))
    await api.post(old, {"metadata": {"name": "h"}, "spec": {"scaleTargetRef": REFERENCE, "maxReplicas": 3}})
    made = await api.merge(f"{old}/h/status", {"status": {"currentCPUUtilizationPercentage": 42}})
    assert made["status"]["currentCPUUtilizationPercentage"] == 42
    kept = made["metadata"]["annotations"]
    assert kept == {
        "autoscaling.alpha.kubernetes.io/current-metrics": '[{"type":"Resource","resource":{"name":"cpu",'
        '"currentAverageUtilization":42,"currentAverageValue":"0"}}]'
    }
    current = (await api.get(f"{new}/h"))["status"]["currentMetrics"][0]["resource"]["current"]
    assert current == {"averageUtilization": 42}
    ignored = await api.merge(f"{old}/h/status", {"status": {"currentCPUUtilizationPercentage": 43}})
    assert ignored["status"]["currentCPUUtilizationPercentage"] == 42
    plain = {"metadata": {"annotations": None}, "status": {"currentCPUUtilizationPercentage": 45}}
    assert (await api.merge(f"{old}/h/status", plain))["status"]["currentCPUUtilizationPercentage"] == 45


@pytest.mark.parametrize(
    "text", ["", "[", "{}", "[1]", '"x"', '[{"type": "Pods", "pods": 1}]', '{"ScaleUp": 1}', '[{"type": 1}]']
)
def test_annotations_that_are_none_of_ours_do_no_harm(text: str) -> None:
    metadata = {
        "name": "h",
        "annotations": {f"autoscaling.alpha.kubernetes.io/{k}": text for k in ("metrics", "behavior")},
    }
    old = {"metadata": metadata, "spec": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 50}}
    spec = stored_form(OLD, old)["spec"]
    assert spec["metrics"][-1] == CPU and spec.get("behavior", {}) == {}


async def test_both_versions_are_served(api: Any) -> None:
    path = "namespaces/default/horizontalpodautoscalers"
    body = {"metadata": {"name": "h"}, "spec": {"scaleTargetRef": REFERENCE, "maxReplicas": 3}}
    made = await api.ok("POST", f"/apis/autoscaling/v1/{path}", body)
    assert made["spec"]["targetCPUUtilizationPercentage"] == 80
    assert "annotations" not in made["metadata"]
    new = await api.get(f"/apis/autoscaling/v2/{path}/h")
    assert new["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 80
    patch = {"spec": {"targetCPUUtilizationPercentage": 30}}
    merge = "application/merge-patch+json"
    await api.ok("PATCH", f"/apis/autoscaling/v1/{path}/h", patch, content_type=merge)
    listed = (await api.get(f"/apis/autoscaling/v2/{path}"))["items"]
    assert listed[0]["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 30
    refused = await api.refused(
        "PATCH", f"/apis/autoscaling/v1/{path}/h", {"spec": {"maxReplicas": 0}}, content_type=merge
    )
    assert refused["code"] == 422 and "spec.maxReplicas" in refused["message"]
