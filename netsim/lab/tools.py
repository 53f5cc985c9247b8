"""Where the programs are that netsim hands over to."""

from __future__ import annotations

import os
import shutil
import sys


def find_kubectl() -> str | None:
    """The kubectl beside our own interpreter (the `kubectl` extra), else the one on PATH."""
    beside = os.path.join(os.path.dirname(sys.executable), "kubectl")
    return beside if os.access(beside, os.X_OK) else shutil.which("kubectl")
