"""Deleting conntrack entries with the conntrack command, in the calling thread's network namespace."""

from __future__ import annotations

import re

from netsim.host.exec import CommandFailed, run

_COUNT = re.compile(rb"(\d+) flow entries have been deleted")


def delete_entries(*args: str, family: int = 4) -> int:
    """`conntrack -D ARGS`, for instance `--orig-dst 10.96.0.10 -p udp`; how many entries it deleted.

    None found is 0, no error (the command exits with 1 then). Raises CommandMissing, CommandFailed.
    """
    argv = ["conntrack", "-D", *args, *(["-f", "ipv6"] if family == 6 else [])]
    done = run(argv, check=False)
    count = deleted_count(done.stderr)
    if count is None:
        raise CommandFailed(argv, done.returncode, done.stderr)
    return count


def deleted_count(stderr: bytes) -> int | None:
    """How many entries conntrack says it deleted, None if it says nothing of that (pure)."""
    found = _COUNT.search(stderr)
    return int(found.group(1)) if found else None
