"""`netsim ls`: the labs on this machine."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from netsim.cli.options import Json, make_app, want_json
from netsim.lab.inventory import lab_names
from netsim.lab.labfile import NoSuchLab, read_lab, read_processes
from netsim.lab.paths import LabPaths

app = make_app()


@app.command("ls", epilog="Example: netsim ls -o json")
def list_labs(output: Json = "") -> None:
    """List the labs on this machine: name, nodes, processes, age, API address."""
    as_json = want_json(output)
    labs = [_describe(LabPaths(name)) for name in lab_names()]
    if as_json:
        print(json.dumps(labs))
        return
    if not labs:
        print("There are no labs; make one with `sudo netsim up`.")
        return
    print(f"{'LAB':<20} {'STATE':<10} {'NODES':>5} {'PROCESSES':>9} {'AGE':>6}  API")
    for lab in labs:
        running = f"{lab['running']}/{lab['components']}"
        print(f"{lab['name']:<20} {lab['state']:<10} {lab['nodes']:>5} {running:>9} {lab['age']:>6}  {lab['api']}")


def _describe(paths: LabPaths) -> dict[str, Any]:
    """One lab; `partial` is one that was never finished or lost its supervisor: `netsim down` removes it."""
    try:
        spec = read_lab(paths)
    except (NoSuchLab, PermissionError):
        empty = {"nodes": 0, "running": 0, "components": 0, "age": "", "api": ""}
        return {"name": paths.lab, "state": "partial", **empty}
    pids = read_processes(paths)
    alive = [name for name, pid in pids.items() if pid and os.path.exists(f"/proc/{pid}")]
    age = time.time() - os.stat(paths.spec).st_mtime
    return {
        "name": paths.lab,
        "state": "running" if len(alive) == len(pids) and pids else "partial",
        "nodes": len(spec.nodes),
        "running": len(alive),
        "components": len(pids),
        "age": short_age(age),
        "api": f"https://127.0.0.1:{spec.api_port}",
    }


def short_age(seconds: float) -> str:
    """Seconds in the largest two-digit unit: 45s, 12m, 5h, 3d."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"
