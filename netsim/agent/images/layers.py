"""Unpacking a layer's tar stream into a directory that an overlay can have as a lower layer (image-spec, layer.md).

Whiteouts become what overlayfs knows them by: `.wh.NAME` a character device 0:0 called NAME, `.wh..wh..opq` the
attribute trusted.overlay.opaque of its directory. No entry gets out of the directory: `..` is refused, and symbolic
links on the way are followed inside it only.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import stat
import tarfile
from typing import IO

from netsim.agent.images.oci import ImageError
from netsim.host.trees import remove_tree

log = logging.getLogger(__name__)
WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"
XATTR = "SCHILY.xattr."
# An attribute of overlayfs itself could show a file of the machine in the container.
FORBIDDEN_XATTRS = ("trusted.overlay.", "user.overlay.")
MAX_LINKS = 40
_KINDS = {tarfile.CHRTYPE: stat.S_IFCHR, tarfile.BLKTYPE: stat.S_IFBLK, tarfile.FIFOTYPE: stat.S_IFIFO}


def unpack(stream: IO[bytes], root: str) -> int:
    """Unpack an uncompressed tar stream into the empty directory `root`; the bytes of its files.

    Raises ImageError for an entry that leads out of it, and what tarfile raises for a damaged stream.
    """
    root, size = os.path.realpath(root), 0
    times: list[tuple[str, float]] = []
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            path = _unpack_member(archive, member, root)
            size += member.size if member.isreg() else 0
            if path is not None and member.isdir():
                times.append((path, member.mtime))
    for path, mtime in reversed(times):  # what came into a directory has changed its time
        if os.path.isdir(path) and os.path.realpath(path) == path:  # no later entry has put a link on the way
            os.utime(path, (mtime, mtime))
    return size


def _unpack_member(archive: tarfile.TarFile, member: tarfile.TarInfo, root: str) -> str | None:
    """Make one entry; its path, None for a whiteout."""
    try:
        return _unpack_entry(archive, member, root)
    except (ValueError, OverflowError, RecursionError) as error:  # a NUL in a link, too large a number, too deep a path
        raise ImageError(f"layer entry {member.name!r}: {error}") from error


def _unpack_entry(archive: tarfile.TarFile, member: tarfile.TarInfo, root: str) -> str | None:
    parts = split_name(member.name)
    if not parts:
        _dress(member, root)
        return root
    parent = inside(root, parts[:-1], member.name)
    os.makedirs(parent, exist_ok=True)
    if parts[-1].startswith(WHITEOUT):
        _white_out(parent, parts[-1], member.name)
        return None
    path = f"{parent}/{parts[-1]}"
    _make_room(path, directory=member.isdir())
    _make(archive, member, root, path)
    if not member.islnk():
        _dress(member, path)
    return path


def split_name(name: str) -> list[str]:
    """The parts of an entry's name below the root; ImageError for one with `..` (pure)."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in name:
        raise ImageError(f"layer entry {name!r} leads out of the image")
    return parts


def inside(root: str, parts: list[str], name: str) -> str:
    """The path of a directory below `root`, symbolic links on the way followed as the container would.

    Raises ImageError for a link that leads above the root.
    """
    left, found, links = list(reversed(parts)), [root], 0
    while left:
        part = left.pop()
        if part in ("", "."):
            continue
        if part == "..":
            if len(found) == 1:
                raise ImageError(f"layer entry {name!r} leads out of the image by a symbolic link")
            found.pop()
            continue
        path = f"{found[-1]}/{part}"
        if not os.path.islink(path):
            found.append(path)
            continue
        links += 1
        if links > MAX_LINKS:
            raise ImageError(f"layer entry {name!r} is behind too many symbolic links")
        target = os.readlink(path)
        found = [root] if target.startswith("/") else found
        left += reversed(target.split("/"))
    return found[-1]


def _white_out(parent: str, name: str, entry: str) -> None:
    if name == OPAQUE:
        os.setxattr(parent, "trusted.overlay.opaque", b"y")
        return
    hidden = name.removeprefix(WHITEOUT)
    if hidden.startswith(WHITEOUT):
        return  # aufs' own files
    if hidden in ("", ".", ".."):
        raise ImageError(f"layer entry {entry!r} is no whiteout of anything")
    if not os.path.lexists(f"{parent}/{hidden}"):
        os.mknod(f"{parent}/{hidden}", stat.S_IFCHR | 0o600, os.makedev(0, 0))


def _make_room(path: str, *, directory: bool) -> None:
    """A later entry takes the place of an earlier one, except that a directory stays one."""
    if not os.path.lexists(path):
        return
    if not os.path.isdir(path) or os.path.islink(path):
        os.unlink(path)
    elif not directory:
        remove_tree(path)


def _make(archive: tarfile.TarFile, member: tarfile.TarInfo, root: str, path: str) -> None:
    if member.isdir():
        os.makedirs(path, exist_ok=True)
    elif member.issym():
        os.symlink(member.linkname, path)
    elif member.islnk():
        _link(root, member, path)
    elif member.type in _KINDS:
        os.mknod(path, _KINDS[member.type] | 0o600, os.makedev(member.devmajor, member.devminor))
    elif member.isreg():
        content = archive.extractfile(member)
        assert content is not None
        with open(path, "xb") as file:
            shutil.copyfileobj(content, file, 1024 * 1024)
    else:
        raise ImageError(f"layer entry {member.name!r} is of the unknown type {member.type!r}")


def _link(root: str, member: tarfile.TarInfo, path: str) -> None:
    parts = split_name(member.linkname)
    if not parts:
        raise ImageError(f"layer entry {member.name!r} is a hard link to the root")
    target = f"{inside(root, parts[:-1], member.name)}/{parts[-1]}"
    if not os.path.lexists(target):
        raise ImageError(f"layer entry {member.name!r} is a hard link to {member.linkname!r}, which is not there")
    os.link(target, path, follow_symlinks=False)


def _dress(member: tarfile.TarInfo, path: str) -> None:
    """Owner, mode, attributes and time; the owner first, as changing it takes away set-user-id."""
    os.chown(path, member.uid, member.gid, follow_symlinks=False)
    if not member.issym():
        os.chmod(path, member.mode & 0o7777)
    for key, value in member.pax_headers.items():
        if key.startswith(XATTR):
            _set_xattr(path, key.removeprefix(XATTR), value, member.name)
    os.utime(path, (member.mtime, member.mtime), follow_symlinks=False)


def _set_xattr(path: str, name: str, value: str, entry: str) -> None:
    if name.startswith(FORBIDDEN_XATTRS):
        raise ImageError(f"layer entry {entry!r} has the attribute {name!r}, which belongs to overlayfs")
    try:
        os.setxattr(path, name, value.encode("utf-8", "surrogateescape"), follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EPERM):
            raise
        log.warning("%s: attribute %s is left out: %s", entry, name, error.strerror)
