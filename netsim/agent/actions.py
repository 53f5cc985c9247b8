"""Performs the plan's actions on one pod and records what came of them."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from netsim.agent import backoff, podspec
from netsim.agent.admission import has_apparmor, refusal
from netsim.agent.cni_chain import CniFailed
from netsim.agent.env import ConfigError, MountError
from netsim.agent.failing import Failing
from netsim.agent.hooks import HookFailed, post_start, run_hook, set_ready
from netsim.agent.hosts import HostnameTooLong
from netsim.agent.image_events import obtain_image, obtain_volumes, tell_present
from netsim.agent.images.provider import Had, NoImage
from netsim.agent.killing import Killer
from netsim.agent.model import Container, Exit, Obj, PodState
from netsim.agent.plan import (
    POST_START,
    Action,
    BackOffPull,
    CreateSandbox,
    DeletePod,
    EndPod,
    ForgetPod,
    KillContainer,
    RemoveSandbox,
    ResizeContainer,
    StartContainer,
)
from netsim.agent.resizer import Resizer
from netsim.agent.resizing import NEEDS_RESTART, with_actual
from netsim.agent.restoring import UNKNOWN
from netsim.agent.runtime.catalogue import image_id
from netsim.agent.runtime.launch import container_id
from netsim.agent.runtime.processes import CreateFailed, Ended
from netsim.agent.runtime.sandboxes import SandboxRefused
from netsim.agent.runtime.workload_client import WorkloadError, WorkloadHostGone
from netsim.api.errors import StatusError
from netsim.api.kinds import PODS
from netsim.host.exec import CommandMissing

if TYPE_CHECKING:
    from netsim.agent.worker import PodWorker

log = logging.getLogger(__name__)
START_ERROR, NOT_STARTED = "StartError", 128
"""How containerd says that a container could not be started."""


class PodActions:
    """The effects of one pod's plan; every failure becomes part of the pod's state, with a time to try again."""

    def __init__(self, worker: PodWorker) -> None:
        self.worker, self.context = worker, worker.context
        self.engine = worker.context.engine
        self.killer, self.failing, self.resizer = Killer(worker, self.ended), Failing(worker), Resizer(worker)

    async def perform(self, action: Action) -> None:
        match action:
            case CreateSandbox():
                async with self.context.sandbox_slots:
                    await self._create_sandbox()
            case StartContainer():
                async with self.context.slots:
                    await self._start(action)
                await self._post_start(action.name)
            case KillContainer():
                if action.why.endswith(NEEDS_RESTART):
                    self.resizer.begin_restart(action.name)
                await self.killer.kill(action)
            case ResizeContainer():
                await self.resizer.resize(action.name)
            case BackOffPull():
                self.failing.back_off_pull(action.name)
            case RemoveSandbox():
                await self._remove_sandbox()
            case EndPod():
                self._end(action)
            case DeletePod() | ForgetPod():
                await self._finish(action)

    # sandbox

    async def _create_sandbox(self) -> None:
        pod, now = self.worker.pod, time.time()
        if pod is None or podspec.is_deleted(pod):
            return
        state = self.worker.state
        if state is None:
            meta = pod["metadata"]
            state = self.worker.state = PodState(meta["uid"], meta["namespace"], meta["name"], now)
            if refused := refusal(pod, apparmor=has_apparmor()):
                self._refuse(state, *refused)
                return
        elif state.containers:
            self.worker.event("SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
        try:
            state.sandbox = await self.engine.create_sandbox(pod)
            state.ips = list(state.sandbox.ips)
            state.failures.pop("", None)
            for reason, why in self.engine.files.resolver(pod)[1]:
                self.worker.event(reason, why, warning=True)
        except (CniFailed, HostnameTooLong, SandboxRefused, OSError) as error:
            message = f"failed to create pod sandbox: {error}"
            log.warning("pod %s: %s", podspec.full_name(pod), message)
            self.worker.event("FailedCreatePodSandBox", message, warning=True)
            state.failures[""] = backoff.fail(state.failures.get(""), "FailedCreatePodSandBox", message, now, first=0.5)
        # No record yet: the CNI chain has its own, and a sandbox without containers is made again after a crash.

    async def _remove_sandbox(self) -> None:
        state = self.worker.state
        if state is None:
            return
        self.worker.gone.set()
        for container in list(state.containers.values()):
            await self.engine.clean(state.uid, container)
        await self.engine.remove_sandbox(state.uid)
        state.sandbox = None
        if self.worker.pod is not None and not podspec.is_deleted(self.worker.pod):
            self.worker.save()  # else the record goes next

    # containers

    async def _start(self, action: StartContainer) -> None:
        pod, state = self.worker.pod, self.worker.state
        spec = podspec.find_container(pod, action.name) if pod is not None else None
        if pod is None or state is None or spec is None or podspec.is_deleted(pod):
            return
        spec = with_actual(spec, state)
        previous = state.containers.get(action.name)
        if previous is not None:
            await self.engine.clean(state.uid, previous)
        try:
            await obtain_volumes(self.worker, pod, spec)
            had = await obtain_image(self.worker, pod, spec)
            container = await self._create(pod, state, spec, action.attempt, had)
        except NoImage as error:
            self.failing.image(state, spec, error)
        except MountError as error:
            self.failing.mount(pod, state, spec, str(error))
        except ConfigError as error:
            self.failing.create(state, spec, error.reason, str(error), 1.0)
        except StatusError as error:
            self.failing.create(state, spec, ConfigError.reason, str(error), 1.0)
        except (WorkloadHostGone, OSError, CommandMissing) as error:
            self.failing.create(state, spec, "RunContainerError", str(error), 0.25)
        except WorkloadError as error:
            self._born_dead(pod, state, spec, action, 1, "Error", str(error))
        except CreateFailed as error:
            self._born_dead(pod, state, spec, action, NOT_STARTED, START_ERROR, str(error))
        else:
            self._started(pod, state, spec, action, container)
        self.worker.save()

    async def _create(self, pod: Obj, state: PodState, spec: Obj, attempt: int, had: Had) -> Container:
        """Start it. That its image is here is not told as long as its volumes are not: a kubelet mounts them first."""
        mounted = True
        try:
            return await self.engine.start(pod, spec, state, attempt, had.image)
        except MountError:
            mounted = False
            raise
        finally:
            if mounted:
                tell_present(self.worker, spec, had)

    def _started(self, pod: Obj, state: PodState, spec: Obj, action: StartContainer, container: Container) -> None:
        before = state.containers.get(action.name)
        self._inherit(state, action, container)
        state.failures.pop(spec["name"], None)
        self.worker.event("Created", "Container created", container=spec["name"])
        self.worker.event("Started", "Container started", container=spec["name"])
        if before is not None and before.resources not in (None, container.resources):
            self.resizer.tell("Completed")
        self.worker.container_started(spec, container)
        if not post_start(spec):
            set_ready(spec, container)

    async def _post_start(self, name: str) -> None:
        """The postStart hook of a container that has just started; it is ready after it, and killed if it fails."""
        pod, state = self.worker.pod, self.worker.state
        spec = podspec.find_container(pod, name) if pod is not None else None
        container = state.containers.get(name) if state is not None else None
        hook = post_start(spec) if spec is not None else None
        if pod is None or spec is None or container is None or not container.running or not hook:
            return
        try:
            await run_hook(self.worker, spec, hook)
        except HookFailed as error:
            log.warning("pod %s: postStart hook of container %s: %s", podspec.full_name(pod), name, error)
            self.worker.event("FailedPostStartHook", "PostStartHook failed", warning=True, container=name)
            container.unhealthy = POST_START
        if container.running and not container.unhealthy:
            set_ready(spec, container)
        self.worker.save()

    def _inherit(self, state: PodState, action: StartContainer, container: Container) -> None:
        previous = state.containers.get(action.name)
        container.previous = previous.exit if previous is not None else None
        container.backoff, container.backoff_at = action.backoff, time.time()
        state.containers[action.name] = container

    def _born_dead(
        self, pod: Obj, state: PodState, spec: Obj, action: StartContainer, code: int, reason: str, message: str
    ) -> None:
        """The container ended in the attempt to start it."""
        now, ident = time.time(), container_id(state.uid, spec["name"], action.attempt)
        self.engine.note(state.uid, spec["name"], action.attempt, message)
        identity = image_id(spec["image"])
        container = Container(spec["name"], ident, spec["image"], action.attempt, "workload", now, identity)
        container.exit = Exit(code, reason, now, now, ident, message)
        self._inherit(state, action, container)
        state.failures.pop(spec["name"], None)
        if reason == START_ERROR:
            self.worker.event("Created", "Container created", container=spec["name"])
            if podspec.will_restart(spec, pod, container):
                self.failing.start(state, spec, container, message)
        self.worker.event("Failed", f"Error: {message}", warning=True, container=spec["name"])
        self._note_backoff(pod, container)

    # ends

    def ended(self, container: Container, ended: Ended, now: float) -> None:
        """A container has ended, by itself or because it was asked to."""
        reason = "OOMKilled" if ended.oom else "Completed" if ended.code == 0 else "Error"
        pod, state = self.worker.pod, self.worker.state
        said = ""
        if pod is not None and state is not None:
            said = self.engine.last_words(pod, state, container, ended.code)
        self._ended(container, Exit(ended.code, reason, container.started_at, now, container.id, said))

    def lost(self, container: Container, now: float) -> None:
        """A container went with the runtime it lived in: it is started again as after a restart of the node, and that
        is no crash of its own. Code and reason are containerd's for a task of which nothing is known."""
        end = Exit(UNKNOWN, "Unknown", container.started_at, now, container.id, lost=True)
        self._ended(container, end)

    def _ended(self, container: Container, end: Exit) -> None:
        pod, state = self.worker.pod, self.worker.state
        if container.exit is not None or state is None:
            return
        container.exit = end
        container.ready = container.started = False
        container.unhealthy = ""
        self.worker.stop_probes(container.name)
        self.worker.save()
        if not self.killer.expects(container.name) and pod is not None:
            self._note_backoff(pod, container)
        self.worker.wake()

    def _note_backoff(self, pod: Obj, container: Container) -> None:
        spec = podspec.find_container(pod, container.name)
        if spec is None or podspec.is_deleted(pod) or not podspec.will_restart(spec, pod, container):
            return
        if backoff.restart_at(container) > time.time():
            text = f"Back-off restarting failed container {container.name} in pod {podspec.full_name(pod)}"
            self.worker.event("BackOff", text, warning=True, container=container.name)

    # the pod

    def _end(self, action: EndPod) -> None:
        state = self.worker.state
        if state is not None:
            state.ended, state.ended_reason, state.ended_message = action.phase, action.reason, action.message
            if action.reason:
                self.worker.event(action.reason, action.message, warning=action.reason == "Evicted")
            self.worker.save()

    def _refuse(self, state: PodState, reason: str, message: str) -> None:
        self.worker.event(reason, message, warning=True)
        state.ended, state.ended_reason, state.ended_message = "Failed", reason, f"Pod was rejected: {message}"
        self.worker.save()

    async def _finish(self, action: DeletePod | ForgetPod) -> None:
        pod = self.worker.pod if isinstance(action, DeletePod) else None
        self.worker.telling_last = True
        try:
            if pod is not None:
                await self.worker.report_last()
            await self.engine.forget(self.worker.uid)
            self.context.records.forget(self.worker.uid)
            held = pod is not None and not await self._delete(pod)
        finally:
            self.worker.telling_last = False
        self.worker.state = None
        self.worker.delete_sent, self.worker.forgotten = held, not held

    async def _delete(self, pod: Obj) -> bool:
        """Take the object out of the API; False when something (a finalizer) still holds it there."""
        meta = pod["metadata"]
        try:
            await self.context.client.delete(PODS, meta["name"], meta["namespace"], grace=0, uid=meta["uid"])
        except StatusError as error:
            if error.code not in (404, 409):
                raise
        return not meta.get("finalizers")
