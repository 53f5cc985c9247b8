"""Makes and ends sandboxes and containers: the one place that knows both kinds of containers."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from functools import partial
from typing import Any, TypeVar

from netsim.agent import podspec, resolv, volumes
from netsim.agent.cni_chain import CniChain, cni_args
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
from netsim.agent.runtime.processes import Processes, own_capabilities
from netsim.agent.runtime.spec import DEFAULT_PATH, Bind, ProcessSpec, oci_config
from netsim.agent.runtime.volume_files import check_path, write_files
from netsim.agent.runtime.workload_client import WorkloadClient
from netsim.agent.runtime.workload_spec import WorkloadSpec
from netsim.host import netns

_T = TypeVar("_T")
HOST_RESOLV = "/etc/resolv.conf"
HOST_SECONDS = 5.0


def container_id(uid: str, name: str, attempt: int) -> str:
    """The id of an attempt follows from what it is, so that a crash between start and record loses nothing."""
    return hashlib.sha256(f"{uid}/{name}/{attempt}".encode()).hexdigest()


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
        self.processes = Processes(config.run_dir)
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
        """Namespaces and network of a pod; leftovers of an earlier try are removed. Raises CniFailed, OSError."""
        if podspec.host_network(pod):
            return Sandbox("", [self.config.node_ip], time.time(), host_network=True)
        return await asyncio.get_running_loop().run_in_executor(self.sandbox_pool, self._create_sandbox, pod)

    def _create_sandbox(self, pod: Obj) -> Sandbox:
        uid, meta = podspec.uid(pod), pod["metadata"]
        path = f"{self.config.netns_dir}/pod-{uid}"
        self.chain.delete(uid)
        if os.path.exists(path):
            netns.delete(path)
        netns.create(path)
        try:
            ips = self.chain.add(uid, path, cni_args(meta["namespace"], meta["name"], uid, uid), capabilities(pod))
        except BaseException:
            netns.delete(path)
            raise
        return Sandbox(path, ips, time.time())

    async def remove_sandbox(self, uid: str, sandbox: Sandbox | None) -> None:
        """Detach from the network and let go of the namespaces; repeats harmlessly. Raises CniFailed, OSError."""
        await self.call(self._remove_sandbox, uid, sandbox)

    def _remove_sandbox(self, uid: str, sandbox: Sandbox | None) -> None:
        self.chain.delete(uid)
        paths = [f"{self.config.netns_dir}/pod-{uid}", *self._extra_namespaces(uid)]
        for path in paths:
            if os.path.exists(path):
                netns.delete(path)

    def _extra_namespaces(self, uid: str) -> list[str]:
        return [f"{self.config.run_dir}/ns/{kind}-{uid}" for kind in ("ipc", "uts")]

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
        await self._check_references(pod, spec)
        sandbox = _sandbox(state)
        log = self.log_path(podspec.uid(pod), spec["name"], attempt)
        meta = pod["metadata"]
        wanted = WorkloadSpec(
            container, image.kind, sandbox.netns, meta["name"], meta["namespace"], self.config.node_name, spec["name"],
            spec["image"], log, listen_ports(spec, image), tuple(sandbox.ips), server_header(image, spec["image"]),
            version_of(image, spec["image"]), resolv.pod_hostname(pod),
        )  # fmt: skip
        await self.workloads.wait_connected(HOST_SECONDS)
        return await self.workloads.start(wanted)

    async def _check_references(self, pod: Obj, spec: Obj) -> None:
        """A container with variables or volumes from what does not exist must not start, whatever runs in it."""
        wanted = references(pod, spec)
        if wanted:
            fetch = await self.objects.fetch(pod["metadata"]["namespace"], wanted)
            container_env(pod, spec, (), fetch, self.capacity)
        sources = [v for v in pod["spec"].get("volumes") or [] if "configMap" in v or "secret" in v]
        if sources:
            fetch = await self.objects.fetch(pod["metadata"]["namespace"], volumes.references(pod))
            for volume in sources:
                volumes.volume_files(volume, pod, fetch, self.capacity)

    async def _start_process(
        self, pod: Obj, spec: Obj, state: PodState, attempt: int, image: Image, container: str
    ) -> float:
        env = await self.environment(pod, spec, state, image)
        args = [expand(w, env) for w in _arguments(spec, image)]
        await self.prepare_pod(pod, state)
        wanted = self._process_spec(pod, spec, state, container, env, args, image)
        log = self.log_path(podspec.uid(pod), spec["name"], attempt)
        await self.call(self._create_process, container, wanted, log, bool(spec.get("stdin")))
        return time.time()

    def _create_process(self, container: str, wanted: ProcessSpec, log: str, stdin: bool) -> None:
        if os.path.isdir(self.processes.bundle(container)):
            self.processes.remove(container)
        self._mount(container)
        try:
            self.processes.create(container, oci_config(wanted), log, stdin=stdin, tty=wanted.tty)
        except BaseException:
            self.processes.remove(container)
            raise

    def _mount(self, container: str) -> None:
        base = rootfs.ensure_base(f"{self.config.run_dir}/base")
        os.makedirs(self.processes.bundle(container), exist_ok=True)
        rootfs.mount_root(base, self.processes.bundle(container))

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
        ipc, uts = self._extra_namespaces(uid)
        binds = [*rootfs.system_binds(), *self._pod_binds(uid), *self._volume_binds(pod, spec)]
        binds += rootfs.netsim_binds() if image is not None and image.netsim else []
        return ProcessSpec(
            args, env, f"{self.processes.bundle(container)}/rootfs", resolv.pod_hostname(pod),
            f"{self.config.cgroup}/pods/{uid}/{container[:16]}", sandbox.netns, "" if sandbox.host_network else ipc,
            "" if sandbox.host_network else uts, spec.get("workingDir") or "/", bool(spec.get("tty")), binds, spec,
            pod["spec"].get("securityContext") or {}, own_capabilities(),
        )  # fmt: skip

    async def environment(self, pod: Obj, spec: Obj, state: PodState, image: Image | None) -> dict[str, str]:
        """The variables of a real process, with PATH, HOSTNAME and HOME as images have them."""
        fetch = await self.objects.fetch(pod["metadata"]["namespace"], references(pod, spec))
        live = {"podIP": state.ips[0] if state.ips else "", "podIPs": [{"ip": i} for i in state.ips]}
        live |= {"hostIP": self.config.node_ip, "hostIPs": [{"ip": self.config.node_ip}]}
        declared = container_env(pod, spec, self.objects.services.values(), fetch, self.capacity, live)
        base = {"PATH": DEFAULT_PATH, "HOSTNAME": resolv.pod_hostname(pod), "HOME": "/root"}
        base |= {"TERM": "xterm"} if spec.get("tty") else {}
        base |= rootfs.netsim_env() if image is not None and image.netsim else {}
        return base | declared

    # what the real processes of a pod share

    async def prepare_pod(self, pod: Obj, state: PodState) -> None:
        """Make the IPC and UTS namespaces, resolver files and volumes of a pod, once; volumes' content is renewed."""
        uid = podspec.uid(pod)
        async with self._locks.setdefault(uid, asyncio.Lock()):
            await self.refresh_volumes(pod)
            await self.call(self._prepare_pod, pod, state)

    def _prepare_pod(self, pod: Obj, state: PodState) -> None:
        uid, sandbox = podspec.uid(pod), _sandbox(state)
        directory = self.pod_dir(uid)
        os.makedirs(directory, exist_ok=True)
        ipc, uts = self._extra_namespaces(uid)
        if not sandbox.host_network and not netns.exists(ipc):
            for path in (ipc, uts):
                netns.delete(path)
            netns.create_sandbox(None, ipc, uts, resolv.pod_hostname(pod))
            sandbox.ipc, sandbox.uts = ipc, uts
        node = resolv.parse_resolv(_read(HOST_RESOLV))
        found, _ = resolv.pod_resolv(pod, node, self.config.cluster_dns, self.config.cluster_domain)
        texts = {"resolv.conf": found.render(), "hostname": resolv.pod_hostname(pod) + "\n"}
        texts["hosts"] = resolv.pod_hosts(pod, sandbox.ips, self.config.cluster_domain)
        for name, text in texts.items():
            # Written in place: a bind mount shows the inode that was there when the container started.
            with open(f"{directory}/{name}", "w", encoding="utf-8") as file:
                file.write(text)

    def _pod_binds(self, uid: str) -> list[Bind]:
        return [
            Bind(f"{self.pod_dir(uid)}/{n}", f"/etc/{n}", n != "hosts") for n in ("resolv.conf", "hostname", "hosts")
        ]

    async def refresh_volumes(self, pod: Obj) -> None:
        """Bring the pod's volumes of files up to date. Raises ConfigError, StatusError, OSError."""
        found = pod["spec"].get("volumes") or []
        if not found:
            return
        fetch = await self.objects.fetch(pod["metadata"]["namespace"], volumes.references(pod))
        for volume in found:
            if not volumes.is_files(volume):
                continue
            content = volumes.volume_files(volume, pod, fetch, self.capacity)
            for request, mode in content.tokens:
                content.files[request.path] = ((await self.objects.token(pod, request)).encode(), mode)
            await self.call(write_files, self._volume_dir(pod, volume["name"]), content.files)

    def _volume_dir(self, pod: Obj, name: str) -> str:
        return f"{self.pod_dir(podspec.uid(pod))}/volumes/{name}"

    def _volume_binds(self, pod: Obj, spec: Obj) -> list[Bind]:
        known = {v["name"]: v for v in pod["spec"].get("volumes") or []}
        return [self._volume_bind(pod, known, m) for m in spec.get("volumeMounts") or []]

    def _volume_bind(self, pod: Obj, known: dict[str, Obj], wanted: Obj) -> Bind:
        volume = known.get(wanted["name"])
        if volume is None:
            raise ConfigError(f"volumeMounts: there is no volume {wanted['name']!r} in the pod's spec.volumes")
        source = self._volume_source(pod, volume)
        if wanted.get("subPath"):
            source = f"{source}/{check_path(wanted['subPath'])}"
            if not os.path.exists(source):
                os.makedirs(source)
        return Bind(source, wanted["mountPath"], bool(wanted.get("readOnly")) or volumes.is_files(volume))

    def _volume_source(self, pod: Obj, volume: Obj) -> str:
        if "hostPath" in volume:
            path = str(volume["hostPath"]["path"])
            if str(volume["hostPath"].get("type") or "").endswith("OrCreate"):
                os.makedirs(path, exist_ok=True)
            if not os.path.exists(path):
                raise ConfigError(f"hostPath {path!r} of volume {volume['name']!r} does not exist on the node")
            return path
        directory = self._volume_dir(pod, volume["name"])
        if "emptyDir" in volume:
            os.makedirs(directory, exist_ok=True)
            os.chmod(directory, 0o777)
        elif not volumes.is_files(volume):
            kind = next((k for k in volume if k != "name"), "nothing")
            raise ConfigError(f"volume {volume['name']!r} is of type {kind}, which netsim's agent does not have")
        return directory

    # exec

    async def exec_target(self, pod: Obj, state: PodState, name: str) -> str:
        """The runc container in which a command of container `name` runs; a workload gets a helper of its own."""
        container, spec = state.containers[name], podspec.find_container(pod, name)
        if container.kind == "process" or spec is None:
            return container.id
        helper = container_id(podspec.uid(pod), name + "/exec", container.attempt)
        async with self._locks.setdefault(helper, asyncio.Lock()):
            if not await self.call(self.processes.helper_lives, helper):
                env = await self.environment(pod, spec, state, None)
                await self.prepare_pod(pod, state)
                wanted = self._process_spec(
                    pod, {**spec, "resources": {}, "tty": False}, state, helper, env, PAUSE, None
                )
                await self.call(self._create_helper, helper, wanted)
        container.helper = True
        return helper

    def _create_helper(self, helper: str, wanted: ProcessSpec) -> None:
        if os.path.isdir(self.processes.bundle(helper)):
            self.processes.remove(helper)
        self._mount(helper)
        self.processes.create_helper(helper, oci_config(wanted))

    # ending

    async def stop(self, container: Container, number: int) -> None:
        """Ask a container to end: a workload ends at once, a process gets the signal. Raises WorkloadHostGone."""
        if container.kind == "workload":
            await self.workloads.stop(container.id)
        else:
            await self.call(self.processes.signal, container.id, number)

    async def clean(self, uid: str, container: Container) -> None:
        """Remove what an ended attempt leaves: bundle, mounts, cgroup, its exec helper. Its log stays."""
        if container.kind == "process":
            await self.call(self.processes.remove, container.id)
        if container.helper:
            await self.call(self.processes.remove, container_id(uid, container.name + "/exec", container.attempt))
            container.helper = False

    async def forget(self, uid: str) -> None:
        """Remove all files of a pod."""
        self.objects.forget(uid)
        self._locks.pop(uid, None)
        await self.call(shutil.rmtree, self.pod_dir(uid), True)
        await self.call(_remove_pod_cgroup, f"{self.config.cgroup}/pods/{uid}")

    def pod_dir(self, uid: str) -> str:
        return f"{self.config.run_dir}/pods/{uid}"

    def log_path(self, uid: str, name: str, attempt: int) -> str:
        return f"{self.pod_dir(uid)}/logs/{name}/{attempt}.log"

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


