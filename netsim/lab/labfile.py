"""Claim, read and check a lab's own description on this machine."""

from __future__ import annotations

import json
import os

from netsim.lab.paths import LabPaths
from netsim.lab.topology import LabSpec, spec_from_json


class LabExists(Exception):
    """A lab of that name is there already."""


class NoSuchLab(Exception):
    """No lab of that name is running."""


def claim_lab(paths: LabPaths) -> None:
    """Make the lab's directories; `mkdir` is the lock, so two `up` at once cannot both succeed."""
    os.makedirs(os.path.dirname(paths.run), mode=0o755, exist_ok=True)
    try:
        os.mkdir(paths.run, 0o711)
    except FileExistsError:
        raise LabExists(
            f"lab `{paths.lab}` exists; remove it with `netsim down --lab {paths.lab}`, or give another --lab NAME"
        ) from None
    os.makedirs(f"{paths.run}/netns", mode=0o711)
    os.makedirs(paths.logs, mode=0o750, exist_ok=True)
    os.chmod(paths.state, 0o711)


def write_lab(spec: LabSpec, paths: LabPaths) -> None:
    """Write the description whole or not at all."""
    with open(f"{paths.spec}.new", "w", encoding="utf-8") as file:
        json.dump(spec.to_json(), file, indent=1)
    os.replace(f"{paths.spec}.new", paths.spec)


def read_lab(paths: LabPaths) -> LabSpec:
    """The description of a lab that was built; NoSuchLab says how to make one."""
    try:
        with open(paths.spec, encoding="utf-8") as file:
            return spec_from_json(json.load(file))
    except FileNotFoundError:
        raise NoSuchLab(
            f"no lab `{paths.lab}` is running; start it with `netsim up --lab {paths.lab}` (`netsim ls` lists labs)"
        ) from None


def read_processes(paths: LabPaths) -> dict[str, int]:
    """Component name -> process id, as the supervisor last wrote it."""
    try:
        with open(paths.processes, encoding="ascii") as file:
            table: dict[str, int] = json.load(file)
            return table
    except FileNotFoundError:
        return {}
