"""What one pod's containers wait for after a failure: the events of it, and the time to try again."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from netsim.agent import backoff
from netsim.agent.container_status import creating
from netsim.agent.image_events import tell_back_off, tell_no_image
from netsim.agent.images.provider import NoImage
from netsim.agent.model import Container, Obj, PodState

if TYPE_CHECKING:
    from netsim.agent.worker import PodWorker

log = logging.getLogger(__name__)
SYNC_SECONDS = 1.0
"""How soon a kubelet looks again at a pod of which a container has just ended."""


class Failing:
    """The failures of one pod."""

    def __init__(self, worker: PodWorker) -> None:
        self.worker = worker

    def create(self, state: PodState, spec: Obj, reason: str, message: str, first: float) -> None:
        """A container cannot be made as it is described, or not now."""
        name = spec["name"]
        log.warning("pod %s/%s, container %s: %s: %s", state.namespace, state.name, name, reason, message)
        self.worker.event("Failed", f"Error: {message}", warning=True, container=name)
        self._wait(state, spec, reason, message, first)

    def start(self, state: PodState, spec: Obj, container: Container, message: str) -> None:
        """A container was made and its program could not be started: that is told until the back-off takes over."""
        if not container.backoff:
            self._wait(state, spec, "RunContainerError", message, SYNC_SECONDS)

    def mount(self, pod: Obj, state: PodState, spec: Obj, message: str) -> None:
        """The pod waits for a volume's content: to a user, its containers are not being made yet."""
        log.warning("pod %s/%s: %s", state.namespace, state.name, message)
        self.worker.event("FailedMount", message, warning=True)
        self._wait(state, spec, creating(pod), "", 1.0, backoff.MOUNT)

    def image(self, state: PodState, spec: Obj, error: NoImage) -> None:
        """Only a failed pull is tried again with kubelet's back-off; what no registry was asked for, every second."""
        log.warning("pod %s/%s, container %s: %s", state.namespace, state.name, spec["name"], error)
        tell_no_image(self.worker, spec, error)
        first, most = (backoff.FIRST, backoff.MAX) if error.reason == "ErrImagePull" else (1.0, backoff.SYNC)
        self._wait(state, spec, error.reason, str(error), first, most)

    def back_off_pull(self, name: str) -> None:
        """A failed pull has been reported as such; now it is one that waits."""
        state = self.worker.state
        failure = state.failures.get(name) if state is not None else None
        if failure is not None:
            tell_back_off(self.worker, name, failure)
            self.worker.save()

    def _wait(
        self, state: PodState, spec: Obj, reason: str, why: str, first: float, most: float = backoff.SYNC
    ) -> None:
        last, image = state.failures.get(spec["name"]), spec["image"]
        failed = backoff.fail(last, reason, why, time.time(), image=image, first=first, longest=most)
        state.failures[spec["name"]] = failed
