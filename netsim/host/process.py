"""Processes: which of them are in a namespace, and how this one is called."""

from __future__ import annotations

import os


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
