"""How many files, and with them sockets, this process may have open."""

from __future__ import annotations

import resource


def raise_open_files() -> None:
    """Take all that this process is allowed; the lower limit many systems begin with is for programs with select()."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def open_files_max() -> int:
    """Files that may be open at a time."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
