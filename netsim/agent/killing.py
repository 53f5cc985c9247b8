"""Ends running containers as a kubelet does: preStop hook, SIGTERM, grace period, SIGKILL."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from netsim.agent import podspec
from netsim.agent.hooks import HookFailed, run_hook
from netsim.agent.model import Container
from netsim.agent.plan import POST_START, KillContainer
from netsim.agent.resizing import NEEDS_RESTART
from netsim.agent.runtime.processes import Ended
from netsim.agent.runtime.workload_client import WorkloadHostGone

if TYPE_CHECKING:
    from netsim.agent.worker import PodWorker

log = logging.getLogger(__name__)
OnEnd = Callable[[Container, Ended, float], None]
KILL_SECONDS = 10.0
# What a kubelet gives the program itself when its preStop hook has used up the grace period.
MINIMUM_SECONDS = 2.0
# A container that is told to finish answers until nobody has asked for so long: a client of its pod, or of a Service,
# whose rules on some node may not yet have changed. FINISH_SECONDS are enough for every node to have changed them.
QUIET_SECONDS, SERVICE_QUIET_SECONDS, FINISH_SECONDS = 0.1, 0.5, 3.0
POLL_SECONDS = 0.5


class Killer:
    """The ends that were asked for in one pod; `ended` is told of each container's end."""

    def __init__(self, worker: PodWorker, ended: OnEnd) -> None:
        self.worker, self.context, self.ended = worker, worker.context, ended
        self.engine = worker.context.engine
        self._exits: dict[str, asyncio.Event] = {}

    def expects(self, name: str) -> bool:
        """A container has ended: whether that was asked for. Who waits for it goes on."""
        if name not in self._exits:
            return False
        self._exits[name].set()
        return True

    async def kill(self, action: KillContainer) -> None:
        """End a container and wait until it has; one that does not run is no error."""
        state = self.worker.state
        container = state.containers.get(action.name) if state is not None else None
        if container is None or not container.running:
            return
        told = action.why.endswith(("restarted", NEEDS_RESTART)) or action.why == POST_START
        why = action.why if told else f"Stopping container {action.name}"
        self.worker.event("Killing", why, container=action.name)
        self._exits[action.name] = asyncio.Event()
        try:
            grace = await self._pre_stop(container, action.grace)
            if container.kind == "workload":
                await self._end_workload(container, grace)
            else:
                await self._end_process(container, grace)
        finally:
            del self._exits[action.name]

    async def _end_workload(self, container: Container, grace: float) -> None:
        """Like a web server that is told to finish: it answers for a short time yet, and then is gone."""
        try:
            quiet = self._quiet_seconds() if container.ready else 0.0
            await self.engine.workloads.finish(container.id, quiet, min(grace, FINISH_SECONDS))
        except WorkloadHostGone as error:
            log.info("container %s ended with its workload host: %s", container.name, error)
        self.ended(container, Ended(0, False), time.time())

    def _quiet_seconds(self) -> float:
        pod, services = self.worker.pod, self.engine.objects.services.values()
        return SERVICE_QUIET_SECONDS if pod is not None and podspec.is_selected(pod, services) else QUIET_SECONDS

    async def _end_process(self, container: Container, grace: float) -> None:
        begun = time.monotonic()
        await self.engine.signal(container, stop_signal(container.stop_signal))
        while (left := begun + self._grace(grace) - time.monotonic()) > 0:
            if await self._ended_within(container, min(left, POLL_SECONDS)):
                return
        await self.engine.signal(container, signal.SIGKILL)
        if not await self._ended_within(container, KILL_SECONDS):
            await self.engine.call(self.engine.processes.remove, container.id)
            self.ended(container, Ended(128 + signal.SIGKILL, False), time.time())

    def _grace(self, planned: float) -> float:
        """A later deletion may shorten the grace that a kill began with."""
        pod = self.worker.pod
        if pod is None:
            return 0.0
        return min(planned, podspec.grace_seconds(pod)) if podspec.is_deleted(pod) else planned

    async def _ended_within(self, container: Container, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._exits[container.name].wait()
        except TimeoutError:
            return False
        return True

    async def _pre_stop(self, container: Container, grace: float) -> float:
        """Run the preStop hook for at most `grace`; gives the grace left. Its failure is an event and stops nothing."""
        spec = podspec.find_container(self.worker.pod, container.name) if self.worker.pod is not None else None
        hook = ((spec or {}).get("lifecycle") or {}).get("preStop")
        if spec is None or not hook or grace <= 0:
            return grace
        begun = time.monotonic()
        try:
            async with asyncio.timeout(grace):
                await run_hook(self.worker, spec, hook)
        except TimeoutError:
            self._hook_failed(spec["name"], f"no end within {grace:g} s")
        except HookFailed as error:
            self._hook_failed(spec["name"], str(error))
        return max(MINIMUM_SECONDS, grace - (time.monotonic() - begun))

    def _hook_failed(self, name: str, why: str) -> None:
        log.warning("pod %s: preStop hook of container %s: %s", self.worker.uid, name, why)
        self.worker.event("FailedPreStopHook", "PreStopHook failed", warning=True, container=name)


def stop_signal(name: str) -> int:
    """The number of a STOPSIGNAL ("SIGQUIT", "QUIT", "3", "SIGRTMIN+3"); SIGTERM for none that is known (pure)."""
    base, _, more = name.upper().removeprefix("SIG").partition("+")
    if base.isdigit():
        return int(base)
    known = getattr(signal, f"SIG{base}", signal.SIGTERM) if base else signal.SIGTERM
    return int(known) + (int(more) if more.isdigit() else 0)
