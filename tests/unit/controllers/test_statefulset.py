"""StatefulSets on values: order, identity, claims, rollout, history, status."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netsim.api.kinds import CONTROLLER_REVISIONS, PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS, Obj
from netsim.api.objects import deletion_timestamp, labels_of, name_of
from netsim.controllers import statefulset
from netsim.controllers.writes import Create, Delete

KEY = "ns/web"


def stateful_set(replicas: int = 3, image: str = "i:1", **spec: Any) -> Obj:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}}
    body = {"replicas": replicas, "serviceName": "web", "selector": {"matchLabels": {"app": "web"}}}
    return {"metadata": {"name": "web", "namespace": "ns"}, "spec": {**body, "template": template, **spec}}


def step(cluster: Any) -> list[Any]:
    cluster.sync()
    writes = list(statefulset.reconcile(KEY, cluster.view()))
    assert not cluster.apply(writes)
    cluster.sync()
    return writes


def settle(cluster: Any, *, ready: bool = True, rounds: int = 60) -> list[str]:
    """Reconcile and play the agent until nothing changes; the order in which pods were created and deleted."""
    done: list[str] = []
    for _ in range(rounds):
        writes = step(cluster)
        done += [f"+{name_of(w.obj)}" for w in writes if isinstance(w, Create) and w.kind is PODS]
        done += [f"-{w.name}" for w in writes if isinstance(w, Delete) and w.kind is PODS]
        waiting = [pod for pod in cluster.all(PODS) if pod["status"]["phase"] == "Pending"] if ready else []
        for pod in waiting:
            cluster.set_pod(pod)
        if not writes and not waiting:
            return done
    raise AssertionError("never settles")


def status(cluster: Any) -> Obj:
    return dict(cluster.get(STATEFUL_SETS, KEY)["status"])


def change(cluster: Any, **spec: Any) -> None:
    cluster.patch(STATEFUL_SETS, "web", "ns", {"spec": spec})


def set_image(cluster: Any, image: str) -> None:
    change(cluster, template={"spec": {"containers": [{"name": "c", "image": image}]}})


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


CLAIMS = [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}]


def test_claims_come_first_and_stay(cluster: Any) -> None:
    cluster.create(STATEFUL_SETS, stateful_set(2, volumeClaimTemplates=CLAIMS))
    assert settle(cluster) == ["+web-0", "+web-1"]
    claim = cluster.get(PERSISTENT_VOLUME_CLAIMS, "ns/data-web-1")
    assert claim["metadata"]["labels"] == {"app": "web"} and "ownerReferences" not in claim["metadata"]
    volume = cluster.get(PODS, "ns/web-1")["spec"]["volumes"]
    assert volume == [{"name": "data", "persistentVolumeClaim": {"claimName": "data-web-1"}}]
    change(cluster, replicas=0)
    settle(cluster)
    assert len(cluster.all(PERSISTENT_VOLUME_CLAIMS)) == 2


def test_claims_go_with_the_scaled_down_pod_or_with_the_set(cluster: Any) -> None:
    policy = {"whenDeleted": "Delete", "whenScaled": "Delete"}
    spec = {"volumeClaimTemplates": CLAIMS, "persistentVolumeClaimRetentionPolicy": policy}
    cluster.create(STATEFUL_SETS, stateful_set(2, **spec))
    settle(cluster)

    def owner(claim: str) -> tuple[str, str]:
        (reference,) = cluster.get(PERSISTENT_VOLUME_CLAIMS, f"ns/{claim}")["metadata"]["ownerReferences"]
        return reference["kind"], reference["name"]

    assert owner("data-web-1") == ("StatefulSet", "web")
    change(cluster, replicas=1)
    assert settle(cluster) == ["-web-1"]
    assert (owner("data-web-0"), owner("data-web-1")) == (("StatefulSet", "web"), ("Pod", "web-1"))


def test_a_pod_waits_for_a_claim_that_is_leaving(cluster: Any) -> None:
    claim = {"metadata": {"name": "data-web-0", "namespace": "ns", "finalizers": ["kubernetes.io/pvc-protection"]}}
    cluster.create(PERSISTENT_VOLUME_CLAIMS, claim)
    cluster.delete(PERSISTENT_VOLUME_CLAIMS, "data-web-0", "ns")
    cluster.create(STATEFUL_SETS, stateful_set(1, volumeClaimTemplates=CLAIMS))
    assert settle(cluster) == []
    old = cluster.get(PERSISTENT_VOLUME_CLAIMS, "ns/data-web-0")
    wake = dict((kind.plural, wake) for kind, wake in statefulset.CONTROLLER.watches)["persistentvolumeclaims"]
    cluster.patch(PERSISTENT_VOLUME_CLAIMS, "data-web-0", "ns", {"metadata": {"finalizers": None}})
    cluster.sync()
    assert list(wake(cluster.view(), old, None)) == [KEY]
    assert settle(cluster) == ["+web-0"]


def test_history_is_numbered_restored_and_cut(cluster: Any) -> None:
    cluster.create(STATEFUL_SETS, stateful_set(1, revisionHistoryLimit=2))
    for number in (1, 2, 3, 4, 5):
        set_image(cluster, f"i:{number}")
        settle(cluster)

    def images() -> dict[int, str]:
        found = cluster.all(CONTROLLER_REVISIONS)
        return {r["revision"]: r["data"]["spec"]["template"]["spec"]["containers"][0]["image"] for r in found}

    assert images() == {3: "i:3", 4: "i:4", 5: "i:5"}
    set_image(cluster, "i:3")
    settle(cluster)
    assert images() == {4: "i:4", 5: "i:5", 6: "i:3"}


def test_a_taken_revision_name_gets_the_next_hash(cluster: Any) -> None:
    cluster.create(STATEFUL_SETS, stateful_set(1))
    cluster.sync()
    name = name_of(next(w.obj for w in statefulset.reconcile(KEY, cluster.view()) if isinstance(w, Create)))
    stranger = {"metadata": {"name": name, "namespace": "ns"}, "data": {}, "revision": 1}
    cluster.create(CONTROLLER_REVISIONS, stranger)
    assert settle(cluster) == ["+web-0"]
    assert status(cluster)["collisionCount"] == 1
    assert len(cluster.all(CONTROLLER_REVISIONS)) == 2


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
