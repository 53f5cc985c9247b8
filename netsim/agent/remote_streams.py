"""The channel protocol of exec and attach (v5.channel.k8s.io and v4) over a WebSocket."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from netsim.agent.model import Obj
from netsim.http.websocket import WebSocket

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
OnInput = Callable[[bytes], Awaitable[None]]
OnResize = Callable[[int, int], None]


def exit_status(code: int) -> Obj:
    """The Status that ends a session, from a command's exit status."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def failure_status(message: str) -> Obj:
    """The Status of a session that could not be."""
    return {"metadata": {}, "status": "Failure", "message": message, "reason": "InternalError", "code": 500}


class Channels:
    """One session's WebSocket."""

    def __init__(self, socket: WebSocket) -> None:
        self.socket = socket

    async def send(self, channel: int, data: bytes) -> None:
        await self.socket.send(bytes([channel]) + data)

    async def finish(self, status: Obj) -> None:
        """Send the final Status; the caller closes."""
        await self.send(ERROR, json.dumps(status).encode())

    async def receive(self, on_input: OnInput, on_end: Callable[[], Awaitable[None]], on_resize: OnResize) -> None:
        """Hand on what the client sends until it goes away. `on_end` is its end of stdin (v5 only)."""
        while (message := await self.socket.recv()) is not None:
            if not message:
                continue
            channel, data = message[0], message[1:]
            if channel == STDIN and data:
                await on_input(data)
            elif channel == CLOSE and data[:1] == bytes([STDIN]):
                await on_end()
            elif channel == RESIZE:
                size = parse_size(data)
                if size:
                    on_resize(*size)


def parse_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) of a resize message, None for one that makes no sense."""
    try:
        size = json.loads(data)
        width, height = int(size["Width"]), int(size["Height"])
    except (ValueError, KeyError, TypeError):
        return None
    return (width, height) if 0 < width < 65536 and 0 < height < 65536 else None
