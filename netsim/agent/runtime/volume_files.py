"""Writing volumes to disk. A volume of files changes as a whole, by switching one link (`..data`), as kubelet does."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import time
from collections.abc import Callable

from netsim.agent.env import ConfigError, MountError
from netsim.agent.model import Obj

DATA = "..data"


def write_files(directory: str, files: dict[str, tuple[bytes, int]], group: int | None = None) -> bool:
    """Make a volume's directory hold exactly these files (relative path -> bytes, mode); False when it does already.

    With `group`, they belong to it.
    """
    os.makedirs(directory, exist_ok=True)
    if _read(directory) == files:
        return False
    fresh = f"..{time.time_ns()}"
    for path, (data, mode) in files.items():
        _write(f"{directory}/{fresh}/{check_path(path)}", data, mode)
    os.makedirs(f"{directory}/{fresh}", exist_ok=True)
    own_by_group(f"{directory}/{fresh}", group, read_only=True)
    old = os.readlink(f"{directory}/{DATA}") if os.path.islink(f"{directory}/{DATA}") else None
    with contextlib.suppress(FileNotFoundError):  # else an agent was killed at the next line
        os.unlink(f"{directory}/{DATA}.new")
    os.symlink(fresh, f"{directory}/{DATA}.new")
    os.replace(f"{directory}/{DATA}.new", f"{directory}/{DATA}")
    _link(directory, {path.split("/")[0] for path in files})
    if old:
        shutil.rmtree(f"{directory}/{old}")
    return True


def own_by_group(directory: str, group: int | None, *, read_only: bool) -> None:
    """Give a volume to a group (fsGroup), as kubelet does: all below it readable, and writable unless `read_only`.

    New files get the group by the directories' set-group-id. A directory that has the group already is left alone.
    """
    if group is None or os.stat(directory).st_gid == group:
        return
    mask = 0o440 if read_only else 0o660
    for folder, _, names in os.walk(directory, topdown=False):
        for path in [f"{folder}/{name}" for name in names]:
            if not os.path.islink(path):
                os.chmod(path, stat.S_IMODE(os.stat(path).st_mode) | mask)
            os.chown(path, -1, group, follow_symlinks=False)
        os.chown(folder, -1, group)
        os.chmod(folder, stat.S_IMODE(os.stat(folder).st_mode) | mask | 0o110 | stat.S_ISGID)


def check_path(path: str) -> str:
    """A volume's relative path; ConfigError when it leads out of the volume."""
    if path.startswith("/") or ".." in path.split("/"):
        raise ConfigError(f"volume path {path!r} must be relative and without '..'")
    return path


def ensure_host_path(volume: Obj) -> str:
    """The path of a hostPath volume, made if its type says so, and as a directory if it has none.

    Raises MountError, in kubelet's words, when it is not of its type.
    """
    path, kind = str(volume["hostPath"]["path"]), str(volume["hostPath"].get("type") or "")
    if kind == "DirectoryOrCreate" or (not kind and not os.path.exists(path)):
        os.makedirs(path, mode=0o755, exist_ok=True)
    if kind == "FileOrCreate" and not os.path.exists(path):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
    test, what = HOST_PATH_TYPES.get(kind, (os.path.exists, "there"))
    if not test(path):
        why = f"hostPath type check failed: {path} is not {what}"
        raise MountError(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {why}')
    return path


def _is_sort(check: Callable[[int], bool]) -> Callable[[str], bool]:
    return lambda path: os.path.exists(path) and check(os.stat(path).st_mode)


HOST_PATH_TYPES: dict[str, tuple[Callable[[str], bool], str]] = {
    "Directory": (os.path.isdir, "a directory"),
    "DirectoryOrCreate": (os.path.isdir, "a directory"),
    "File": (os.path.isfile, "a file"),
    "FileOrCreate": (os.path.isfile, "a file"),
    "Socket": (_is_sort(stat.S_ISSOCK), "a socket file"),
    "CharDevice": (_is_sort(stat.S_ISCHR), "a character device"),
    "BlockDevice": (_is_sort(stat.S_ISBLK), "a block device"),
}


def _write(path: str, data: bytes, mode: int) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    os.chmod(path, mode)


def _link(directory: str, names: set[str]) -> None:
    for name in names:
        if not os.path.lexists(f"{directory}/{name}"):
            os.symlink(f"{DATA}/{name}", f"{directory}/{name}")
    for name in os.listdir(directory):
        if not name.startswith("..") and name not in names:
            os.unlink(f"{directory}/{name}")


def _read(directory: str) -> dict[str, tuple[bytes, int]] | None:
    root = f"{directory}/{DATA}"
    if not os.path.isdir(root):
        return None
    found = {}
    for folder, _, names in os.walk(os.path.realpath(root)):
        for name in names:
            path = f"{folder}/{name}"
            with open(path, "rb") as file:
                data = file.read()
            found[os.path.relpath(path, os.path.realpath(root))] = (data, os.stat(path).st_mode & 0o7777)
    return found
