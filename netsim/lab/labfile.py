"""Claim, read and check a lab's own description on this machine."""

from __future__ import annotations

import contextlib
import json
import os

from netsim.host import mount
from netsim.lab.paths import LabPaths
from netsim.lab.topology import LabSpec, spec_from_json

_ATTEMPTS = 5


class LabExists(Exception):
    """A lab of that name is there already."""


class NoSuchLab(Exception):
    """No lab of that name is running."""


def claim_lab(paths: LabPaths) -> None:
    """Make the lab's directories; `mkdir` is the lock, so two `up` at once cannot both succeed.

    State without the rest is a lab from before a reboot. It is not taken over: it may be of other nodes and networks.
    """
    mend = f"remove it with `netsim down --lab {paths.lab}`, or give another --lab NAME"
    if os.path.lexists(paths.state) and not os.path.lexists(paths.run):
        raise LabExists(f"{paths.state} is left of an earlier lab `{paths.lab}`; {mend}")
    try:
        _make_directory(paths.run)
    except FileExistsError:
        raise LabExists(f"lab `{paths.lab}` exists; {mend}") from None
    mount.keep_in_memory(paths.run, 0o711)
    os.mkdir(f"{paths.run}/netns", 0o711)
    _make_directory(paths.state)
    os.mkdir(paths.logs, 0o750)


def make_directories(paths: LabPaths) -> None:
    """The lab's two directories, unless they are there, for components that run without `up`."""
    for path in (paths.run, paths.state):
        with contextlib.suppress(FileExistsError):
            _make_directory(path)


def _make_directory(path: str) -> None:
    """Make it, and its parent, which the `down` of another lab may just be removing because it is empty."""
    for attempt in range(_ATTEMPTS):
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        try:
            return os.mkdir(path, 0o711)
        except FileNotFoundError:
            if attempt == _ATTEMPTS - 1:
                raise


def write_lab(spec: LabSpec, paths: LabPaths) -> None:
    """Write the description whole or not at all."""
    with open(f"{paths.spec}.new", "w", encoding="utf-8") as file:
        json.dump(spec.to_json(), file, indent=1)
    os.replace(f"{paths.spec}.new", paths.spec)


def read_lab(paths: LabPaths) -> LabSpec:
    """The description of a lab that was built; NoSuchLab says how to make one, or to remove one that is damaged."""
    try:
        with open(paths.spec, encoding="utf-8") as file:
            return spec_from_json(json.load(file))
    except (ValueError, TypeError, LookupError):
        raise NoSuchLab(
            f"{paths.spec} is damaged, or of another version of netsim; remove it with `netsim down --lab {paths.lab}`"
        ) from None
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
