"""kubectl 1.20, Debian 12's: the oldest client that courses still use. `scripts/install --test` fetches it."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

DIRECTORY = Path("/opt/netsim-kubectl-1.20")
_PLACES = (os.environ.get("NETSIM_KUBECTL_120", ""), str(DIRECTORY / "usr/bin/kubectl"), "/usr/bin/kubectl")


@cache
def kubectl_120() -> str:
    """The path of kubectl 1.20; FileNotFoundError, which says how to get it, where there is none.

    Looked for in $NETSIM_KUBECTL_120, where `scripts/install --test` puts it, and in /usr/bin (Debian 12's package
    kubernetes-client).
    """
    for place in filter(None, _PLACES):
        if Path(place).exists() and _is_120(place):
            return place
    raise FileNotFoundError(
        f"no kubectl 1.20 in {DIRECTORY} nor /usr/bin; run scripts/install --test (it takes Debian 12's package "
        "kubernetes-client), or name one in NETSIM_KUBECTL_120"
    )


def _is_120(path: str) -> bool:
    done = subprocess.run([path, "version", "--client"], capture_output=True, text=True, timeout=30, check=False)
    return 'GitVersion:"v1.20.' in done.stdout
