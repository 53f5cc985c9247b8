"""Events and conditions as people read them, in the words and order of kube-controller-manager 1.36."""

from __future__ import annotations

from typing import Any

import pytest

from netsim.api.kinds import (
    CRON_JOBS,
    DEPLOYMENTS,
    JOBS,
    NODES,
    PERSISTENT_VOLUMES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    Obj,
)
from netsim.api.times import format_time
from netsim.controllers import cronjob, deployment, disruption, node_lifecycle, taint_eviction, volume_claims, volumes
from netsim.controllers.writes import Create, Note, Patch


def told(cluster: Any, reconcile: Any, key: str) -> list[tuple[str, str, str]]:
    """(type, reason, message) of a round's Events; its writes are carried out."""
    cluster.sync()
    cluster.notes.clear()
    cluster.apply(reconcile(key, cluster.view()))
    cluster.sync()
    return [(note.type, note.reason, note.message) for note in cluster.notes]


def add_node(cluster: Any, ready: str = "True", **spec: Any) -> None:
    condition = {"type": "Ready", "status": ready, "lastHeartbeatTime": format_time(cluster.now)}
    cluster.create(NODES, {"metadata": {"name": "n"}, "spec": spec, "status": {"conditions": [condition]}})


def add_pod(cluster: Any, **spec: Any) -> None:
    made = cluster.create(PODS, {"metadata": {"name": "p", "namespace": "ns", "labels": {"a": "x"}}, "spec": spec})
    cluster.set_pod(made, node="n")


def test_a_node_is_greeted_once_and_missed_when_it_goes(cluster: Any) -> None:
    add_node(cluster)
    reconcile = node_lifecycle.controller(40).reconcile
    greeting = ("Normal", "RegisteredNode", "Node n event: Registered Node n in Controller")
    assert told(cluster, reconcile, "n") == [greeting]
    assert told(cluster, reconcile, "n") == []
    uid = cluster.get(NODES, "n")["metadata"]["uid"]
    cluster.delete(NODES, "n")
    assert told(cluster, reconcile, "n") == [
        ("Normal", "RemovingNode", "Node n event: Removing Node n from Controller")
    ]
    assert cluster.notes[0].about["metadata"]["uid"] == uid
    assert told(cluster, reconcile, "n") == []


def test_pods_of_a_lost_node_say_so(cluster: Any) -> None:
    add_node(cluster, "Unknown")
    add_pod(cluster)
    reconcile = node_lifecycle.controller(40).reconcile
    assert ("Warning", "NodeNotReady", "Node is not ready") in told(cluster, reconcile, "n")
    assert not [line for line in told(cluster, reconcile, "n") if line[1] == "NodeNotReady"]


def test_an_eviction_called_off_is_told(cluster: Any) -> None:
    add_node(cluster, taints=[{"key": "k", "effect": "NoExecute"}])
    add_pod(cluster, tolerations=[{"key": "k", "operator": "Exists", "tolerationSeconds": 60}])
    reconcile = taint_eviction.controller().reconcile
    assert told(cluster, reconcile, "ns/p") == []
    cluster.patch(NODES, "n", "", {"spec": {"taints": None}})
    assert told(cluster, reconcile, "ns/p") == [
        ("Normal", "TaintManagerEviction", "Cancelling deletion of Pod ns/p"),
    ]
    assert told(cluster, reconcile, "ns/p") == []


@pytest.mark.parametrize("spec", [{"maxUnavailable": 0}, {"minAvailable": "50%"}, {"minAvailable": 1}])
def test_a_budget_for_pods_that_nobody_scales(cluster: Any, spec: Obj) -> None:
    add_pod(cluster)
    terms = [{"key": "a", "operator": "In", "values": ["x", "y"]}]
    selector = {"matchLabels": {"a": "x"}, "matchExpressions": terms}
    head = {"name": "b", "namespace": "ns"}
    cluster.create(POD_DISRUPTION_BUDGETS, {"metadata": head, "spec": {"selector": selector, **spec}})
    events = told(cluster, disruption.reconcile, "ns/b")
    if spec == {"minAvailable": 1}:
        assert events == []
        return
    ((kind, reason, message),) = events
    assert (kind, reason) == ("Warning", "UnmanagedPods")
    assert message.startswith(
        "Pods selected by this PodDisruptionBudget (selector: &LabelSelector{MatchLabels:map[string]string{a: x,},"
        "MatchExpressions:[]LabelSelectorRequirement{LabelSelectorRequirement{Key:a,Operator:In,Values:[x y],},},}) "
        "were found to be unmanaged."
    )
    assert told(cluster, disruption.reconcile, "ns/b") == []


def cron_job(schedule: str) -> Obj:
    template = {"metadata": {}, "spec": {"template": {"spec": {}}}}
    spec = {"schedule": schedule, "concurrencyPolicy": "Replace", "jobTemplate": template}
    return {"metadata": {"name": "c", "namespace": "ns"}, "spec": spec}


