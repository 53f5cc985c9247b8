"""What a lab has on this machine, found by its name alone: works for a half-built or crashed lab as well."""

from __future__ import annotations

import os
from dataclasses import dataclass

from netsim.host import cgroup, mount, netns, process
from netsim.lab.paths import RUN_ROOT, STATE_ROOT, LabPaths


@dataclass(frozen=True, slots=True)
class Inventory:
    """Process ids, mount points, cgroup directories and directories that carry the lab's name."""

    processes: tuple[int, ...]
    mounts: tuple[str, ...]
    cgroups: tuple[str, ...]
    directories: tuple[str, ...]

    @property
    def empty(self) -> bool:
        return not (self.processes or self.mounts or self.cgroups or self.directories)

    def describe(self) -> list[str]:
        """One line per thing, for people."""
        lines = [f"process {pid}" for pid in self.processes]
        lines += [f"mount {path}" for path in self.mounts]
        lines += [f"cgroup {path}" for path in self.cgroups]
        return lines + [f"directory {path}" for path in self.directories]


def read_inventory(paths: LabPaths) -> Inventory:
    """Look at the machine. Processes are found by cgroup and by living in one of the lab's network namespaces.

    A symbolic link in a directory's place is the lab's, what it points to is not.
    """
    directories = [d for d in (paths.run, paths.state) if os.path.lexists(d)]
    mounts = [m for d in directories if not os.path.islink(d) for m in mount.mounts_under(d)]
    cgroups = [d for d in cgroup.detect().directories(paths.cgroup) if os.path.isdir(d)]
    return Inventory(tuple(_processes(paths, mounts)), tuple(mounts), tuple(cgroups), tuple(directories))


def _processes(paths: LabPaths, mounts: list[str]) -> list[int]:
    directory = os.path.realpath(f"{paths.run}/netns")
    namespaces = [path for path in mounts if os.path.dirname(path) == directory and netns.exists(path)]
    found = set(cgroup.pids(paths.cgroup)) | set(process.processes_in_netns(_inodes(namespaces)))
    return sorted(found - {os.getpid()})


def _inodes(namespaces: list[str]) -> set[int]:
    inodes = set()
    for path in namespaces:
        try:
            inodes.add(netns.inode(path))
        except FileNotFoundError:  # a pod's namespace may go while we look
            continue
    return inodes


def lab_names() -> list[str]:
    """Names of all labs on this machine, whole or not."""
    found: set[str] = set()
    for root in (RUN_ROOT, STATE_ROOT):
        if os.path.isdir(root):
            found |= {e.name for e in os.scandir(root) if e.is_dir() or e.is_symlink()}
    return sorted(found)
