"""Kernel settings under /proc/sys; net.* are those of the calling thread's network namespace.

They are reached through a proc file system of our own. In one that all share, every namespace's net/ipv4 is an entry of
the same name and place, and the kernel looks through all of them: with a thousand pods for a quarter of a millisecond,
which was a fifth of what a node did at their start.
"""

from __future__ import annotations

import logging
import os
import threading
from functools import lru_cache

from netsim.host._home import at_home
from netsim.host._libc import open_proc

ROOT = "/proc/sys/"
MAX_SIZE = 4096  # the kernel gives a value in one piece
RENEWED = 64
"""After so many paths the proc file system is replaced by a new one, which costs as much as one path elsewhere."""

log = logging.getLogger(__name__)


class _Proc:
    """The proc file system of this process; its mount is nowhere, so that it ends with the descriptor."""

    def __init__(self) -> None:
        self._lock, self._root, self._opened = threading.Lock(), -1, 0

    def open(self, path: str, flags: int) -> int:
        """A descriptor of a path below /proc/sys."""
        with self._lock:
            if self._opened % RENEWED == 0:
                self._renew()
            self._opened += 1
            if self._root < 0:
                return os.open(ROOT + path, flags)
            return os.open(f"sys/{path}", flags, dir_fd=self._root)

    def _renew(self) -> None:
        old, self._root = self._root, -1
        if old >= 0:
            os.close(old)
        try:
            self._root = open_proc()
        except OSError as error:  # a kernel before 5.2, or a container that may not
            log.debug("no proc file system of our own: %s", error)

    def forget(self) -> None:
        """In a forked child: another thread of the parent may have had the lock."""
        self._lock = threading.Lock()


_proc = _Proc()
os.register_at_fork(after_in_child=_proc.forget)


def _open(name: str, flags: int) -> int:
    path = path_of(name)
    try:
        return _proc.open(path.removeprefix(ROOT), flags | os.O_CLOEXEC)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None


@lru_cache(maxsize=64)
def path_of(name: str) -> str:
    """File of a setting; "net.ipv4.conf.eth0/100.rp_filter" names interface eth0.100, as in sysctl(8) (pure)."""
    if name.startswith(("/", ".")) or "//" in name or any(part in ("", "..") for part in name.split(".")):
        raise ValueError(f"{name!r} is not the name of a kernel setting, such as net.ipv4.ip_forward")
    return ROOT + name.translate(str.maketrans("./", "/."))


def read_sysctl(name: str) -> str:
    """Value without its newline; FileNotFoundError when the kernel has no such setting."""
    # /proc/sys/net follows the calling thread, as /proc/thread-self/net does, for opens made by it.
    fd = _open(name, os.O_RDONLY)
    try:
        return os.read(fd, MAX_SIZE).decode("ascii").strip()
    finally:
        os.close(fd)


def write_sysctl(name: str, value: str | int) -> None:
    """Set a value; FileNotFoundError when the kernel has no such setting, OSError when it refuses the value."""
    fd = _open(name, os.O_WRONLY)
    try:
        os.write(fd, f"{value}\n".encode("ascii"))
    finally:
        os.close(fd)


def ensure_sysctl(name: str, value: str | int) -> bool:
    """Set a value unless it is set already; whether it was changed."""
    if read_sysctl(name) == str(value):
        return False
    write_sysctl(name, value)
    return True


def keep_sysctl(name: str, value: str | int) -> bool:
    """As `ensure_sysctl`, for a net.* setting that a thread asks for again and again: it keeps it open."""
    home = at_home()
    if home is None:
        return ensure_sysctl(name, value)
    fd = home.settings.get(name)
    if fd is None:
        # Not in our own proc file system, which would stay for as long when it is renewed.
        fd = home.settings[name] = os.open(path_of(name), os.O_RDONLY | os.O_CLOEXEC)
    if os.pread(fd, MAX_SIZE, 0).strip() == str(value).encode("ascii"):
        return False
    write_sysctl(name, value)
    return True
