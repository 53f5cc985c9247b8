"""Remove a lab: exactly what carries its name, also after a crash or kill -9, and say what is left."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from netsim.host import cgroup, mount
from netsim.host.trees import remove_tree
from netsim.lab.inventory import Inventory, read_inventory
from netsim.lab.paths import CGROUP_ROOT, RUN_ROOT, STATE_ROOT, LabPaths

_ROUNDS = 50
_PAUSE = 0.02


def destroy_lab(paths: LabPaths) -> list[str]:
    """Kill, unmount and delete everything of the lab; a line for each thing left (empty when all went well).

    A process that is being forked while we look is caught by the next round. The directories go last, since a lab
    is listed as long as it has one. Several may do this at once: what another has removed already is no error.
    """
    left = read_inventory(paths)
    for _ in range(_ROUNDS):
        _kill(paths, left)
        _unmount(left)
        left = read_inventory(paths)
        if not left.processes and not left.mounts:
            break
        time.sleep(_PAUSE)
    with contextlib.suppress(OSError):  # a group that stays is in the inventory that we return
        cgroup.remove(paths.cgroup)
    reasons = [reason for directory in (paths.run, paths.state) for reason in _remove_directory(directory)]
    _remove_empty_roots()
    return [*read_inventory(paths).describe(), *reasons]


def _kill(paths: LabPaths, inventory: Inventory) -> None:
    with contextlib.suppress(OSError):  # a process that outlives SIGKILL is in the next inventory
        cgroup.kill(paths.cgroup)
    for pid in inventory.processes:
        with contextlib.suppress(ProcessLookupError):  # it ended by itself, which is what we want
            os.kill(pid, signal.SIGKILL)


def _unmount(inventory: Inventory) -> None:
    for path in sorted(inventory.mounts, key=len, reverse=True):
        mount.unmount(path, lazy=True)


def _remove_directory(directory: str) -> list[str]:
    """Remove a tree, or the symbolic link that is in its place; why something stays."""
    if os.path.islink(directory):
        os.unlink(directory)
        return []
    reasons: list[str] = []

    def note(_function: Callable[..., Any], path: str, error: tuple[Any, BaseException, Any]) -> None:
        if not isinstance(error[1], FileNotFoundError):
            reasons.append(f"{path}: {getattr(error[1], 'strerror', None) or error[1]}")

    # rmtree must never walk into a mount (a hostPath, the host's /usr): without a mount below, it cannot.
    if not mount.mounts_under(directory):
        remove_tree(directory, note)
    return reasons


def _remove_empty_roots() -> None:
    for root in (RUN_ROOT, STATE_ROOT, *cgroup.detect().directories(CGROUP_ROOT)):
        with contextlib.suppress(OSError):  # absent, or another lab still lives there
            os.rmdir(root)
