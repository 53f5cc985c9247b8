"""A control plane in one process (server, store, controllers, scheduler) and a few lines that play the agents."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from netsim.api.errors import StatusError
from netsim.api.kinds import ENDPOINT_SLICES, LEASES, NODES, PODS, Kind, Obj
from netsim.api.objects import deletion_timestamp, dig, name_of, namespace_of
from netsim.api.times import format_micro_time, format_time
from netsim.client.cache import Cache
from netsim.client.reflector import Reflector
from netsim.client.rest import Client
from netsim.client.transport import InProcessTransport
from netsim.controllers.run import ControllerConfig, run_controllers
from netsim.http.types import Peer
from netsim.scheduler.run import run_scheduler
from netsim.server.app import ApiServer
from netsim.server.core import ServerConfig
from netsim.store.sqlite import SqliteStore


def utc_now() -> datetime:
    return datetime.now(UTC)


async def no_node(host: str, port: int) -> Any:
    raise OSError(f"no kubelet at {host}:{port}")


class ControlPlane:
    """A control plane, a client of an administrator, and agents that start and stop pods at once."""

    def __init__(self, server: ApiServer) -> None:
        self.server = server
        self.client = self._client(Peer(trusted=True))
        self.pods = Cache()
        self.silent: set[str] = set()
        self.offset = timedelta()
        """How far the clock of the server and the controllers is off."""
        self.ends: dict[str, str] = {}
        """Phase in which the pods of an image end as soon as they run."""
        self._ips = itertools.count(2)
        self._tasks: list[asyncio.Task[Any]] = []
        self._config = ControllerConfig()
        self._controllers: asyncio.Task[None] | None = None
        self._agents: set[asyncio.Task[Any]] = set()

    def _client(self, peer: Peer) -> Client:
        return Client(InProcessTransport(self.server, peer))

    def clock(self) -> datetime:
        return utc_now() + self.offset

    async def start(self, nodes: int = 3, **config: Any) -> None:
        for number in range(1, nodes + 1):
            await self.add_node(f"node-{number}")
        self._config = ControllerConfig(**config)
        scheduler = self._client(Peer(common_name="system:kube-scheduler"))
        self.pods.on_change(self._pod_changed)
        work = [
            run_scheduler(scheduler),
            Reflector(self.client, PODS, self.pods).run(),
            self._heartbeats(nodes),
        ]
        self._tasks = [asyncio.create_task(each) for each in work]
        await self.start_controllers()

    async def start_controllers(self) -> None:
        """Start them, or end them wherever they are and start them anew."""
        if self._controllers is not None:
            self._controllers.cancel()
            await asyncio.gather(self._controllers, return_exceptions=True)
        manager = self._client(Peer(common_name="system:kube-controller-manager"))
        self._controllers = asyncio.create_task(run_controllers(manager, self._config, self.clock))

    async def close(self) -> None:
        tasks = [*self._tasks, *self._agents, *([self._controllers] if self._controllers else [])]
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        broken = [result for result in results if isinstance(result, Exception)]
        assert not broken, broken

    async def add_node(self, name: str) -> None:
        ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": format_time(utc_now())}
        status = {"conditions": [ready], "allocatable": {"cpu": "64", "memory": "64Gi", "pods": "250"}}
        await self.client.create(NODES, {"metadata": {"name": name}})
        await self.client.patch(NODES, name, {"status": status}, sub="status")
        await self.client.create(LEASES, {"metadata": {"name": name, "namespace": "kube-node-lease"}, "spec": {}})

    async def _heartbeats(self, nodes: int) -> None:
        while True:
            for name in (f"node-{number}" for number in range(1, nodes + 1)):
                if name not in self.silent:
                    renew = {"spec": {"renewTime": format_micro_time(utc_now())}}
                    await self.client.patch(LEASES, name, renew, "kube-node-lease")
            await asyncio.sleep(0.2)

    def _pod_changed(self, key: str, old: Obj | None, new: Obj | None) -> None:
        node = dig(new, "spec", "nodeName")
        if new is None or not node or node in self.silent:
            return
        if deletion_timestamp(new):
            self._spawn(self._end(new))
        elif dig(new, "status", "phase") == "Pending" and not dig(new, "status", "podIP"):
            self._spawn(self._run(new))

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._agents.add(task)
        task.add_done_callback(self._agents.discard)

    async def _run(self, pod: Obj) -> None:
        number = next(self._ips)
        ip = f"10.244.{number // 250}.{number % 250 + 1}"
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": format_time(utc_now())}
        status = {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": [ready]}
        phase = self.ends.get(pod["spec"]["containers"][0]["image"])
        if phase:
            status |= {"phase": phase, "conditions": [{**ready, "status": "False"}]}
        await self._forgiving(
            self.client.patch(PODS, name_of(pod), {"status": status}, namespace_of(pod), sub="status")
        )

    async def _end(self, pod: Obj) -> None:
        await self._forgiving(self.client.delete(PODS, name_of(pod), namespace_of(pod), grace=0))

    @staticmethod
    async def _forgiving(call: Any) -> None:
        try:
            await call
        except StatusError as error:
            if error.code not in (404, 409):
                raise

    # --- questions
    async def items(self, kind: Kind, namespace: str = "default") -> list[Obj]:
        return list((await self.client.list(kind, namespace if kind.namespaced else None))["items"])

    async def until(self, question: Callable[[], Any], seconds: float = 15.0) -> Any:
        """The first truthy answer of an async question."""
        deadline = time.monotonic() + seconds
        while True:
            answer = await question()
            if answer:
                return answer
            assert time.monotonic() < deadline, f"not within {seconds} s: {question.__name__}"
            await asyncio.sleep(0.01)

    async def welcome(self) -> None:
        """Wait until pods may go to every node."""

        async def all_untainted() -> bool:
            return not any(dig(node, "spec", "taints") for node in await self.items(NODES))

        await self.until(all_untainted)

    async def ready_addresses(self, service: str = "web") -> set[str]:
        return {
            endpoint["addresses"][0]
            for item in await self.items(ENDPOINT_SLICES)
            if item["metadata"]["labels"]["kubernetes.io/service-name"] == service
            for endpoint in item["endpoints"] or ()
            if endpoint["conditions"]["ready"]
        }


@asynccontextmanager
async def control_plane(directory: Path) -> AsyncIterator[ControlPlane]:
    """One that has yet to be started."""
    store = await SqliteStore.open(str(directory / "store.db"))
    made: ControlPlane | None = None

    def clock() -> datetime:
        return made.clock() if made else utc_now()

    server = ApiServer(store, ServerConfig(directory / "pki"), clock=clock, rand=secrets.randbelow, dial_node=no_node)
    await server.start()
    made = ControlPlane(server)
    try:
        yield made
    finally:
        await made.close()
        await server.close()
        await store.close()
