"""How much disk a directory's files take, as `du` counts it."""

from __future__ import annotations

import errno
import os


def disk_usage(directory: str) -> int:
    """Bytes of blocks below a directory, hard links once, other file systems left out; what vanishes meanwhile is 0,
    and so is what lies deeper than a path can tell. Raises OSError."""
    try:
        device = os.lstat(directory).st_dev
    except FileNotFoundError:
        return 0
    seen: set[int] = set()
    total, left = 0, [directory]
    while left:
        try:
            entries = list(os.scandir(left.pop()))
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
                continue
            raise
        for entry in entries:
            try:
                found = entry.stat(follow_symlinks=False)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ENAMETOOLONG):
                    continue
                raise
            if found.st_dev != device or found.st_ino in seen:
                continue
            seen.add(found.st_ino)
            total += found.st_blocks * 512
            if entry.is_dir(follow_symlinks=False):
                left.append(entry.path)
    return total
