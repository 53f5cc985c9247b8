"""Processes: which of them are in a namespace, and how this one is called."""

from __future__ import annotations

import ctypes
import os

_M_ARENA_MAX = -8  # malloc.h


def processes_in_netns(inodes: set[int]) -> list[int]:
    """Ids of processes with any thread in one of the network namespaces (see `netns.inode`), in ascending order."""
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return sorted(pid for pid in pids if _netns_inodes(pid) & inodes)


def _netns_inodes(pid: int) -> set[int]:
    """Of all its threads, since one of them may have been moved; empty for a process that has ended."""
    found = set()
    try:
        for tid in os.listdir(f"/proc/{pid}/task"):
            found.add(os.stat(f"/proc/{pid}/task/{tid}/ns/net").st_ino)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        # It ended meanwhile, or it is a kernel thread or another user's, which is never ours.
        return found
    return found


def set_title(title: str) -> None:
    """Show `title` as this process's command line in ps and top."""
    from setproctitle import setproctitle  # here: it costs an import that few processes need

    setproctitle(title)


def command_line(pid: int) -> str:
    """A process's command line or title, "" when it has ended."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def share_one_heap() -> None:
    """Have all threads of this process, and of those that are forked from it, allocate from one heap (mallopt(3)).

    glibc gives threads heaps of their own, of which each keeps what it once needed: 0.6 MiB of a node's with 200 pods.
    They would spare threads the wait for each other, which Python's do anyway. Nothing happens with another C library.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
