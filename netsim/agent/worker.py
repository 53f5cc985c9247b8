"""One pod's worker: plans, runs the actions side by side, keeps the record, and reports the status."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import Any

from netsim.agent import podspec
from netsim.agent.actions import PodActions
from netsim.agent.context import Context
from netsim.agent.model import RESIZE, Container, Obj, PodState
from netsim.agent.plan import Action, BackOffPull, KillContainer, ResizeContainer, StartContainer, plan_pod
from netsim.agent.probe_runner import ProbeRunner
from netsim.agent.probes import FIELDS
from netsim.agent.reporter import Reporter
from netsim.api.errors import StatusError

log = logging.getLogger(__name__)
# How long a step takes before the API is told of the state in between. It costs a write, so that it is longer the more
# pods of the node are at work; and of a deleted pod everybody sees that it goes.
SLOW_START, SLOW_END, SLOW_SHARE, SLOW_MOST = 0.2, 5.0, 0.02, 5.0
RETRY_SECONDS = 1.0


class PodWorker:
    """Everything that happens to one pod on this node; `run` ends when the pod is forgotten."""

    def __init__(self, context: Context, uid: str, pod: Obj | None, state: PodState | None) -> None:
        self.context, self.uid, self.pod, self.state = context, uid, pod, state
        self.changed = asyncio.Event()
        self.gone = asyncio.Event()  # set once the sandbox goes: what leads into it ends
        self.reporter = Reporter(context.client, *context.config.node_ips)
        self.actions = PodActions(self)
        self.busy: dict[str, asyncio.Task[None]] = {}
        self.reporting: asyncio.Task[None] | None = None
        self.probes: dict[str, asyncio.Task[None]] = {}
        self.forgotten = self.delete_sent = False
        self.telling_last = False  # the last status is on its way, or the deletion after it
        self._since = 0.0

    # told from outside

    def update(self, pod: Obj | None) -> None:
        """The API's object as it is now, None when it is gone."""
        if self.state is not None and _generation(pod) != _generation(self.pod):
            self.state.failures.pop(RESIZE, None)  # it may ask for something else now
        self.pod = pod
        self.changed.set()

    def wake(self) -> None:
        self.changed.set()

    def network_ready(self) -> None:
        """The node has a pod network now: a sandbox that failed for want of it need not wait out its back-off."""
        if self.state is not None and self.state.sandbox is None and "" in self.state.failures:
            self.state.failures[""].retry_at = 0.0
            self.changed.set()

    # the loop

    async def run(self) -> None:
        """Until the pod is forgotten, or cancelled: then containers go on running, for the next agent."""
        try:
            while not self.forgotten:
                self.changed.clear()
                wake = self._begin()
                if self.forgotten:
                    break
                await self._wait(wake)
                if self._untold and not self._patience():
                    self._report()
        finally:
            await self._cancel()

    def _begin(self) -> float | None:
        """Plan and start the actions of all that is not busy; the time to plan again."""
        if self.pod is None and self.state is None:
            self.forgotten = True
        if self.forgotten or self.delete_sent or self.telling_last:
            return None
        self.actions.resizer.judge()
        found = plan_pod(self.pod, self.state, time.time())
        for action in found.actions:
            key = _key(action)
            if key not in self.busy and (key or not self.busy):
                self.busy[key] = asyncio.create_task(self._perform(key, action))
                self.context.at_work.add(self.uid)
                self._since = time.monotonic()
        return found.wake

    @property
    def _untold(self) -> bool:
        """Whether something is under way that is told when it takes long."""
        return bool(self.busy) and not self.telling_last

    def _patience(self) -> float:
        """Seconds until what is under way has taken so long that it is told; 0 when it has."""
        deleted = self.pod is not None and podspec.is_deleted(self.pod)
        return max(0.0, self._since + patience(len(self.context.at_work), deleted=deleted) - time.monotonic())

    async def _wait(self, wake: float | None) -> None:
        timeouts = [max(0.0, wake - time.time())] if wake is not None else []
        timeouts += [rest] if self._untold and (rest := self._patience()) else []
        if not self.busy:
            self._report()
        # Cheaper than asyncio.timeout, and this happens a dozen times for each pod.
        timer = asyncio.get_running_loop().call_later(min(timeouts), self.changed.set) if timeouts else None
        try:
            await self.changed.wait()
        finally:
            if timer is not None:
                timer.cancel()

    async def _perform(self, key: str, action: Action) -> None:
        try:
            await self.actions.perform(action)
        except (OSError, StatusError) as error:
            log.warning("pod %s: %s: %s; it is tried again", self.uid, action, error)
            await asyncio.sleep(RETRY_SECONDS)
        except Exception:
            log.exception("pod %s: %s failed; it is tried again", self.uid, action)
            await asyncio.sleep(RETRY_SECONDS)
        finally:
            self.busy.pop(key, None)
            if not self.busy:
                self.context.at_work.discard(self.uid)
            self.changed.set()

    async def _cancel(self) -> None:
        tasks = [*self.busy.values(), *self.probes.values(), *([self.reporting] if self.reporting else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # status

    def _report(self) -> None:
        if self.reporting is None and self.pod is not None and self.state is not None:
            status = self.reporter.due(self.pod, self.state, time.time())
            if status is not None:
                self.reporting = asyncio.create_task(self._send(self.pod, status))

    async def report_last(self) -> None:
        """How everything ended, before the object goes: whoever watches the pod sees the exit codes."""
        status = self.reporter.due(self.pod, self.state, time.time()) if self.pod and self.state else None
        if self.pod is not None and status is not None:
            await self.reporter.send(self.pod, status)

    async def _send(self, pod: Obj, status: Obj) -> None:
        try:
            if not await self.reporter.send(pod, status):
                await asyncio.sleep(RETRY_SECONDS)
        finally:
            self.reporting = None
            self.changed.set()

    # containers

    def container_started(self, spec: Obj, container: Container) -> None:
        """Watch over a running container: its end and its probes."""
        if container.kind == "process":
            self.context.watch_exit(self, container)
        if not any(spec.get(field) for field in FIELDS.values()):
            return
        assert self.state is not None
        host = self.state.ips[0] if self.state.ips else self.context.config.node_ip

        async def execute(command: list[str]) -> tuple[int, str]:
            return await self.context.execute(self, container.name, command)

        def unhealthy(message: str) -> None:
            self.event("Unhealthy", message, warning=True, container=container.name)

        def verdict() -> None:
            self.save()
            self.changed.set()

        runner = ProbeRunner(spec, container, host, execute, verdict, unhealthy)
        self.spawn_probes(container.name, runner.run())

    def spawn_probes(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self.stop_probes(name)
        self.probes[name] = asyncio.create_task(work)

    def stop_probes(self, name: str) -> None:
        task = self.probes.pop(name, None)
        if task is not None:
            task.cancel()

    def event(self, reason: str, message: str, *, warning: bool = False, container: str = "") -> None:
        """Tell what happened to the pod, or to one of its containers."""
        if self.pod is not None:
            self.context.events.add(self.pod, reason, message, warning=warning, container=container)

    def save(self) -> None:
        if self.state is not None:
            self.context.records.save(self.state)


def patience(at_work: int, *, deleted: bool) -> float:
    """Seconds that a step may take before it is told, while so many pods of the node are at work (pure)."""
    return min(SLOW_MOST, (SLOW_END if deleted else SLOW_START) + SLOW_SHARE * at_work)


def _generation(pod: Obj | None) -> int:
    return int(pod["metadata"].get("generation") or 0) if pod is not None else 0


def _key(action: Action) -> str:
    """What an action keeps busy: a container by name, or the pod as a whole ("")."""
    return action.name if isinstance(action, StartContainer | KillContainer | ResizeContainer | BackOffPull) else ""
