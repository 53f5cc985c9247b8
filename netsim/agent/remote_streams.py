"""The streams of exec and attach, whatever carries them: what a client asks for, their ends, the final Status."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from netsim.agent.model import Obj
from netsim.http.types import Request, Response

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
# From here on the end is told by a Status in JSON; before, by a text, and only a failure's.
STATUS_PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io")
OnInput = Callable[[bytes], Awaitable[None]]
OnResize = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """The streams a client asks for; a terminal has no stderr of its own."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False


def parse_wanted(request: Request) -> Wanted:
    """The query's streams, by the kubelet's names (input, output, error) or the API's."""
    on = {name for name, value in request.query if value in ("true", "1")}
    tty = "tty" in on
    return Wanted(bool(on & {"stdin", "input"}), bool(on & {"stdout", "output"}),
                  bool(on & {"stderr", "error"}) and not tty, tty)  # fmt: skip


class Channels(Protocol):
    """One session with a client. Sending raises ConnectionError when the client has gone."""

    async def send(self, channel: int, data: bytes) -> None:
        """Send output; a channel that the client did not ask for is dropped."""
        ...

    async def finish(self, status: Obj) -> None:
        """Send the final Status; the caller closes."""
        ...

    async def receive(self, on_input: OnInput, on_end: Callable[[], Awaitable[None]], on_resize: OnResize) -> None:
        """Hand on what the client sends until it goes away. `on_end` is its end of stdin, where it can tell."""
        ...


Run = Callable[[Channels], Awaitable[None]]


def answer_streams(request: Request, run: Run) -> Response:
    """The 101 after which `run` has the client's streams, over SPDY or a WebSocket; or why there is none."""
    wanted = parse_wanted(request)
    if not (wanted.stdin or wanted.stdout or wanted.stderr):
        return _refusal("you must specify at least 1 of stdin, stdout, stderr")
    upgrade = request.header("upgrade").lower()
    if upgrade == "websocket":
        from netsim.agent.remote_web import answer_web

        return answer_web(request, wanted, run)
    if upgrade == "spdy/3.1":
        from netsim.agent.remote_spdy import answer_spdy

        return answer_spdy(request, wanted, run)
    return _refusal("unable to upgrade: want Connection: Upgrade and Upgrade: websocket or SPDY/3.1")


def _refusal(text: str) -> Response:
    return Response(400, [("Content-Type", "text/plain; charset=utf-8")], text.encode())


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


def render_status(status: Obj, protocol: str) -> bytes:
    """The last message on the error channel; b"" for none."""
    if protocol in STATUS_PROTOCOLS:
        return json.dumps(status).encode()
    return b"" if status["status"] == "Success" else str(status["message"]).encode()


def parse_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) of a resize message, None for one that makes no sense."""
    try:
        size = json.loads(data)
        width, height = int(size["Width"]), int(size["Height"])
    except (ValueError, KeyError, TypeError):
        return None
    return (width, height) if 0 < width < 65536 and 0 < height < 65536 else None
