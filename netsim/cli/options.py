"""Options that many verbs share, and the errors they turn into."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from netsim.cli.fault import Fault, sudo_netsim
from netsim.lab.labfile import NoSuchLab, read_lab
from netsim.lab.paths import LabPaths
from netsim.lab.topology import LabSpec, TopologyError, check_lab_name

Lab = Annotated[
    str,
    typer.Option(
        "--lab",
        envvar="NETSIM_LAB",
        metavar="NAME",
        show_envvar=False,
        show_default=False,
        help="The lab (default: $NETSIM_LAB, else `default`).",
    ),
]
Json = Annotated[str, typer.Option("--output", "-o", metavar="json", help="Print JSON instead of text.")]


def make_app() -> typer.Typer:
    """A Typer application for one verb: no rich, no completion of its own, 80 columns."""
    return typer.Typer(
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    )


def lab_paths(lab: str) -> LabPaths:
    """Paths of a lab whose name has been checked (names become paths)."""
    try:
        check_lab_name(lab)
    except TopologyError as error:
        raise Fault(str(error)) from None
    return LabPaths(lab)


def running_lab(lab: str) -> tuple[LabSpec, LabPaths]:
    """The description and paths of a lab that must exist."""
    paths = lab_paths(lab)
    try:
        return read_lab(paths), paths
    except NoSuchLab as error:
        raise Fault(str(error)) from None
    except PermissionError:
        raise Fault(f"lab `{lab}` belongs to root; run the command with sudo") from None


def need_root(verb: str) -> None:
    """Namespaces and rules need root; say so before anything is touched."""
    if os.geteuid() != 0:
        raise Fault(f"`netsim {verb}` needs root; run: {sudo_netsim()} {verb} …")


def want_json(output: str) -> bool:
    """Whether `-o json` was given; any other format is an error."""
    if output not in ("", "json"):
        raise Fault(f"-o {output}: unknown format; use `-o json` or leave it out")
    return output == "json"
