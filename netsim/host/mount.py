"""Mounts: bind, overlay, unmount, and what is mounted below a directory."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from netsim.host._libc import (
    MNT_DETACH,
    MS_BIND,
    MS_NOEXEC,
    MS_NOSUID,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
    MS_SHARED,
    MS_SLAVE,
    first_entries,
    umount,
)
from netsim.host._libc import mount as mount_

_shared: dict[str, str] = {}  # directories this process has seen on a shared mount, as named, and their real paths


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of /proc/PID/mountinfo (proc(5)); `root` is the path inside the file system, `device` "major:minor"."""

    id: int
    parent: int
    device: str
    root: str
    target: str
    shared: bool
    fstype: str
    source: str
    super_options: tuple[str, ...]


def bind(src: str, dst: str, ro: bool = False, recursive: bool = False) -> None:
    """Bind `src` on `dst`, a mount point of the same sort, which is made when missing; `ro` makes it read-only."""
    _make_target(dst, directory=os.path.isdir(src))
    mount_(src, dst, "none", MS_BIND | (MS_REC if recursive else 0))
    if ro:
        try:
            mount_("none", dst, "none", MS_BIND | MS_REMOUNT | MS_RDONLY)
        except OSError:
            unmount(dst)
            raise


def overlay(lower: list[str] | tuple[str, ...], upper: str, work: str, target: str) -> None:
    """Mount an overlay on `target`; the first of `lower` is the uppermost. Missing upper, work and target are made.

    ValueError for a path that the option string cannot carry (":" or ","), as the kernel would read it as two.
    """
    for path in (*lower, upper, work):
        if any(char in path for char in ",:\\"):
            raise ValueError(f"overlay path {path!r} contains ',', ':' or a backslash; use another directory")
    for path in (upper, work, target):
        os.makedirs(path, exist_ok=True)
    mount_("overlay", target, "overlay", 0, f"lowerdir={':'.join(lower)},upperdir={upper},workdir={work}")


def read_only_overlay(lower: list[str], target: str) -> None:
    """Mount an overlay without an upper layer, of which no program is run, on `target`; the first is the uppermost.

    It takes at least two layers; an empty directory is one.
    """
    mount("overlay", target, "overlay", f"lowerdir={':'.join(lower)}", MS_RDONLY | MS_NOSUID | MS_NOEXEC)


def mount(fstype: str, target: str, source: str = "none", options: str = "", flags: int = 0) -> None:
    """Mount a file system such as tmpfs or proc on the directory `target`, which is made when missing."""
    os.makedirs(target, exist_ok=True)
    mount_(source, target, fstype, flags, options)


def unmount(path: str, lazy: bool = True) -> None:
    """Unmount `path`; that nothing is mounted there is no error. `lazy` detaches it even while it is used."""
    try:
        umount(path, MNT_DETACH if lazy else 0)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOENT, errno.ENOTDIR):
            raise


def mounts_under(prefix: str) -> list[str]:
    """Mount points at or below `prefix` in the order of unmounting; a point mounted on twice is there twice."""
    prefix = os.path.realpath(prefix)
    below = prefix.rstrip("/") + "/"
    found = [m.target for m in read_mounts() if m.target == prefix or m.target.startswith(below)]
    return found[::-1]


def keep_in_memory(directory: str, mode: int) -> None:
    """Let an empty directory be on a tmpfs, as /run is on most machines, but not in every container: what ends with the
    boot ends then, Secrets meet no disk, and a disk's file system takes several times as long to make small files."""
    if mount_of(read_mounts(), os.path.realpath(directory)).fstype not in ("tmpfs", "ramfs"):
        mount("tmpfs", directory, "netsim", f"mode={mode:o}")


