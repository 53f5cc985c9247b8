"""ReplicaSets on values: how many pods, which ones go first, adoption, status."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from netsim.api.kinds import PODS, REPLICA_SETS, REPLICATION_CONTROLLERS, Obj
from netsim.controllers import replicaset
from netsim.controllers.ranking import choose_victims
from netsim.controllers.writes import Create, Delete

NOW = datetime(2026, 1, 1, 1, tzinfo=UTC)


def replica_set(replicas: int = 3, **spec: Any) -> Obj:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    body = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template, **spec}
    return {"metadata": {"name": "web", "namespace": "ns"}, "spec": body}


def settle(cluster: Any, rounds: int = 10) -> None:
    for _ in range(rounds):
        cluster.sync()
        writes = replicaset.reconcile("ns/web", cluster.view())
        if not writes:
            return
        assert not cluster.apply(writes)
    cluster.sync()
    assert not [w for w in replicaset.reconcile("ns/web", cluster.view())]


def test_creates_what_is_missing_and_counts(cluster: Any) -> None:
    cluster.create(REPLICA_SETS, replica_set(3))
    settle(cluster)
    pods = cluster.all(PODS)
    assert len(pods) == 3
    assert all(pod["metadata"]["name"].startswith("web-") for pod in pods)
    owner = pods[0]["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["controller"], owner["blockOwnerDeletion"]) == ("ReplicaSet", True, True)
    assert cluster.get(REPLICA_SETS, "ns/web")["status"] == {
        "replicas": 3,
        "fullyLabeledReplicas": 3,
        "observedGeneration": 1,
        "terminatingReplicas": 0,
    }
    for pod in pods[:2]:
        cluster.set_pod(pod)
    settle(cluster)
    status = cluster.get(REPLICA_SETS, "ns/web")["status"]
    assert (status["readyReplicas"], status["availableReplicas"]) == (2, 2)


def test_scales_down_by_deleting_the_least_useful(cluster: Any) -> None:
    cluster.create(REPLICA_SETS, replica_set(3))
    settle(cluster)
    first, second, _third = cluster.all(PODS)
    cluster.set_pod(first)
    cluster.set_pod(second, ready=False)
    cluster.patch(REPLICA_SETS, "web", "ns", {"spec": {"replicas": 1}})
    settle(cluster)
    assert [pod["metadata"]["name"] for pod in cluster.all(PODS)] == [first["metadata"]["name"]]


def test_finished_and_leaving_pods_are_replaced(cluster: Any) -> None:
    cluster.create(REPLICA_SETS, replica_set(2))
    settle(cluster)
    first, second = cluster.all(PODS)
    cluster.patch(PODS, first["metadata"]["name"], "ns", {"status": {"phase": "Failed"}}, "status")
    cluster.patch(PODS, second["metadata"]["name"], "ns", {"metadata": {"finalizers": ["x/y"]}})
    cluster.delete(PODS, second["metadata"]["name"], "ns")
    settle(cluster)
    assert len(cluster.all(PODS)) == 4
    assert cluster.get(REPLICA_SETS, "ns/web")["status"]["terminatingReplicas"] == 1


def test_adopts_matching_orphans_and_releases_strangers(cluster: Any) -> None:
    cluster.create(PODS, {"metadata": {"name": "orphan", "namespace": "ns", "labels": {"app": "web"}}, "spec": {}})
    cluster.create(PODS, {"metadata": {"name": "other", "namespace": "ns", "labels": {"app": "x"}}, "spec": {}})
    cluster.create(REPLICA_SETS, replica_set(2))
    settle(cluster)
    assert len([p for p in cluster.all(PODS) if p["metadata"].get("ownerReferences")]) == 2
    cluster.patch(PODS, "orphan", "ns", {"metadata": {"labels": {"app": "quarantined"}}})
    settle(cluster)
    assert not cluster.get(PODS, "ns/orphan")["metadata"].get("ownerReferences")
    assert len(cluster.all(PODS)) == 4
    assert not cluster.get(PODS, "ns/other")["metadata"].get("ownerReferences")


def test_one_being_deleted_creates_and_deletes_nothing(cluster: Any) -> None:
    body = replica_set(3)
    body["metadata"]["finalizers"] = ["foregroundDeletion"]
    cluster.create(REPLICA_SETS, body)
    cluster.delete(REPLICA_SETS, "web", "ns")
    cluster.sync()
    writes = replicaset.reconcile("ns/web", cluster.view())
    assert not [write for write in writes if isinstance(write, Create | Delete)]


def test_a_failure_becomes_a_condition_and_leaves_with_it(cluster: Any) -> None:
    cluster.create(REPLICA_SETS, replica_set(1))
    cluster.sync()
    writes = replicaset.reconcile("ns/web", cluster.view("quota exceeded"))
    condition = writes[-1].obj["status"]["conditions"][0]
    assert (condition["type"], condition["reason"]) == ("ReplicaFailure", "FailedCreate")
    assert condition["message"] == "quota exceeded"
    cluster.apply([writes[-1]])
    cluster.sync()
    again = replicaset.reconcile("ns/web", cluster.view("quota exceeded by another name"))
    assert [type(write) for write in again] == [Create]  # a status that changed would wake the controller at once
    settle(cluster)
    assert "conditions" not in cluster.get(REPLICA_SETS, "ns/web")["status"]


def test_min_ready_seconds_delays_availability(cluster: Any) -> None:
    cluster.create(REPLICA_SETS, replica_set(1, minReadySeconds=10))
    settle(cluster)
    cluster.set_pod(cluster.all(PODS)[0])
    cluster.sync()
    cluster.pass_time(4)
    cluster.apply(replicaset.reconcile("ns/web", cluster.view()))
    assert cluster.requeues[-1] == 6
    assert "availableReplicas" not in cluster.get(REPLICA_SETS, "ns/web")["status"]
    cluster.pass_time(6)
    settle(cluster)
    assert cluster.get(REPLICA_SETS, "ns/web")["status"]["availableReplicas"] == 1


def test_a_replication_controller_selects_by_plain_labels(cluster: Any) -> None:
    body = replica_set(2, selector={"app": "web"})
    cluster.create(REPLICATION_CONTROLLERS, body)
    cluster.create(PODS, {"metadata": {"name": "orphan", "namespace": "ns", "labels": {"app": "web"}}, "spec": {}})
    for _ in range(4):
        cluster.sync()
        assert not cluster.apply(replicaset.REPLICATION_CONTROLLER.reconcile("ns/web", cluster.view()))
    pods = cluster.all(PODS)
    assert len(pods) == 2
    assert {pod["metadata"]["ownerReferences"][0]["kind"] for pod in pods} == {"ReplicationController"}
    status = cluster.get(REPLICATION_CONTROLLERS, "ns/web")["status"]
    assert status["replicas"] == 2 and "terminatingReplicas" not in status


def pod(uid: str, **facts: Any) -> Obj:
    ready = facts.get("ready", True)
    since = facts.get("since", "2026-01-01T00:00:00Z")
    conditions = [{"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": since}]
    annotations = {"controller.kubernetes.io/pod-deletion-cost": facts["cost"]} if "cost" in facts else {}
    return {
        "metadata": {
            "uid": uid,
            "creationTimestamp": facts.get("created", "2026-01-01T00:00:00Z"),
            "annotations": annotations,
        },
        "spec": {"nodeName": facts.get("node", "n1")},
        "status": {
            "phase": facts.get("phase", "Running"),
            "conditions": conditions,
            "containerStatuses": [{"restartCount": facts.get("restarts", 0)}],
        },
    }


@pytest.mark.parametrize(
    ("victim", "spared"),
    [
        (pod("z", node=""), pod("a", ready=False)),
        (pod("z", phase="Pending", ready=False), pod("a", phase="Unknown", ready=False)),
        (pod("z", ready=False), pod("a", cost="-100")),
        (pod("z", cost="-1"), pod("a", node="n2")),
        (pod("z", since="2026-01-01T00:59:00Z"), pod("a")),
        (pod("z", restarts=3), pod("a")),
        (pod("z", created="2026-01-01T00:59:30Z"), pod("a")),
        (pod("a"), pod("z")),
    ],
)
def test_who_goes_first(victim: Obj, spared: Obj) -> None:
    assert choose_victims([spared, victim], [spared, victim], 1, NOW) == [victim]


def test_of_two_nodes_the_crowded_one_gives_a_pod() -> None:
    pods = [pod("a", node="n2"), pod("b", node="n1"), pod("c", node="n1")]
    assert choose_victims(pods, pods, 1, NOW)[0]["spec"]["nodeName"] == "n1"
