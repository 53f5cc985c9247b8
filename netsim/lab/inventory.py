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
    """Look at the machine. Processes are found by cgroup and by living in one of the lab's network namespaces."""
    mounts = [m for root in (paths.run, paths.state) for m in mount.mounts_under(root)]
    directories = [d for d in (paths.run, paths.state) if os.path.isdir(d)]
    cgroups = [d for d in cgroup.detect().directories(paths.cgroup) if os.path.isdir(d)]
    return Inventory(tuple(_processes(paths)), tuple(mounts), tuple(cgroups), tuple(directories))


def _processes(paths: LabPaths) -> list[int]:
    found = set(cgroup.pids(paths.cgroup)) | set(process.processes_in_netns(_namespace_inodes(paths)))
    return sorted(found - {os.getpid()})


def _namespace_inodes(paths: LabPaths) -> set[int]:
    """Inodes of the lab's namespaces; a file that is no namespace (a half-made one) has another device."""
    inodes = set()
    for path in mount.mounts_under(f"{paths.run}/netns"):
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
            found |= {e.name for e in os.scandir(root) if e.is_dir()}
    return sorted(found)
