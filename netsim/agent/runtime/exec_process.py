"""Commands in a container (`runc exec`), with pipes or with a terminal of their own."""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import termios
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process

LIMIT = 64 * 1024
OUTPUT_LIMIT = 64 * 1024


# runc hands every signal on to the command, also the SIGPIPE it earns itself when it copies input to a command that has
# closed its stdin: `head -c 5` then dies before it has written. So the command gets our pipe itself, as a further file
# that runc leaves alone, and a shell puts it in the place of stdin.
_OUTER = 'exec "$@" 3<&0 </dev/null'
_INNER = 'exec "$@" <&3 3<&-'
INNER_NAME = "netsim-exec"


def piped_argv(root: str, container: str, command: list[str]) -> list[str]:
    """The command line of `runc exec` for a command that reads its stdin from ours."""
    inner = ["/bin/sh", "-c", _INNER, INNER_NAME, *command]
    return ["sh", "-c", _OUTER, "sh", "runc", "--root", root, "exec", "--preserve-fds", "1", container, *inner]


def exec_argv(root: str, container: str, command: list[str], *, tty: bool) -> list[str]:
    """The command line of `runc exec`; with a terminal it gets one as its controlling terminal, for resizes."""
    plain = ["runc", "--root", root, "exec", *["--tty"] * tty, container, *command]
    return ["setsid", "--ctty", *plain] if tty else plain


def has_shell(bundle: str) -> bool:
    """Whether a container has /bin/sh: netsim's base always, an image perhaps not."""
    return not os.path.exists(f"{bundle}/image.json") or os.path.lexists(f"{bundle}/rootfs/bin/sh")


async def run_command(root: str, container: str, command: list[str]) -> tuple[int, str]:
    """Run a command to its end: exit status and what it wrote, cut to 64 KiB. Killed when the caller is cancelled."""
    process = await asyncio.create_subprocess_exec(
        *exec_argv(root, container, command, tty=False), stdin=DEVNULL, stdout=PIPE, stderr=STDOUT
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        await end(process)
        raise
    return process.returncode or 0, output[:OUTPUT_LIMIT].decode(errors="replace")


async def start_piped(root: str, container: str, command: list[str], *, stdin: bool) -> Process:
    """A command with stdout and stderr as pipes, and stdin if asked for."""
    through_shell = stdin and has_shell(f"{os.path.dirname(root)}/containers/{container}")
    argv = piped_argv(root, container, command) if through_shell else exec_argv(root, container, command, tty=False)
    return await asyncio.create_subprocess_exec(
        *argv,
        stdin=PIPE if stdin else DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        limit=LIMIT,
    )


async def start_terminal(root: str, container: str, command: list[str]) -> tuple[Process, int]:
    """A command on a new terminal: its process and the terminal's master side, which the caller closes."""
    master, slave = os.openpty()
    try:
        process = await asyncio.create_subprocess_exec(
            *exec_argv(root, container, command, tty=True), stdin=slave, stdout=slave, stderr=slave
        )
    except BaseException:
        os.close(master)
        raise
    finally:
        os.close(slave)
    os.set_blocking(master, False)
    return process, master


def resize(master: int, width: int, height: int) -> None:
    """Set a terminal's size (columns, rows)."""
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


async def end(process: Process) -> None:
    """Kill a command that nobody listens to any more, and wait for it."""
    if process.returncode is None:
        try:
            process.kill()
        except ProcessLookupError:
            return
        await process.wait()
