"""The disruption and quota controllers, and the end of the pod CIDRs, on values."""

from __future__ import annotations

import random
from typing import Any

import pytest

from netsim.api.kinds import (
    DEPLOYMENTS,
    NODES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    RESOURCE_QUOTAS,
    STATEFUL_SETS,
)
from netsim.api.times import format_time
from netsim.controllers import disruption, node_ipam, quota
from netsim.controllers.facts import NODES_NOW
from netsim.controllers.writes import Note, Patch, Requeue

Obj = dict[str, Any]
LABELS = {"app": "x"}


def owned(kind: str, name: str, uid: str) -> list[Obj]:
    return [{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid, "controller": True}]


def workload(cluster: Any, replicas: int) -> list[Obj]:
    """A Deployment's ReplicaSet; the owner references for its pods."""
    above = cluster.create(DEPLOYMENTS, {"metadata": {"name": "d", "namespace": "ns"}, "spec": {"replicas": replicas}})
    head = {"name": "rs", "namespace": "ns", "ownerReferences": owned("Deployment", "d", above["metadata"]["uid"])}
    below = cluster.create(REPLICA_SETS, {"metadata": head, "spec": {"replicas": 99}})
    return owned("ReplicaSet", "rs", below["metadata"]["uid"])


def pods(cluster: Any, ready: int, unready: int = 0, owners: list[Obj] | None = None) -> None:
    for index in range(ready + unready):
        head = {"name": f"p{index}", "namespace": "ns", "labels": LABELS, "ownerReferences": owners or []}
        made = cluster.create(PODS, {"metadata": head, "spec": {}})
        cluster.set_pod(made, ready=index < ready)


def budget(cluster: Any, **spec: Any) -> Obj:
    head = {"name": "b", "namespace": "ns", "generation": 1}
    body = {"metadata": head, "spec": {"selector": {"matchLabels": LABELS}, **spec}}
    made: Obj = cluster.create(POD_DISRUPTION_BUDGETS, body)
    return made


def settle(cluster: Any) -> Obj:
    """status after the controller has had its say."""
    cluster.sync()
    cluster.apply(disruption.reconcile("ns/b", cluster.view()))
    cluster.sync()
    assert not [w for w in disruption.reconcile("ns/b", cluster.view()) if not isinstance(w, Note | Requeue)]
    status: Obj = cluster.get(POD_DISRUPTION_BUDGETS, "ns/b")["status"]
    return status


@pytest.mark.parametrize(
    ("spec", "ready", "unready", "numbers"),
    [
        ({"minAvailable": 2}, 3, 0, (1, 3, 2, 3)),
        ({"minAvailable": 2}, 1, 2, (0, 1, 2, 3)),
        ({"minAvailable": "50%"}, 4, 0, (1, 4, 3, 5)),
        ({"maxUnavailable": 1}, 5, 0, (1, 5, 4, 5)),
        ({"maxUnavailable": "40%"}, 4, 0, (1, 4, 3, 5)),
        ({"maxUnavailable": 0}, 5, 0, (0, 5, 5, 5)),
        ({"minAvailable": 1}, 0, 0, (0, 0, 1, 0)),
    ],
)
def test_numbers_of_a_budget(cluster: Any, spec: Obj, ready: int, unready: int, numbers: tuple[int, ...]) -> None:
    pods(cluster, ready, unready, workload(cluster, 5))
    budget(cluster, **spec)
    status = settle(cluster)
    names = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")
    assert tuple(status[name] for name in names) == numbers
    (condition,) = status["conditions"]
    assert (condition["status"], condition["reason"]) == (
        ("True", "SufficientPods") if numbers[0] else ("False", "InsufficientPods")
    )
    assert status["observedGeneration"] == 1


def test_pods_without_a_known_controller_stop_evictions(cluster: Any) -> None:
    pods(cluster, 2, owners=owned("StatefulSet", "gone", "u"))
    budget(cluster, maxUnavailable=1)
    status = settle(cluster)
    assert status["disruptionsAllowed"] == 0
    assert status["conditions"][0]["reason"] == "SyncFailed"
    assert cluster.notes[0].reason == "CalculateExpectedPodCountFailed"
    assert 'found no controllers for pod "p0"' in cluster.notes[0].message


def test_evicted_pods_count_as_gone_for_two_minutes(cluster: Any) -> None:
    pods(cluster, 3)
    made = budget(cluster, minAvailable=1)
    evicted = {"p0": format_time(cluster.now), "p9": format_time(cluster.now)}
    made["status"] = {"disruptedPods": evicted}
    cluster.put(POD_DISRUPTION_BUDGETS, made, "status")
    status = settle(cluster)
    assert (status["currentHealthy"], status["disruptionsAllowed"]) == (2, 1)
    assert list(status["disruptedPods"]) == ["p0"]
    assert cluster.requeues and 119 < cluster.requeues[0] <= 120
    cluster.pass_time(121)
    status = settle(cluster)
    assert status["currentHealthy"] == 3 and "disruptedPods" not in status
    assert [note.reason for note in cluster.notes] == ["NotDeleted"]