def test_a_job_that_was_replaced_is_not_missed(cluster: Any) -> None:
    cluster.create(CRON_JOBS, cron_job("* * * * *"))
    for _ in range(2):
        cluster.pass_time(60)
        told(cluster, cronjob.reconcile, "ns/c")
        assert told(cluster, cronjob.reconcile, "ns/c") == []
    (left,) = cluster.all(JOBS)
    (active,) = cluster.get(CRON_JOBS, "ns/c")["status"]["active"]
    assert active["uid"] == left["metadata"]["uid"]


def test_a_day_that_never_comes(cluster: Any) -> None:
    cluster.create(CRON_JOBS, cron_job("0 0 31 2 *"))
    text = "invalid schedule: 0 0 31 2 * : time difference between two schedules is less than 1 second"
    assert told(cluster, cronjob.reconcile, "ns/c") == [("Warning", "InvalidSchedule", text)]


def web(replicas: int, image: str = "v1") -> Obj:
    template = {"metadata": {"labels": {"a": "x"}}, "spec": {"containers": [{"name": "c", "image": image}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"a": "x"}}, "template": template}
    return {"metadata": {"name": "web", "namespace": "ns"}, "spec": spec}


@pytest.mark.parametrize(
    ("replicas", "done"), [(0, None), (2, ("ScalingReplicaSet", "Scaled up replica set {name} from 0 to 2"))]
)
def test_a_replica_set_without_replicas_is_made_in_silence(cluster: Any, replicas: int, done: Any) -> None:
    cluster.create(DEPLOYMENTS, web(replicas))
    cluster.sync()
    (made,) = [w for w in deployment.reconcile("ns/web", cluster.view()) if isinstance(w, Create)]
    assert made.announce is not None and made.announce.done == done


def test_a_new_deployment_first_says_that_it_has_begun(cluster: Any) -> None:
    cluster.create(DEPLOYMENTS, web(1))
    told(cluster, deployment.reconcile, "ns/web")
    conditions = cluster.get(DEPLOYMENTS, "ns/web")["status"]["conditions"]
    assert [c["reason"] for c in conditions] == ["NewReplicaSetCreated", "MinimumReplicasUnavailable"]


def test_min_ready_seconds_are_written_only_where_there_are_some(cluster: Any) -> None:
    cluster.create(DEPLOYMENTS, web(1))
    for _ in range(4):
        told(cluster, deployment.reconcile, "ns/web")
    (made,) = cluster.all(REPLICA_SETS)
    assert "minReadySeconds" not in made["spec"] and made["metadata"]["generation"] == 1
    for seconds in (5, None):
        cluster.patch(DEPLOYMENTS, "web", "ns", {"spec": {"minReadySeconds": seconds}})
        told(cluster, deployment.reconcile, "ns/web")
        assert cluster.all(REPLICA_SETS)[0]["spec"].get("minReadySeconds") == seconds


def test_annotations_that_are_empty_make_no_other_template(cluster: Any) -> None:
    cluster.create(DEPLOYMENTS, web(1))
    told(cluster, deployment.reconcile, "ns/web")
    cluster.patch(DEPLOYMENTS, "web", "ns", {"spec": {"template": {"metadata": {"annotations": {}}}}})
    told(cluster, deployment.reconcile, "ns/web")
    assert len(cluster.all(REPLICA_SETS)) == 1


@pytest.mark.parametrize(("path", "goes"), [("/data", False), ("/tmp/x", True), ("/tmp", False)])
def test_a_host_path_volume_whose_claim_is_gone(cluster: Any, path: str, goes: bool) -> None:
    claim = {"namespace": "ns", "name": "gone", "uid": "u"}
    spec = {"hostPath": {"path": path}, "persistentVolumeReclaimPolicy": "Delete", "claimRef": claim}
    cluster.create(PERSISTENT_VOLUMES, {"metadata": {"name": "v"}, "spec": spec, "status": {"phase": "Bound"}})
    text = f"host_path deleter only supports /tmp/.+ but received provided {path}"
    events = told(cluster, volumes.reconcile, "v")
    assert events == ([] if goes else [("Warning", "VolumeFailedDelete", text)])
    left = cluster.get(PERSISTENT_VOLUMES, "v")
    if goes:  # a bound volume is protected: it is released first
        assert left["status"]["phase"] == "Released" and not told(cluster, volumes.reconcile, "v")
        left = cluster.get(PERSISTENT_VOLUMES, "v")
    assert (left is None) if goes else (left["status"]["phase"], left["status"]["message"]) == ("Failed", text)


def test_who_tells() -> None:
    assert disruption.CONTROLLER.reporter == "controllermanager"
    assert volume_claims.CONTROLLER.reporter == "persistentvolume-controller"


def test_only_so_many_nodes_are_greeted(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_lifecycle, "MOST_TOLD", 0)
    add_node(cluster)
    cluster.sync()
    writes = node_lifecycle.controller(40).reconcile("n", cluster.view())
    assert not [write for write in writes if isinstance(write, Note | Patch)]
