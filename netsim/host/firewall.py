"""iptables and ip6tables through their commands, in the calling thread's network namespace."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Literal

from netsim.host.exec import CommandFailed, run

Family = Literal[4, 6]

# Wait up to 5 s for the xtables lock of legacy iptables, looking every 100 ms, as kube-proxy does.
WAIT = ("-w", "5", "-W", "100000")
SAVE_TIMEOUT = 120.0
RESOURCE_PROBLEM = 4  # xtables.h; what is not there is another status


def command(family: Family, tool: Literal["", "-save", "-restore"] = "") -> str:
    """Name of the command of a family: iptables, ip6tables-restore, … (pure)."""
    return ("iptables" if family == 4 else "ip6tables") + tool


def restore(
    payload: bytes, family: Family, *, flush: bool = False, counters: bool = False, timeout: float = 60.0
) -> None:
    """Apply iptables-save text at once, table by table; chains not named stay unless `flush`.

    Raises CommandFailed with the command's own words (it names the line), CommandMissing.
    """
    options = [*([] if flush else ["--noflush"]), *(["--counters"] if counters else [])]
    run([command(family, "-restore"), *WAIT, *options], input=payload, timeout=timeout, quiet=True)


def save(family: Family, table: str = "") -> str:
    """iptables-save text of one table, or of all that are in use."""
    argv = [command(family, "-save"), *(["-t", table] if table else [])]
    return run(argv, timeout=SAVE_TIMEOUT).stdout.decode()


def save_lines(family: Family, *, counters: bool = False) -> Iterator[str]:
    """As `save`, of all tables, line by line: there may be many megabytes. What is no UTF-8 is replaced."""
    done = run([command(family, "-save"), *(["-c"] if counters else [])], timeout=SAVE_TIMEOUT)
    return TextIOWrapper(BytesIO(done.stdout), errors="replace")


def recent_lists() -> tuple[dict[str, str], int, float]:
    """The lists of match `recent` by name, the kernel's ticks and seconds since it started; none without ticks."""
    directory = Path("/proc/thread-self/net/xt_recent")
    try:
        count = re.search(r"^jiffies: (\d+)$", Path("/proc/timer_list").read_text(encoding="ascii"), re.MULTILINE)
    except OSError:
        count = None
    uptime = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    if count is None or not directory.is_dir():
        return {}, 0, uptime
    return {each.name: each.read_text(encoding="ascii") for each in directory.iterdir()}, int(count[1]), uptime


def run_iptables(args: list[str], family: Family, *, check: bool = False) -> int:
    """Run iptables with the wait options; its exit status (1: no such rule or chain, or it exists already)."""
    argv = [command(family), *WAIT, *args]
    done = run(argv, check=False)
    if check and done.returncode != 0:
        raise CommandFailed(argv, done.returncode, done.stderr)
    return done.returncode


def list_chain(family: Family, chain: str, table: str = "nat") -> list[str]:
    """The rules of one chain as `iptables -S` writes them (`-A CHAIN …`), [] when there is no such chain.

    CommandFailed when that cannot be told, as without the xtables lock.
    """
    argv = [command(family), *WAIT, "-t", table, "-S", chain]
    done = run(argv, check=False, timeout=SAVE_TIMEOUT)
    if done.returncode == RESOURCE_PROBLEM:
        raise CommandFailed(argv, done.returncode, done.stderr)
    return [line for line in done.stdout.decode(errors="replace").splitlines() if line.startswith("-A ")]


def version() -> str:
    """What `iptables --version` prints; see `parse_version` and `parse_backend`."""
    return run([command(4), "--version"]).stdout.decode()


def backend() -> Literal["nf_tables", "legacy"]:
    """Which kernel interface the installed iptables command uses."""
    return parse_backend(version())


def parse_version(text: str) -> tuple[int, ...]:
    """From `iptables --version`: (1, 8, 9) of "iptables v1.8.9 (nf_tables)" (pure)."""
    found = re.search(r"v(\d+(?:\.\d+)*)", text)
    return tuple(map(int, found.group(1).split("."))) if found else ()


def parse_backend(version: str) -> Literal["nf_tables", "legacy"]:
    """From `iptables --version`: "iptables v1.8.9 (nf_tables)"; versions before 1.8 name none: legacy (pure)."""
    return "nf_tables" if "(nf_tables)" in version else "legacy"
