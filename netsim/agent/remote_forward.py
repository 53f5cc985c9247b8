"""`kubectl port-forward`: connections to ports inside a pod, as the container runtime makes them, to localhost.

Three ways lead here: SPDY (`portforward.k8s.io`), the same SPDY bytes in a WebSocket
(`SPDY/3.1+portforward.k8s.io`), and channels of a WebSocket (`remote_channels`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from netsim.agent.context import Context
from netsim.agent.remote_spdy import accept_spdy
from netsim.agent.runtime.pod_dial import CHUNK, Connection, DialFailed, dial_pod
from netsim.agent.worker import PodWorker
from netsim.http.spdy import SpdyError
from netsim.http.spdy_frames import REFUSED_STREAM
from netsim.http.spdy_session import MAX_STREAMS, SpdySession
from netsim.http.spdy_stream import SpdyStream, StreamReset
from netsim.http.types import ByteStream, Request, Response

log = logging.getLogger(__name__)
PROTOCOL = "portforward.k8s.io"
TUNNEL = f"SPDY/3.1+{PROTOCOL}"
PAIR_SECONDS = 30.0

Dial = Callable[[int], Awaitable[Connection]]


def answer_forward(context: Context, request: Request, worker: PodWorker) -> Response:
    """The 101 that begins a session of forwards to one pod, or why there is none."""
    state = worker.state
    if state is None or state.sandbox is None:
        return Response(500, [("Content-Type", "text/plain")], b"the pod has no network namespace (any more)")
    netns, uid = state.sandbox.netns, state.uid

    async def dial(port: int) -> Connection:
        try:
            return await dial_pod(context.engine.call, netns, port)
        except DialFailed as error:
            raise DialFailed(f"error forwarding port {port} to pod {uid}, uid : {error}") from None

    async def serve(stream: ByteStream, _protocol: str = PROTOCOL) -> None:
        await until_gone(worker, Forwards(stream, dial).run())

    upgrade = request.header("upgrade").lower()
    if upgrade == "websocket":
        from netsim.agent.remote_channels import answer_channels

        return answer_channels(request, dial, serve, worker)
    if upgrade == "spdy/3.1":
        return accept_spdy(request, (PROTOCOL,), serve)
    text = b"unable to upgrade: want Connection: Upgrade and Upgrade: websocket or SPDY/3.1"
    return Response(400, [("Content-Type", "text/plain")], text)


async def until_gone(worker: PodWorker, session: Awaitable[None]) -> None:
    """Run a session to its end, or to that of the pod's sandbox."""
    serving = asyncio.ensure_future(session)
    gone = asyncio.ensure_future(worker.gone.wait())
    try:
        await asyncio.wait([serving, gone], return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
        serving.cancel()
        ended, _ = await asyncio.gather(serving, gone, return_exceptions=True)
        if isinstance(ended, Exception) and not isinstance(ended, OSError):
            log.error("a port-forward session failed", exc_info=ended)


@dataclass(frozen=True, slots=True)
class _Pair:
    """The first stream of a connection, by its type, and the task that gives it up if the second does not come."""

    streams: dict[str, SpdyStream]
    expiring: asyncio.Task[None]


class Forwards:
    """One SPDY connection: a pair of streams (error, data) with one requestid for each forwarded connection."""

    def __init__(self, stream: ByteStream, dial: Dial) -> None:
        self.dial = dial
        self.session = SpdySession(stream, self._opened)
        self._pending: dict[str, _Pair] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until the client goes away."""
        try:
            await self.session.run()
        except SpdyError as error:
            log.info("a port-forward client broke the SPDY protocol: %s", error)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self.session.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a forwarded connection failed", exc_info=task.exception())

    def _opened(self, stream: SpdyStream) -> None:
        kind, port = stream.headers.get("streamtype", ""), parse_port(stream.headers.get("port", ""))
        key = request_key(stream.headers, stream.stream_id)
        pair = self._pending.get(key)
        # Streams that are reset at once do not count for the session, but what they began may go on.
        crowded = len(self._tasks) >= MAX_STREAMS
        if kind not in ("error", "data") or port is None or crowded or (pair is not None and kind in pair.streams):
            self._spawn(stream.reset(REFUSED_STREAM))
            return
        if kind == "error":
            stream.discard()
        if pair is None:
            self._pending[key] = _Pair({kind: stream}, self._spawn(self._expire(key, stream)))
            return
        del self._pending[key]
        pair.expiring.cancel()
        streams = {**pair.streams, kind: stream}
        self._spawn(forward(self.dial, port, streams["data"], streams["error"]))

    async def _expire(self, key: str, stream: SpdyStream) -> None:
        await asyncio.sleep(PAIR_SECONDS)
        del self._pending[key]
        await stream.reset()


def parse_port(text: str) -> int | None:
    """A port number, None for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 and 0 < int(text) < 65536 else None


def request_key(headers: dict[str, str], stream_id: int) -> str:
    """What the two streams of a connection have in common; old clients send no requestid but open them in a row."""
    first = stream_id if headers.get("streamtype") == "error" else stream_id - 2
    return headers.get("requestid") or f"stream {first}"


async def forward(dial: Dial, port: int, data: SpdyStream, error: SpdyStream) -> None:
    """Carry one connection; its failure is told on the error stream, and the session goes on."""
    with contextlib.suppress(ConnectionError):  # the client has gone: nobody to tell
        try:
            connection = await dial(port)
        except DialFailed as failure:
            log.info("%s", failure)
            await error.write(str(failure).encode())
        else:
            await _carry(connection, data, error)
        await error.finish()
        await data.finish()
    # Nobody reads any more what the client still sends, which would hold up its other connections.
    data.discard()


async def _carry(connection: Connection, data: SpdyStream, error: SpdyStream) -> None:
    reader, writer = connection
    up = asyncio.create_task(_copy_up(data, writer))
    try:
        with contextlib.suppress(ConnectionResetError):  # the program in the pod broke off, or the client did
            while received := await reader.read(CHUNK):
                await data.write(received)
        # The client waits for both ends before it lets go of its own side.
        await data.finish()
        await error.finish()
        await up
    finally:
        up.cancel()
        await asyncio.gather(up, return_exceptions=True)
        writer.close()


async def _copy_up(data: SpdyStream, writer: asyncio.StreamWriter) -> None:
    try:
        while received := await data.read():
            writer.write(received)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except StreamReset:  # the client broke off; the program in the pod may never say anything by which to notice
        writer.transport.abort()
    except OSError:  # the program broke off: the other direction notices as well
        data.discard()
