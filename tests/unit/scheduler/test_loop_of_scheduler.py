"""The bind loop with a client that answers late, refuses, or is slow."""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from netsim.api.errors import StatusError
from netsim.api.kinds import Obj
from netsim.client.cache import Cache
from netsim.scheduler.needs import needs_of
from netsim.scheduler.run import Scheduler

START = datetime(2026, 1, 1, tzinfo=UTC)


class FakeApi:
    """Takes bindings, status patches and events; bound pods come back through the cache a little later."""

    def __init__(self, pods: Cache) -> None:
        self.pods, self.bound = pods, Counter[str]()
        self.conditions: dict[str, str] = {}
        self.events: list[Obj] = []
        self.refusals: list[StatusError] = []
        self.under_way = self.most = 0

    async def post(self, path: str, obj: Obj) -> Obj:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0.002)
        self.under_way -= 1
        if self.refusals:
            raise self.refusals.pop()
        key = f"{obj['metadata']['namespace']}/{obj['metadata']['name']}"
        found = self.pods.get(key)
        assert found is not None and found["metadata"]["uid"] == obj["metadata"]["uid"]
        self.bound[obj["target"]["name"]] += 1
        new = copy.deepcopy(found)
        new["spec"]["nodeName"] = obj["target"]["name"]
        asyncio.get_running_loop().call_later(0.005, self.pods.put, new, "1")
        return {}

    async def patch(self, kind: Any, name: str, patch: Obj, namespace: str, *, type: str = "", sub: str = "") -> Obj:
        assert (type, sub) == ("strategic", "status")
        (condition,) = patch["status"]["conditions"]
        self.conditions[name] = condition["message"]
        found = copy.deepcopy(self.pods.get(f"{namespace}/{name}"))
        assert found is not None
        found["status"] = patch["status"]
        self.pods.put(found, "2")
        return found

    async def create(self, kind: Any, obj: Obj, namespace: str | None = None) -> Obj:
        self.events.append(obj)
        return obj


def node(name: str, cpu: str = "64") -> Obj:
    status = {"conditions": [{"type": "Ready", "status": "True"}], "allocatable": {"cpu": cpu, "pods": "500"}}
    return {"metadata": {"name": name}, "spec": {}, "status": status}


def pod(name: str, cpu: str = "100m", **spec: Any) -> Obj:
    reference = {"uid": "rs", "controller": True, "kind": "ReplicaSet", "name": "rs"}
    head = {"name": name, "namespace": "ns", "uid": f"uid-{name}", "ownerReferences": [reference]}
    containers = [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]
    return {"metadata": head, "spec": {"containers": containers, **spec}, "status": {"phase": "Pending"}}


