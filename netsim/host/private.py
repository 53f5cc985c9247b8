"""A process's own view of the machine's files: mounts that nobody else sees and that end with the process."""

from __future__ import annotations

import os

from netsim.host import mount
from netsim.host._libc import unshare

CLONE_NEWNS = 0x00020000


def own_mounts() -> None:
    """Give this process a mount namespace of its own, with a /sys that shows its network namespace's devices.

    Call it after entering the network namespace and before there are threads.
    """
    unshare(CLONE_NEWNS)
    mount.make_private("/")
    mount.mount("sysfs", "/sys", "sysfs")


def replace_file(path: str, content: str) -> None:
    """Show `content` at `path` to this process and its children only (needs `own_mounts` first)."""
    descriptor = os.memfd_create("netsim-file", 0)
    os.write(descriptor, content.encode())
    mount.bind(f"/proc/self/fd/{descriptor}", os.path.realpath(path))
