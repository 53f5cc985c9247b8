"""`kubectl attach` and `run -it`: the streams of a container's own first process, through conmon's attach socket.

An in-process workload has no terminal and reads no input; what it logs from now on is what it writes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket as sockets
from collections.abc import Awaitable, Callable

from netsim.agent.context import Context
from netsim.agent.model import Container, PodState
from netsim.agent.remote_logs import raw_chunks
from netsim.agent.remote_streams import (
    STDERR,
    STDOUT,
    Channels,
    OnInput,
    OnResize,
    answer_streams,
    exit_status,
    failure_status,
)
from netsim.agent.runtime.crilog import LogOptions, parse_line
from netsim.agent.worker import PodWorker
from netsim.http.types import Request, Response

PACKET = 64 * 1024
PIPES = {2: STDOUT, 3: STDERR}


def answer_attach(context: Context, request: Request, worker: PodWorker, name: str) -> Response:
    """The 101 that begins an attach session."""

    async def run(channels: Channels) -> None:
        state = worker.state
        container = state.containers.get(name) if state is not None else None
        try:
            if state is None or container is None:
                raise ProcessLookupError(f"container {name!r} is gone")
            if container.kind == "process":
                await _attach(channels, context.engine.processes.bundle(container.id))
            else:
                await _watch(context, channels, state, container)
        except OSError as error:
            with contextlib.suppress(ConnectionError):  # the client may have gone away, which is why we are here
                await channels.finish(failure_status(str(error)))

    return answer_streams(request, run)


def _connect(bundle: str) -> sockets.socket:
    """conmon's socket has a path longer than an address may be: it is reached through its directory's descriptor."""
    directory = os.open(bundle, os.O_PATH | os.O_CLOEXEC)
    sock = sockets.socket(sockets.AF_UNIX, sockets.SOCK_SEQPACKET)
    try:
        sock.connect(f"/proc/self/fd/{directory}/attach")
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    finally:
        os.close(directory)
    return sock


async def _attach(channels: Channels, bundle: str) -> None:
    loop = asyncio.get_running_loop()
    try:
        connection = _connect(bundle)
    except (FileNotFoundError, ConnectionRefusedError):
        raise ProcessLookupError("the container has ended") from None
    with connection as sock:

        async def feed(data: bytes) -> None:
            await loop.sock_sendall(sock, data)

        async def finish_input() -> None:
            sock.shutdown(sockets.SHUT_WR)

        def size(width: int, height: int) -> None:
            _write_control(bundle, f"{height} {width}\n")

        await _session(channels, _copy(sock, channels), feed, finish_input, size)


async def _watch(context: Context, channels: Channels, state: PodState, container: Container) -> None:
    async def feed(_data: bytes) -> None:
        return

    async def finish_input() -> None:
        return

    path = context.engine.log_path(state.uid, container.name, container.attempt)
    sending = _copy_log(path, channels, lambda: not container.running)
    await _session(channels, sending, feed, finish_input, lambda _width, _height: None)


async def _session(
    channels: Channels,
    output: Awaitable[None],
    feed: OnInput,
    finish_input: Callable[[], Awaitable[None]],
    size: OnResize,
) -> None:
    """Until the container ends or the client goes away."""
    receiving = asyncio.ensure_future(channels.receive(feed, finish_input, size))
    sending = asyncio.ensure_future(output)
    try:
        await asyncio.wait([receiving, sending], return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            await sending
            await channels.finish(exit_status(0))
    finally:
        for task in (receiving, sending):
            task.cancel()
        await asyncio.gather(receiving, sending, return_exceptions=True)


async def _copy(sock: sockets.socket, channels: Channels) -> None:
    """Each packet begins with the stream it is of."""
    loop = asyncio.get_running_loop()
    while packet := await loop.sock_recv(sock, PACKET):
        await channels.send(PIPES.get(packet[0], STDOUT), packet[1:])


async def _copy_log(path: str, channels: Channels, ended: Callable[[], bool]) -> None:
    async for lines in raw_chunks(path, LogOptions(follow=True, tail=0), ended):
        for parsed in filter(None, map(parse_line, lines)):
            _, stream, complete, text = parsed
            await channels.send(STDERR if stream == "stderr" else STDOUT, text + b"\n" * complete)


def _write_control(bundle: str, line: str) -> None:
    """conmon's control pipe; a container without a terminal has no use for a size."""
    fd = os.open(f"{bundle}/winsz", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.write(fd, line.encode())
    finally:
        os.close(fd)
