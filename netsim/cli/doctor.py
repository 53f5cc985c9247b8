"""`netsim doctor`: what this machine has and lacks."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer

from netsim.cli.options import Json, make_app, want_json
from netsim.lab.doctor import blocking_problems, judge, look, missing_packages

app = make_app()

_MARK = {"ok": "ok", "missing": "MISSING", "optional": "absent"}


@app.command(epilog="Example: netsim doctor -o json")
def doctor(
    output: Json = "",
    packages: Annotated[
        bool, typer.Option("--packages", help="Print only the Debian packages that are missing, one a line.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only what needs mending.")] = False,
) -> None:
    """Say what this machine has and lacks for a lab, each with its mend. Exit status 1 if a lab could not run."""
    as_json = want_json(output)
    checks = judge(look())
    if packages:
        print("\n".join(missing_packages(checks)), end="\n" if missing_packages(checks) else "")
        return
    if as_json:
        print(json.dumps([dataclasses.asdict(c) for c in checks]))
    else:
        for check in checks:
            if not quiet or check.level == "missing":
                print(f"{_MARK[check.level]:<8} {check.name:<22} {check.found}")
                if check.mend:
                    print(f"{'':<8} {'':<22} -> {check.mend}")
    raise typer.Exit(1 if blocking_problems(checks) else 0)