@asynccontextmanager
async def running(*nodes: Obj, **others: Cache) -> AsyncIterator[tuple[FakeApi, Cache, Cache]]:
    pods, known = Cache(), Cache()
    for each in nodes:
        known.put(each, "1")
    api = FakeApi(pods)
    caches = {"pods": pods, "nodes": known, **{f"{name}.resource.k8s.io": cache for name, cache in others.items()}}
    scheduler = Scheduler(api, caches, lambda: START)  # type: ignore[arg-type]
    scheduler.listen()
    tasks = [asyncio.create_task(scheduler.run()), asyncio.create_task(scheduler.workers.write_events())]
    try:
        yield api, pods, known
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(question: Any, seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not question():
            await asyncio.sleep(0.002)


async def test_a_burst_is_spread_and_bound_in_parallel_once_each() -> None:
    async with running(node("a"), node("b"), node("c")) as (api, pods, _):
        for index in range(100):
            pods.put(pod(f"p{index}"), "1")
        await until(lambda: api.bound.total() == 100)
        await until(lambda: all(each["spec"].get("nodeName") for each in pods.values()))
        assert sorted(api.bound.values()) == [33, 33, 34]
        assert api.most > 30
        await until(lambda: len(api.events) == 100)
        assert api.events[0]["message"].startswith("Successfully assigned ns/p")


async def test_what_does_not_fit_says_so_once_and_is_tried_when_room_appears() -> None:
    async with running(node("a", "1")) as (api, pods, known):
        pods.put(pod("big", "2"), "1")
        await until(lambda: "big" in api.conditions)
        assert api.conditions["big"] == (
            "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: "
            "0/1 nodes are available: 1 Preemption is not helpful for scheduling."
        )
        await until(lambda: bool(api.events))
        assert (api.events[0]["reason"], api.events[0]["type"]) == ("FailedScheduling", "Warning")
        known.put(node("b", "4"), "2")
        await until(lambda: api.bound["b"] == 1)
        assert len([event for event in api.events if event["reason"] == "FailedScheduling"]) == 1


async def test_a_pod_that_had_no_nodes_to_ask_learns_why_the_first_one_refuses_it() -> None:
    async with running() as (api, pods, known):
        pods.put(pod("big", "2"), "1")
        await until(lambda: api.conditions.get("big") == "no nodes available to schedule pods")
        known.put(node("a", "1"), "2")
        await until(lambda: api.conditions["big"].startswith("0/1 nodes are available: 1 Insufficient cpu."))


async def test_what_else_keeps_a_pod_off_is_told_when_the_first_reason_is_gone() -> None:
    tainted = {**node("a"), "spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}
    async with running(tainted) as (api, pods, known):
        pods.put(pod("far", nodeSelector={"zone": "b"}), "1")
        await until(lambda: "1 node(s) had untolerated taint(s)." in api.conditions.get("far", ""))
        known.put(node("a"), "2")
        await until(lambda: "1 node(s) didn't match Pod's node affinity/selector." in api.conditions["far"])
        known.put(tainted | {"metadata": {"name": "b"}}, "3")
        await until(lambda: api.conditions["far"].startswith("0/2 nodes are available: 1 node(s) didn't match"))


async def test_a_pod_that_goes_makes_room() -> None:
    async with running(node("a", "1")) as (api, pods, _):
        first = pod("first", "1", nodeName="a")
        pods.put(first, "1")
        pods.put(pod("second", "1"), "1")
        await until(lambda: "second" in api.conditions)
        pods.drop(first, "2")
        await until(lambda: api.bound["a"] == 1)


async def test_a_refused_binding_is_tried_again_and_gives_its_room_back() -> None:
    async with running(node("a", "1")) as (api, pods, _):
        api.refusals = [StatusError(500, "InternalError", "try later")]
        pods.put(pod("p", "1"), "1")
        await until(lambda: api.bound["a"] == 1)


async def test_a_pod_that_shrinks_makes_room() -> None:
    async with running(node("a", "1")) as (api, pods, _):
        pods.put(pod("first", "1", nodeName="a"), "1")
        pods.put(pod("second", "500m"), "1")
        await until(lambda: "second" in api.conditions)
        pods.put(pod("first", "500m", nodeName="a"), "2")
        await until(lambda: api.bound["a"] == 1)


async def test_a_pod_that_went_before_it_was_bound_makes_room() -> None:
    async with running(node("a", "1")) as (api, pods, _):
        api.refusals = [StatusError(404, "NotFound", "gone")]
        pods.put(pod("first", "1"), "1")
        pods.put(pod("second", "1"), "1")
        await until(lambda: not api.refusals)
        pods.drop(pod("first", "1"), "2")
        await until(lambda: api.bound["a"] == 1)


async def test_a_pod_whose_binding_was_answered_to_nobody_keeps_its_room() -> None:
    pods, known = Cache(), Cache()
    known.put(node("a", "1"), "1")
    scheduler = Scheduler(FakeApi(pods), {"pods": pods, "nodes": known}, lambda: START)  # type: ignore[arg-type]
    scheduler.listen()
    pods.put(pod("p", "1", nodeName="a"), "1")
    scheduler._refused(needs_of(pod("p", "1")), True)
    state = scheduler._cluster.get("a")
    assert state is not None and state.used == {"cpu": 1000}


async def test_other_schedulers_gated_and_leaving_pods_are_left_alone() -> None:
    async with running(node("a")) as (api, pods, _):
        pods.put(pod("other", schedulerName="mine"), "1")
        pods.put(pod("gated", schedulingGates=[{"name": "x"}]), "1")
        leaving = pod("leaving")
        leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        pods.put(leaving, "1")
        pods.put(pod("p"), "1")
        await until(lambda: api.bound.total() == 1)
        await asyncio.sleep(0)
        assert api.bound == {"a": 1}
        pods.put(pod("gated"), "2")
        await until(lambda: api.bound.total() == 2)


async def test_a_pod_waits_for_its_claim_and_then_for_its_devices() -> None:
    claims, classes = Cache(), Cache()
    classes.put({"metadata": {"name": "gpu"}}, "1")
    wish = {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "gpu"}}]}}
    pending = {"metadata": {"name": "c", "namespace": "ns"}, "spec": wish, "status": {}}
    async with running(node("a"), resourceclaims=claims, deviceclasses=classes) as (api, pods, _):
        pods.put(pod("p", resourceClaims=[{"name": "d", "resourceClaimName": "c"}]), "1")
        await until(lambda: '"c" not found' in api.conditions.get("p", ""))
        claims.put(pending, "2")
        await until(lambda: "1 cannot allocate all claims" in api.conditions["p"])
        claims.put({**pending, "status": {"allocation": {"devices": {}}}}, "3")
        await until(lambda: api.bound["a"] == 1)
