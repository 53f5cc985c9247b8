"""Removing directories whose content somebody else has made."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from typing import Any

from netsim.host.exec import run

REMOVE_SECONDS = 600.0


def remove_tree(directory: str, onerror: Callable[..., Any] | None = None) -> None:
    """Remove a directory with everything in it, however deep: shutil.rmtree, with its `onerror`, takes a call of itself
    and a file descriptor for each level, and a container can nest thousands.

    Raises OSError, and CommandFailed for so deep a one that cannot be removed.
    """
    try:
        shutil.rmtree(directory, onerror=onerror)
    except (RecursionError, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EMFILE:
            raise
        run(["rm", "-rf", "--one-file-system", "--", directory], timeout=REMOVE_SECONDS)
