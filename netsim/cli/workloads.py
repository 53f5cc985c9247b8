"""`netsim workloads`: the process that is a node's in-process containers, alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from netsim.cli.fault import Fault
from netsim.cli.options import make_app, need_root

app = make_app()


@app.command(epilog="Example: netsim workloads /run/netsim/vm/worker-1/workloads.sock")
def workloads(
    control: Annotated[Path, typer.Argument(metavar="SOCKET", help="Unix socket on which the agent commands it.")],
) -> None:
    """Serve in-process containers until SIGTERM, as the agent of this node asks for them on SOCKET."""
    need_root("workloads")
    if not os.path.isdir(control.parent):
        raise Fault(f"{control}: the directory {control.parent} does not exist; make it first")
    from netsim.agent.runtime.workload_server import run_workload_host

    run_workload_host(str(control))
