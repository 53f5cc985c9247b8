"""`kubectl attach` and `run -it`: the streams of a container's own first process, through conmon's attach socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket as sockets

from netsim.agent.context import Context
from netsim.agent.remote_streams import PROTOCOLS, STDERR, STDOUT, Channels, exit_status, failure_status
from netsim.agent.worker import PodWorker
from netsim.http.types import Request, Response
from netsim.http.websocket import WebSocket, accept

PACKET = 64 * 1024
PIPES = {2: STDOUT, 3: STDERR}


def answer_attach(context: Context, request: Request, worker: PodWorker, name: str) -> Response:
    """The 101 that begins an attach session."""

    async def run(web: WebSocket) -> None:
        channels = Channels(web)
        container = worker.state.containers.get(name) if worker.state is not None else None
        try:
            if container is None or container.kind != "process":
                raise ConnectionError(
                    f"container {name!r} is an in-process workload and has no terminal to attach to; use exec"
                )
            await _session(channels, context.engine.processes.bundle(container.id))
        except OSError as error:
            with contextlib.suppress(ConnectionError):  # the client may have gone away, which is why we are here
                await channels.finish(failure_status(str(error)))

    return accept(request, PROTOCOLS, run)


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


async def _session(channels: Channels, bundle: str) -> None:
    loop = asyncio.get_running_loop()
    with _connect(bundle) as sock:

        async def feed(data: bytes) -> None:
            await loop.sock_sendall(sock, data)

        async def finish_input() -> None:
            sock.shutdown(sockets.SHUT_WR)

        def size(width: int, height: int) -> None:
            _write_control(bundle, f"{height} {width}\n")

        receiving = asyncio.ensure_future(channels.receive(feed, finish_input, size))
        sending = asyncio.ensure_future(_copy(sock, channels))
        try:
            await asyncio.wait([receiving, sending], return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
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


def _write_control(bundle: str, line: str) -> None:
    """conmon's control pipe; a container without a terminal has no use for a size."""
    fd = os.open(f"{bundle}/winsz", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.write(fd, line.encode())
    finally:
        os.close(fd)
