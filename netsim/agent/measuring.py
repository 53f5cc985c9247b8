"""Measures the node's containers now and then, so that rates can be told: cgroups, and the workload host's account."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

from netsim.agent import stats
from netsim.agent.model import Container, PodState
from netsim.agent.runtime.launch import helper_id
from netsim.agent.runtime.metering import resident_bytes
from netsim.agent.runtime.workload_client import WorkloadError, WorkloadHostGone
from netsim.agent.stats import ContainerStats, NodeStats, PodStats, Sample
from netsim.host import cgroup_usage

if TYPE_CHECKING:
    from netsim.agent.agent import Agent

log = logging.getLogger(__name__)
SAMPLE_SECONDS = 10.0
FRESH_SECONDS = 1.0
NODE = ""
"""The key of the node's own history; containers are kept by their ids."""


class Measurer:
    """Histories of what runs on one node. The node's usage is that of its agent, its workload host and its pods:
    several nodes share a machine, so the machine's own figures would be nobody's."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.started_at = time.time()
        self._histories: dict[str, list[Sample]] = {}
        self._gone_ns = 0
        """CPU time of real processes' containers that have ended: the node's total never goes back."""
        self._in_host: set[str] = set()
        self._host: dict[str, Any] = {"cpu_ns": 0, "memory": 0, "containers": {}}
        self._sampled_at = 0.0
        self._lock = asyncio.Lock()

    async def run(self) -> None:
        """Measure every SAMPLE_SECONDS, for ever."""
        while True:
            await self.sample()
            await asyncio.sleep(SAMPLE_SECONDS)

    async def stats(self) -> NodeStats:
        """What is used now; measures unless that was done less than FRESH_SECONDS ago."""
        if time.time() - self._sampled_at >= FRESH_SECONDS:
            await self.sample()
        reading = stats.read_rate(self._histories[NODE])
        if reading is None:  # there is only the first sample yet
            await asyncio.sleep(FRESH_SECONDS)
            return await self.stats()
        memory = int(self.agent.context.engine.capacity["memory"])
        name = self.agent.context.config.node_name
        return NodeStats(name, self.started_at, reading, memory, tuple(self._pods()))

    def own_sample(self) -> Sample:
        """What this process itself has used."""
        memory = resident_bytes()
        return Sample(time.time(), time.process_time_ns(), memory, memory)

    async def sample(self) -> None:
        async with self._lock:
            engine = self.agent.context.engine
            host = await self._host_stats()
            running = [(state, container) for state in self._states() for container in state.running]
            found = await engine.call(self._measure, running, host)
            self._keep(found, host)

    async def _host_stats(self) -> dict[str, Any]:
        try:
            self._host = await self.agent.context.engine.workloads.stats()
        except (WorkloadHostGone, WorkloadError) as error:
            log.info("no new account of the in-process workloads: %s", error)
        return self._host

    def _states(self) -> list[PodState]:
        return [worker.state for worker in self.agent.workers.values() if worker.state is not None]

    def _measure(self, running: list[tuple[PodState, Container]], host: dict[str, Any]) -> dict[str, Sample]:
        found = ((container.id, self._measure_one(state, container, host)) for state, container in running)
        return {ident: sample for ident, sample in found if sample is not None}

    def _measure_one(self, state: PodState, container: Container, host: dict[str, Any]) -> Sample | None:
        """One container: its cgroup's figures or its share of the host, and those of its exec helper."""
        parts = []
        if container.kind == "workload" and container.id in host["containers"]:
            share = host["containers"][container.id]
            parts.append((share["cpu_ns"], share["memory"], share["memory"]))
        idents = [container.id] if container.kind == "process" else []
        idents += [helper_id(state.uid, container.name, container.attempt)] if container.helper else []
        for ident in idents:
            usage = cgroup_usage.read_usage(f"{self.agent.context.config.cgroup}/pods/{state.uid}/{ident[:16]}")
            if usage is not None:
                parts.append((usage.cpu_ns, usage.working_set, usage.memory))
        return Sample(time.time(), *(sum(column) for column in zip(*parts, strict=True))) if parts else None

    def _keep(self, found: dict[str, Sample], host: dict[str, Any]) -> None:
        for ident in [i for i in self._histories if i and i not in found]:
            last = self._histories.pop(ident)[-1]
            # What an in-process workload used stays in its host's total.
            self._gone_ns += 0 if ident in self._in_host else last.cpu_ns
        self._in_host = set(host["containers"])
        for ident, sample in {NODE: self._node_sample(found, host), **found}.items():
            self._histories[ident] = stats.forget_old([*self._histories.get(ident, ()), sample])
        self._sampled_at = time.time()

    def _node_sample(self, found: dict[str, Sample], host: dict[str, Any]) -> Sample:
        """All containers, the agent, and what of the workload host is no container's share."""
        own, shares = self.own_sample(), host["containers"].values()
        cpu_ns = own.cpu_ns + self._gone_ns + host["cpu_ns"] - sum(share["cpu_ns"] for share in shares)
        memory = own.memory + host["memory"] - sum(share["memory"] for share in shares)
        used = found.values()
        return Sample(
            own.at, cpu_ns + sum(s.cpu_ns for s in used), memory + sum(s.working_set for s in used),
            memory + sum(s.memory for s in used),
        )  # fmt: skip

    def _pods(self) -> list[PodStats]:
        pods = []
        for state in self._states():
            containers = []
            for container in state.running:
                reading = stats.read_rate(self._histories.get(container.id, ()), container.started_at)
                if reading is not None:
                    containers.append(ContainerStats(container.name, container.started_at, reading))
            if containers:
                pods.append(PodStats(state.name, state.namespace, state.uid, state.created_at, tuple(containers)))
        return pods
