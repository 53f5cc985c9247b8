"""Fake nodes against an API that only notes what it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson

from netsim.agent.fake_nodes import PARALLEL, FakeNodes
from netsim.agent.fake_plan import FakePlan
from netsim.api.kinds import Obj
from netsim.client.rest import Client
from netsim.client.transport import InProcessTransport
from netsim.http.types import Peer, Request, Response

SECONDS = 5.0


class Api:
    """Answers everything with what it was sent, except for what begins with `silent`, which waits for ever."""

    def __init__(self, silent: str = "nothing") -> None:
        self.silent = silent
        self.asked: dict[tuple[str, str], list[Obj]] = {}
        self.client = Client(InProcessTransport(self, Peer(common_name="test")))

    async def __call__(self, request: Request) -> Response:
        body = orjson.loads(request.body)
        self.asked.setdefault((request.method, request.path), []).append(body)
        if request.path.startswith(self.silent):
            await asyncio.Event().wait()
        return Response(200, [], request.body)

    async def until(self, *asked: tuple[str, str]) -> None:
        async with asyncio.timeout(SECONDS):
            while not self.asked.keys() >= set(asked):
                await asyncio.sleep(0.01)


def pod(name: str) -> Obj:
    return {
        "metadata": {"name": name, "namespace": "default", "uid": name, "resourceVersion": "1"},
        "spec": {"nodeName": "fake-0", "containers": [{"name": "c", "image": "i"}]},
        "status": {"phase": "Pending"},
    }


@asynccontextmanager
async def tending(api: Api, leases: Api, pods: int) -> AsyncIterator[FakeNodes]:
    """Three nodes with so many pods on the first."""
    nodes = FakeNodes(FakePlan(3), api.client, leases.client)
    await nodes.register()
    leases.asked.clear()
    for number in range(pods):
        nodes.pods.put(pod(f"p{number}"), "1")
    tasks = [asyncio.create_task(work) for work in (nodes.tend_pods(), nodes.renew_leases())]
    try:
        yield nodes
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_pods_come_to_run_by_one_write_each() -> None:
    api, leases = Api(), Api()
    async with tending(api, leases, 2 * PARALLEL):
        paths = [("PATCH", f"/api/v1/namespaces/default/pods/p{n}/status") for n in range(2 * PARALLEL)]
        await api.until(*paths)
        writes = [api.asked[path] for path in paths]
    assert all(len(each) == 1 and each[0]["status"]["phase"] == "Running" for each in writes)
    assert len({each[0]["status"]["podIP"] for each in writes}) == len(writes)


async def test_leases_do_not_wait_for_pods() -> None:
    api, leases = Api(silent="/api/v1/namespaces/default/pods"), Api()
    async with tending(api, leases, 2 * PARALLEL):
        path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/fake-"
        await leases.until(*(("PATCH", f"{path}{n}") for n in range(3)))
        assert not any("leases" in path for _, path in api.asked)
