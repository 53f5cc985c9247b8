"""The machine's devices, which a privileged container sees."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from netsim.agent.model import Obj

# What every container has of its own.
_OWN = frozenset(["pts", "shm", "mqueue", "console", "fd", ".udev", ".lxc", ".lxd-mounts"])
_GIVEN = frozenset(["null", "zero", "full", "random", "urandom", "tty", "ptmx"])


def machine_devices(directory: str = "/dev") -> list[Obj]:
    """All devices below /dev as runtime-spec `linux.devices`; links and sockets are none."""
    return sorted(_devices(directory, directory), key=lambda device: str(device["path"]))


def _devices(directory: str, top: str) -> Iterator[Obj]:
    with os.scandir(directory) as entries:
        for entry in entries:
            if directory == top and entry.name in _OWN | _GIVEN:
                continue
            try:
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:  # unplugged meanwhile
                continue
            if stat.S_ISDIR(found.st_mode):
                yield from _devices(entry.path, top)
            elif stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode):
                yield _describe(entry.path, found)


def _describe(path: str, found: os.stat_result) -> Obj:
    return {
        "path": path,
        "type": "c" if stat.S_ISCHR(found.st_mode) else "b",
        "major": os.major(found.st_rdev),
        "minor": os.minor(found.st_rdev),
        "fileMode": stat.S_IMODE(found.st_mode),
        "uid": found.st_uid,
        "gid": found.st_gid,
    }
