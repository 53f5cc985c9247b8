"""Control groups: one path, such as "netsim/LAB/NODE", in whichever hierarchy this machine has.

The tracking tree is v2 where there is one (a pure v2 machine or a hybrid's /sys/fs/cgroup/unified), else v1's `pids`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from dataclasses import dataclass
from functools import cache
from typing import Literal

from netsim.host.mount import Mount, read_mounts

KILL_ROUNDS = 50
JOIN_ROUNDS = 20
REMOVE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class CgroupLayout:
    """`tree` is the mount point used for tracking, `controllers` those of every v1 hierarchy by controller name."""

    mode: Literal["v1", "hybrid", "v2"]
    tree: str
    controllers: dict[str, str]

    def directories(self, path: str) -> list[str]:
        """Where `path` may exist: in the tracking tree and in every v1 hierarchy, each once."""
        roots = [self.tree, *self.controllers.values()]
        return [f"{root}/{path}" for root in dict.fromkeys(roots)]


def choose_layout(mounts: list[Mount]) -> CgroupLayout:
    """Layout from the mounts of a machine (pure); OSError when no usable cgroup file system is mounted."""
    v2 = [m.target for m in mounts if m.fstype == "cgroup2"]
    v1 = {name: m.target for m in mounts if m.fstype == "cgroup" for name in _controllers(m)}
    if v2:
        return CgroupLayout("hybrid" if v1 else "v2", v2[0], v1)
    if "pids" in v1:
        return CgroupLayout("v1", v1["pids"], v1)
    raise OSError(errno.ENOENT, "no cgroup v2 and no v1 'pids' hierarchy is mounted; mount one on /sys/fs/cgroup")


def _controllers(mount: Mount) -> list[str]:
    """ "name=systemd" and the controllers of one v1 mount; its other options are no controllers."""
    plain = {"rw", "ro", "xattr", "noprefix", "clone_children", "nodev", "nosuid", "noexec"}
    return [
        option
        for option in mount.super_options
        if option not in plain and not option.startswith(("release_agent=", "cpuset_v2_mode"))
    ]


def check_path(path: str) -> str:
    """`path` when it is a safe relative one of at least two parts (pure): the tree's root is never ours."""
    parts = path.split("/")
    if len(parts) < 2 or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"cgroup path {path!r}: expected a relative path of two or more names, such as netsim/LAB")
    return path


@cache
def detect() -> CgroupLayout:
    """This machine's layout, which stays: with a thousand pods there are thousands of mounts to look through."""
    return choose_layout(read_mounts())


def ensure(path: str) -> str:
    """Make the group in the tracking tree; its directory."""
    directory = _directory(path)
    os.makedirs(directory, exist_ok=True)
    return directory


def join(path: str, pid: int) -> None:
    """Move a process (all its threads) into the group, which is made when missing; 0 is the calling process."""
    # Until a process is in it, an empty group may be removed again by whoever clears up another lab.
    for _ in range(JOIN_ROUNDS):
        with contextlib.suppress(FileNotFoundError):
            return _enter(ensure(path), pid)
    _enter(ensure(path), pid)


def _enter(directory: str, pid: int) -> None:
    with open(f"{directory}/cgroup.procs", "w", encoding="ascii") as file:
        file.write(str(pid))


def pids(path: str) -> list[int]:
    """Processes in the group and the groups below it, in every hierarchy, in ascending order."""
    found: set[int] = set()
    for directory in detect().directories(check_path(path)):
        for group, _, _ in os.walk(directory):
            found.update(_read_pids(group))
    return sorted(found)


def kill(path: str, sig: int = signal.SIGKILL) -> int:
    """Send a signal to every process of the group and those below; how many got it.

    For SIGKILL it repeats until no process is left, so that a forking process cannot outrun it; OSError if one stays.
    """
    sent = 0
    for _ in range(KILL_ROUNDS):
        members = pids(path)
        sent += sum(_signal(pid, sig) for pid in members)
        if sig != signal.SIGKILL or not members:
            return sent
        time.sleep(0.02)
    raise OSError(errno.EBUSY, f"processes {pids(path)} outlive SIGKILL", path)


def remove(path: str) -> None:
    """Remove the group and those below it from every hierarchy; a missing one is no error.

    Processes must have ended; the kernel lets go of them a little later, which is waited for; OSError (EBUSY) else.
    """
    for directory in filter(os.path.isdir, detect().directories(check_path(path))):  # most pods have none
        for group, _, _ in os.walk(directory, topdown=False):
            _rmdir(group)


def _directory(path: str) -> str:
    return f"{detect().tree}/{check_path(path)}"


def _read_pids(group: str) -> list[int]:
    try:
        with open(group + "/cgroup.procs", encoding="ascii") as file:
            return [int(line) for line in file]
    except (FileNotFoundError, OSError) as error:
        # Removed meanwhile (ENODEV while it is read), or a threaded v2 group (EOPNOTSUPP), listed by its parent.
        if error.errno in (errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP):
            return []
        raise


def _signal(pid: int, sig: int) -> bool:
    try:
        os.kill(pid, sig)
    except ProcessLookupError:
        return False
    return True


def _rmdir(group: str) -> None:
    deadline = time.monotonic() + REMOVE_SECONDS
    while True:
        try:
            os.rmdir(group)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
