"""Network namespaces held by bind mounts, as `ip netns` holds them, and work done inside them.

No function but `enter` leaves the calling thread in another namespace.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import ParamSpec, TypeVar

from netsim.host import mount
from netsim.host._home import move
from netsim.host._libc import (
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWUTS,
    MNT_DETACH,
    MS_BIND,
    setns,
    umount,
    unshare,
)
from netsim.host._libc import mount as mount_
from netsim.host._pool import Pool
from netsim.host._socket import netlink_socket
from netsim.host._worker import run_on_throwaway, run_visiting

_P = ParamSpec("_P")
_T = TypeVar("_T")

SIOCSIFFLAGS = 0x8914
IFF_UP = 0x1
MAX_STACKED = 16  # mounts on one path: two creators that raced leave two


def keep_ready(count: int) -> None:
    """From the first `create` on have `count` namespaces made in advance, which costs memory and saves time.

    They end with this process; a forked child has none.
    """
    _pool.size = count


def create(path: str) -> None:
    """Make a network namespace, its loopback up, and hold it by a bind mount at `path` (parents are made).

    A file at `path` that is no namespace is the rest of a crash and is reused; a namespace there is FileExistsError.
    Needs CAP_SYS_ADMIN. Nothing is left behind when it fails.
    """

    def make() -> None:
        unshare(CLONE_NEWNET)
        _loopback_up()
        mount_("/proc/thread-self/ns/net", path, "none", MS_BIND)
        if _pool.size:
            _pool.keep_socket(path, netlink_socket(), os.stat(path).st_ino)

    _hold([path], lambda: _hold_ready(path) or run_visiting(make))


def _hold_ready(path: str) -> bool:
    """Hold a namespace made in advance, if there is one."""
    ready = _pool.take()
    if ready is None:
        return False
    try:
        mount_(f"/proc/self/fd/{ready.fd}", path, "none", MS_BIND)
    except BaseException:
        ready.close()
        raise
    os.close(ready.fd)
    _pool.keep_socket(path, ready.sock, ready.inode)
    return True


def create_sandbox(netns_path: str | None, ipc_path: str, uts_path: str, hostname: str) -> None:
    """Make the namespaces of a pod of real processes: IPC, UTS (with hostname), and network unless its path is None.

    Each is held by a bind mount at its path; all are made or none. Errors as `create`.
    """
    paths = {"ipc": ipc_path, "uts": uts_path} | ({"net": netns_path} if netns_path else {})

    def make() -> None:
        unshare(CLONE_NEWIPC | CLONE_NEWUTS | (CLONE_NEWNET if netns_path else 0))
        socket.sethostname(hostname)
        if netns_path:
            _loopback_up()
        for kind, path in paths.items():
            mount_(f"/proc/thread-self/ns/{kind}", path, "none", MS_BIND)

    _hold(list(paths.values()), lambda: run_on_throwaway(make))


def delete(path: str) -> None:
    """Unmount and remove the namespace file at `path`; nothing there is no error.

    The namespace itself goes when its last process, socket and mount are gone.
    """
    _pool.drop_socket(path)
    for _ in range(MAX_STACKED):
        try:
            umount(path, MNT_DETACH)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT, errno.ENOTDIR):
                break
            raise
    try:
        os.unlink(path)
    except (FileNotFoundError, NotADirectoryError):
        return
    mount.unshare_directory(os.path.dirname(path))


def exists(path: str) -> bool:
    """Whether `path` is a namespace (of any kind), not a plain file or nothing."""
    try:
        return os.stat(path).st_dev == _namespaces_device()
    except (FileNotFoundError, NotADirectoryError):
        return False


def inode(path: str = "/proc/thread-self/ns/net") -> int:
    """The namespace's inode number: its identity as /proc/PID/ns/net shows it."""
    return os.stat(path).st_ino


def enter(path: str) -> None:
    """Move the calling thread into the namespace for good; threads started from it later are there as well.

    Call it at the start of a process, before there are other threads: those would stay behind.
    """
    fd = _open(path)
    try:
        move()
        setns(fd, CLONE_NEWNET, path)
    finally:
        os.close(fd)


def run_in(path: str, fn: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Call `fn` inside the network namespace and give its result, or raise its exception."""

    def job() -> _T:
        enter(path)
        return fn(*args, **kwargs)

    result: _T = run_visiting(job)
    return result


def open_socket(path: str, family: int, type: int, proto: int = 0) -> socket.socket:
    """A socket that lives in the namespace at `path`, wherever it is used from."""
    return run_in(path, socket.socket, family, type, proto)


def open_route_socket(path: str | None) -> socket.socket:
    """An rtnetlink socket that lives in the namespace at `path`, or in the calling thread's, for `Netlink`."""
    if path is None:
        return netlink_socket()
    return _pool.claim_socket(path) or run_in(path, netlink_socket)


def _open(path: str) -> int:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise FileNotFoundError(errno.ENOENT, "no such network namespace", path) from None
    return fd


def _hold(paths: list[str], make: Callable[[], object]) -> None:
    """Have files at `paths` and let `make` mount namespaces on them; on an error none of them is left."""
    prepared: list[str] = []
    try:
        for path in paths:
            _prepare(path)
            prepared.append(path)
        make()
    except BaseException:
        for path in prepared:
            delete(path)
        raise


def _prepare(path: str) -> None:
    directory = os.path.dirname(path)
    try:
        try:
            mount.share_directory(directory)
            _make_file(path)
        except FileNotFoundError:  # the first in this directory
            os.makedirs(directory, exist_ok=True)
            mount.share_directory(directory)
            _make_file(path)
    except OSError:
        mount.unshare_directory(directory)
        with suppress(OSError):  # it holds something, or somebody else has removed it: then it is not ours to remove
            os.rmdir(directory)
        raise


def _make_file(path: str) -> None:
    """A file that is there is no error; a namespace is."""
    try:
        os.mknod(path, 0o600)
    except FileExistsError:
        if os.stat(path).st_dev == _namespaces_device():
            raise FileExistsError(errno.EEXIST, "a namespace is already held there; delete it first", path) from None
    except OSError as error:  # which does not name the file
        raise OSError(error.errno, error.strerror, path) from None


@cache
def _namespaces_device() -> int:
    """The device number of the file system that all namespaces' files are of."""
    return os.stat("/proc/self/ns/net").st_dev


def _loopback_up() -> None:
    """By ioctl: one call, and no netlink module to import."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


_pool = Pool(_loopback_up)
os.register_at_fork(after_in_child=_pool.forget)
