"""`netsim down`: remove a lab, and prove it."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from netsim.cli.fault import Fault
from netsim.cli.options import Json, Lab, lab_paths, make_app, need_root, want_json
from netsim.lab.inventory import lab_names, read_inventory
from netsim.lab.paths import LabPaths
from netsim.lab.teardown import destroy_lab

app = make_app()


@app.command(epilog="Example: netsim down --lab test")
def down(
    lab: Lab = "default",
    everything: Annotated[bool, typer.Option("--all", help="Remove every lab on this machine.")] = False,
    output: Json = "",
) -> None:
    """Remove a lab: its processes, namespaces, mounts, cgroups and files; also after a crash.

    Exit status 1 and a list if anything of the lab could not be removed.
    """
    need_root("down")
    as_json = want_json(output)
    paths = [LabPaths(name) for name in lab_names()] if everything else [_existing(lab)]
    left = {p.lab: destroy_lab(p) for p in paths}
    if as_json:
        print(json.dumps({"removed": [n for n, rest in left.items() if not rest], "left": left}))
    for name, rest in left.items():
        if rest:
            raise Fault(f"lab `{name}`: could not remove:\n  " + "\n  ".join(rest))
        if not as_json:
            print(f"Lab `{name}` is gone.")
    if not left and not as_json:
        print("There are no labs.")


def _existing(lab: str) -> LabPaths:
    paths = lab_paths(lab)
    if read_inventory(paths).empty:
        known = ", ".join(lab_names()) or "none"
        raise Fault(f"there is no lab `{lab}`; labs on this machine: {known}")
    return paths
