"""Paths inside volumes (subPath), which containers of the pod may change while they are mounted."""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack, suppress
from types import TracebackType

from netsim.agent.env import ConfigError
from netsim.agent.runtime.volume_files import check_path
from netsim.host import mount

_STEP = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class SubPaths:
    """Sources of bind mounts in `directory`, for as long as the `with` lasts: a container has its own mounts then."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self._held = ExitStack()

    def __enter__(self) -> SubPaths:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._held.close()

    def hold(self, volume: str, path: str) -> str:
        """The source for a path inside a volume, made as a directory when missing.

        Links that lead out of the volume are refused, and what was looked at is what is mounted: no link that was put
        in its place meanwhile is followed. Raises ConfigError, OSError.
        """
        root, inside = os.path.realpath(volume), os.path.realpath(f"{volume}/{check_path(path)}")
        if os.path.commonpath((root, inside)) != root:
            raise ConfigError(f"subPath {path!r} leads out of its volume by a symbolic link")
        os.makedirs(self.directory, exist_ok=True)
        target = f"{self.directory}/{len(os.listdir(self.directory))}"
        with ExitStack() as steps:
            mount.bind(f"/proc/self/fd/{_walk(steps, root, os.path.relpath(inside, root))}", target, recursive=True)
        self._held.callback(mount.unmount, target)
        return target


def release_sub_paths(directory: str) -> None:
    """Unmount what an agent has left that was killed; nothing there is no error."""
    for name in os.listdir(directory) if os.path.isdir(directory) else []:
        mount.unmount(f"{directory}/{name}")


def _walk(steps: ExitStack, root: str, path: str) -> int:
    """Open a path below `root` without following a link; the descriptor belongs to `steps`."""
    found = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    steps.callback(os.close, found)
    mode = stat.S_IMODE(os.fstat(found).st_mode)
    for name in path.split("/"):
        found = _step(found, name, mode)
        steps.callback(os.close, found)
        if stat.S_ISLNK(os.fstat(found).st_mode):
            raise ConfigError(f"subPath {path!r} has become a symbolic link while it was looked at")
    return found


def _step(directory: int, name: str, mode: int) -> int:
    """Open what is in a directory under a name, or make a directory there, as open as the volume."""
    try:
        return os.open(name, _STEP, dir_fd=directory)
    except FileNotFoundError:
        with suppress(FileExistsError):  # another container of the pod has just made it
            os.mkdir(name, dir_fd=directory)
    made = os.open(name, _STEP | os.O_DIRECTORY, dir_fd=directory)
    os.chmod(f"/proc/self/fd/{made}", mode)
    return made