PAUSE = ["/usr/bin/sleep", "infinity"]
SIGNALS = {s.name: int(s) for s in signal.Signals}


def _remove_pod_cgroup(path: str) -> None:
    from netsim.host import cgroup

    cgroup.remove(path)


def _sandbox(state: PodState) -> Sandbox:
    if state.sandbox is None:
        raise ConfigError(f"pod {state.namespace}/{state.name} has no sandbox")
    return state.sandbox


def _arguments(spec: Obj, image: Image) -> list[str]:
    """command and args as Kubernetes combines them with an image's own; `netsim` is found in any installation."""
    words = [*(spec.get("command") or image.command), *(spec.get("args") or [])]
    if image.netsim and words[:1] == ["netsim"] and not os.path.exists(f"{sys.prefix}/bin/netsim"):
        return [sys.executable, "-m", "netsim.cli", *words[1:]]
    return words


def listen_ports(spec: Obj, image: Image) -> tuple[tuple[int, str], ...]:
    """What an in-process container listens on: the image's own ports and the declared containerPorts of its protocols.

    Declared TCP ports take the place of the image's own ones: a real program would be configured to them.
    """
    udp = any(protocol == "UDP" for _, protocol in image.ports)
    tcp = any(protocol == "TCP" for _, protocol in image.ports)
    declared = [(int(p["containerPort"]), str(p.get("protocol") or "TCP")) for p in spec.get("ports") or []]
    usable = [p for p in declared if (p[1] == "TCP" and tcp) or (p[1] == "UDP" and udp)]
    taken = {protocol for _, protocol in usable}
    own = [p for p in image.ports if p[1] not in taken]
    return tuple(dict.fromkeys([*usable, *own]))


def capabilities(pod: Obj) -> Obj:
    """The CNI capability arguments a pod asks for: its hostPorts."""
    ports = [
        {
            "hostPort": p["hostPort"],
            "containerPort": p["containerPort"],
            "protocol": str(p.get("protocol") or "TCP").lower(),
        }
        | ({"hostIP": p["hostIP"]} if p.get("hostIP") else {})
        for c in podspec.all_containers(pod)
        for p in c.get("ports") or []
        if p.get("hostPort")
    ]
    return {"portMappings": ports} if ports else {}


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""
