"""What all pod workers of one agent share, and the two things they ask it for: exits and commands."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from netsim.agent.config import AgentConfig
from netsim.agent.eventlog import EventLog
from netsim.agent.model import Container
from netsim.agent.records import Records
from netsim.agent.runtime.engine import Engine
from netsim.agent.runtime.exec_process import run_command
from netsim.agent.runtime.processes import Ended, ExitWatch
from netsim.client.rest import Client

if TYPE_CHECKING:
    from netsim.agent.worker import PodWorker

log = logging.getLogger(__name__)
KILLED = 137
SANDBOXES = 8


class Context:
    """One agent's shared parts."""

    def __init__(self, config: AgentConfig, client: Client, engine: Engine, events: EventLog, records: Records) -> None:
        self.config, self.client, self.engine, self.events, self.records = config, client, engine, events, records
        self.slots = asyncio.Semaphore(config.parallel)
        # Of their own, so that a pod which has its sandbox does not wait for all others to get theirs.
        self.sandbox_slots = asyncio.Semaphore(SANDBOXES)
        self.workers: dict[str, PodWorker] = {}  # of all pods of the node, by uid
        self.at_work: set[str] = set()  # uids of the pods for which something is being done
        self.exits = ExitWatch(asyncio.get_running_loop())
        self._tasks: set[asyncio.Task[None]] = set()

    def watch_exit(self, worker: PodWorker, container: Container) -> None:
        """Tell the worker when a real process has ended."""
        pid = self.engine.processes.conmon_pid(container.id)
        if pid is None:
            asyncio.get_running_loop().call_soon(self._exited, worker, container)
        else:
            self.exits.add(pid, lambda: self._exited(worker, container))

    def _exited(self, worker: PodWorker, container: Container) -> None:
        ended = self.engine.processes.ended(container.id)
        if ended is not None:
            worker.actions.ended(container, ended, time.time())
            return
        # Someone killed conmon: nobody waits for the process any more, so it must go as well.
        log.warning("container %s: its conmon died without an exit code", container.id)
        self.spawn(self._reap(worker, container))

    async def _reap(self, worker: PodWorker, container: Container) -> None:
        await self.engine.call(self.engine.processes.remove, container.id)
        worker.actions.ended(container, Ended(KILLED, False), time.time())

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine beside everything else; its failure is logged."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("background work failed", exc_info=task.exception())

    async def execute(self, worker: PodWorker, name: str, command: list[str]) -> tuple[int, str]:
        """Run a command in a container of the pod: exit status and output. Raises OSError and CANNOT_EXECUTE."""
        if worker.pod is None or worker.state is None:
            raise ProcessLookupError(f"the pod of container {name} is gone")
        target = await self.engine.exec_target(worker.pod, worker.state, name)
        return await run_command(self.engine.processes.root, target, command)

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.exits.close()
        self.engine.close()
