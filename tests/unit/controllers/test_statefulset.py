"""StatefulSets on values: order, identity, claims, rollout, history, status."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netsim.api.kinds import CONTROLLER_REVISIONS, PODS, STATEFUL_SETS
from netsim.api.objects import deletion_timestamp, labels_of, name_of
from netsim.controllers.writes import Create, Delete
from support.stateful_play import KEY, change, set_image, settle, stateful_set, status, step


def test_pods_start_one_after_another_each_with_its_identity(cluster: Any) -> None:
    cluster.create(STATEFUL_SETS, stateful_set(2))
    step(cluster)  # the revision
    step(cluster)
    assert [name_of(pod) for pod in cluster.all(PODS)] == ["web-0"]
    assert settle(cluster, ready=False) == []
    assert settle(cluster) == ["+web-1"]
    revision = name_of(cluster.all(CONTROLLER_REVISIONS)[0])
    pod = cluster.get(PODS, "ns/web-1")
    assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("web-1", "web")
    assert pod["metadata"]["generateName"] == "web-"
    assert pod["metadata"]["labels"] == {
        "app": "web",
        "apps.kubernetes.io/pod-index": "1",
        "controller-revision-hash": revision,
        "statefulset.kubernetes.io/pod-name": "web-1",
    }
    assert status(cluster) == {
        "observedGeneration": 1,
        "replicas": 2,
        "readyReplicas": 2,
        "availableReplicas": 2,
        "currentReplicas": 2,
        "updatedReplicas": 2,
        "currentRevision": revision,
        "updateRevision": revision,
        "collisionCount": 0,
    }


def test_events_have_the_known_texts(cluster: Any) -> None:
    cluster.create(STATEFUL_SETS, stateful_set(1))
    step(cluster)
    created = next(w for w in step(cluster) if isinstance(w, Create))
    assert created.announce.done == ("SuccessfulCreate", "Create Pod web-0 in StatefulSet web successful")
    cluster.set_pod(cluster.get(PODS, "ns/web-0"))
    change(cluster, replicas=0)
    gone = next(w for w in step(cluster) if isinstance(w, Delete))
    assert gone.announce.done == ("SuccessfulDelete", "Delete Pod web-0 in StatefulSet web successful")


def test_scaling_down_goes_from_the_top_and_waits_for_each(cluster: Any) -> None:
    cluster.create(STATEFUL_SETS, stateful_set(3))
    settle(cluster)
    cluster.patch(PODS, "web-2", "ns", {"metadata": {"finalizers": ["x/y"]}})
    change(cluster, replicas=1)
    assert settle(cluster) == ["-web-2"]  # still leaving
    cluster.patch(PODS, "web-2", "ns", {"metadata": {"finalizers": None}})
    assert settle(cluster) == ["-web-1"]
    assert [name_of(pod) for pod in cluster.all(PODS)] == ["web-0"]


def test_parallel_creates_and_deletes_at_once(cluster: Any) -> None:
    cluster.create(STATEFUL_SETS, stateful_set(3, podManagementPolicy="Parallel"))
    step(cluster)
    step(cluster)
    assert len(cluster.all(PODS)) == 3
    change(cluster, replicas=0)
    step(cluster)
    assert cluster.all(PODS) == []


def test_ordinals_start_where_asked(cluster: Any) -> None:
    cluster.create(STATEFUL_SETS, stateful_set(2, ordinals={"start": 5}))
    assert settle(cluster) == ["+web-5", "+web-6"]
    change(cluster, ordinals={"start": 6})
    assert settle(cluster) == ["+web-7", "-web-5"]


def test_rolling_update_goes_down_one_by_one(cluster: Any) -> None:
    cluster.create(STATEFUL_SETS, stateful_set(3))
    settle(cluster)
    first = status(cluster)["currentRevision"]
    set_image(cluster, "i:2")
    step(cluster)
    step(cluster)
    half = status(cluster)
    assert half["currentRevision"] == first != half["updateRevision"]
    assert settle(cluster) == ["+web-2", "-web-1", "+web-1", "-web-0", "+web-0"]
    assert {pod["spec"]["containers"][0]["image"] for pod in cluster.all(PODS)} == {"i:2"}
    after = status(cluster)
    assert after["currentRevision"] == after["updateRevision"] != first
    assert (after["currentReplicas"], after["updatedReplicas"]) == (3, 3)


def test_a_partition_keeps_lower_ordinals_also_when_they_are_made_anew(cluster: Any) -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
    cluster.create(STATEFUL_SETS, stateful_set(3, updateStrategy=rolling))
    settle(cluster)
    set_image(cluster, "i:2")
    assert settle(cluster) == ["-web-2", "+web-2"]
    cluster.delete(PODS, "web-0", "ns")
    assert settle(cluster) == ["+web-0"]
    images = [pod["spec"]["containers"][0]["image"] for pod in cluster.all(PODS)]
    assert images == ["i:1", "i:1", "i:2"]
    assert (status(cluster)["currentReplicas"], status(cluster)["updatedReplicas"]) == (2, 1)


def test_parallel_sets_roll_one_by_one_too_and_a_broken_old_pod_holds_nothing_up(cluster: Any) -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 3}}  # off by default in 1.36
    cluster.create(STATEFUL_SETS, stateful_set(3, updateStrategy=rolling, podManagementPolicy="Parallel"))
    settle(cluster)
    cluster.set_pod(cluster.get(PODS, "ns/web-0"), ready=False)
    set_image(cluster, "i:2")
    assert settle(cluster) == ["-web-2", "+web-2", "-web-1", "+web-1", "-web-0", "+web-0"]


def test_a_broken_rollout_stops_at_its_first_pod(cluster: Any) -> None:
    cluster.create(STATEFUL_SETS, stateful_set(3))
    settle(cluster)
    set_image(cluster, "broken")
    assert settle(cluster, ready=False) == ["-web-2", "+web-2"]


def test_on_delete_waits_for_the_user(cluster: Any) -> None:
    cluster.create(STATEFUL_SETS, stateful_set(2, updateStrategy={"type": "OnDelete"}))
    settle(cluster)
    set_image(cluster, "i:2")
    assert settle(cluster) == []
    cluster.delete(PODS, "web-0", "ns")
    settle(cluster)
    assert [pod["spec"]["containers"][0]["image"] for pod in cluster.all(PODS)] == ["i:2", "i:1"]


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_ended_pods_are_made_anew(cluster: Any, phase: str) -> None:
    cluster.create(STATEFUL_SETS, stateful_set(2))
    settle(cluster)
    cluster.patch(PODS, "web-0", "ns", {"status": {"phase": phase}}, "status")
    assert settle(cluster) == ["-web-0", "+web-0"]
    assert cluster.notes == []  # the deletion and the creation tell


def test_min_ready_seconds_holds_the_next_one_back(cluster: Any) -> None:
    cluster.create(STATEFUL_SETS, stateful_set(2, minReadySeconds=10))
    step(cluster)
    step(cluster)
    cluster.set_pod(cluster.get(PODS, "ns/web-0"))
    cluster.pass_time(4)
    step(cluster)
    assert len(cluster.all(PODS)) == 1 and cluster.requeues[-1] == 6
    assert (status(cluster)["readyReplicas"], status(cluster)["availableReplicas"]) == (1, 0)
    cluster.pass_time(6)
    step(cluster)
    assert len(cluster.all(PODS)) == 2


def test_pods_are_adopted_by_name_only_and_get_their_labels_back(cluster: Any) -> None:
    labels = {"app": "web"}
    for name in ("web-0", "web-x", "web-01"):
        cluster.create(PODS, {"metadata": {"name": name, "namespace": "ns", "labels": dict(labels)}, "spec": {}})
    cluster.create(STATEFUL_SETS, stateful_set(1, updateStrategy={"type": "OnDelete"}))
    assert settle(cluster) == []
    owned = [name_of(pod) for pod in cluster.all(PODS) if pod["metadata"].get("ownerReferences")]
    assert owned == ["web-0"]
    assert labels_of(cluster.get(PODS, "ns/web-0"))["statefulset.kubernetes.io/pod-name"] == "web-0"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    actions=st.lists(st.sampled_from(["image", "up", "down", "kill", "fail", "unready"]), max_size=6), data=st.data()
)
def test_in_order_there_is_never_a_gap_while_pods_start(
    make_cluster: Any, actions: list[str], data: st.DataObject
) -> None:
    """Whatever happens, a pod is created only when all below it run, and the end is as asked for."""
    cluster = make_cluster()
    cluster.create(STATEFUL_SETS, stateful_set(3))
    images = itertools.count(2)
    for action in actions:
        for _ in range(data.draw(st.integers(0, 4))):
            before = {name_of(p) for p in cluster.all(PODS) if p["status"]["phase"] == "Running"}
            for write in step(cluster):
                if isinstance(write, Create) and write.kind is PODS:
                    ordinal = int(name_of(write.obj).rpartition("-")[2])
                    assert {f"web-{n}" for n in range(ordinal)} <= before
            for pod in cluster.all(PODS):
                if pod["status"]["phase"] == "Pending":
                    cluster.set_pod(pod)
        act(cluster, action, images, data)
    settle(cluster)
    wanted = cluster.get(STATEFUL_SETS, KEY)["spec"]
    assert [name_of(pod) for pod in cluster.all(PODS)] == [f"web-{n}" for n in range(wanted["replicas"])]
    containers = wanted["template"]["spec"]["containers"]
    assert all(pod["spec"]["containers"] == containers for pod in cluster.all(PODS))


def act(cluster: Any, action: str, images: Any, data: st.DataObject) -> None:
    pods = [pod for pod in cluster.all(PODS) if deletion_timestamp(pod) is None]
    if action == "image":
        set_image(cluster, f"i:{next(images)}")
    elif action in ("up", "down"):
        replicas = cluster.get(STATEFUL_SETS, KEY)["spec"]["replicas"]
        change(cluster, replicas=max(replicas + (1 if action == "up" else -1), 0))
    elif pods:
        pod = data.draw(st.sampled_from(pods))
        if action == "kill":
            cluster.delete(PODS, name_of(pod), "ns")
        elif action == "fail":
            cluster.patch(PODS, name_of(pod), "ns", {"status": {"phase": "Failed"}}, "status")
        else:
            cluster.patch(PODS, name_of(copy.deepcopy(pod)), "ns", {"status": {"phase": "Pending"}}, "status")