def make_quota(cluster: Any, **used: str) -> None:
    hard = {"pods": "9", "requests.cpu": "4"}
    status = {"hard": hard, "used": used} if used else {}
    body = {"metadata": {"name": "q", "namespace": "ns"}, "spec": {"hard": hard}, "status": status}
    cluster.create(RESOURCE_QUOTAS, body)


async def look(cluster: Any, client: Any) -> Obj:
    """One round of the quota controller; the quota's status after it."""
    cluster.sync()
    controller = look.controller  # type: ignore[attr-defined]
    facts = await controller.observe(client, "ns/q", cluster.view())
    cluster.apply(controller.reconcile("ns/q", cluster.view(**facts)))
    status: Obj = cluster.get(RESOURCE_QUOTAS, "ns/q").get("status") or {}
    return status


async def test_a_quota_is_raised_at_once_and_lowered_when_nothing_is_on_its_way(cluster: Any, make_client: Any) -> None:
    look.controller = quota.controller()  # type: ignore[attr-defined]
    client = make_client(cluster, random.Random(1))
    container = {"name": "c", "resources": {"requests": {"cpu": "500m"}}}
    for index in range(2):
        head = {"name": f"p{index}", "namespace": "ns"}
        cluster.create(PODS, {"metadata": head, "spec": {"containers": [container]}})
    make_quota(cluster)
    assert (await look(cluster, client))["used"] == {"pods": "2", "requests.cpu": "1"}
    cluster.delete(PODS, "p0", "ns")
    assert (await look(cluster, client))["used"]["pods"] == "2"
    cluster.pass_time(quota.SETTLED + 0.1)
    assert (await look(cluster, client))["used"] == {"pods": "1", "requests.cpu": "500m"}


async def test_a_pod_that_outstays_its_time_to_end_is_looked_at_and_counts_no_more(
    cluster: Any, make_client: Any
) -> None:
    """As of a node that is lost: its pods must not keep their replacements from being created."""
    look.controller = controller = quota.controller()  # type: ignore[attr-defined]
    client = make_client(cluster, random.Random(1))
    pod = cluster.create(PODS, {"metadata": {"name": "p", "namespace": "ns"}, "spec": {"containers": []}})
    make_quota(cluster)
    assert (await look(cluster, client))["used"]["pods"] == "1"
    going = {**pod, "metadata": {**pod["metadata"], "deletionTimestamp": format_time(cluster.now)}}
    cluster.put(PODS, {**going, "metadata": {**going["metadata"], "finalizers": ["x"]}})
    assert list(dict(controller.watches)[PODS](cluster.view(), pod, going)) == ["ns/q"]
    assert (await look(cluster, client))["used"]["pods"] == "1"
    cluster.pass_time(cluster.requeues[-1])
    await look(cluster, client)
    cluster.pass_time(quota.SETTLED)
    assert (await look(cluster, client))["used"]["pods"] == "0"


def test_when_pod_cidrs_are_used_up_nodes_are_told_once(cluster: Any) -> None:
    controller = node_ipam.controller(["10.0.0.0/30"], [32])
    wakes = dict(controller.watches)
    for index in range(6):
        cluster.create(NODES, {"metadata": {"name": f"n{index}"}, "spec": {}})
    cluster.sync()

    def go() -> list[Any]:
        writes = list(controller.reconcile("nodes", cluster.view(**{NODES_NOW: cluster.all(NODES)})))
        cluster.apply(writes)
        cluster.sync()
        return writes

    first = go()
    assert [type(write) for write in first] == [Patch] * 4 + [Note] * 2
    assert {write.reason for write in first if isinstance(write, Note)} == {"CIDRNotAvailable"}
    assert go() == []
    left = cluster.get(NODES, "n5")
    assert not list(wakes[NODES](cluster.view(), left, left))
    gone = cluster.get(NODES, "n0")
    cluster.delete(NODES, "n0")
    cluster.sync()
    assert list(wakes[NODES](cluster.view(), gone, None)) == [node_ipam.ALL]
    assert [type(write) for write in go()] == [Patch]


def test_the_number_of_a_stateful_set_counts(cluster: Any) -> None:
    made = cluster.create(STATEFUL_SETS, {"metadata": {"name": "s", "namespace": "ns"}, "spec": {"replicas": 4}})
    pods(cluster, 3, owners=owned("StatefulSet", "s", made["metadata"]["uid"]))
    budget(cluster, maxUnavailable="25%")
    assert settle(cluster)["desiredHealthy"] == 3
