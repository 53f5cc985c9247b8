"""Makes one real-process container: its root, what is mounted into it, its user, its configuration. Functions block."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass

from netsim.agent import podspec
from netsim.agent.config import AgentConfig
from netsim.agent.env import CreateError
from netsim.agent.images.oci import machine_architecture
from netsim.agent.images.store import ImageStore
from netsim.agent.model import Obj, PodState, Sandbox
from netsim.agent.runtime import rootfs, termination
from netsim.agent.runtime.capabilities import choose_capabilities
from netsim.agent.runtime.catalogue import Image
from netsim.agent.runtime.devices import machine_devices
from netsim.agent.runtime.image_volumes import own_volumes
from netsim.agent.runtime.launch import pause_id
from netsim.agent.runtime.oom import oom_score_adj
from netsim.agent.runtime.pod_files import PodFiles
from netsim.agent.runtime.processes import Processes, lowest_oom_score, own_capabilities, terminal_args
from netsim.agent.runtime.sandboxes import Sandboxes
from netsim.agent.runtime.seccomp import choose_seccomp
from netsim.agent.runtime.spec import HOST, ProcessSpec, oci_config
from netsim.agent.runtime.storage import Storage
from netsim.agent.runtime.sub_path import SubPaths
from netsim.agent.runtime.sysctls import of_ipc
from netsim.agent.runtime.users import Accounts, choose_user, merged_security, parse_accounts

# As process 1 of a shared PID namespace it takes in what others orphan, which `sleep` alone would not.
PAUSE = ("/bin/sh", "-c", "trap 'exit 0' TERM; sleep infinity & while :; do wait; done")
IMAGE_NOTE = "image.json"
MAX_ACCOUNTS = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Order:
    """What one container is made from; `container` is its id."""

    pod: Obj
    spec: Obj
    state: PodState
    container: str
    env: dict[str, str]
    args: Sequence[str]
    image: Image


class Making:
    """The makers of one node's containers share its storage, sandboxes and images."""

    def __init__(
        self,
        config: AgentConfig,
        storage: Storage,
        sandboxes: Sandboxes,
        files: PodFiles,
        processes: Processes,
        images: ImageStore,
    ) -> None:
        self.config, self.storage, self.sandboxes, self.files = config, storage, sandboxes, files
        self.processes, self.images = processes, images
        # Beside the nodes' directories: a lab's profiles are those of all its nodes, as its images are.
        self.seccomp = f"{os.path.dirname(config.state_dir)}/seccomp"

    def start(self, order: Order, log: str) -> None:
        """Make and start a container. Raises ConfigError, CreateFailed, OSError; nothing of it stays then."""
        self._mount(order)
        try:
            with self._sub_paths(order) as held:
                config = oci_config(self._specify(order, held))
                self.processes.create(order.container, config, log, terminal_args(order.spec))
        except BaseException:
            self.processes.remove(order.container)
            raise

    def start_helper(self, order: Order) -> None:
        """Make and start a container that nobody waits for and whose output nobody reads."""
        self._mount(order)
        try:
            with self._sub_paths(order) as held:
                self.processes.create_helper(order.container, oci_config(self._specify(order, held)))
        except BaseException:
            self.processes.remove(order.container)
            raise

    def _sub_paths(self, order: Order) -> SubPaths:
        return SubPaths(self.storage.sub_paths(order.container))

    def _mount(self, order: Order) -> None:
        container, image = order.container, order.image
        if self.storage.holds(container):
            self.processes.remove(container)
        bundle, writable = self.storage.bundle(container), self.storage.writable(container)
        if not image.layers:
            os.makedirs(bundle)
            rootfs.mount_root([rootfs.ensure_base(f"{self.config.run_dir}/base")], bundle, writable)
            return
        points = rootfs.ensure_mount_points(f"{self.config.run_dir}/mount-points")
        with self.images.using():
            os.makedirs(bundle)
            _note_use(f"{bundle}/{IMAGE_NOTE}", order.pod, image)
            rootfs.mount_root([points, *image.layers], bundle, writable)

    def mount_image(self, pod: Obj, volume: str, image: Image) -> None:
        """Mount an image as a volume of the pod, unless it is. Raises CreateError, OSError."""
        uid = podspec.uid(pod)
        with self.images.using():
            os.makedirs(f"{self.storage.pod_dir(uid)}/images", exist_ok=True)
            _note_use(f"{self.storage.pod_dir(uid)}/images/{volume}.json", pod, image)
            self.storage.ensure_image_volume(uid, volume, image.layers)

    def _specify(self, order: Order, held: SubPaths) -> ProcessSpec:
        pod, spec, image, container = order.pod, order.spec, order.image, order.container
        uid, sandbox, root = podspec.uid(pod), _sandbox(order.state), f"{self.storage.bundle(container)}/rootfs"
        ipc, uts = self.sandboxes.shared_paths(uid)
        security = merged_security(pod, spec)
        binds = [*self.files.binds(pod, spec, order.env, held), *([] if image.layers else rootfs.system_binds())]
        binds += rootfs.netsim_binds() if image.netsim else []
        binds += own_volumes(image.volumes, binds, root, f"{self.storage.writable(container)}/volumes")
        if spec.get("terminationMessagePath"):
            binds.append(termination.bind(self.storage.bundle(container), spec))
        capabilities = choose_capabilities(security) & own_capabilities()
        seccomp = choose_seccomp(security, capabilities, self.seccomp, machine_architecture())
        return ProcessSpec(
            order.args, order.env, root, self.files.hostname(pod),
            f"{self.config.cgroup}/pods/{uid}/{container[:16]}", sandbox.netns,
            "" if pod["spec"].get("hostIPC") else ipc, uts, self._pids(pod, spec, order.state, container),
            spec.get("workingDir") or image.cwd or "/", bool(spec.get("tty")), binds, spec, security,
            capabilities, choose_user(security, image.user, read_accounts(root)), of_ipc(pod),
            self.storage.ensure_shm(uid, host=bool(pod["spec"].get("hostIPC"))),
            max(oom_score_adj(pod, spec, float(self.files.capacity.get("memory", 0))), lowest_oom_score()),
            machine_devices() if security.get("privileged") else (), seccomp,
        )  # fmt: skip

    def _pids(self, pod: Obj, spec: Obj, state: PodState, container: str) -> str:
        """The process namespace: HOST, a path, or "" for one of the container's own.

        An ephemeral container joins its target's, unless that is no process.
        """
        if pod["spec"].get("hostPID"):
            return HOST
        shared = pause_id(podspec.uid(pod))
        if pod["spec"].get("shareProcessNamespace") and container != shared:
            return f"/proc/{self.processes.pid(shared)}/ns/pid"
        target = state.containers.get(spec.get("targetContainerName") or "")
        if target is None or target.kind != "process" or not target.running:
            return ""
        pid = self.processes.pid(target.id)
        return f"/proc/{pid}/ns/pid" if pid else ""

    def share_pids(self, pod: Obj, state: PodState, image: Image) -> None:
        """Start what holds the process namespace that the containers of the pod share, unless it is there."""
        shared = pause_id(podspec.uid(pod))
        if pod["spec"].get("shareProcessNamespace") and not self.processes.helper_lives(shared):
            plain = {"name": "pause", "securityContext": {"runAsUser": 0}}
            bare = {**pod, "spec": {**pod["spec"], "securityContext": {}}}
            self.start_helper(Order(bare, plain, state, shared, {"PATH": "/usr/bin:/bin"}, PAUSE, image))


def _note_use(path: str, pod: Obj, image: Image) -> None:
    """Write down that the pod lies on an image's layers, for who removes images and who compares with them.

    Raises CreateError when somebody has removed it.
    """
    if not all(os.path.isdir(layer) for layer in image.layers):
        raise CreateError(f"image {image.name} has been removed")
    meta = pod["metadata"]
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"layers": image.layers, "pod": f"{meta['namespace']}/{meta['name']}"}, file)


def read_accounts(root: str) -> Accounts:
    """Users and groups of a container's root. Only plain files are read: a link could lead to the machine's, and an
    image can have a device in their place."""
    return parse_accounts(_read_etc(root, "passwd"), _read_etc(root, "group"))


def _read_etc(root: str, name: str) -> str:
    try:
        directory = os.open(f"{root}/etc", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:  # the image has none, or a link in its place
        return ""
    try:
        if not stat.S_ISREG(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
            return ""
        found = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        return ""
    finally:
        os.close(directory)
    with open(found, encoding="utf-8", errors="replace") as file:
        return file.read(MAX_ACCOUNTS)


def _sandbox(state: PodState) -> Sandbox:
    if state.sandbox is None:
        raise CreateError(f"pod {state.namespace}/{state.name} has no sandbox")
    return state.sandbox
