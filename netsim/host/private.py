"""A process's own view of the machine's files: mounts that nobody else sees and that end with the process."""

from __future__ import annotations

import os
import tempfile

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
    with tempfile.TemporaryDirectory(prefix="netsim-") as directory:
        mount.mount("tmpfs", directory, "tmpfs", "size=64k")
        with open(f"{directory}/file", "w", encoding="utf-8") as file:
            file.write(content)
        mount.bind(f"{directory}/file", os.path.realpath(path))
        mount.unmount(directory, lazy=True)  # the file lives on under its new name
