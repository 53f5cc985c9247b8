"""The proxy's life: watches in, rules out.

Nothing is programmed before Services, EndpointSlices and the Node are known. Changes that arrive while a sync runs are
merged into the next one. Ending the proxy leaves its rules in place.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial

from netsim.api.kinds import ENDPOINT_SLICES, NODES, SERVICES, Obj
from netsim.client.reflector import Reflector
from netsim.client.rest import Client
from netsim_proxy.config import ProxyConfig, split_address
from netsim_proxy.cut import WATCH_SELECTOR
from netsim_proxy.doors import ServiceHealthServers, health_handler, keep_health_servers, metrics_handler
from netsim_proxy.inputs import node_cache, service_cache, slice_cache, trigger_time
from netsim_proxy.listeners import CannotListen, serve_for_ever
from netsim_proxy.loop import FamilyLoop
from netsim_proxy.machine import ensure_conntrack, read_health_addresses, read_process
from netsim_proxy.metrics import render_process
from netsim_proxy.model import Node, Slice, with_own_address
from netsim_proxy.reporter import Reporter
from netsim_proxy.telemetry import Telemetry

log = logging.getLogger(__name__)
NODE_PATIENCE_SECONDS = 10.0


class Proxy:
    """The service proxy of one node. `run` it; `wait_synced` tells when its rules are in the kernel."""

    def __init__(self, config: ProxyConfig, client: Client) -> None:
        self._config, self._client = config, client
        self.telemetry = Telemetry(config)
        self._loops = {family: FamilyLoop(config, family, self.telemetry) for family in config.families}
        self._services = service_cache(config.families)
        self._slices = slice_cache()
        self._nodes = node_cache()
        self._node = Node(config.hostname)
        self._reporter = Reporter(client, config.hostname)
        self._services.on_change(self._on_service)
        self._slices.on_change(self._on_slice)
        self._nodes.on_change(self._on_node)

    async def wait_synced(self) -> None:
        """Until every family has been programmed once."""
        for loop in self._loops.values():
            await loop.synced.wait()

    async def run(self) -> None:
        """Watch and program for ever; returns only by cancellation, or raises CannotListen."""
        name = self._config.hostname
        reflectors = (
            Reflector(self._client, SERVICES, self._services, label_selector=WATCH_SELECTOR),
            Reflector(self._client, ENDPOINT_SLICES, self._slices, label_selector=WATCH_SELECTOR),
            Reflector(self._client, NODES, self._nodes, field_selector=f"metadata.name={name}"),
        )
        await asyncio.to_thread(ensure_conntrack, self._config)
        self._reporter.about_node("Normal", "Starting", "")
        try:
            async with asyncio.TaskGroup() as tasks:
                self._open_doors(tasks)
                for reflector in reflectors:
                    tasks.create_task(reflector.run())
                for cache in (self._services, self._slices, self._nodes):
                    await cache.wait_synced()
                tasks.create_task(self._warn_without_node(name))
                for loop in self._loops.values():
                    tasks.create_task(loop.run())
        except* CannotListen:
            await self._reporter.finish()
            raise

    def _open_doors(self, tasks: asyncio.TaskGroup) -> None:
        """Health and metrics answer before anything is programmed, health checks of Services after that."""
        config, hard = self._config, self._config.bind_address_hard_fail
        if address := split_address("healthz-bind-address", config.healthz_bind_address):
            handler = health_handler(self.telemetry)
            tell = partial(self._reporter.about_node, "Warning", "FailedToStartProxierHealthcheck")
            tasks.create_task(serve_for_ever("healthz", address, handler, tell, hard_fail=hard))
        if address := split_address("metrics-bind-address", config.metrics_bind_address):
            handler = metrics_handler(config, self._render_metrics)
            tell = partial(self._reporter.about_node, "Warning", "FailedToStartMetricServer")
            tasks.create_task(serve_for_ever("metrics", address, handler, tell, hard_fail=hard))
        servers = ServiceHealthServers(self.telemetry.answer_service, self._cannot_check)
        tasks.create_task(keep_health_servers(self.telemetry, servers, self._health_addresses))

    async def _health_addresses(self) -> Sequence[str]:
        return await asyncio.to_thread(read_health_addresses, self._config, self._node)

    def _cannot_check(self, key: str, port: int, why: str) -> None:
        text = f'node {self._config.hostname} failed to start healthcheck "{key}" on port {port}: {why}'
        log.error("%s", text)
        self._reporter.about_service(key, "Warning", "FailedToStartServiceHealthcheck", "Listen", text)

    async def _render_metrics(self) -> str:
        pending = [loop.inputs.pending for loop in self._loops.values()]
        waiting = sum(one for one, _ in pending), sum(other for _, other in pending)
        return self.telemetry.render_metrics(waiting) + render_process(read_process(self.telemetry.epoch))

    async def _warn_without_node(self, name: str) -> None:
        """A Node that the agent is about to register is not worth a line; one that stays away is."""
        await asyncio.sleep(NODE_PATIENCE_SECONDS)
        if self._nodes.get(name) is None:
            log.warning("no Node %r in the API: give --hostname-override the name of this machine's Node", name)

    def _on_service(self, key: str, _old: Obj | None, new: Obj | None) -> None:
        for family, loop in self._loops.items():
            self.telemetry.metrics.add("service_changes_total")
            if loop.inputs.set_service(key, new["cut"][family] if new else ()):
                loop.wake()

    def _on_slice(self, _key: str, old: Obj | None, new: Obj | None) -> None:
        before: Slice | None = old["cut"] if old else None
        after: Slice | None = new["cut"] if new else None
        if before or after:
            self.telemetry.metrics.add("endpoint_changes_total")
        if before and (not after or (after.service_key, after.family) != (before.service_key, before.family)):
            self._set_slice(before, None)
        if new and after:
            self._set_slice(after, after, trigger_time(new))
            if after.rejected and (not before or before.rejected != after.rejected):
                self._report_rejected(after)

    def _set_slice(self, part: Slice, value: Slice | None, trigger: float | None = None) -> None:
        loop = self._loops.get(part.family)
        if loop and loop.inputs.set_slice(part.service_key, part.name, value, trigger):
            loop.wake()

    def _on_node(self, _key: str, _old: Obj | None, new: Obj | None) -> None:
        # A Node that is gone is judged by its last state.
        if new is not None and new["cut"] is not None:
            self._node = node = with_own_address(new["cut"], self._config.bind_address)
            self.telemetry.eligible = node.eligible
            for loop in self._loops.values():
                loop.set_node(node)

    def _report_rejected(self, part: Slice) -> None:
        """Tell the Service that addresses of the wrong family were left out."""
        for address in part.rejected:
            message = f"{address} in endpointslice has incorrect IP version"
            self._reporter.about_service(
                part.service_key, "Warning", "KubeProxyIncorrectIPVersion", "GatherEndpoints", message
            )


async def run_proxy(config: ProxyConfig, client: Client) -> None:
    """Run the service proxy in the current network namespace until cancelled; its rules stay."""
    await Proxy(config, client).run()
