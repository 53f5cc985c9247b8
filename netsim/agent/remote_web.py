"""exec and attach over a WebSocket: messages that begin with their channel (v5, v4, the older ones, and base64)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable

from netsim.agent.model import Obj
from netsim.agent.remote_streams import (
    CLOSE,
    ERROR,
    RESIZE,
    STDERR,
    STDIN,
    STDOUT,
    OnInput,
    OnResize,
    Run,
    Wanted,
    parse_size,
    render_status,
)
from netsim.http.types import Request, Response
from netsim.http.websocket import WebSocket, accept

PROTOCOLS = (
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
)


def answer_web(request: Request, wanted: Wanted, run: Run) -> Response:
    """Accept the WebSocket; a client that offers no subprotocol speaks channel.k8s.io."""

    async def serve(socket: WebSocket) -> None:
        channels = WebChannels(Framed(socket), wanted)
        await channels.greet()
        await run(channels)

    return accept(request, PROTOCOLS, serve)


class Framed:
    """Channel messages over a WebSocket: binary, or for base64 protocols a digit and base64 text."""

    def __init__(self, socket: WebSocket) -> None:
        self.socket = socket
        self.base64 = "base64" in socket.subprotocol

    async def send(self, channel: int, data: bytes) -> None:
        if self.base64:
            await self.socket.send(b"%d" % channel + base64.b64encode(data), text=True)
        else:
            await self.socket.send(bytes([channel]) + data)

    async def recv(self) -> tuple[int, bytes] | None:
        """The next (channel, data), None at the end; messages that are none are skipped."""
        while (message := await self.socket.recv()) is not None:
            parsed = self._parse(message) if message else None
            if parsed is not None:
                return parsed
        return None

    def _parse(self, message: bytes) -> tuple[int, bytes] | None:
        if not self.base64:
            return message[0], message[1:]
        try:
            return int(message[:1]), base64.b64decode(message[1:], validate=True)
        except (ValueError, binascii.Error):
            return None


class WebChannels:
    """One session's WebSocket (`remote_streams.Channels`)."""

    def __init__(self, framed: Framed, wanted: Wanted) -> None:
        self.framed, self.wanted = framed, wanted
        self._open = {ERROR, *[STDOUT] * wanted.stdout, *[STDERR] * wanted.stderr}

    async def greet(self) -> None:
        """An empty message on the lowest channel that is written to tells the client that the session stands."""
        await self.framed.send(min(self._open), b"")

    async def send(self, channel: int, data: bytes) -> None:
        if channel in self._open:
            await self.framed.send(channel, data)

    async def finish(self, status: Obj) -> None:
        rendered = render_status(status, self.framed.socket.subprotocol)
        if rendered:
            await self.framed.send(ERROR, rendered)

    async def receive(self, on_input: OnInput, on_end: Callable[[], Awaitable[None]], on_resize: OnResize) -> None:
        while (message := await self.framed.recv()) is not None:
            channel, data = message
            if channel == STDIN and data and self.wanted.stdin:
                await on_input(data)
            elif channel == CLOSE and data[:1] == bytes([STDIN]):
                await on_end()
            elif channel == RESIZE:
                size = parse_size(data)
                if size:
                    on_resize(*size)
