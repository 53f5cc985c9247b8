"""Remove a lab: exactly what carries its name, also after a crash or kill -9, and say what is left."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time

from netsim.host import cgroup, mount
from netsim.lab.inventory import Inventory, read_inventory
from netsim.lab.paths import CGROUP_ROOT, RUN_ROOT, STATE_ROOT, LabPaths

_ROUNDS = 50
_PAUSE = 0.02


def destroy_lab(paths: LabPaths) -> Inventory:
    """Kill, unmount and delete everything of the lab; returns what could not be removed (empty when all went well).

    The supervisor goes first, else it would start again what is killed after it. A process that is being
    forked while we look is caught by the next round.
    """
    left = read_inventory(paths)
    for _ in range(_ROUNDS):
        _kill(paths, left)
        _unmount(left)
        left = read_inventory(paths)
        if not left.processes and not left.mounts:
            break
        time.sleep(_PAUSE)
    _remove_files(paths)
    with contextlib.suppress(OSError):  # a group that stays is in the inventory that we return
        cgroup.remove(paths.cgroup)
    _remove_empty_roots()
    return read_inventory(paths)


def _kill(paths: LabPaths, inventory: Inventory) -> None:
    with contextlib.suppress(OSError):  # a process that outlives SIGKILL is in the next inventory
        cgroup.kill(paths.cgroup)
    for pid in inventory.processes:
        with contextlib.suppress(ProcessLookupError):  # it ended by itself, which is what we want
            os.kill(pid, signal.SIGKILL)


def _unmount(inventory: Inventory) -> None:
    for path in sorted(inventory.mounts, key=len, reverse=True):
        mount.unmount(path, lazy=True)


def _remove_files(paths: LabPaths) -> None:
    for directory in (paths.run, paths.state):
        # rmtree must never walk into a mount (a hostPath, the host's /usr): without a mount below, it cannot.
        if os.path.isdir(directory) and not mount.mounts_under(directory):
            shutil.rmtree(directory)


def _remove_empty_roots() -> None:
    for root in (RUN_ROOT, STATE_ROOT, *cgroup.detect().directories(CGROUP_ROOT)):
        with contextlib.suppress(OSError):  # absent, or another lab still lives there
            os.rmdir(root)
