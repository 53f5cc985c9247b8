"""port-forward over the channels of a WebSocket, as kr8s and the Python `kubernetes` client do it.

The query names the ports; port number i has channel 2i for its bytes and 2i + 1 for its error text, and each channel
begins with the port as two little-endian bytes. There is one connection per port, made at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from netsim.agent.remote_forward import TUNNEL, Dial, parse_port, until_gone
from netsim.agent.remote_web import Framed
from netsim.agent.runtime.pod_dial import CHUNK, DialFailed
from netsim.agent.worker import PodWorker
from netsim.http.types import ByteStream, Request, Response
from netsim.http.websocket import WebSocket, WebSocketBytes, accept

PROTOCOLS = (TUNNEL, "v4.channel.k8s.io", "v4.base64.channel.k8s.io")
PORTS_LIMIT = 100


def answer_channels(
    request: Request, dial: Dial, tunnel: Callable[[ByteStream], Awaitable[None]], worker: PodWorker
) -> Response:
    """Accept the WebSocket, for channels or for `tunnel`led SPDY; 400 for ports that are none."""
    texts = [text for name in ("port", "ports") for value in request.params(name) for text in value.split(",")]
    ports = [parse_port(text) for text in texts]
    if None in ports or len(ports) > PORTS_LIMIT:
        return Response(400, [("Content-Type", "text/plain")], f"no list of ports: {','.join(texts)}".encode())

    async def serve(socket: WebSocket) -> None:
        if socket.subprotocol == TUNNEL:
            await tunnel(WebSocketBytes(socket))
        else:
            await until_gone(worker, _Channels(Framed(socket), dial, [p for p in ports if p is not None]).run())

    answer = accept(request, PROTOCOLS, serve)
    if answer.status == 101 and not ports and answer.header("sec-websocket-protocol") != TUNNEL:
        return Response(400, [("Content-Type", "text/plain")], b'query parameter "port" is required')
    return answer


class _Channels:
    """One WebSocket's ports."""

    def __init__(self, framed: Framed, dial: Dial, ports: list[int]) -> None:
        self.framed, self.dial, self.ports = framed, dial, ports
        self._writers: list[asyncio.Future[asyncio.StreamWriter | None]] = []

    async def run(self) -> None:
        """Until the client goes away, or every port's connection has ended."""
        loop = asyncio.get_running_loop()
        self._writers = [loop.create_future() for _ in self.ports]
        for channel, port in enumerate(port for port in self.ports for _ in range(2)):
            await self.framed.send(channel, port.to_bytes(2, "little"))
        receiving = asyncio.ensure_future(self._receive())
        sending = asyncio.gather(*(self._forward(index, port) for index, port in enumerate(self.ports)))
        waited: list[asyncio.Future[Any]] = [receiving, sending]
        try:
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            receiving.cancel()
            sending.cancel()
            await asyncio.gather(receiving, sending, return_exceptions=True)

    async def _forward(self, index: int, port: int) -> None:
        try:
            reader, writer = await self.dial(port)
        except DialFailed as error:
            self._writers[index].set_result(None)
            await self.framed.send(2 * index + 1, str(error).encode())
            return
        self._writers[index].set_result(writer)
        try:
            with contextlib.suppress(ConnectionResetError):  # the program in the pod broke off
                while data := await reader.read(CHUNK):
                    await self.framed.send(2 * index, data)
        finally:
            writer.close()

    async def _receive(self) -> None:
        while (message := await self.framed.recv()) is not None:
            channel, data = message
            if channel % 2 == 0 and channel < 2 * len(self.ports):
                await self._write(await self._writers[channel // 2], data)

    async def _write(self, writer: asyncio.StreamWriter | None, data: bytes) -> None:
        if writer is not None and not writer.is_closing():
            with contextlib.suppress(ConnectionError):  # the program in the pod does not read (any more)
                writer.write(data)
                await writer.drain()
