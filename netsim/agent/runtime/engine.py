"""Makes and ends sandboxes and containers: the one place that knows both kinds of containers."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from functools import partial
from typing import Any, TypeVar

from netsim.agent import podspec
from netsim.agent.cni_chain import CniChain
from netsim.agent.config import AgentConfig
from netsim.agent.env import ConfigError, container_env, expand, references
from netsim.agent.model import Container, Kind, Obj, PodState, Sandbox
from netsim.agent.objects import PodObjects
from netsim.agent.runtime import crilog, rootfs
from netsim.agent.runtime.catalogue import (
    Catalogue,
    Image,
    image_id,
    is_in_process,
    load_catalogue,
    server_header,
    version_of,
)
from netsim.agent.runtime.launch import arguments, container_id, helper_id, listen_ports
from netsim.agent.runtime.pod_files import PodFiles
from netsim.agent.runtime.processes import Processes, own_capabilities, terminal_args
from netsim.agent.runtime.sandboxes import Sandboxes
from netsim.agent.runtime.spec import DEFAULT_PATH, ProcessSpec, oci_config
from netsim.agent.runtime.storage import Storage
from netsim.agent.runtime.volume_files import write_files
from netsim.agent.runtime.workload_client import WorkloadClient
from netsim.agent.runtime.workload_spec import WorkloadSpec

_T = TypeVar("_T")
HOST_SECONDS = 5.0
PAUSE = ["/usr/bin/sleep", "infinity"]


class Engine:
    """The runtime of one node. Blocking work goes to a bounded pool of threads."""

    def __init__(
        self,
        config: AgentConfig,
        chain: CniChain,
        workloads: WorkloadClient,
        objects: PodObjects,
        capacity: dict[str, Fraction],
    ) -> None:
        self.config, self.chain, self.workloads, self.objects = config, chain, workloads, objects
        self.capacity = capacity
        self.storage = Storage(config)
        self.sandboxes = Sandboxes(config, chain)
        self.files = PodFiles(config, self.storage, objects, capacity)
        self.processes = Processes(config.run_dir, self.storage)
        self.pool = ThreadPoolExecutor(config.parallel, thread_name_prefix="agent")
        # Making namespaces is the kernel's work under one lock: more threads would only fight over the interpreter's.
        self.sandbox_pool = ThreadPoolExecutor(2, thread_name_prefix="sandbox")
        self._catalogue: tuple[tuple[int, ...], Catalogue] | None = None
        self._locks: dict[str, asyncio.Lock] = {}

    async def call(self, function: Callable[..., _T], *args: Any, **kwargs: Any) -> _T:
        """Run a blocking function on the pool."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, partial(function, *args, **kwargs))

    # sandbox

    async def create_sandbox(self, pod: Obj) -> Sandbox:
        """Namespaces and network of a pod; leftovers of an earlier try are removed.

        Raises CniFailed, HostnameTooLong, OSError.
        """
        self.files.hostname(pod)
        if podspec.host_network(pod):
            return Sandbox("", [self.config.node_ip], time.time(), host_network=True)
        return await asyncio.get_running_loop().run_in_executor(self.sandbox_pool, self.sandboxes.create, pod)

    async def remove_sandbox(self, uid: str) -> None:
        """Detach from the network and let go of the namespaces; repeats harmlessly. Raises CniFailed, OSError."""
        await self.call(self.sandboxes.remove, uid)

    # containers

    def image(self, reference: str) -> Image:
        """The catalogue's entry, read again when a catalogue file has changed. Raises UnknownImage, CatalogueError."""
        stamps = tuple(os.stat(path).st_mtime_ns for path in self.config.catalogues)
        if self._catalogue is None or self._catalogue[0] != stamps:
            self._catalogue = (stamps, load_catalogue(self.config.catalogues))
        return self._catalogue[1].resolve(reference)

    async def start(self, pod: Obj, spec: Obj, state: PodState, attempt: int) -> Container:
        """Start one attempt of a container.

        Raises UnknownImage, ConfigError, WorkloadError, WorkloadHostGone, CreateFailed, StatusError, OSError.
        """
        image = self.image(spec["image"])
        container = container_id(podspec.uid(pod), spec["name"], attempt)
        kind: Kind = "workload" if is_in_process(image, spec.get("command")) else "process"
        begin = self._start_workload if kind == "workload" else self._start_process
        started = await begin(pod, spec, state, attempt, image, container)
        identity = image_id(spec["image"])
        return Container(spec["name"], container, spec["image"], attempt, kind, started, identity)

    async def _start_workload(
        self, pod: Obj, spec: Obj, state: PodState, attempt: int, image: Image, container: str
    ) -> float:
        await self.files.check_references(pod, spec)
        sandbox = _sandbox(state)
        log = self.log_path(podspec.uid(pod), spec["name"], attempt)
        meta = pod["metadata"]
        wanted = WorkloadSpec(
            container, image.kind, sandbox.netns, meta["name"], meta["namespace"], self.config.node_name, spec["name"],
            spec["image"], log, listen_ports(spec, image), tuple(sandbox.ips), server_header(image, spec["image"]),
            version_of(image, spec["image"]), self.files.hostname(pod),
        )  # fmt: skip
        await self.workloads.wait_connected(HOST_SECONDS)
        return await self.workloads.start(wanted)

    async def _start_process(
        self, pod: Obj, spec: Obj, state: PodState, attempt: int, image: Image, container: str
    ) -> float:
        env = await self.environment(pod, spec, state, image)
        args = [expand(w, env) for w in arguments(spec, image)]
        await self.prepare_pod(pod, state)
        wanted = await self.call(self._process_spec, pod, spec, state, container, env, args, image)
        log = self.log_path(podspec.uid(pod), spec["name"], attempt)
        await self.call(self._create_process, container, wanted, log)
        return time.time()

    def _create_process(self, container: str, wanted: ProcessSpec, log: str) -> None:
        self._mount(container)
        try:
            self.processes.create(container, oci_config(wanted), log, terminal_args(wanted.container))
        except BaseException:
            self.processes.remove(container)
            raise

    def _mount(self, container: str) -> None:
        if self.storage.holds(container):
            self.processes.remove(container)
        base = rootfs.ensure_base(f"{self.config.run_dir}/base")
        os.makedirs(self.storage.bundle(container))
        rootfs.mount_root(base, self.storage.bundle(container), self.storage.writable(container))

    def _process_spec(
        self,
        pod: Obj,
        spec: Obj,
        state: PodState,
        container: str,
        env: dict[str, str],
        args: list[str],
        image: Image | None,
    ) -> ProcessSpec:
        uid, sandbox = podspec.uid(pod), _sandbox(state)
        ipc, uts = self.sandboxes.shared_paths(uid, sandbox)
        binds = [*rootfs.system_binds(), *self.files.binds(pod, spec)]
        binds += rootfs.netsim_binds() if image is not None and image.netsim else []
        return ProcessSpec(
            args, env, f"{self.storage.bundle(container)}/rootfs", self.files.hostname(pod),
            f"{self.config.cgroup}/pods/{uid}/{container[:16]}", sandbox.netns, ipc, uts,
            self._target_pids(spec, state), spec.get("workingDir") or "/", bool(spec.get("tty")), binds, spec,
            pod["spec"].get("securityContext") or {}, own_capabilities(),
        )  # fmt: skip

    def _target_pids(self, spec: Obj, state: PodState) -> str:
        """The process namespace of an ephemeral container's target; "" for none, or one that is no process."""
        target = state.containers.get(spec.get("targetContainerName") or "")
        if target is None or target.kind != "process" or not target.running:
            return ""
        pid = self.processes.pid(target.id)
        return f"/proc/{pid}/ns/pid" if pid else ""

    async def environment(self, pod: Obj, spec: Obj, state: PodState, image: Image | None) -> dict[str, str]:
        """The variables of a real process, with PATH, HOSTNAME and HOME as images have them."""
        fetch = await self.objects.fetch(pod["metadata"]["namespace"], references(pod, spec))
        live = {"podIP": state.ips[0] if state.ips else "", "podIPs": [{"ip": i} for i in state.ips]}
        live |= {"hostIP": self.config.node_ip, "hostIPs": [{"ip": self.config.node_ip}]}
        declared = container_env(pod, spec, self.objects.services.values(), fetch, self.capacity, live)
        base = {"PATH": DEFAULT_PATH, "HOSTNAME": self.files.hostname(pod), "HOME": "/root"}
        base |= {"TERM": "xterm"} if spec.get("tty") else {}
        base |= rootfs.netsim_env() if image is not None and image.netsim else {}
        return base | declared

    async def prepare_pod(self, pod: Obj, state: PodState) -> None:
        """Make what the real processes of a pod share, once; the content of its volumes is renewed."""
        async with self._locks.setdefault(podspec.uid(pod), asyncio.Lock()):
            await self.refresh_volumes(pod)
            await self.files.resolve_claims(pod)
            await self.call(self.sandboxes.share, pod, _sandbox(state), self.files.hostname(pod))
            await self.call(self.files.write_resolver, pod, _sandbox(state))

    async def refresh_volumes(self, pod: Obj) -> None:
        """Bring the pod's volumes of files up to date. Raises ConfigError, StatusError, OSError."""
        for directory, content in (await self.files.contents(pod)).items():
            await self.call(write_files, directory, content.files)

    # exec

    async def exec_target(self, pod: Obj, state: PodState, name: str) -> str:
        """The runc container in which a command of container `name` runs; a workload gets a helper of its own."""
        container, spec = state.containers[name], podspec.find_container(pod, name)
        if container.kind == "process" or spec is None:
            return container.id
        helper = helper_id(podspec.uid(pod), name, container.attempt)
        async with self._locks.setdefault(helper, asyncio.Lock()):
            if not await self.call(self.processes.helper_lives, helper):
                env = await self.environment(pod, spec, state, None)
                await self.prepare_pod(pod, state)
                plain = {**spec, "resources": {}, "tty": False}
                wanted = await self.call(self._process_spec, pod, plain, state, helper, env, PAUSE, None)
                await self.call(self._create_helper, helper, wanted)
        container.helper = True
        return helper

    def _create_helper(self, helper: str, wanted: ProcessSpec) -> None:
        self._mount(helper)
        self.processes.create_helper(helper, oci_config(wanted))

    # ending

    async def signal(self, container: Container, number: int) -> None:
        """Send a signal to a real process; one that has ended is no error."""
        await self.call(self.processes.signal, container.id, number)

    async def clean(self, uid: str, container: Container) -> None:
        """Remove what an ended attempt leaves: bundle, mounts, cgroup, its exec helper. Its log stays."""
        if container.kind == "process":
            await self.call(self.processes.remove, container.id)
        if container.helper:
            helper = helper_id(uid, container.name, container.attempt)
            self._locks.pop(helper, None)
            await self.call(self.processes.remove, helper)
            container.helper = False

    async def forget(self, uid: str) -> None:
        """Remove all files of a pod."""
        self.objects.forget(uid)
        self.files.forget(uid)
        self._locks.pop(uid, None)
        await self.call(self.storage.remove_pod, uid)
        await self.call(_remove_pod_cgroup, f"{self.config.cgroup}/pods/{uid}")

    def log_path(self, uid: str, name: str, attempt: int) -> str:
        return f"{self.storage.pod_dir(uid)}/logs/{name}/{attempt}.log"

    def note(self, uid: str, name: str, attempt: int, text: str) -> None:
        """Write a line to a container's log on behalf of a program that could not start."""
        path = self.log_path(uid, name, attempt)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        log = crilog.LogFile(path)
        log.add(crilog.render_line(time.time(), text, "stderr"))
        log.flush()

    def close(self) -> None:
        for pool in (self.pool, self.sandbox_pool):
            pool.shutdown(wait=False, cancel_futures=True)


def _remove_pod_cgroup(path: str) -> None:
    from netsim.host import cgroup

    cgroup.remove(path)


def _sandbox(state: PodState) -> Sandbox:
    if state.sandbox is None:
        raise ConfigError(f"pod {state.namespace}/{state.name} has no sandbox")
    return state.sandbox
