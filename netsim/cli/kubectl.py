"""`netsim kubectl …`: the real kubectl with the lab's kubeconfig; all arguments are kubectl's."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from netsim.cli.fault import sudo_netsim
from netsim.lab.paths import LabPaths
from netsim.lab.tools import find_kubectl


def run_kubectl(arguments: list[str]) -> NoReturn:
    """Become kubectl. The lab comes from NETSIM_LAB only, since every option belongs to kubectl. A first `--`, as
    minikube's kubectl wants it, is left out: kubectl itself would print its help."""
    lab = os.environ.get("NETSIM_LAB") or "default"
    kubeconfig = LabPaths(lab).kubeconfig
    if "/" in lab or not os.access(kubeconfig, os.R_OK):
        sys.exit(_explain(lab, kubeconfig))
    program = find_kubectl()
    if program is None:
        sys.exit("netsim: kubectl not found; install it with scripts/install, or pip install 'netsim[kubectl]'")
    own = arguments[1:] if arguments[:1] == ["--"] else arguments
    os.execve(program, ["kubectl", *own], {**os.environ, "KUBECONFIG": kubeconfig})


def _explain(lab: str, kubeconfig: str) -> str:
    if os.path.exists(os.path.dirname(kubeconfig)) and os.geteuid() != 0:
        return f"netsim: the kubeconfig of lab `{lab}` is readable by root only; run: {sudo_netsim()} kubectl …"
    if os.path.isdir(os.path.dirname(kubeconfig)):
        return f"netsim: this machine holds no kubeconfig of lab `{lab}`; run it where `netsim server` runs"
    return f"netsim: no lab `{lab}` is running; start it with `netsim up --lab {lab}` (`netsim ls` lists labs)"
