"""The few system calls that Python 3.11 has no name for: setns, unshare, mount, umount2, those of a mount that is
nowhere and those of a timer; failures are OSErrors."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from functools import lru_cache

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20

MNT_DETACH = 2

# The same numbers on every architecture.
_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432
_CLOEXEC, _CONFIG_CREATE = 1, 6

_CLOCK_MONOTONIC, _TFD_CLOEXEC = 1, 0o2000000

# Of an entry (getdents64(2)) the length, after its inode's number and place; its type and name follow.
_ENTRY, _ENTRIES = struct.Struct("=16xH"), 512

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, subject: str) -> None:
    if result != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno), subject)


def setns(fd: int, kind: int, subject: str = "setns") -> None:
    """Move the calling thread into the namespace of `fd`; `kind` is the CLONE_NEW… flag it must be of."""
    _check(_libc.setns(fd, kind), subject)


def unshare(flags: int) -> None:
    """Give the calling thread fresh namespaces of the kinds in `flags`."""
    _check(_libc.unshare(flags), "unshare")


def mount(source: str, target: str, fstype: str, flags: int, data: str = "") -> None:
    """mount(2); OSError names the target."""
    _check(
        _libc.mount(source.encode(), target.encode(), fstype.encode(), ctypes.c_ulong(flags), data.encode() or None),
        target,
    )


def umount(target: str, flags: int = 0) -> None:
    """umount2(2); OSError names the target, EINVAL when it is no mount point."""
    _check(_libc.umount2(target.encode(), flags), target)


def first_entries(fd: int) -> Iterator[bytes]:
    """Names in an open directory as far as a small buffer takes them: with "." and ".." one more, if there is one.
    Python's own reading has the kernel fill 32 KiB before the first."""
    size = _libc.getdents64(fd, entries := ctypes.create_string_buffer(_ENTRIES), _ENTRIES)
    if size < 0:
        raise OSError(ctypes.get_errno(), "read a directory's entries")
    text, start = entries.raw, 0
    while start < size:
        (length,) = _ENTRY.unpack_from(text, start)
        yield text[start + _ENTRY.size + 1 : start + length].partition(b"\0")[0]
        start += length


def open_proc() -> int:
    """A descriptor of a new proc file system, mounted nowhere (fsopen(2) and its kin, Linux 5.2; one of its own, and
    not the one that /proc shows, from 5.8 on)."""
    made = _call(_FSOPEN, b"proc", _CLOEXEC)
    try:
        _call(_FSCONFIG, made, _CONFIG_CREATE, None, None, 0)
        return _call(_FSMOUNT, made, _CLOEXEC, 0)
    finally:
        os.close(made)


def open_timer() -> int:
    """A descriptor that can be read once its time has come (timerfd_create(2)); its time is set by `start_timer`."""
    made = int(_libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_CLOEXEC))
    if made < 0:
        _check(made, "timerfd_create")
    return made


def start_timer(timer: int, seconds: float) -> None:
    """Let a timer's time come in so many seconds from now, and not when it would have come before."""
    _check(_libc.timerfd_settime(timer, 0, _timer_spec(seconds), None), "timerfd_settime")


@lru_cache(maxsize=8)
def _timer_spec(seconds: float) -> ctypes.Array[ctypes.c_long]:
    return (ctypes.c_long * 4)(0, 0, int(seconds), int(seconds % 1 * 1e9))


def _call(number: int, *args: bytes | int | None) -> int:
    result = int(_libc.syscall(ctypes.c_long(number), *args))
    if result < 0:
        _check(result, f"system call {number}")
    return result
