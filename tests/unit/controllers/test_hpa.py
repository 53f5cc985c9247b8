"""The autoscaler on values: arithmetic, rules, conditions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from netsim.api.kinds import DEPLOYMENTS, HORIZONTAL_POD_AUTOSCALERS, PODS, Obj
from netsim.controllers.hpa import Autoscaler
from netsim.controllers.writes import Note, Requeue, Update

NOW = datetime(2026, 1, 1, 1, 0, 0, tzinfo=UTC)


def hpa(**spec: Any) -> Obj:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    cpu = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}
    core = {"scaleTargetRef": reference, "minReplicas": 1, "maxReplicas": 5, "metrics": [cpu], **spec}
    return {"metadata": {"name": "web", "namespace": "ns"}, "spec": core}


def measured(cpu: str, *names: str) -> list[Obj]:
    usage = {"cpu": cpu, "memory": "20Mi"}
    return [
        {
            "metadata": {"name": name, "namespace": "ns"},
            "timestamp": "2026-01-01T02:00:00Z",
            "window": "10.0s",
            "containers": [{"name": "a", "usage": usage}],
        }
        for name in names
    ]


def prepare(cluster: Any, replicas: int, **spec: Any) -> Autoscaler:
    """A Deployment with ready pods of 200m each, and its autoscaler."""
    labels = {"app": "web"}
    deployment = {"replicas": replicas, "selector": {"matchLabels": labels}}
    cluster.create(DEPLOYMENTS, {"metadata": {"name": "web", "namespace": "ns"}, "spec": deployment, "status": {}})
    for n in range(replicas):
        containers = [{"name": "a", "resources": {"requests": {"cpu": "200m"}}}]
        made = cluster.create(
            PODS,
            {"metadata": {"name": f"p{n}", "namespace": "ns", "labels": labels}, "spec": {"containers": containers}},
        )
        cluster.set_pod(made, ip="10.244.1.2")
        cluster.patch(PODS, f"p{n}", "ns", {"status": {"startTime": "2026-01-01T00:00:00Z"}}, "status")
    cluster.create(HORIZONTAL_POD_AUTOSCALERS, hpa(**spec))
    cluster.sync()
    cluster.pass_time(7200)
    return Autoscaler()


def run(cluster: Any, scaler: Autoscaler, **facts: Any) -> tuple[Obj, list[Any]]:
    """(the status written, the other writes)."""
    writes = list(scaler.reconcile("ns/web", cluster.view(**facts)))
    assert writes[-1] == Requeue(15.0)
    status = next(w.obj["status"] for w in writes if isinstance(w, Update) and w.sub == "status")
    return status, [w for w in writes[:-1] if not (isinstance(w, Update) and w.sub == "status")]


def conditions(status: Obj) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]}


def test_scaling_up_goes_through_scale(cluster: Any) -> None:
    scaler = prepare(cluster, 2)
    status, (update,) = run(cluster, scaler, metrics=measured("190m", "p0", "p1"))
    assert (update.sub, update.obj["kind"], update.obj["spec"]) == ("scale", "Scale", {"replicas": 4})
    assert update.announce.done == (
        "SuccessfulRescale",
        "New size: 4; reason: cpu resource utilization (percentage of request) above target",
    )
    assert (status["currentReplicas"], status["desiredReplicas"]) == (2, 4)
    assert status["lastScaleTime"] == "2026-01-01T02:00:00Z"
    assert status["currentMetrics"] == [
        {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 95, "averageValue": "190m"}}}
    ]
    assert conditions(status) == {
        "AbleToScale": ("True", "SucceededRescale"),
        "ScalingActive": ("True", "ValidMetricFound"),
        "ScalingLimited": ("False", "DesiredWithinRange"),
    }


def test_scaling_down_waits_for_the_window(cluster: Any) -> None:
    scaler = prepare(cluster, 4)
    names = [f"p{n}" for n in range(4)]
    status, writes = run(cluster, scaler, metrics=measured("10m", *names))
    assert (writes, conditions(status)["AbleToScale"]) == ([], ("True", "ScaleDownStabilized"))
    cluster.pass_time(301)
    status, (update,) = run(cluster, scaler, metrics=measured("10m", *names))
    assert update.obj["spec"] == {"replicas": 1}
    assert update.announce.done[1] == "New size: 1; reason: All metrics below target"


def test_nothing_to_do(cluster: Any) -> None:
    status, writes = run(cluster, prepare(cluster, 2), metrics=measured("104m", "p0", "p1"))
    assert writes == []
    assert (status["currentReplicas"], status["desiredReplicas"]) == (2, 2)
    assert conditions(status)["AbleToScale"] == ("True", "ReadyForNewScale")


@pytest.mark.parametrize(
    ("replicas", "size", "word"), [(7, 5, "above Spec.MaxReplicas"), (1, 2, "below Spec.MinReplicas")]
)
def test_limits_need_no_metrics(cluster: Any, replicas: int, size: int, word: str) -> None:
    _, (update,) = run(cluster, prepare(cluster, replicas, minReplicas=2), error="no metrics today")
    assert update.obj["spec"] == {"replicas": size}
    assert update.announce.done[1] == f"New size: {size}; reason: Current number of replicas {word}"


def test_zero_replicas_switch_it_off(cluster: Any) -> None:
    status, writes = run(cluster, prepare(cluster, 0))
    assert (writes, conditions(status)["ScalingActive"]) == ([], ("False", "ScalingDisabled"))


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"metrics": []}, "unable to get metrics for resource cpu: no metrics returned from resource metrics API"),
        (
            {"error": "too busy"},
            "unable to get metrics for resource cpu: unable to fetch metrics from resource metrics API: too busy",
        ),
        ({"metrics": measured("1m", "other")}, "no metrics returned matched known pods"),
    ],
)
def test_without_metrics_nothing_is_scaled(cluster: Any, facts: Obj, message: str) -> None:
    status, notes = run(cluster, prepare(cluster, 2), **facts)
    assert conditions(status)["ScalingActive"] == ("False", "FailedGetResourceMetric")
    text = f"failed to get cpu utilization: {message}"
    active = next(c for c in status["conditions"] if c["type"] == "ScalingActive")
    assert active["message"] == f"the HPA was unable to compute the replica count: {text}"
    assert status["currentMetrics"] == [{"type": ""}]
    assert [(n.type, n.reason) for n in notes if isinstance(n, Note)] == [
        ("Warning", "FailedGetResourceMetric"),
        ("Warning", "FailedComputeMetricsReplicas"),
    ]
    first = f"invalid metrics (1 invalid out of 1), first error is: failed to get cpu resource metric value: {text}"
    assert notes[1].message == first
    assert status["currentReplicas"] == 2


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        ({"type": "Pods", "pods": {"metric": {"name": "hits"}, "target": {}}}, "FailedGetPodsMetric"),
        ({"type": "External", "external": {"metric": {"name": "queue"}, "target": {}}}, "FailedGetExternalMetric"),
        (
            {
                "type": "Object",
                "object": {"metric": {"name": "x"}, "describedObject": {"kind": "Ingress", "name": "i"}},
            },
            "FailedGetObjectMetric",
        ),
    ],
)
def test_metrics_that_only_an_adapter_would_have(cluster: Any, metric: Obj, reason: str) -> None:
    scaler = prepare(cluster, 2, metrics=[metric])
    status, _ = run(cluster, scaler, metrics=measured("190m", "p0", "p1"))
    assert conditions(status)["ScalingActive"] == ("False", reason)


def test_an_unknown_metric_forbids_scaling_down_only(cluster: Any) -> None:
    cpu = hpa()["spec"]["metrics"][0]
    other = {"type": "Pods", "pods": {"metric": {"name": "hits"}, "target": {}}}
    scaler = prepare(cluster, 3, metrics=[other, cpu])
    names = ("p0", "p1", "p2")
    status, _ = run(cluster, scaler, metrics=measured("10m", *names))
    assert conditions(status)["ScalingActive"] == ("False", "FailedGetPodsMetric")
    status, writes = run(cluster, scaler, metrics=measured("150m", *names))
    assert [w.obj["spec"] for w in writes if isinstance(w, Update)] == [{"replicas": 5}]
    assert [m["type"] for m in status["currentMetrics"]] == ["", "Resource"]


def test_a_containers_memory_in_bytes(cluster: Any) -> None:
    target = {"type": "AverageValue", "averageValue": "10Mi"}
    metric = {"type": "ContainerResource", "containerResource": {"name": "memory", "container": "a", "target": target}}
    status, (update,) = run(cluster, prepare(cluster, 2, metrics=[metric]), metrics=measured("1m", "p0", "p1"))
    assert update.obj["spec"] == {"replicas": 4}
    part = status["currentMetrics"][0]["containerResource"]
    assert part == {"name": "memory", "container": "a", "current": {"averageValue": "20971520"}}


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ({"apiVersion": "apps/v1", "kind": "Deployment", "name": "no"}, 'deployments.apps "no" not found'),
        ({"apiVersion": "x/v1", "kind": "Y", "name": "no"}, 'no matches for kind "Y" in group "x"'),
    ],
)
def test_a_target_that_is_not_there(cluster: Any, reference: Obj, message: str) -> None:
    status, (note,) = run(cluster, prepare(cluster, 1, scaleTargetRef=reference))
    assert (note.reason, note.message) == ("FailedGetScale", message)
    assert conditions(status)["AbleToScale"] == ("False", "FailedGetScale")


def test_two_autoscalers_of_the_same_pods_do_nothing(cluster: Any) -> None:
    scaler = prepare(cluster, 2)
    cluster.create(HORIZONTAL_POD_AUTOSCALERS, {**hpa(), "metadata": {"name": "other", "namespace": "ns"}})
    cluster.sync()
    status, notes = run(cluster, scaler, metrics=measured("190m", "p0", "p1"))
    text = "pods by selector app=web are controlled by multiple HPAs: [ns/other ns/web]"
    assert conditions(status)["ScalingActive"] == ("False", "AmbiguousSelector")
    assert (notes[0].reason, notes[0].message) == ("AmbiguousSelector", text)


def test_a_failed_rescale_is_told(cluster: Any) -> None:
    scaler = prepare(cluster, 2)
    writes = scaler.reconcile("ns/web", cluster.view(failure="not today", metrics=measured("190m", "p0", "p1")))
    status = next(w.obj["status"] for w in writes if isinstance(w, Update) and w.sub == "status")
    able = next(c for c in status["conditions"] if c["type"] == "AbleToScale")
    assert (able["status"], able["reason"]) == ("False", "FailedUpdateScale")
    assert able["message"] == "the HPA controller was unable to update the target scale: not today"


def test_memory_of_a_deleted_autoscaler_is_dropped(cluster: Any) -> None:
    scaler = prepare(cluster, 4)
    names = [f"p{n}" for n in range(4)]
    run(cluster, scaler, metrics=measured("190m", *names))
    made = cluster.get(HORIZONTAL_POD_AUTOSCALERS, "ns/web")
    cluster.delete(HORIZONTAL_POD_AUTOSCALERS, "web", "ns")
    cluster.sync()
    assert scaler.reconcile("ns/web", cluster.view()) == []
    cluster.create(HORIZONTAL_POD_AUTOSCALERS, {**made, "metadata": {"name": "web", "namespace": "ns"}})
    cluster.sync()
    cluster.pass_time(301)
    status, _ = run(cluster, scaler, metrics=measured("10m", *names))
    assert conditions(status)["AbleToScale"] == ("True", "ScaleDownStabilized")


def test_an_objects_metric_is_on_it(cluster: Any) -> None:
    about = {"metric": {"name": "x"}, "describedObject": {"kind": "Ingress", "name": "i"}}
    status, _ = run(cluster, prepare(cluster, 2, metrics=[{"type": "Object", "object": about}]), metrics=[])
    said = next(c["message"] for c in status["conditions"] if c["type"] == "ScalingActive")
    assert "unable to get metric x: Ingress on ns i/unable to fetch metrics from custom metrics API: " in said
