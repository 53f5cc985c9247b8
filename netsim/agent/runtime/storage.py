"""Where what containers write lies: on disk (state_dir), as run_dir is on a tmpfs, which is memory.

An overlay's upper layer cannot lie on every file system (not on another overlay, which the root of a machine that is
itself a container is): whether it can on the disk is found out by trying once; else the upper layers stay in run_dir.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence

from netsim.agent.config import AgentConfig
from netsim.agent.model import Obj
from netsim.agent.runtime.sub_path import release_sub_paths
from netsim.api.quantity import parse_quantity
from netsim.host import mount
from netsim.host.trees import remove_tree

log = logging.getLogger(__name__)
SHM_BYTES = 64 * 1024 * 1024
"""As container runtimes have it."""


class Storage:
    """The directories of one node's pods and containers."""

    def __init__(self, config: AgentConfig) -> None:
        self.run_dir, self.state_dir = config.run_dir, config.state_dir
        self._deciding = threading.Lock()
        self._sharing = threading.Lock()  # containers of one pod start side by side
        self._layers = ""

    def pod_dir(self, uid: str) -> str:
        """Logs, resolver files and volumes from the API (in memory: they hold Secrets)."""
        return f"{self.run_dir}/pods/{uid}"

    def volume_dir(self, uid: str, name: str) -> str:
        return f"{self.pod_dir(uid)}/volumes/{name}"

    def empty_dir(self, uid: str, name: str, medium: str) -> str:
        """The directory of an emptyDir volume, in memory only when its medium says so."""
        return self.volume_dir(uid, name) if medium == "Memory" else f"{self.state_dir}/pods/{uid}/volumes/{name}"

    def ensure_empty_dir(self, uid: str, name: str, source: Obj) -> str:
        """An emptyDir's directory, made when missing; one in memory is a tmpfs of its own, as big as its sizeLimit."""
        medium = str(source.get("medium") or "")
        directory = self.empty_dir(uid, name, medium)
        if not os.path.isdir(directory):
            os.makedirs(directory)
            os.chmod(directory, 0o777)
        if medium == "Memory" and not os.path.ismount(directory):
            limit = int(parse_quantity(source.get("sizeLimit") or 0))
            mount.mount("tmpfs", directory, "tmpfs", "mode=0777" + (f",size={limit}" if limit else ""))
        return directory

    def ensure_image_volume(self, uid: str, name: str, layers: Sequence[str]) -> None:
        """Mount an image's layers, the uppermost first, as a volume that can only be read."""
        directory, empty = self.volume_dir(uid, name), f"{self.run_dir}/empty"
        with self._sharing:
            if not os.path.ismount(directory):
                os.makedirs(empty, exist_ok=True)
                mount.read_only_overlay([*layers, empty], directory)

    def ensure_shm(self, uid: str, *, host: bool = False) -> str:
        """The directory that a pod's containers share as /dev/shm: a tmpfs, or the machine's own with hostIPC."""
        if host:
            return "/dev/shm"
        directory = f"{self.pod_dir(uid)}/shm"
        with self._sharing:
            if not os.path.ismount(directory):
                mount.mount("tmpfs", directory, "shm", f"mode=1777,size={SHM_BYTES}")
        return directory

    def bundle(self, container: str) -> str:
        """The OCI bundle: configuration, conmon's files, mount point of the root."""
        return f"{self.run_dir}/containers/{container}"

    def sub_paths(self, container: str) -> str:
        """Where paths inside volumes are mounted while a container is made."""
        return f"{self.bundle(container)}/sub-paths"

    def writable(self, container: str) -> str:
        """The directory for the upper layer of a container's root."""
        return f"{self._layer_dir()}/containers/{container}"

    def containers(self) -> list[str]:
        """Ids of all containers of which anything is left."""
        return sorted({*_entries(f"{self.run_dir}/containers"), *_entries(f"{self.state_dir}/containers")})

    def pods(self) -> list[str]:
        """Uids of all pods of which anything is left."""
        return sorted({*_entries(f"{self.run_dir}/pods"), *_entries(f"{self.state_dir}/pods")})

    def holds(self, container: str) -> bool:
        """Whether anything of a container is on disk or in memory."""
        return any(os.path.isdir(f"{d}/containers/{container}") for d in (self.run_dir, self.state_dir))

    def remove_container(self, container: str) -> None:
        """Unmount a container's root and remove its files; nothing there is no error."""
        mount.unmount(f"{self.bundle(container)}/rootfs")
        release_sub_paths(self.sub_paths(container))
        for directory in (self.run_dir, self.state_dir):
            _remove(f"{directory}/containers/{container}")

    def remove_pod(self, uid: str) -> None:
        """Remove a pod's files, its volumes' content with them."""
        volumes = f"{self.pod_dir(uid)}/volumes"
        for path in (f"{self.pod_dir(uid)}/shm", *(f"{volumes}/{name}" for name in _entries(volumes))):
            if os.path.ismount(path):
                mount.unmount(path)
        for directory in (self.run_dir, self.state_dir):
            _remove(f"{directory}/pods/{uid}")

    def _layer_dir(self) -> str:
        with self._deciding:
            if not self._layers:
                self._layers = self.state_dir if carries_layers(self.state_dir, self.run_dir) else self.run_dir
        return self._layers


def carries_layers(state_dir: str, run_dir: str) -> bool:
    """Whether an overlay's upper layer can lie in `state_dir`; tried with a mount in `run_dir`."""
    trial, target = f"{state_dir}/layer-trial.{os.getpid()}", f"{run_dir}/layer-trial.{os.getpid()}"
    try:
        os.makedirs(f"{trial}/lower", exist_ok=True)
        mount.overlay([f"{trial}/lower"], f"{trial}/upper", f"{trial}/work", target)
        mount.unmount(target)
    except OSError as error:
        log.info("%s cannot hold containers' roots (%s); they are kept in %s", state_dir, error, run_dir)
        return False
    finally:
        _remove(trial)
        _remove(target)
    return True


def _entries(directory: str) -> list[str]:
    return os.listdir(directory) if os.path.isdir(directory) else []


def _remove(directory: str) -> None:
    if os.path.isdir(directory):
        remove_tree(directory)