def share_directory(directory: str) -> None:
    """Make what is mounted in `directory` go away everywhere when it is unmounted here.

    A process with its own mount namespace (a service, a container) keeps a private copy of each mount, which would
    hold a deleted network namespace for ever. As `ip netns add` does for /run/netns, the directory is bound on itself
    and made shared, unless the mount it lies on is shared already, as systemd makes them all.
    """
    if directory in _shared:
        return
    named, directory = directory, os.path.realpath(directory)
    with _locked(directory):
        mounts = read_mounts()
        here = mount_of(mounts, directory)
        below = directory.rstrip("/") + "/"
        # A bind over a directory in use would hide what is mounted there.
        if not here.shared and not any(m.target.startswith(below) for m in mounts):
            if here.target != directory:
                mount_(directory, directory, "none", MS_BIND)
            mount_("none", directory, "none", MS_SHARED)
    _shared[named] = directory


def unshare_directory(directory: str) -> None:
    """Undo `share_directory` when nothing is left in the directory; else nothing happens."""
    try:
        if not _is_empty(directory):
            return
        directory = os.path.realpath(directory)
        for named in [named for named, real in _shared.items() if real == directory]:
            _shared.pop(named, None)
        with _locked(directory):
            _remove_self_bind(directory)
    except FileNotFoundError:
        return  # somebody else has removed the directory, which an unmounted one only can be


def _is_empty(directory: str) -> bool:
    """Looks at a few entries only: a thousand pods are deleted one by one."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return all(name in (b".", b"..") for name in first_entries(fd))
    finally:
        os.close(fd)


def _remove_self_bind(directory: str) -> None:
    mounts = read_mounts()
    here = mount_of(mounts, directory)
    if not _is_empty(directory) or here.target != directory or not _is_self_bind(mounts, here):
        return
    try:
        umount(directory)
    except OSError as error:
        # In use again, so it stays; lazily, what is being mounted there would go as well.
        if error.errno != errno.EBUSY:
            raise


@contextmanager
def _locked(directory: str) -> Iterator[None]:
    """One thread of one process at a time decides on a directory's mount; the parent is locked, to keep it free."""
    fd = os.open(os.path.dirname(directory), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def mount_of(mounts: list[Mount], path: str) -> Mount:
    """The mount that the absolute path lies on: the last mounted of those with the longest target (pure)."""
    holding = [m for m in mounts if path == m.target or path.startswith(m.target.rstrip("/") + "/")]
    return max(enumerate(holding), key=lambda pair: (len(pair[1].target), pair[0]))[1]


def _is_self_bind(mounts: list[Mount], here: Mount) -> bool:
    """Whether a mount shows the very directory it covers."""
    parent = next((m for m in mounts if m.id == here.parent), None)
    if parent is None or parent.device != here.device:
        return False
    covered = parent.root.rstrip("/") + here.target[len(parent.target.rstrip("/")) :]
    return here.root == covered


def read_mounts(pid: str = "self") -> list[Mount]:
    """The mounts that a process sees, in the order in which they were made."""
    with open(f"/proc/{pid}/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        return parse_mountinfo(file.read())


def parse_mountinfo(text: str) -> list[Mount]:
    """Mounts from the text of /proc/PID/mountinfo (pure)."""
    return [_parse_line(line) for line in text.splitlines() if line]


def _parse_line(line: str) -> Mount:
    left, _, right = line.partition(" - ")
    id_, parent, device, root, target, _options, *tags = left.split(" ")
    fstype, source, super_options = right.split(" ", 2)
    shared = any(tag.startswith("shared:") for tag in tags)
    options = tuple(super_options.split(","))
    return Mount(int(id_), int(parent), device, _unescape(root), _unescape(target), shared, fstype, source, options)


def _unescape(path: str) -> str:
    if "\\" not in path:
        return path
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(code, char)
    return path


def _make_target(path: str, *, directory: bool) -> None:
    if directory:
        os.makedirs(path, exist_ok=True)
    elif not os.path.exists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))


def make_private(path: str) -> None:
    """Let no mount made here from now on be seen in other mount namespaces.

    What is unmounted there still goes here: a copy that stayed would hold deleted network namespaces.
    """
    mount_("none", path, "none", MS_REC | MS_SLAVE)
