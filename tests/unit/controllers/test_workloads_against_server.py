"""StatefulSets, DaemonSets and Jobs against the real API server and store: wakes, defaults, restarts, conflicts."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from netsim.api.kinds import (
    CONTROLLER_REVISIONS,
    DAEMON_SETS,
    JOBS,
    NODES,
    PODS,
    REPLICATION_CONTROLLERS,
    STATEFUL_SETS,
    Obj,
)
from netsim.api.objects import dig, is_pod_ready, is_true, labels_of, name_of, pod_phase, uid_of
from netsim.controllers.job_pods import is_tracked
from support.control_plane import ControlPlane


def workload(kind: str, name: str, image: str = "i:1", **spec: Any) -> Obj:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": image}]}}
    body = {"selector": {"matchLabels": labels}, "template": template, **spec}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": body}


def job(image: str = "good", **spec: Any) -> Obj:
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": image}]}
    body = {"template": {"spec": pod}, **spec}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "pi"}, "spec": body}


async def pods_of(lab: ControlPlane, name: str) -> list[Obj]:
    found = [pod for pod in await lab.items(PODS) if labels_of(pod).get("app") == name]
    return sorted(found, key=name_of)


async def images_of(lab: ControlPlane, name: str) -> list[str]:
    pods = [pod for pod in await pods_of(lab, name) if is_pod_ready(pod)]
    return [pod["spec"]["containers"][0]["image"] for pod in pods]


def image_patch(image: str) -> Obj:
    return {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}}


async def test_a_stateful_set_rolls_and_is_rolled_back_by_its_revision(lab: ControlPlane) -> None:
    await lab.start()
    await lab.client.create(STATEFUL_SETS, workload("StatefulSet", "db", replicas=2, serviceName="db"), "default")

    async def runs(image: str) -> bool:
        made = await lab.client.get(STATEFUL_SETS, "db", "default")
        same = dig(made, "status", "currentRevision") == dig(made, "status", "updateRevision")
        return await images_of(lab, "db") == [image, image] and same

    await lab.until(lambda: runs("i:1"))
    assert [name_of(pod) for pod in await pods_of(lab, "db")] == ["db-0", "db-1"]
    await lab.client.patch(STATEFUL_SETS, "db", image_patch("i:2"), "default", type="strategic")
    await lab.until(lambda: runs("i:2"))
    first, _ = sorted(await lab.items(CONTROLLER_REVISIONS), key=lambda revision: revision["revision"])
    await lab.client.patch(STATEFUL_SETS, "db", first["data"], "default", type="strategic")
    await lab.start_controllers()
    await lab.until(lambda: runs("i:1"))
    numbers = {name_of(revision): revision["revision"] for revision in await lab.items(CONTROLLER_REVISIONS)}
    assert len(numbers) == 2 and numbers[name_of(first)] == 3


async def test_daemons_follow_the_nodes_through_the_scheduler(lab: ControlPlane) -> None:
    await lab.start(nodes=2)
    taint = {"spec": {"taints": [{"key": "gpu", "effect": "NoSchedule"}]}}
    await lab.client.patch(NODES, "node-2", taint)
    await lab.client.create(DAEMON_SETS, workload("DaemonSet", "agent"), "default")

    async def on(*nodes: str) -> bool:
        pods = [pod for pod in await pods_of(lab, "agent") if is_pod_ready(pod)]
        return sorted(dig(pod, "spec", "nodeName") for pod in pods) == list(nodes)

    await lab.until(lambda: on("node-1"))
    await lab.add_node("node-3")
    await lab.until(lambda: on("node-1", "node-3"))
    await lab.client.patch(NODES, "node-2", {"spec": {"taints": None}})
    await lab.until(lambda: on("node-1", "node-2", "node-3"))
    await lab.client.patch(DAEMON_SETS, "agent", image_patch("i:2"), "default", type="strategic")

    async def all_new() -> bool:
        made = await lab.client.get(DAEMON_SETS, "agent", "default")
        counted = (dig(made, "status", "updatedNumberScheduled"), dig(made, "status", "numberAvailable")) == (3, 3)
        return counted and await images_of(lab, "agent") == ["i:2"] * 3

    await lab.until(all_new)
    (pod, *_) = await pods_of(lab, "agent")
    assert labels_of(pod)["pod-template-generation"] == "2"


async def test_a_job_counts_each_pod_once_though_its_controller_keeps_dying(lab: ControlPlane) -> None:
    await lab.start()
    lab.ends = {"good": "Succeeded"}
    to_count: set[str] = set()
    """The pods that were the Job's when they succeeded. One too many, made for a controller that died meanwhile, is let
    go of before it is deleted, and may succeed in between."""

    def note(key: str, old: Obj | None, pod: Obj | None) -> None:
        if pod is not None and pod_phase(pod) == "Succeeded" and is_tracked(pod):
            to_count.add(uid_of(pod))

    lab.pods.on_change(note)
    await lab.client.create(JOBS, job(completions=30, parallelism=10), "default")
    rand = random.Random(7)
    for _ in range(8):
        await asyncio.sleep(rand.uniform(0.0, 0.06))
        await lab.start_controllers()

    async def complete() -> bool:
        return is_true(await lab.client.get(JOBS, "pi", "default"), "Complete")

    await lab.until(complete)
    status = (await lab.client.get(JOBS, "pi", "default"))["status"]
    pods = await lab.items(PODS)
    assert status["succeeded"] == len(to_count) >= 30 and status["uncountedTerminatedPods"] == {}
    assert to_count <= {uid_of(pod) for pod in pods}
    assert not [pod for pod in pods if pod["metadata"].get("finalizers")]
    await lab.client.delete(JOBS, "pi", "default", propagation="Background")

    async def gone() -> bool:
        return await lab.items(PODS) == []

    await lab.until(gone)


async def test_a_failing_job_and_one_whose_time_is_over(lab: ControlPlane) -> None:
    await lab.start()
    lab.ends = {"bad": "Failed"}
    await lab.client.create(JOBS, job("bad", backoffLimit=0, ttlSecondsAfterFinished=1), "default")

    async def failed() -> bool:
        return is_true(await lab.client.get(JOBS, "pi", "default"), "Failed")

    async def gone() -> bool:
        return not await lab.items(JOBS) and not await lab.items(PODS)

    await lab.until(failed)
    await lab.until(gone)


async def test_a_replication_controller_scales(lab: ControlPlane) -> None:
    await lab.start()
    body = workload("ReplicationController", "old", replicas=2)
    body |= {"apiVersion": "v1", "spec": {**body["spec"], "selector": {"app": "old"}}}
    await lab.client.create(REPLICATION_CONTROLLERS, body, "default")

    async def ready(count: int) -> bool:
        return len(await images_of(lab, "old")) == count

    await lab.until(lambda: ready(2))
    scale = {"spec": {"replicas": 1}}
    answer = await lab.client.patch(REPLICATION_CONTROLLERS, "old", scale, "default", sub="scale")
    assert answer["status"]["selector"] == "app=old"
    await lab.until(lambda: ready(1))
