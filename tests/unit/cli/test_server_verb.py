"""`netsim server` as a process."""

from __future__ import annotations

import signal
import subprocess
import sys

PROGRAM = """
import asyncio, uvloop
from netsim.cli.server import _end_on_signals

async def main():
    print("runs", flush=True)
    await asyncio.Event().wait()

_end_on_signals()
try:
    uvloop.run(main())
except KeyboardInterrupt:
    print("ended")
"""


def test_sigterm_ends_it_also_as_a_job_in_the_background() -> None:
    command = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "runs\n"
            process.send_signal(signal.SIGTERM)
            assert process.communicate(timeout=20) == ("ended\n", None)
        finally:
            process.kill()
