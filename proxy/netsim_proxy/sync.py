"""The proxy's life: watches in, rules out.

Nothing is programmed before Services, EndpointSlices and the Node are known. Changes that arrive while a sync runs are
merged into the next one. All commands run in a thread of their own; the event loop is never blocked. Ending the proxy
leaves its rules in place.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from netsim.api.kinds import ENDPOINT_SLICES, NODES, SERVICES, Obj
from netsim.client.events import record_event
from netsim.client.reflector import Reflector
from netsim.client.rest import Client
from netsim_proxy.backend import Backend, Outcome, SyncFailed
from netsim_proxy.config import Family, ProxyConfig
from netsim_proxy.inputs import Inputs, node_cache, service_cache, slice_cache
from netsim_proxy.model import WATCH_SELECTOR, Node, Slice
from netsim_proxy.modes import open_backend
from netsim_proxy.pace import check_delay, retry_delay, sync_pace

log = logging.getLogger(__name__)
NODE_PATIENCE_SECONDS = 10.0
_T = TypeVar("_T")


class FamilyLoop:
    """Syncs one address family; the families are independent."""

    def __init__(self, config: ProxyConfig, family: Family) -> None:
        self._config = config
        self.inputs = Inputs(family)
        self._node = Node(config.hostname)
        self._wake = asyncio.Event()
        self._check = True
        self._next_check = 0.0
        self._failures = 0
        self.synced = asyncio.Event()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=f"proxy-ipv{family}")

    def wake(self) -> None:
        """Something changed: sync soon."""
        self._wake.set()

    def set_node(self, node: Node) -> None:
        """Labels decide topology, addresses the source ranges: any change compares everything."""
        if node != self._node:
            self._node, self._check = node, True
            self.wake()

    async def run(self) -> None:
        """Sync for ever; returns only by cancellation, after a running command has ended."""
        try:
            backend = await self._in_thread(lambda: open_backend(self._config, self.inputs.family))
            await self._in_thread(backend.prepare)
            await self._sync_for_ever(backend)
        finally:
            self._executor.shutdown(wait=True, cancel_futures=True)

    async def _sync_for_ever(self, backend: Backend) -> None:
        clock = asyncio.get_running_loop().time
        pace = sync_pace(self._config.min_sync_period)
        while True:
            await asyncio.sleep(pace.delay(clock()))
            if not await self._sync_once(backend):
                # Events are not waited for: a storm must not turn a failing sync into a busy loop.
                await asyncio.sleep(retry_delay(self._failures, self._config.sync_period))
                continue
            try:
                async with asyncio.timeout_at(self._next_check):
                    await self._wake.wait()
            except TimeoutError:
                self._check = True

    async def _sync_once(self, backend: Backend) -> bool:
        """One sync; whether it succeeded."""
        self._wake.clear()
        check, self._check = self._check, False
        changes, node = self.inputs.take(), self._node
        try:
            outcome = await self._in_thread(lambda: backend.sync(changes, node, check=check))
        except SyncFailed as error:
            self._failures += 1
            log.error("IPv%d rules not programmed (attempt %d): %s", self.inputs.family, self._failures, error)
            return False
        if outcome.full:
            pause = check_delay(self._config.sync_period, outcome.seconds)
            self._next_check = asyncio.get_running_loop().time() + pause
        self._report(outcome, len(changes))
        self._failures = 0
        self.synced.set()
        return True

    def _report(self, outcome: Outcome, changes: int) -> None:
        repaired = self.synced.is_set() and outcome.full and outcome.lines and not changes
        level = logging.WARNING if repaired else logging.DEBUG
        what = "repaired" if repaired else "synced"
        log.log(level, "IPv%d rules %s: %d rules in %.3f s", self.inputs.family, what, outcome.lines, outcome.seconds)

    async def _in_thread(self, call: Callable[[], _T]) -> _T:
        """Run a blocking call; cancelled meanwhile, wait for its end: a half-run command must not outlive the loop."""
        running = asyncio.get_running_loop().run_in_executor(self._executor, call)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])
            if not running.cancelled() and (error := running.exception()):
                log.error("last sync: %s", error)
            raise


class Proxy:
    """The service proxy of one node. `run` it; `wait_synced` tells when its rules are in the kernel."""

    def __init__(self, config: ProxyConfig, client: Client) -> None:
        self._config, self._client = config, client
        self._loops = {family: FamilyLoop(config, family) for family in config.families}
        self._services = service_cache(config.families)
        self._slices = slice_cache()
        self._nodes = node_cache()
        self._events: set[asyncio.Task[None]] = set()
        self._services.on_change(self._on_service)
        self._slices.on_change(self._on_slice)
        self._nodes.on_change(self._on_node)

    async def wait_synced(self) -> None:
        """Until every family has been programmed once."""
        for loop in self._loops.values():
            await loop.synced.wait()

    async def run(self) -> None:
        """Watch and program for ever; returns only by cancellation."""
        name = self._config.hostname
        reflectors = (
            Reflector(self._client, SERVICES, self._services, label_selector=WATCH_SELECTOR),
            Reflector(self._client, ENDPOINT_SLICES, self._slices, label_selector=WATCH_SELECTOR),
            Reflector(self._client, NODES, self._nodes, field_selector=f"metadata.name={name}"),
        )
        async with asyncio.TaskGroup() as tasks:
            for reflector in reflectors:
                tasks.create_task(reflector.run())
            for cache in (self._services, self._slices, self._nodes):
                await cache.wait_synced()
            tasks.create_task(self._warn_without_node(name))
            for loop in self._loops.values():
                tasks.create_task(loop.run())

    async def _warn_without_node(self, name: str) -> None:
        """A Node that the agent is about to register is not worth a line; one that stays away is."""
        await asyncio.sleep(NODE_PATIENCE_SECONDS)
        if self._nodes.get(name) is None:
            log.warning("no Node %r in the API: give --hostname-override the name of this machine's Node", name)

    def _on_service(self, key: str, _old: Obj | None, new: Obj | None) -> None:
        for family, loop in self._loops.items():
            if loop.inputs.set_service(key, new["cut"][family] if new else ()):
                loop.wake()

    def _on_slice(self, _key: str, old: Obj | None, new: Obj | None) -> None:
        before: Slice | None = old["cut"] if old else None
        after: Slice | None = new["cut"] if new else None
        if before and (not after or (after.service_key, after.family) != (before.service_key, before.family)):
            self._set_slice(before, None)
        if after:
            self._set_slice(after, after)
            if after.rejected and (not before or before.rejected != after.rejected):
                self._report_rejected(after)

    def _set_slice(self, part: Slice, value: Slice | None) -> None:
        loop = self._loops.get(part.family)
        if loop and loop.inputs.set_slice(part.service_key, part.name, value):
            loop.wake()

    def _on_node(self, _key: str, _old: Obj | None, new: Obj | None) -> None:
        # A Node that is gone is judged by its last state.
        if new is not None and new["cut"] is not None:
            for loop in self._loops.values():
                loop.set_node(new["cut"])

    def _report_rejected(self, part: Slice) -> None:
        """Tell the Service that addresses of the wrong family were left out."""
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": part.service, "namespace": part.namespace},
        }
        for address in part.rejected:
            message = f"{address} in endpointslice has incorrect IP version"
            task = asyncio.create_task(
                record_event(
                    self._client,
                    service,
                    "Warning",
                    "KubeProxyIncorrectIPVersion",
                    message,
                    component="kube-proxy",
                    host=self._config.hostname,
                )
            )
            self._events.add(task)
            task.add_done_callback(self._events.discard)


async def run_proxy(config: ProxyConfig, client: Client) -> None:
    """Run the service proxy in the current network namespace until cancelled; its rules stay."""
    await Proxy(config, client).run()
