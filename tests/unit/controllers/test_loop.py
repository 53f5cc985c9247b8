"""The loop: queue, expectations, the write door, and no duplicates while caches lag."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from netsim.api.errors import StatusError
from netsim.api.kinds import (
    CONFIG_MAPS,
    DAEMON_SETS,
    DEPLOYMENTS,
    JOBS,
    NODES,
    PODS,
    REPLICA_SETS,
    STATEFUL_SETS,
    Obj,
)
from netsim.controllers import daemonset, deployment, job, replicaset, statefulset
from netsim.controllers.apply import Outcome, apply_writes
from netsim.controllers.controller import Controller
from netsim.controllers.expectations import Expectations, Expected
from netsim.controllers.loop import Runner, backoff_after, rest_after
from netsim.controllers.queue import BACKOFF, WorkQueue
from netsim.controllers.writes import Announce, Create, Delete, Note, delete_of, patch_of


def test_a_key_is_queued_once_and_again_after_its_work() -> None:
    queue = WorkQueue()
    queue.add("a", 0)
    queue.add("a", 0)
    queue.add("b", 0)
    assert queue.take() == "a"
    queue.add("a", 0)
    assert (queue.take(), queue.take()) == ("b", None)
    queue.done("a", 0)
    assert queue.take() == "a"


def test_a_rest_delays_and_gathers() -> None:
    queue = WorkQueue()
    queue.add("a", 0)
    queue.take()
    queue.add("a", 0)
    queue.done("a", 1.0, rest=0.5)
    queue.add("a", 1.2)
    assert queue.take() is None
    assert queue.next_time() == 1.5
    queue.wake(1.5)
    assert queue.take() == "a"


def test_failures_back_off_and_are_forgotten() -> None:
    queue = WorkQueue()
    delays = [queue.failed("a", 0) for _ in range(16)]
    assert delays[:3] == [0.005, 0.01, 0.02]
    assert delays[-1] == 30.0
    assert queue.next_time() == 0.005
    queue.succeeded("a")
    assert queue.failed("a", 0) == 0.005


def test_refused_jobs_are_tried_again_from_a_second_on() -> None:
    queue, wanted = WorkQueue(), Create(PODS, {"metadata": {}})
    refused = Outcome(wanted, error=StatusError(403, "Forbidden", "exceeded quota"))
    outdated = Outcome(wanted, error=StatusError(409, "Conflict", "modified"))
    own = job.controller().backoff
    assert backoff_after([outdated, refused], own) is own
    delays = [queue.failed("a", 0, own) for _ in range(8)]
    assert delays == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    assert backoff_after([Outcome(wanted), outdated], own) == BACKOFF == replicaset.CONTROLLER.backoff
    assert backoff_after([Outcome(wanted)], own) is None


def test_expectations_hold_until_the_cache_shows_the_write(cluster: Any) -> None:
    made = cluster.create(CONFIG_MAPS, {"metadata": {"name": "c", "namespace": "ns"}})
    expectations = Expectations(cluster.caches)
    place = ("configmaps", "ns/c")
    expectations.expect("key", place, Expected(made["metadata"]["uid"], int(made["metadata"]["resourceVersion"]), 300))
    assert not expectations.satisfied("key", 0)
    cluster.sync()
    assert expectations.changed(place) == ["key"]
    assert expectations.satisfied("key", 0)
    expectations.expect("key", place, Expected(made["metadata"]["uid"], 0, 300))
    assert not expectations.satisfied("key", 0)
    assert expectations.satisfied("key", 301)


class Refusing:
    """A client that refuses every creation after the first few."""

    def __init__(self, allowed: int) -> None:
        self.allowed, self.asked = allowed, 0

    async def create(self, kind: Any, obj: Obj, namespace: str | None = None) -> Obj:
        self.asked += 1
        if self.asked > self.allowed:
            raise StatusError(403, "Forbidden", "exceeded quota")
        return {**obj, "metadata": {"name": f"p{self.asked}"}}


async def test_a_refusing_server_is_not_asked_a_hundred_times() -> None:
    about: Obj = {"apiVersion": "v1", "kind": "X", "metadata": {"uid": "u"}}
    announce = Announce(about, ("Ok", "made {name}"), ("No", "not made: {error}"))
    notes: list[Note] = []
    client = Refusing(1)
    writes = [Create(PODS, {"metadata": {}}, announce)] * 100
    outcomes = await apply_writes(client, writes, notes.append)  # type: ignore[arg-type]
    assert client.asked == 5
    assert [outcome.failed for outcome in outcomes] == [False, True, True, True, True]
    assert {(note.reason, note.message, note.type) for note in notes} == {
        ("Ok", "made p1", "Normal"),
        ("No", "not made: exceeded quota", "Warning"),
    }


async def test_a_deletion_of_what_is_gone_is_fine(cluster: Any, make_client: Any) -> None:
    client = make_client(cluster, random.Random(0))
    (outcome,) = await apply_writes(client, [Delete(PODS, "x", "ns")], lambda note: None)
    assert outcome.gone and not outcome.failed


async def test_nothing_is_deleted_where_the_write_before_is_refused(cluster: Any, make_client: Any) -> None:
    pod = cluster.create(PODS, {"metadata": {"name": "x", "namespace": "ns", "finalizers": ["a/b"]}})
    told: list[Note] = []
    announce = Announce(pod, ("Gone", "{name}"), ("Stays", "{error}"))
    first = patch_of(PODS, pod, {"metadata": {"finalizers": None}}, locked=True)
    write = delete_of(PODS, pod, announce=announce, first=first)
    cluster.patch(PODS, "x", "ns", {"status": {"phase": "Succeeded"}}, "status")
    client = make_client(cluster, random.Random(0))
    (outcome,) = await apply_writes(client, [write], told.append)
    assert outcome.outdated and cluster.get(PODS, "ns/x")["metadata"]["finalizers"] == ["a/b"] and not told
    pod = cluster.get(PODS, "ns/x")
    again = delete_of(PODS, pod, announce=announce, first=patch_of(PODS, pod, {"metadata": {"finalizers": None}}))
    (outcome,) = await apply_writes(client, [again], told.append)
    assert outcome.error is None and [note.reason for note in told] == ["Gone"]
    assert not cluster.all(PODS)


async def test_only_what_goes_side_by_side_takes_tasks() -> None:
    tasks: list[asyncio.Task[Any] | None] = []

    class Server:
        async def delete(self, *_args: object, **_options: object) -> Obj:
            tasks.append(asyncio.current_task())
            return {}

    for names in ("a", "bc"):
        writes = [Delete(PODS, name, "ns") for name in names]
        outcomes = await apply_writes(Server(), writes, lambda note: None)  # type: ignore[arg-type]
        assert [outcome.write for outcome in outcomes] == writes
    assert tasks[0] is asyncio.current_task()
    assert len(set(tasks)) == 3


@asynccontextmanager
async def running(
    cluster: Any, client: Any, controllers: list[Controller], lag: random.Random, longest: float
) -> AsyncIterator[list[Runner]]:
    """The real loop over the simulated API, its caches fed late and in random portions."""
    runners = [Runner(each, client, cluster.caches, cluster.notes.append, lambda: cluster.now) for each in controllers]
    for resource, cache in cluster.caches.items():
        for runner in runners:
            cache.on_change(lambda k, old, new, res=resource, run=runner: run.changed(res, k, old, new))

    async def feed() -> None:
        while True:
            await asyncio.sleep(lag.uniform(0, longest))
            cluster.sync(lag.randint(1, 40))

    tasks = [asyncio.create_task(work) for work in (feed(), *(runner.run() for runner in runners))]
    try:
        yield runners
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition: Any, seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


def deployment_body(replicas: int) -> Obj:
    template = {"metadata": {"labels": {"app": "w"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "w"}}, "template": template}
    return {"metadata": {"name": "w", "namespace": "ns"}, "spec": spec}


@pytest.mark.parametrize("seed", range(4))
async def test_lagging_caches_never_make_duplicates(cluster: Any, make_client: Any, seed: int) -> None:
    rand = random.Random(seed)
    client = make_client(cluster, rand)
    wanted = [deployment.CONTROLLER, replicaset.CONTROLLER]
    async with running(cluster, client, wanted, rand, longest=0.03):
        cluster.create(DEPLOYMENTS, deployment_body(40))
        await until(lambda: len(cluster.all(PODS)) >= 40)
        cluster.patch(DEPLOYMENTS, "w", "ns", {"spec": {"replicas": 75}})
        await until(lambda: len(cluster.all(PODS)) >= 75)
        cluster.patch(DEPLOYMENTS, "w", "ns", {"spec": {"replicas": 10}})
        await until(lambda: len(cluster.all(PODS)) <= 10)
        await until(lambda: (cluster.get(DEPLOYMENTS, "ns/w").get("status") or {}).get("replicas") == 10)
    assert client.calls.count("create pods") == 75
    assert client.calls.count("delete pods") == 65
    assert client.calls.count("create replicasets.apps") == 1
    assert len(cluster.all(REPLICA_SETS)) == 1
    assert client.most_under_way >= 30


@pytest.mark.parametrize("seed", range(2))
async def test_nor_do_they_for_the_other_workloads(cluster: Any, make_client: Any, seed: int) -> None:
    """15 daemons, 20 pods of a Job of which 15 are stopped again, and 10 numbered pods."""
    rand = random.Random(seed)
    client = make_client(cluster, rand)
    spec = deployment_body(10)["spec"]
    wanted = [daemonset.controller(), job.controller(), statefulset.CONTROLLER]
    async with running(cluster, client, wanted, rand, longest=0.03):
        for number in range(15):
            cluster.create(NODES, {"metadata": {"name": f"n{number}"}, "spec": {}})
        labels = {kind: {"app": kind.singular} for kind in (DAEMON_SETS, JOBS, STATEFUL_SETS)}
        for kind, own in labels.items():
            template = {**spec["template"], "metadata": {"labels": own}}
            body = {**spec, "selector": {"matchLabels": own}, "template": template, "podManagementPolicy": "Parallel"}
            body |= {"parallelism": 20, "completions": 40} if kind is JOBS else {}
            cluster.create(kind, {"metadata": {"name": "w", "namespace": "ns"}, "spec": body})
        await until(lambda: len(cluster.all(PODS)) >= 45)
        cluster.patch(JOBS, "w", "ns", {"spec": {"parallelism": 5}})
        await until(lambda: len(cluster.all(PODS)) <= 30)
        await until(lambda: (cluster.get(JOBS, "ns/w").get("status") or {}).get("active") == 5)
    assert client.calls.count("create pods") == 45
    assert client.calls.count("delete pods") == 15
    assert client.calls.count("create controllerrevisions.apps") == 2
    assert "failed" not in cluster.get(JOBS, "ns/w")["status"]


async def test_an_error_in_reconcile_is_logged_and_tried_again(
    cluster: Any, make_client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    attempts: list[str] = []

    def reconcile(key: str, view: Any) -> list[Any]:
        attempts.append(key)
        if len(attempts) < 3:
            raise RuntimeError("first attempts fail")
        return []

    def wake(view: Any, old: Obj | None, new: Obj | None) -> list[str]:
        return ["k"]

    controller = Controller("test", reconcile, ((CONFIG_MAPS, wake),))
    rand = random.Random(0)
    async with running(cluster, make_client(cluster, rand), [controller], rand, 0.001):
        cluster.create(CONFIG_MAPS, {"metadata": {"name": "c", "namespace": "ns"}})
        await until(lambda: len(attempts) == 3)
    assert "reconciling k failed" in caplog.text


async def test_one_key_at_a_time_is_followed_by_the_next(cluster: Any, make_client: Any) -> None:
    def reconcile(key: str, view: Any) -> list[Any]:
        name = key.partition("/")[2]
        done = cluster.get(CONFIG_MAPS, key) is not None
        return [] if done else [Create(CONFIG_MAPS, {"metadata": {"name": name, "namespace": "ns"}})]

    controller = Controller("test", reconcile, (), parallel=1)
    client = make_client(cluster, random.Random(1))
    runner = Runner(controller, client, cluster.caches, lambda note: None, lambda: cluster.now)
    task = asyncio.create_task(runner.run())
    for name in "abcd":
        runner.add(f"ns/{name}")
    async with asyncio.timeout(5):
        while len(cluster.all(CONFIG_MAPS)) < 4:
            await asyncio.sleep(0.001)
    assert client.most_under_way == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_what_costs_much_leaves_time_for_others() -> None:
    assert rest_after(0.004) == 0.0
    assert rest_after(0.05) == pytest.approx(0.5)
    assert rest_after(3.0) == 2.0


async def test_a_costly_key_rests_though_it_is_woken_all_the_time(cluster: Any, make_client: Any) -> None:
    rounds = []

    def reconcile(key: str, view: Any) -> list[Any]:
        rounds.append(key)
        time.sleep(0.02)
        return []

    client = make_client(cluster, random.Random(1))
    runner = Runner(Controller("c", reconcile, ()), client, cluster.caches, lambda note: None, lambda: cluster.now)
    task = asyncio.create_task(runner.run())
    deadline = time.monotonic() + 0.3
    while time.monotonic() < deadline:
        runner.add("ns/a")
        await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert 1 <= len(rounds) <= 4  # 20 ms of work, 80 ms of rest
