"""`kubectl exec`: a command in a container, its streams with the client."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import re
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from netsim.agent.context import Context
from netsim.agent.env import ConfigError
from netsim.agent.remote_streams import (
    STDERR,
    STDOUT,
    Channels,
    answer_streams,
    exit_status,
    failure_status,
    parse_wanted,
)
from netsim.agent.runtime.exec_process import INNER_NAME, end, resize, start_piped, start_terminal
from netsim.agent.runtime.processes import CreateFailed
from netsim.agent.worker import PodWorker
from netsim.api.errors import StatusError
from netsim.http.types import Request, Response

log = logging.getLogger(__name__)
CHUNK = 32 * 1024
_RUNC_START = re.compile(r"(exec failed: .*|unable to start container process: .*)", re.DOTALL)
_SHELL_START = re.compile(rf"^{INNER_NAME}: .*exec: (.*): (.*)$", re.MULTILINE)
RUNC_FAILURE = 255
SHELL_FAILURES = (126, 127)


def answer_exec(context: Context, request: Request, worker: PodWorker, name: str) -> Response:
    """The 101 that begins an exec session, or why there is none."""
    command = request.params("command")
    if not command:
        return Response(400, [("Content-Type", "text/plain")], b"exec: you must specify at least one command parameter")
    wanted = parse_wanted(request)

    async def run(channels: Channels) -> None:
        try:
            if worker.pod is None or worker.state is None:
                raise ProcessLookupError("the pod is gone")
            target = await context.engine.exec_target(worker.pod, worker.state, name)
            root = context.engine.processes.root
            await (_terminal if wanted.tty else _piped)(channels, root, target, command, wanted.stdin)
        except (CreateFailed, ConfigError, StatusError, OSError) as error:
            log.info("exec in %s: %s", name, error)
            with contextlib.suppress(ConnectionError):  # the client may have gone away, which is why we are here
                await channels.finish(failure_status(str(error)))

    return answer_streams(request, run)


async def _piped(channels: Channels, root: str, target: str, command: list[str], stdin: bool) -> None:
    process = await start_piped(root, target, command, stdin=stdin)
    assert process.stdout is not None and process.stderr is not None
    writer = process.stdin

    async def feed(data: bytes) -> None:
        if writer is not None and not writer.is_closing():
            with contextlib.suppress(ConnectionError):  # the command does not read (any more): its own affair
                writer.write(data)
                await writer.drain()

    async def finish_input() -> None:
        if writer is not None:
            writer.close()

    output = [_copy(process.stdout, channels, STDOUT), _copy(process.stderr, channels, STDERR)]
    await _session(channels, process, feed, finish_input, lambda _w, _h: None, output)


async def _copy(reader: asyncio.StreamReader, channels: Channels, channel: int) -> bytes:
    """Send a stream to its end; gives its last bytes."""
    last = b""
    while data := await reader.read(CHUNK):
        last = (last + data)[-1024:]
        await channels.send(channel, data)
    return last


async def _terminal(channels: Channels, root: str, target: str, command: list[str], stdin: bool) -> None:
    process, master = await start_terminal(root, target, command)
    try:

        async def feed(data: bytes) -> None:
            if stdin:
                await _write_all(master, data)

        async def finish_input() -> None:
            await _write_all(master, b"\x04")

        def size(width: int, height: int) -> None:
            resize(master, width, height)

        await _session(channels, process, feed, finish_input, size, [_copy_terminal(master, channels)])
    finally:
        os.close(master)


async def _copy_terminal(master: int, channels: Channels) -> bytes:
    last = b""
    while data := await _read_terminal(master):
        last = (last + data)[-1024:]
        await channels.send(STDOUT, data)
    return last


async def _read_terminal(master: int) -> bytes:
    """Next output of a terminal, b"" once nobody holds its other side."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            return os.read(master, CHUNK)
        except BlockingIOError:
            await _ready(loop.add_reader, loop.remove_reader, master)
        except OSError as error:
            if error.errno == errno.EIO:
                return b""
            raise


async def _write_all(master: int, data: bytes) -> None:
    loop = asyncio.get_running_loop()
    while data:
        try:
            data = data[os.write(master, data) :]
        except BlockingIOError:
            await _ready(loop.add_writer, loop.remove_writer, master)
        except OSError as error:
            if error.errno == errno.EIO:
                return
            raise


async def _ready(add: Callable[..., object], remove: Callable[[int], object], fd: int) -> None:
    event = asyncio.Event()
    add(fd, event.set)
    try:
        await event.wait()
    finally:
        remove(fd)


async def _session(
    channels: Channels,
    process: Process,
    feed: Callable[[bytes], Awaitable[None]],
    finish_input: Callable[[], Awaitable[None]],
    size: Callable[[int, int], None],
    output: list[Coroutine[Any, Any, bytes]],
) -> None:
    """Until the command ends or the client goes away; then the command is killed and the client told, respectively."""
    receiving: asyncio.Future[None] = asyncio.ensure_future(channels.receive(feed, finish_input, size))
    sending: asyncio.Future[list[bytes]] = asyncio.gather(*output)
    try:
        waited: list[asyncio.Future[Any]] = [receiving, sending]
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            last = b"".join(await sending)
            code = await process.wait()
            await channels.finish(_final(code, last))
    finally:
        for task in (receiving, sending):
            task.cancel()
        await asyncio.gather(receiving, sending, return_exceptions=True)
        await end(process)


def _final(code: int, last: bytes) -> dict[str, object]:
    """The Status of an ended command, or of one that could not be started: runc answers 255 with its own message then,
    the shell that stands before a command with input 126 or 127."""
    text = last.decode(errors="replace")
    match = _RUNC_START.search(text) if code == RUNC_FAILURE and "exec failed" in text else None
    if match:
        return failure_status("error executing command in container: " + match[1].strip().rstrip('"'))
    match = _SHELL_START.search(text) if code in SHELL_FAILURES else None
    if match:
        why = "executable file not found in $PATH" if code == SHELL_FAILURES[1] else match[2].lower()
        start = "exec failed: unable to start container process"
        return failure_status(f'error executing command in container: {start}: exec: "{match[1]}": {why}')
    return exit_status(code if code >= 0 else 128 - code)
