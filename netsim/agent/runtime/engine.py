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
from netsim.agent.images.provider import Had, Images, NoImage
from netsim.agent.model import Container, Kind, Obj, PodState, Sandbox
from netsim.agent.objects import PodObjects
from netsim.agent.resizing import wanted_resources
from netsim.agent.runtime import crilog, rootfs
from netsim.agent.runtime.catalogue import Image, image_id, is_in_process, server_header, version_of
from netsim.agent.runtime.grouped import Grouped
from netsim.agent.runtime.launch import arguments, container_id, helper_id, listen_ports, pause_id, workload_kind
from netsim.agent.runtime.making import Making, Order
from netsim.agent.runtime.pod_files import PodFiles, fs_group
from netsim.agent.runtime.processes import Processes
from netsim.agent.runtime.sandboxes import Sandboxes, SandboxRefused
from netsim.agent.runtime.spec import DEFAULT_PATH, linux_resources
from netsim.agent.runtime.storage import Storage
from netsim.agent.runtime.termination import read_message
from netsim.agent.runtime.users import check_non_root
from netsim.agent.runtime.volume_files import write_files
from netsim.agent.runtime.workload_client import WorkloadClient
from netsim.agent.runtime.workload_spec import WorkloadSpec
from netsim.host import cgroup

