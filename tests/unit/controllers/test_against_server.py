"""Controllers and scheduler against the real API server and store, in one process; a few lines play the agents."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

from netsim.api.errors import StatusError
from netsim.api.kinds import (
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    ENDPOINTS,
    EVENTS,
    LEASES,
    NAMESPACES,
    NODES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    PRIORITY_CLASSES,
    REPLICA_SETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    Obj,
)
from netsim.api.objects import condition, deletion_timestamp, dig, is_pod_ready, is_true, name_of
from netsim.api.times import format_time
from netsim.client.cache import Cache
from netsim.client.reflector import Reflector
from support.control_plane import ControlPlane, utc_now


def deployment(replicas: int = 3, image: str = "nginx:1") -> Obj:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


def service() -> Obj:
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec}


async def test_a_deployment_behind_a_service(lab: ControlPlane) -> None:
    await lab.start()
    await lab.client.create(SERVICES, service(), "default")
    await lab.client.create(DEPLOYMENTS, deployment(), "default")

    async def three_answer() -> bool:
        return len(await lab.ready_addresses()) == 3

    await lab.until(three_answer)
    pods = await lab.items(PODS)
    assert {dig(pod, "spec", "nodeName") for pod in pods} == {"node-1", "node-2", "node-3"}
    nodes = await lab.items(NODES)
    assert {dig(node, "spec", "podCIDR") for node in nodes} == {f"10.244.{n}.0/24" for n in (1, 2, 3)}

    async def complete() -> bool:
        made = await lab.client.get(DEPLOYMENTS, "web", "default")
        return (condition(made, "Progressing") or {}).get("reason") == "NewReplicaSetAvailable"

    await lab.until(complete)

    async def old_endpoints() -> bool:
        found = [item for item in await lab.items(ENDPOINTS) if name_of(item) == "web"]
        return bool(found) and len((found[0].get("subsets") or [{}])[0].get("addresses", [])) == 3

    await lab.until(old_endpoints)

    async def told() -> bool:
        reasons = [event["reason"] for event in await lab.items(EVENTS)]
        return {"ScalingReplicaSet", "SuccessfulCreate", "Scheduled"} <= set(reasons)

    await lab.until(told)


async def test_rolling_update_never_without_endpoints_and_a_killed_pod_is_replaced(lab: ControlPlane) -> None:
    await lab.start()
    await lab.client.create(SERVICES, service(), "default")
    await lab.client.create(DEPLOYMENTS, deployment(), "default")

    async def three_answer() -> bool:
        return len(await lab.ready_addresses()) == 3

    await lab.until(three_answer)
    first = {name_of(pod) for pod in await lab.items(PODS)}
    image = [{"name": "c", "image": "nginx:2"}]
    patch = {"spec": {"template": {"spec": {"containers": image}}}}
    await lab.client.patch(DEPLOYMENTS, "web", patch, "default", type="strategic")

    async def all_new() -> bool:
        assert len(await lab.ready_addresses()) >= 2
        pods = await lab.items(PODS)
        return len(pods) == 3 and not first & {name_of(pod) for pod in pods} and all(map(is_pod_ready, pods))

    await lab.until(all_new)
    await lab.until(three_answer)
    made = await lab.client.get(DEPLOYMENTS, "web", "default")
    assert made["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
    victim = next(iter(await lab.items(PODS)))
    await lab.client.delete(PODS, name_of(victim), "default")

    async def replaced() -> bool:
        pods = await lab.items(PODS)
        return len(pods) == 3 and name_of(victim) not in map(name_of, pods) and len(await lab.ready_addresses()) == 3

    await lab.until(replaced)


async def test_a_hundred_replicas_are_up_within_three_seconds(lab: ControlPlane) -> None:
    await lab.start()
    await lab.client.create(SERVICES, service(), "default")
    await lab.client.create(DEPLOYMENTS, deployment(1), "default")

    async def answering(count: int) -> bool:
        return len(await lab.ready_addresses()) == count

    async def one() -> bool:
        return await answering(1)

    async def hundred() -> bool:
        return await answering(100)

    await lab.until(one)
    start = time.monotonic()
    await lab.client.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 100}}, "default")
    await lab.until(hundred)
    took = time.monotonic() - start
    print(f"100 replicas: {took:.2f} s")
    nodes = [dig(pod, "spec", "nodeName") for pod in await lab.items(PODS)]
    assert sorted(nodes.count(node) for node in set(nodes)) == [33, 33, 34]
    assert len(nodes) == 100
    assert took < 10  # shared machine; the goal of 3 s is measured by scripts/bench


async def test_deletions_cascade_and_a_namespace_goes(lab: ControlPlane) -> None:
    await lab.start()
    await lab.client.create(NAMESPACES, {"metadata": {"name": "shop"}})

    async def account() -> bool:
        return "default" in map(name_of, await lab.items(SERVICE_ACCOUNTS, "shop"))

    await lab.until(account)
    await lab.client.create(SERVICES, service(), "shop")
    for namespace in ("shop", "default"):
        await lab.client.create(DEPLOYMENTS, deployment(2), namespace)

    async def running() -> bool:
        pods = [*await lab.items(PODS, "shop"), *await lab.items(PODS)]
        return len(pods) == 4 and all(map(is_pod_ready, pods))

    await lab.until(running)
    await lab.client.delete(DEPLOYMENTS, "web", "default", propagation="Foreground")
    await lab.client.delete(NAMESPACES, "shop")

    async def gone() -> bool:
        left = [*await lab.items(PODS), *await lab.items(REPLICA_SETS), *await lab.items(DEPLOYMENTS)]
        return not left and "shop" not in map(name_of, await lab.items(NAMESPACES))

    await lab.until(gone)
    for kind in (PODS, REPLICA_SETS, SERVICES, ENDPOINT_SLICES, ENDPOINTS, SERVICE_ACCOUNTS, EVENTS):
        assert await lab.items(kind, "shop") == []


async def test_a_lost_node_is_left_and_its_pods_are_replaced(lab: ControlPlane) -> None:
    await lab.start(node_monitor_grace=1.0)
    await lab.welcome()
    body = deployment(3)
    body["spec"]["template"]["spec"]["tolerations"] = [
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}
        for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
    ]
    await lab.client.create(SERVICES, service(), "default")
    await lab.client.create(DEPLOYMENTS, body, "default")

    async def three_answer() -> bool:
        return len(await lab.ready_addresses()) == 3

    await lab.until(three_answer)
    seen: list[Obj] = []
    nodes = Cache()
    nodes.on_change(lambda key, old, new: seen.append(new or {}))
    watching = asyncio.create_task(Reflector(lab.client, NODES, nodes).run())
    await nodes.wait_synced()

    async def beats() -> set[str]:
        return {dig(lease, "spec", "renewTime") for lease in await lab.items(LEASES, "kube-node-lease")}

    for hours in (3, -5):  # somebody sets the clock: nobody has fallen silent by that
        lab.offset += timedelta(hours=hours)
        before = await beats()
        for number in (1, 2, 3):
            await lab.client.patch(NODES, f"node-{number}", {"metadata": {"labels": {"hours": f"h{hours}"}}})

        async def all_beat(before: set[str] = before) -> bool:
            return not before & await beats()

        await lab.until(all_beat)
    lab.silent.add("node-2")

    async def left() -> bool:
        return len(await lab.ready_addresses()) == 2

    await lab.until(left)
    assert {name_of(node) for node in seen if not is_true(node, "Ready")} == {"node-2"}
    assert (condition(seen[-1], "Ready") or {})["reason"] == "NodeStatusUnknown"
    unreachable = "node.kubernetes.io/unreachable"

    async def tainted() -> bool:
        taints = dig(await lab.client.get(NODES, "node-2"), "spec", "taints") or []
        return {(t["key"], t["effect"]) for t in taints} == {(unreachable, "NoSchedule"), (unreachable, "NoExecute")}

    await lab.until(tainted)

    async def moved() -> bool:
        pods = [pod for pod in await lab.items(PODS) if not deletion_timestamp(pod)]
        return len(await lab.ready_addresses()) == 3 and "node-2" not in [dig(p, "spec", "nodeName") for p in pods]

    await lab.until(moved)
    watching.cancel()
    lab.silent.discard("node-2")
    back = {"type": "Ready", "status": "True", "lastHeartbeatTime": format_time(utc_now())}
    await lab.client.patch(NODES, "node-2", {"status": {"conditions": [back]}}, sub="status")

    async def untainted() -> bool:
        node = await lab.client.get(NODES, "node-2")
        return not dig(node, "spec", "taints")

    await lab.until(untainted)


async def test_what_fits_nowhere_says_why_and_is_placed_when_it_does(lab: ControlPlane) -> None:
    await lab.start(nodes=2)
    await lab.welcome()
    resources = {"requests": {"cpu": "100"}}
    container = {"name": "c", "image": "i", "resources": resources}
    await lab.client.create(PODS, {"metadata": {"name": "big"}, "spec": {"containers": [container]}}, "default")

    async def refused() -> bool:
        pod = await lab.client.get(PODS, "big", "default")
        return (condition(pod, "PodScheduled") or {}).get("reason") == "Unschedulable"

    await lab.until(refused)
    pod = await lab.client.get(PODS, "big", "default")
    text = (
        "0/2 nodes are available: 2 Insufficient cpu. no new claims to deallocate, preemption: "
        "0/2 nodes are available: 2 Preemption is not helpful for scheduling."
    )
    assert (condition(pod, "PodScheduled") or {})["message"] == text
    await lab.client.patch(NODES, "node-2", {"status": {"allocatable": {"cpu": "128"}}}, sub="status")

    async def placed() -> bool:
        return bool(dig(await lab.client.get(PODS, "big", "default"), "spec", "nodeName") == "node-2")

    await lab.until(placed)


async def test_a_budget_lets_pods_be_evicted_one_after_another(lab: ControlPlane) -> None:
    await lab.start()
    await lab.client.create(DEPLOYMENTS, deployment(3), "default")
    selector = {"matchLabels": {"app": "web"}}
    budget = {"metadata": {"name": "web"}, "spec": {"minAvailable": 2, "selector": selector}}
    await lab.client.create(POD_DISRUPTION_BUDGETS, budget, "default")

    async def one_may_go() -> bool:
        found = await lab.client.get(POD_DISRUPTION_BUDGETS, "web", "default")
        return dig(found, "status", "disruptionsAllowed") == 1

    await lab.until(one_may_go)
    first = [name_of(pod) for pod in await lab.items(PODS)]
    answers = [await evict(lab, name) for name in first]
    assert answers == [201, 429, 429]
    await lab.until(one_may_go)
    assert await evict(lab, first[1]) == 201
    await lab.until(one_may_go)
    assert sum(map(is_pod_ready, await lab.items(PODS))) == 3


async def evict(lab: ControlPlane, name: str) -> int:
    path = PODS.path("default", name, "eviction")
    try:
        await lab.client.post(path, {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}})
    except StatusError as error:
        return error.code
    return 201


async def test_a_pod_of_more_weight_takes_the_place_of_one_of_less(lab: ControlPlane) -> None:
    await lab.start(nodes=1)
    await lab.client.patch(NODES, "node-1", {"status": {"allocatable": {"cpu": "1"}}}, sub="status")
    await lab.client.create(PRIORITY_CLASSES, {"metadata": {"name": "high"}, "value": 1000})
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "800m"}}}
    await lab.client.create(PODS, {"metadata": {"name": "low"}, "spec": {"containers": [container]}}, "default")

    async def low_runs() -> bool:
        return is_pod_ready(await lab.client.get(PODS, "low", "default"))

    await lab.until(low_runs)
    spec = {"priorityClassName": "high", "containers": [container]}
    await lab.client.create(PODS, {"metadata": {"name": "high"}, "spec": spec}, "default")

    async def high_runs() -> bool:
        pods = await lab.items(PODS)
        return [name_of(pod) for pod in pods if is_pod_ready(pod)] == ["high"]

    await lab.until(high_runs)

    async def told() -> bool:
        return "Preempted" in [event["reason"] for event in await lab.items(EVENTS)]

    await lab.until(told)
