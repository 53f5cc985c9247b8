"""The agent as a whole: a worker per pod, adoption of what runs, and the network configuration of the node."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from netsim.agent import podspec
from netsim.agent.cni_chain import CniFailed, ensure_conflist
from netsim.agent.context import Context
from netsim.agent.env import ConfigError
from netsim.agent.hooks import post_start, set_ready
from netsim.agent.measuring import Measurer
from netsim.agent.model import Obj, PodState
from netsim.agent.restoring import restore_state
from netsim.agent.runtime.launch import helper_id, pause_id
from netsim.agent.worker import PodWorker
from netsim.api.errors import StatusError

log = logging.getLogger(__name__)
VOLUME_SECONDS = 60.0


class Agent:
    """All pods of one node."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.workers = context.workers
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.states: dict[str, PodState] = {}
        self._listed: list[dict[str, Any]] | None = None
        self._adopted = False
        self.measurer = Measurer(self)

    # pods

    def pod_changed(self, _key: str, old: Obj | None, new: Obj | None) -> None:
        """The cache's callback: one worker per pod uid."""
        if new is not None:
            self._worker(podspec.uid(new), new).update(new)
        elif old is not None and podspec.uid(old) in self.workers:
            self.workers[podspec.uid(old)].update(None)

    def _worker(self, uid: str, pod: Obj | None) -> PodWorker:
        worker = self.workers.get(uid)
        if worker is None:
            state = self.states.pop(uid, None) or (restore_state(pod, time.time()) if pod is not None else None)
            worker = self.workers[uid] = PodWorker(self.context, uid, pod, state)
            self._resume(worker)
            self.tasks[uid] = asyncio.create_task(self._run(worker))
        return worker

    def _resume(self, worker: PodWorker) -> None:
        """Watch again over the containers that a former agent started."""
        if worker.state is None:
            return
        for container in worker.state.running:
            spec = podspec.find_container(worker.pod, container.name) if worker.pod is not None else None
            if spec is not None and post_start(spec):
                set_ready(spec, container)  # the former agent may have ended during the hook, which is not run twice
            worker.container_started(spec or {"name": container.name}, container)

    async def _run(self, worker: PodWorker) -> None:
        try:
            await worker.run()
        except Exception:
            log.exception("worker of pod %s ended; it is started again with the pod's next change", worker.uid)
        finally:
            if self.workers.get(worker.uid) is worker:
                del self.workers[worker.uid], self.tasks[worker.uid]
                if worker.state is not None:
                    self.states[worker.uid] = worker.state

    def find(self, namespace: str, name: str) -> PodWorker | None:
        """The worker of a pod that has a record, by namespace and name; the newest if several have that name."""
        found = [w for w in self.workers.values() if w.state and (w.state.namespace, w.state.name) == (namespace, name)]
        return max(found, key=lambda w: w.state.created_at if w.state else 0.0, default=None)

    # adoption

    def load(self) -> None:
        """Read the records of a former agent, before the pods are known."""
        self.states = self.context.records.load()

    async def adopt(self) -> None:
        """Once the pods are known: end the pods that are no longer wanted, remove what belongs to none."""
        for uid in list(self.states):
            self._worker(uid, None)
        self._adopted = True
        self._match_workloads()
        await self._remove_orphans()

    async def _remove_orphans(self) -> None:
        engine = self.context.engine
        known = set(self.workers)
        for uid in {*await engine.call(engine.storage.pods), *await engine.call(engine.chain.attached)} - known:
            log.warning("removing what is left of pod %s", uid)
            await engine.remove_sandbox(uid)
            await engine.forget(uid)
        ids = {i for w in self.workers.values() if w.state for i in _ids(w.state)}
        for container in set(await engine.call(engine.storage.containers)) - ids:
            if self._adopted and container not in {i for w in self.workers.values() if w.state for i in _ids(w.state)}:
                await engine.call(engine.processes.remove, container)

    # the workload host

    def workloads_listed(self, containers: list[dict[str, Any]]) -> None:
        """The workload host (a new one, perhaps) has said what it runs."""
        self._listed = containers
        if self._adopted:
            self._match_workloads()

    def _match_workloads(self) -> None:
        """What should be in the host and is not has died with a former host."""
        if self._listed is None:
            return
        running = {c["spec"]["id"] for c in self._listed}
        wanted: set[str] = set()
        for worker in list(self.workers.values()):
            for container in worker.state.running if worker.state else []:
                wanted.add(container.id)
                if container.kind == "workload" and container.id not in running:
                    worker.actions.lost(container, time.time())
        for orphan in running - wanted:
            self.context.spawn(self.context.engine.workloads.stop(orphan))
        self._listed = None

    # the node

    def node_changed(self, _key: str, _old: Obj | None, new: Obj | None) -> None:
        """The node's pod subnet may have become known."""
        spec = (new or {}).get("spec") or {}
        cidrs = spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])
        if cidrs:
            config = self.context.config
            ensure_conflist(config.net_d, cidrs, f"{config.run_dir}/ipam", config.pod_mtu)
            for worker in self.workers.values():
                worker.network_ready()

    def network_trouble(self) -> str:
        """What the pods' network lacks, "" if nothing."""
        try:
            self.context.engine.chain.load()
        except CniFailed as error:
            return str(error)
        return ""

    # volumes

    async def refresh_volumes(self) -> None:
        """Renew ConfigMaps, Secrets and tokens of running pods with real processes, for ever."""
        while True:
            await asyncio.sleep(VOLUME_SECONDS)
            for worker in list(self.workers.values()):
                if worker.pod is not None and worker.state is not None and _has_processes(worker.state):
                    await self._refresh(worker.pod)

    async def _refresh(self, pod: Obj) -> None:
        try:
            await self.context.engine.refresh_volumes(pod)
        except (ConfigError, StatusError, OSError) as error:
            log.warning("volumes of pod %s: %s; they keep their content", podspec.full_name(pod), error)

    async def close(self) -> None:
        """Stop working; every container goes on running."""
        tasks = list(self.tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.context.close()


def _has_processes(state: PodState) -> bool:
    return any(c.kind == "process" or c.helper for c in state.running)


def _ids(state: PodState) -> list[str]:
    own = [pause_id(state.uid), *(c.id for c in state.containers.values())]
    return own + [helper_id(state.uid, c.name, c.attempt) for c in state.containers.values()]
