"""Run one verb's Typer application, with exit statuses that scripts can use."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import typer

from netsim.cli.fault import Fault

INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def run_verb(app: typer.Typer, verb: str, arguments: list[str]) -> NoReturn:
    """0 done, 1 a fault, 2 wrong usage, 130 interrupted; a closed pipe ends quietly."""
    try:
        status = app(args=arguments, prog_name=f"netsim {verb}", standalone_mode=False)
        sys.stdout.flush()
    except typer.Exit as done:
        status = done.exit_code
    except (typer.Abort, KeyboardInterrupt):
        print("netsim: interrupted", file=sys.stderr)
        status = INTERRUPTED
    except Fault as fault:
        print(f"netsim: {fault}", file=sys.stderr)
        status = fault.status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the flush at exit complains again
        status = 141
    except Exception as error:
        status = _usage_error(error)
    sys.exit(status if isinstance(status, int) else 0)


def _usage_error(error: Exception) -> int:
    """Typer's own errors know how to show themselves (their class is private to it); all others are ours to mend."""
    show, code = getattr(error, "show", None), getattr(error, "exit_code", None)
    if show is None or not isinstance(code, int):
        raise error
    show()
    return code
