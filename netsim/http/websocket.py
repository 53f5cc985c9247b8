"""WebSocket messages over a taken-over connection (RFC 6455), framed by wsproto; server and client side.

The opening handshake is made here because requests and responses are already parsed; no extension is negotiated.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage
from wsproto.utilities import LocalProtocolError, RemoteProtocolError, generate_accept_token

from netsim.http.types import ByteStream, Request, Response

MESSAGE_LIMIT = 16 * 1024 * 1024
PART = 64 * 1024
CLOSE_NORMAL = 1000
CLOSE_PROTOCOL_ERROR = 1002
CLOSE_TOO_BIG = 1009


class Upgrader(Protocol):
    """What `connect` needs of a client (netsim.http.client.HttpClient has it)."""

    async def upgrade(self, request: Request) -> Response: ...


class HandshakeRefused(ConnectionError):
    """The server answered a WebSocket handshake with something else; `response` is its whole answer."""

    def __init__(self, response: Response) -> None:
        super().__init__(f"the server refused the WebSocket with status {response.status}")
        self.response = response


def is_websocket(request: Request) -> bool:
    """Whether a request asks for a WebSocket."""
    return request.header("upgrade").lower() == "websocket" and bool(request.header("sec-websocket-key"))


def offered_protocols(request: Request) -> list[str]:
    """Subprotocols the client offers, its best first."""
    fields = [value for name, value in request.headers if name == "sec-websocket-protocol"]
    return [protocol.strip() for field in fields for protocol in field.split(",") if protocol.strip()]


def choose_protocol(offered: Sequence[str], supported: Sequence[str]) -> str | None:
    """The first of `supported` that is offered; "" when nothing is offered; None when nothing fits."""
    if not offered:
        return ""
    return next((protocol for protocol in supported if protocol in offered), None)


class WebSocket:
    """An open WebSocket. Pings are answered while `recv` runs; text messages are given as their UTF-8 bytes."""

    def __init__(self, stream: ByteStream, *, client: bool, subprotocol: str = "") -> None:
        self._stream = stream
        self._frames = Connection(ConnectionType.CLIENT if client else ConnectionType.SERVER)
        self._events = self._frames.events()
        self.subprotocol = subprotocol
        self.close_code: int | None = None

    async def recv(self) -> bytes | None:
        """The next message; None when the peer closed (its code is in `close_code`) or is gone."""
        parts: list[bytes] = []
        while self.close_code is None:
            event = next(self._events, None)
            if event is None:
                if not await self._fill():
                    return None
            elif isinstance(event, (BytesMessage, TextMessage)):
                parts.append(event.data.encode() if isinstance(event.data, str) else bytes(event.data))
                if sum(map(len, parts)) > MESSAGE_LIMIT:
                    await self.close(CLOSE_TOO_BIG, "message too big")
                elif event.message_finished:
                    return b"".join(parts)
            elif isinstance(event, Ping):
                await self._send(event.response())
            elif isinstance(event, CloseConnection):
                await self._answer_close(event)
        return None

    async def _fill(self) -> bool:
        """Feed the parser with the connection's next bytes; False at its end."""
        data = await self._stream.read()
        if not data:
            self.close_code = self.close_code or 1006
            return False
        try:
            self._frames.receive_data(data)
            self._events = self._frames.events()
        except RemoteProtocolError as error:
            await self.close(CLOSE_PROTOCOL_ERROR, str(error)[:100])
        return self.close_code is None

    async def _answer_close(self, event: CloseConnection) -> None:
        """The peer closes, or (the connection still counts as open) wsproto found its frames malformed."""
        self.close_code = event.code
        if self._frames.state in (ConnectionState.REMOTE_CLOSING, ConnectionState.OPEN):
            await self._send(event.response())
        await self._stream.close()

    async def _send(self, event: BytesMessage | TextMessage | CloseConnection | Ping | Pong) -> None:
        await self._stream.write(self._frames.send(event))

    async def send(self, data: bytes, *, text: bool = False) -> None:
        """Send one message, binary or text (UTF-8); raises ConnectionError when the WebSocket is closed."""
        try:
            await self._send(TextMessage(data=data.decode()) if text else BytesMessage(data=data))
        except LocalProtocolError as error:
            raise ConnectionResetError("the WebSocket is closed") from error

    async def ping(self, payload: bytes = b"") -> None:
        """Send a ping (keeps middleboxes and dead-peer detection alive); the pong is swallowed by `recv`."""
        await self._send(Ping(payload=payload))

    async def close(self, code: int = CLOSE_NORMAL, reason: str = "") -> None:
        """Send a close frame, if the WebSocket is open, and hang up without waiting for the peer's."""
        try:
            if self._frames.state is ConnectionState.OPEN:
                await self._send(CloseConnection(code=code, reason=reason))
                self.close_code = self.close_code or code
        except ConnectionError:
            self.close_code = self.close_code or 1006
        finally:
            await self._stream.close()


class WebSocketBytes:
    """A WebSocket as a byte stream (`types.ByteStream`): the borders of its messages mean nothing."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket

    async def read(self) -> bytes:
        while (message := await self._socket.recv()) == b"":
            continue
        return message or b""

    async def write(self, data: bytes) -> None:
        for at in range(0, len(data), PART):
            await self._socket.send(data[at : at + PART])

    async def close(self) -> None:
        await self._socket.close()


def accept(request: Request, supported: Sequence[str], run: Callable[[WebSocket], Awaitable[None]]) -> Response:
    """Answer a handshake: 101 with `run` called on the open WebSocket, which is closed after it; else 400, or 403 when
    no subprotocol fits.

    `supported` is ordered best first. A client that offers no subprotocol is accepted with `subprotocol` "".
    """
    if not is_websocket(request) or request.header("sec-websocket-version") != "13":
        return Response(400, [("Sec-WebSocket-Version", "13")], b"not a WebSocket handshake of version 13\n")
    protocol = choose_protocol(offered_protocols(request), supported)
    if protocol is None:
        text = "none of the offered subprotocols is supported: want " + ", ".join(supported)
        return Response(403, [("Content-Type", "text/plain; charset=utf-8")], text.encode())
    token = generate_accept_token(request.header("sec-websocket-key").encode()).decode()
    headers = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", token)]
    if protocol:
        headers.append(("Sec-WebSocket-Protocol", protocol))

    async def pump(stream: ByteStream) -> None:
        socket = WebSocket(stream, client=False, subprotocol=protocol)
        try:
            await run(socket)
        finally:
            await socket.close()

    return Response(101, headers, upgrade=pump)


async def connect(client: Upgrader, request: Request, protocols: Sequence[str] = ()) -> WebSocket:
    """Open a WebSocket at the path and query of `request`, offering `protocols` best first.

    Raises HandshakeRefused with the server's answer, OSError when there is none.
    """
    key = base64.b64encode(os.urandom(16)).decode()
    headers = [("upgrade", "websocket"), ("connection", "Upgrade")]
    headers += [("sec-websocket-version", "13"), ("sec-websocket-key", key)]
    if protocols:
        headers.append(("sec-websocket-protocol", ", ".join(protocols)))
    asked = Request("GET", request.path, request.query, [*request.headers, *headers])
    response = await client.upgrade(asked)
    if response.stream is None:
        raise HandshakeRefused(response)
    if response.header("sec-websocket-accept") != generate_accept_token(key.encode()).decode():
        await response.stream.close()
        raise ConnectionError("the server's Sec-WebSocket-Accept does not answer our key")
    return WebSocket(response.stream, client=True, subprotocol=response.header("sec-websocket-protocol"))
