"""Deployments on values: rollouts driven step by step through a simulated cluster."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsim.api.kinds import DEPLOYMENTS, PODS, REPLICA_SETS, Obj
from netsim.api.objects import is_pod_ready, key_of
from netsim.controllers import deployment, replicaset
from netsim.controllers.pods import is_active
from netsim.controllers.rollout import Bounds, bounds_of, scale
from netsim.controllers.template import template_hash

REVISION = "deployment.kubernetes.io/revision"


def body(replicas: int = 3, image: str = "v1", **spec: Any) -> Obj:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}}
    core = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template, **spec}
    return {"metadata": {"name": "web", "namespace": "ns"}, "spec": core}


def set_image(cluster: Any, image: str) -> None:
    containers = [{"name": "c", "image": image}]
    cluster.patch(DEPLOYMENTS, "web", "ns", {"spec": {"template": {"spec": {"containers": containers}}}})


def step(cluster: Any) -> bool:
    """One round of both controllers on fresh caches; whether anything was written."""
    wrote = False
    for module, kind in ((deployment, DEPLOYMENTS), (replicaset, REPLICA_SETS)):
        for obj in cluster.all(kind):
            cluster.sync()
            writes = module.reconcile(key_of(obj), cluster.view())
            wrote |= any(type(write).__name__ != "Requeue" for write in writes)
            cluster.apply(writes)
    cluster.sync()
    return wrote


def settle(cluster: Any, *, ready: bool = True, rounds: int = 200) -> None:
    for _ in range(rounds):
        wrote = step(cluster)
        unready = [pod for pod in cluster.all(PODS) if not is_pod_ready(pod)] if ready else []
        for pod in unready:
            cluster.set_pod(pod)
        if not wrote and not unready:
            return
    raise AssertionError(f"still writing after {rounds} rounds")


def replica_sets(cluster: Any) -> dict[str, int]:
    """spec.replicas by revision."""
    return {rs["metadata"]["annotations"][REVISION]: rs["spec"]["replicas"] for rs in cluster.all(REPLICA_SETS)}


def conditions(cluster: Any) -> dict[str, tuple[str, str]]:
    status = cluster.get(DEPLOYMENTS, "ns/web")["status"]
    return {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]}


def test_first_rollout(cluster: Any) -> None:
    cluster.create(DEPLOYMENTS, body())
    settle(cluster)
    (rs,) = cluster.all(REPLICA_SETS)
    digest = rs["metadata"]["labels"]["pod-template-hash"]
    assert rs["metadata"]["name"] == f"web-{digest}"
    assert rs["spec"]["selector"]["matchLabels"] == {"app": "web", "pod-template-hash": digest}
    assert rs["metadata"]["annotations"] == {
        REVISION: "1",
        "deployment.kubernetes.io/desired-replicas": "3",
        "deployment.kubernetes.io/max-replicas": "4",
    }
    made = cluster.get(DEPLOYMENTS, "ns/web")
    assert made["metadata"]["annotations"][REVISION] == "1"
    assert made["metadata"]["generation"] == 1  # the revision is written with the status
    counters = ("observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    assert [made["status"][name] for name in counters] == [1, 3, 3, 3, 3]
    assert "unavailableReplicas" not in made["status"]
    assert conditions(cluster) == {
        "Available": ("True", "MinimumReplicasAvailable"),
        "Progressing": ("True", "NewReplicaSetAvailable"),
    }
    message = made["status"]["conditions"][-1]["message"]
    assert message == f'ReplicaSet "{rs["metadata"]["name"]}" has successfully progressed.'


def test_rolling_update_and_rollback_reuse_the_old_replica_set(cluster: Any) -> None:
    cluster.create(DEPLOYMENTS, body())
    settle(cluster)
    cluster.pass_time(10)
    set_image(cluster, "v2")
    settle(cluster)
    assert replica_sets(cluster) == {"1": 0, "2": 3}
    set_image(cluster, "v1")
    settle(cluster)
    assert replica_sets(cluster) == {"3": 3, "2": 0}
    newest = next(rs for rs in cluster.all(REPLICA_SETS) if rs["spec"]["replicas"])
    assert newest["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] == "1"
    assert cluster.get(DEPLOYMENTS, "ns/web")["metadata"]["annotations"][REVISION] == "3"
    texts = [note.message for note in cluster.notes if note.reason == "ScalingReplicaSet"]
    assert any(text.startswith("Scaled down replica set web-") and text.endswith("to 0") for text in texts)


def test_history_is_limited(cluster: Any) -> None:
    cluster.create(DEPLOYMENTS, body(1, revisionHistoryLimit=2))
    for number in range(6):
        settle(cluster)
        cluster.pass_time(1)
        set_image(cluster, f"v{number + 2}")
    settle(cluster)
    assert sorted(replica_sets(cluster)) == ["5", "6", "7"]


def test_paused_scales_but_does_not_roll(cluster: Any) -> None:
    cluster.create(DEPLOYMENTS, body())
    settle(cluster)
    cluster.patch(DEPLOYMENTS, "web", "ns", {"spec": {"paused": True}})
    set_image(cluster, "v2")
    cluster.patch(DEPLOYMENTS, "web", "ns", {"spec": {"replicas": 5}})
    settle(cluster)
    assert replica_sets(cluster) == {"1": 5}
    assert conditions(cluster)["Progressing"] == ("Unknown", "DeploymentPaused")
    cluster.patch(DEPLOYMENTS, "web", "ns", {"spec": {"paused": None}})
    settle(cluster)
    assert replica_sets(cluster) == {"1": 0, "2": 5}
    assert conditions(cluster)["Progressing"] == ("True", "NewReplicaSetAvailable")


def test_recreate_waits_until_old_pods_are_gone(cluster: Any) -> None:
    cluster.create(DEPLOYMENTS, body(2, strategy={"type": "Recreate"}))
    settle(cluster)
    for pod in cluster.all(PODS):
        cluster.patch(PODS, pod["metadata"]["name"], "ns", {"metadata": {"finalizers": ["test/hold"]}})
    set_image(cluster, "v2")
    settle(cluster)
    assert len(cluster.all(REPLICA_SETS)) == 1
    assert all("deletionTimestamp" in pod["metadata"] for pod in cluster.all(PODS))
    for pod in cluster.all(PODS):
        cluster.patch(PODS, pod["metadata"]["name"], "ns", {"metadata": {"finalizers": None}})
    settle(cluster)
    assert replica_sets(cluster) == {"1": 0, "2": 2}
    assert len(cluster.all(PODS)) == 2


def test_progress_deadline(cluster: Any) -> None:
    cluster.create(DEPLOYMENTS, body(1, progressDeadlineSeconds=30))
    settle(cluster, ready=False)
    assert conditions(cluster)["Available"] == ("False", "MinimumReplicasUnavailable")
    assert 30 <= cluster.requeues[-1] <= 31
    cluster.pass_time(31)
    settle(cluster, ready=False)
    assert conditions(cluster)["Progressing"] == ("False", "ProgressDeadlineExceeded")
    settle(cluster)
    assert conditions(cluster)["Progressing"] == ("True", "NewReplicaSetAvailable")


def test_a_taken_name_gives_another_hash(cluster: Any) -> None:
    made = cluster.create(DEPLOYMENTS, body(1))
    taken = f"web-{template_hash(made['spec']['template'], 0)}"
    stranger = body(0)["spec"] | {"selector": {"matchLabels": {"app": "x"}}}
    stranger["template"] = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": []}}
    cluster.create(REPLICA_SETS, {"metadata": {"name": taken, "namespace": "ns"}, "spec": stranger})
    for _ in range(5):
        cluster.sync()
        cluster.apply(deployment.reconcile("ns/web", cluster.view()))
    assert cluster.get(DEPLOYMENTS, "ns/web")["status"]["collisionCount"] == 1
    assert len(cluster.all(REPLICA_SETS)) == 2


def test_scaling_in_the_middle_of_a_rollout_is_proportional(cluster: Any) -> None:
    update = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}}
    cluster.create(DEPLOYMENTS, body(10, strategy=update))
    settle(cluster)
    set_image(cluster, "broken")
    settle(cluster, ready=False)
    assert replica_sets(cluster) == {"1": 8, "2": 5}
    cluster.patch(DEPLOYMENTS, "web", "ns", {"spec": {"replicas": 15}})
    settle(cluster, ready=False)
    assert replica_sets(cluster) == {"1": 11, "2": 7}


@pytest.mark.parametrize(
    ("sizes", "maximum", "bounds", "then"),
    [
        ((1, 1, 1), 3, Bounds(3, 1, 0), {"c": 2}),
        ((1, 1, 2), 4, Bounds(8, 2, 2), {"a": 2, "b": 3, "c": 5}),
        ((2, 3, 5), 10, Bounds(5, 2, 1), {"a": 1, "b": 2, "c": 4}),
        ((2, 2, 2), 6, Bounds(4, 1, 0), {"a": 1}),
    ],
)
def test_of_replica_sets_of_one_size_the_newest_grows_and_the_oldest_shrinks(
    sizes: tuple[int, ...], maximum: int, bounds: Bounds, then: dict[str, int]
) -> None:
    """The first three are what kube-controller-manager 1.36 made of a rollout of three revisions."""

    def replica_set(name: str, day: int, size: int) -> Obj:
        annotations = {"deployment.kubernetes.io/max-replicas": str(maximum)}
        head = {"name": name, "creationTimestamp": f"2026-01-0{day}T00:00:00Z", "annotations": annotations}
        return {"metadata": head, "spec": {"replicas": size}}

    *old, new = (replica_set(name, day, size) for day, (name, size) in enumerate(zip("abc", sizes, strict=True), 1))
    assert scale(bounds, True, new, old) == then


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        (10, "25%", "25%", Bounds(10, 3, 2)),
        (1, "25%", "25%", Bounds(1, 1, 0)),
        (4, 0, "10%", Bounds(4, 0, 1)),
        (3, 1, 0, Bounds(3, 1, 0)),
        (2, "50%", 5, Bounds(2, 1, 2)),
    ],
)
def test_bounds(replicas: int, surge: int | str, unavailable: int | str, expected: Bounds) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    assert bounds_of(body(replicas, strategy=strategy)) == expected


def test_hash_is_stable_and_safe() -> None:
    template = body()["spec"]["template"]
    digest = template_hash(template, 0)
    assert digest == template_hash({**template, "metadata": {"labels": {"pod-template-hash": "x", "app": "web"}}}, 0)
    assert digest != template_hash(template, 1)
    assert set(digest) <= set("bcdfghjklmnpqrstvwxz2456789")


_PART = st.one_of(st.integers(0, 4), st.sampled_from(["0%", "10%", "25%", "50%", "100%"]))


@settings(max_examples=60, deadline=None)
@given(replicas=st.integers(1, 9), surge=_PART, unavailable=_PART, seed=st.integers(0, 2**16))
def test_a_rolling_update_keeps_its_bounds(replicas: int, surge: Any, unavailable: Any, seed: int) -> None:
    """While pods become ready in any order and controllers run in any order, on fresh caches."""
    from tests.unit.controllers.conftest import SimCluster

    rand = random.Random(seed)
    cluster = SimCluster()
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    cluster.create(DEPLOYMENTS, body(replicas, strategy=strategy))
    settle(cluster)
    bounds = bounds_of(cluster.get(DEPLOYMENTS, "ns/web"))
    set_image(cluster, "v2")
    for _ in range(400):
        cluster.sync()
        choices = [(deployment, "ns/web")] + [(replicaset, key_of(rs)) for rs in cluster.all(REPLICA_SETS)]
        module, key = rand.choice(choices)
        cluster.apply(module.reconcile(key, cluster.view()))
        waiting = [pod for pod in cluster.all(PODS) if not is_pod_ready(pod)]
        if waiting and rand.random() < 0.5:
            cluster.set_pod(rand.choice(waiting))
        pods = [pod for pod in cluster.all(PODS) if is_active(pod)]
        assert sum(map(is_pod_ready, pods)) >= bounds.least_available
        assert sum(rs["spec"]["replicas"] for rs in cluster.all(REPLICA_SETS)) <= bounds.most
        assert len(pods) <= bounds.most + bounds.desired
        if not waiting and replica_sets(cluster) == {"1": 0, "2": replicas}:
            break
    settle(cluster)
    assert replica_sets(cluster) == {"1": 0, "2": replicas}