_T = TypeVar("_T")
HOST_SECONDS = 5.0
IDLE = ("/usr/bin/sleep", "infinity")
BASE = Image("netsim/base", "command")
"""The root of what is not the pod's own: the helper of `kubectl exec`, the holder of a shared process namespace."""


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
        self.images = Images(config)
        self.making = Making(config, self.storage, self.sandboxes, self.files, self.processes, self.images.store)
        self.pool = ThreadPoolExecutor(config.parallel, thread_name_prefix="agent")
        # Making namespaces is the kernel's work under one lock: more threads would only fight over the interpreter's.
        self.sandbox_pool = ThreadPoolExecutor(2, thread_name_prefix="sandbox")
        # Each thread that calls the CNI plugin keeps a database open.
        self.removal_pool = ThreadPoolExecutor(2, thread_name_prefix="removal")
        self.remove_sandbox = Grouped(self._remove_sandbox, self.removal_pool, self.pool)
        self._forget_files = Grouped(self._remove_files, self.removal_pool, self.pool)
        self._locks: dict[str, asyncio.Lock] = {}

    async def call(self, function: Callable[..., _T], *args: Any, **kwargs: Any) -> _T:
        """Run a blocking function on the pool."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, partial(function, *args, **kwargs))

    # sandbox

    async def create_sandbox(self, pod: Obj) -> Sandbox:
        """Namespaces and network of a pod; leftovers of an earlier try are removed.

        Raises CniFailed, HostnameTooLong, SandboxRefused, OSError.
        """
        self.files.hostname(pod)
        if pod["spec"].get("hostUsers") is False:
            raise SandboxRefused("hostUsers: false: netsim has no user namespaces for pods; leave the field out")
        if podspec.host_network(pod):
            return Sandbox("", list(self.config.node_ips), time.time(), host_network=True)
        return await asyncio.get_running_loop().run_in_executor(self.sandbox_pool, self.sandboxes.create, pod)

    def _remove_sandbox(self, uid: str) -> None:
        """Detach from the network and let go of the namespaces; repeats harmlessly. Raises CniFailed, OSError."""
        if self.storage.holds(pause_id(uid)):
            self.processes.remove(pause_id(uid))
        self.sandboxes.remove(uid)

    # containers

    async def image(self, pod: Obj, spec: Obj, pulling: Callable[[], None]) -> Had:
        """The image of a container; `pulling` tells that a pull begins. Raises NoImage, StatusError, OSError."""
        return await self.images.ensure(spec, pulling, lambda: self.objects.registry_auths(pod))

    async def mount_image(self, pod: Obj, volume: str, image: Image) -> None:
        """Mount an image that is a volume of the pod, unless it is. Raises NoImage, OSError."""
        if not image.layers:
            why = f"{image.name} is a workload of netsim's catalogue, which has no files; load or pull an image"
            raise NoImage("ErrImagePull", why)
        await self.call(self.making.mount_image, pod, volume, image)

    async def start(self, pod: Obj, spec: Obj, state: PodState, attempt: int, image: Image) -> Container:
        """Start one attempt of a container.

        Raises ConfigError, WorkloadError, WorkloadHostGone, CreateFailed, StatusError, OSError.
        """
        container = container_id(podspec.uid(pod), spec["name"], attempt)
        check_non_root(pod, spec, image.user)
        kind: Kind = "workload" if is_in_process(image, spec.get("command")) else "process"
        begin = self._start_workload if kind == "workload" else self._start_process
        started = await begin(pod, spec, state, attempt, image, container)
        identity = image.id or image_id(spec["image"])
        stop = (spec.get("lifecycle") or {}).get("stopSignal") or image.stop_signal
        made = Container(spec["name"], container, spec["image"], attempt, kind, started, identity, stop_signal=stop)
        made.resources = wanted_resources(spec)
        return made

    async def _start_workload(
        self, pod: Obj, spec: Obj, state: PodState, attempt: int, image: Image, container: str
    ) -> float:
        await self.files.check_references(pod, spec)
        sandbox = _sandbox(state)
        log = self.log_path(podspec.uid(pod), spec["name"], attempt)
        meta = pod["metadata"]
        wanted = WorkloadSpec(
            container, workload_kind(spec, image), sandbox.netns, meta["name"], meta["namespace"],
            self.config.node_name, spec["name"],
            spec["image"], log, listen_ports(spec, image), tuple(sandbox.ips), server_header(image, spec["image"]),
            version_of(image, spec["image"]), self.files.hostname(pod),
        )  # fmt: skip
        await self.workloads.wait_connected(HOST_SECONDS)
        return await self.workloads.start(wanted)

    async def _start_process(
        self, pod: Obj, spec: Obj, state: PodState, attempt: int, image: Image, container: str
    ) -> float:
        declared = await self._declared(pod, spec, state)
        args = [expand(word, declared) for word in arguments(spec, image)]
        await self.prepare_pod(pod, state)
        env = self._environment(pod, spec, image) | declared
        log = self.log_path(podspec.uid(pod), spec["name"], attempt)
        await self.call(self.making.start, Order(pod, spec, state, container, env, args, image), log)
        return time.time()

    async def _declared(self, pod: Obj, spec: Obj, state: PodState) -> dict[str, str]:
        """The variables that the pod declares for a container, and its Services'."""
        fetch = await self.objects.fetch(pod["metadata"]["namespace"], references(pod, spec))
        live = {"podIP": state.ips[0] if state.ips else "", "podIPs": [{"ip": i} for i in state.ips]}
        live |= {"hostIP": self.config.node_ip, "hostIPs": [{"ip": ip} for ip in self.config.node_ips]}
        return container_env(pod, spec, self.objects.services.values(), fetch, self.capacity, live)

    def _environment(self, pod: Obj, spec: Obj, image: Image) -> dict[str, str]:
        """What a container finds beside that: the image's variables, PATH, HOSTNAME; HOME comes from its passwd."""
        base = {"PATH": DEFAULT_PATH, "HOSTNAME": self.files.hostname(pod)}
        base |= {"TERM": "xterm"} if spec.get("tty") else {}
        base |= rootfs.netsim_env() if image.netsim else {}
        return base | {name: value for name, _, value in (word.partition("=") for word in image.env)}

    async def prepare_pod(self, pod: Obj, state: PodState) -> None:
        """Make what the real processes of a pod share, once; the content of its volumes is renewed."""
        async with self._locks.setdefault(podspec.uid(pod), asyncio.Lock()):
            await self.refresh_volumes(pod)
            await self.files.resolve_claims(pod)
            await self.call(self.sandboxes.share, pod, self.files.hostname(pod))
            await self.call(self.files.write_resolver, pod, _sandbox(state))
            await self.call(self.making.share_pids, pod, state, BASE)

    async def refresh_volumes(self, pod: Obj) -> None:
        """Bring the pod's volumes of files up to date. Raises ConfigError, StatusError, OSError."""
        for directory, content in (await self.files.contents(pod)).items():
            await self.call(write_files, directory, content.files, fs_group(pod))

    async def resize(self, container: Container, spec: Obj) -> None:
        """Give a running container other CPU and memory. Raises CreateFailed."""
        if container.kind == "process":
            limits = linux_resources(wanted_resources(spec), privileged=False)
            await self.call(self.processes.update, container.id, limits)

    # exec

    async def exec_target(self, pod: Obj, state: PodState, name: str) -> str:
        """The runc container in which a command of container `name` runs; a workload gets a helper of its own."""
        container, spec = state.containers[name], podspec.find_container(pod, name)
        if container.kind == "process" or spec is None:
            return container.id
        helper = helper_id(podspec.uid(pod), name, container.attempt)
        async with self._locks.setdefault(helper, asyncio.Lock()):
            if not await self.call(self.processes.helper_lives, helper):
                env = self._environment(pod, spec, BASE) | await self._declared(pod, spec, state)
                await self.prepare_pod(pod, state)
                plain = {**spec, "resources": {}, "tty": False, "terminationMessagePath": ""}
                await self.call(self.making.start_helper, Order(pod, plain, state, helper, env, IDLE, BASE))
        container.helper = True
        return helper

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
        await self._forget_files(uid)

    def _remove_files(self, uid: str) -> None:
        self.storage.remove_pod(uid)
        cgroup.remove(f"{self.config.cgroup}/pods/{uid}")

    def log_path(self, uid: str, name: str, attempt: int) -> str:
        return f"{self.storage.pod_dir(uid)}/logs/{name}/{attempt}.log"

    def last_words(self, pod: Obj, state: PodState, container: Container, code: int) -> str:
        """The termination message of a real process that has ended."""
        spec = podspec.find_container(pod, container.name)
        if spec is None or container.kind != "process":
            return ""
        log = self.log_path(state.uid, container.name, container.attempt)
        return read_message(self.storage.bundle(container.id), log, spec, code)

    def note(self, uid: str, name: str, attempt: int, text: str) -> None:
        """Write a line to a container's log on behalf of a program that could not start."""
        path = self.log_path(uid, name, attempt)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        log = crilog.LogFile(path)
        log.add(crilog.render_line(time.time(), text, "stderr"))
        log.flush()

    def close(self) -> None:
        for pool in (self.pool, self.sandbox_pool, self.removal_pool):
            pool.shutdown(wait=False, cancel_futures=True)


def _sandbox(state: PodState) -> Sandbox:
    if state.sandbox is None:
        raise ConfigError(f"pod {state.namespace}/{state.name} has no sandbox")
    return state.sandbox
