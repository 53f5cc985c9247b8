"""What a container changed in its root: its overlay's upper layer against the layers below it, as `docker diff`."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["A", "C", "D"]


@dataclass(frozen=True, slots=True)
class Change:
    """A path in the container that was added, changed or deleted."""

    kind: Kind
    path: str


def find_changes(upper: str, lowers: Sequence[str], hidden: Collection[str] = ()) -> list[Change]:
    """All changes, by path; `lowers` are directories, the uppermost first.

    Left out are the paths in `hidden` (mount points) and directories that are in the upper layer only because something
    in them is.
    """
    return sorted(_walk(upper, lowers, "", frozenset(hidden)), key=lambda change: change.path)


def _walk(upper: str, lowers: Sequence[str], path: str, hidden: frozenset[str]) -> Iterator[Change]:
    names = os.listdir(upper + path)
    for name in names:
        inner = f"{path}/{name}"
        if inner not in hidden:
            yield from _judge(upper, lowers, inner, hidden)
    if _is_opaque(upper + path):
        for name in _below(lowers, path):
            if name not in names and find(lowers, f"{path}/{name}") is not None:
                yield Change("D", f"{path}/{name}")


def _judge(upper: str, lowers: Sequence[str], path: str, hidden: frozenset[str]) -> Iterator[Change]:
    new, old = os.lstat(upper + path), find(lowers, path)
    if _is_whiteout(new):
        if old is not None:
            yield Change("D", path)
        return
    inner = list(_walk(upper, lowers, path, hidden)) if stat.S_ISDIR(new.st_mode) else []
    if old is None:
        if inner or not stat.S_ISDIR(new.st_mode) or not _holds_hidden(path, hidden):
            yield Change("A", path)
    elif inner or not stat.S_ISDIR(new.st_mode) or _dressed(new) != _dressed(os.lstat(old)):
        yield Change("C", path)
    yield from inner


def _holds_hidden(path: str, hidden: frozenset[str]) -> bool:
    """Whether a new directory is there only for a mount point in it."""
    return any(other.startswith(f"{path}/") for other in hidden)


def find(lowers: Sequence[str], path: str) -> str | None:
    """Where the layers have a path, None when they have it not or an upper one hides it."""
    for lower in lowers:
        found, final = _look(lower, path)
        if found is not None or final:
            return found
    return None


def _look(lower: str, path: str) -> tuple[str | None, bool]:
    """A path in one layer, and else whether no layer below it counts any more."""
    here, opaque = lower, False
    parts = path.strip("/").split("/")
    for index, part in enumerate(parts):
        opaque = opaque or _is_opaque(here)
        here = f"{here}/{part}"
        try:
            found = os.lstat(here)
        except FileNotFoundError:
            return None, opaque
        if _is_whiteout(found):
            return None, True
        if index < len(parts) - 1 and not stat.S_ISDIR(found.st_mode):
            return None, True
    return here, True


def _below(lowers: Sequence[str], path: str) -> list[str]:
    """Names in a directory of any of the layers."""
    directories = [lower + path for lower in lowers if os.path.isdir(lower + path)]
    return sorted({name for directory in directories for name in os.listdir(directory)})


def _is_whiteout(found: os.stat_result) -> bool:
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def _is_opaque(directory: str) -> bool:
    try:
        return os.getxattr(directory, "trusted.overlay.opaque", follow_symlinks=False) == b"y"
    except OSError:  # it has no such attribute
        return False


def _dressed(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_mode, found.st_uid, found.st_gid
