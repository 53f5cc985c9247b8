"""Gives running containers of one pod other CPU and memory, and tells of it."""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import TYPE_CHECKING

from netsim.agent import backoff, podspec
from netsim.agent.model import RESIZE, Obj
from netsim.agent.resizing import (
    Amounts,
    amounts,
    asked,
    choose_pending,
    held,
    resize_message,
    wanted_resources,
    wants_resize,
)
from netsim.agent.runtime.processes import CreateFailed

if TYPE_CHECKING:
    from netsim.agent.worker import PodWorker


log = logging.getLogger(__name__)


class Resizer:
    """The resizes of one pod."""

    def __init__(self, worker: PodWorker) -> None:
        self.worker = worker

    def judge(self) -> None:
        """Write down whether the node has no room for what the pod's containers should have; told when it changes."""
        pod, state = self.worker.pod, self.worker.state
        if pod is None or state is None or podspec.is_deleted(pod):
            return
        wanted = wants_resize(pod, state)
        if not wanted:
            state.failures.pop(RESIZE, None)
        pending = choose_pending(*self._room(pod)) if wanted else None
        if pending == state.pending_resize:
            return
        state.pending_resize = pending
        if pending is not None:
            text = resize_message(pod, pending["reason"], pending["message"])
            self.worker.event(f"Resize{pending['reason']}", text, warning=True)
        self.worker.save()

    def _room(self, pod: Obj) -> tuple[Amounts, Amounts, Amounts]:
        """What the pod asks for, what the others have, and what the node has."""
        used: Counter[str] = Counter()
        for other in self.worker.context.workers.values():
            if other is not self.worker and other.pod is not None:
                used.update(held(other.pod, other.state))
        return asked(pod), used, amounts(self.worker.context.engine.capacity)

    async def resize(self, name: str) -> None:
        """Give a container the resources that its pod has now; one that does not run is no error. Raises OSError."""
        pod, state = self.worker.pod, self.worker.state
        spec = podspec.find_container(pod, name) if pod is not None else None
        container = state.containers.get(name) if state is not None else None
        if state is None or spec is None or container is None or not container.running:
            return
        last = state.failures.get(RESIZE)
        if last is None:
            self.tell("Started")
        try:
            await self.worker.context.engine.resize(container, spec)
        except CreateFailed as error:
            if container.running:
                log.warning("pod %s/%s, container %s: resize: %s", state.namespace, state.name, name, error)
                self.tell("Error", str(error))
                failed = backoff.fail(last, "Error", str(error), time.time(), first=1.0, longest=backoff.SYNC)
                state.failures[RESIZE] = failed
        else:
            container.resources = wanted_resources(spec)
            state.failures.pop(RESIZE, None)
            self.tell("Completed")
        self.worker.save()

    def begin_restart(self, name: str) -> None:
        """A container is ended for a resize: whatever it ends with, it is started again, also by the next agent."""
        self.tell("Started")
        if self.worker.state is not None and name in self.worker.state.containers:
            self.worker.state.containers[name].resizing = True
            self.worker.save()

    def tell(self, what: str, error: str = "") -> None:
        """The event of a step: Started, Completed or Error."""
        if self.worker.pod is not None:
            self.worker.event(
                f"Resize{what}", resize_message(self.worker.pod, what.lower(), error), warning=bool(error)
            )
