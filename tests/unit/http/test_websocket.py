from __future__ import annotations

import asyncio
from typing import Any

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, Pong
from wsproto.events import Request as Handshake

from netsim.http.stream import pipe
from netsim.http.types import Request, Response
from netsim.http.websocket import HandshakeRefused, WebSocket, accept, choose_protocol, connect

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")


async def echo(socket: WebSocket) -> None:
    await socket.send(socket.subprotocol.encode())
    while (message := await socket.recv()) is not None:
        await socket.send(message)


async def echo_handler(request: Request) -> Response:
    return accept(request, PROTOCOLS, echo)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ([], ""),
        (["v4.channel.k8s.io"], "v4.channel.k8s.io"),
        (["v4.channel.k8s.io", "v5.channel.k8s.io"], "v5.channel.k8s.io"),
        (["x"], None),
    ],
)
def test_choice_of_subprotocol(offered: list[str], chosen: str | None) -> None:
    assert choose_protocol(offered, PROTOCOLS) == chosen


async def test_messages_go_both_ways_whatever_their_size(doors: Any) -> None:
    server = await doors.serve(echo_handler)
    socket = await connect(doors.client(server.port), Request("GET", "/exec"), ["v4.channel.k8s.io"])
    assert socket.subprotocol == "v4.channel.k8s.io"
    async with asyncio.timeout(10):
        assert await socket.recv() == b"v4.channel.k8s.io"
        for message in (b"", b"\x00hello", b"z" * 70_000, bytes(range(256)) * 4000):
            await socket.send(message)
            assert await socket.recv() == message
    await socket.close()


async def test_refusal_carries_the_answer(doors: Any) -> None:
    server = await doors.serve(echo_handler)
    with pytest.raises(HandshakeRefused) as refused:
        await connect(doors.client(server.port), Request("GET", "/"), ["unknown"])
    assert refused.value.response.status == 403


async def test_plain_request_is_refused() -> None:
    assert accept(Request("GET", "/"), PROTOCOLS, echo).status == 400


async def test_an_independent_client_agrees(doors: Any) -> None:
    """wsproto's own handshake and framing against ours; no subprotocol offered, as kr8s does."""
    server = await doors.serve(echo_handler)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    peer = WSConnection(ConnectionType.CLIENT)
    writer.write(peer.send(Handshake(host="x", target="/exec")))
    events: list[Any] = []

    async def until(kind: type) -> Any:
        async with asyncio.timeout(5):
            while True:
                events.extend(peer.events())
                while events:
                    event = events.pop(0)
                    if isinstance(event, kind):
                        return event
                data = await reader.read(65536)
                peer.receive_data(data or None)

    assert (await until(AcceptConnection)).subprotocol is None
    assert (await until(BytesMessage)).data == b""
    writer.write(peer.send(Ping(payload=b"there?")))
    assert (await until(Pong)).payload == b"there?"
    for part, last in ((b"one ", False), (b"two", True)):
        writer.write(peer.send(BytesMessage(data=part, message_finished=last)))
    assert (await until(BytesMessage)).data == b"one two"
    writer.write(peer.send(CloseConnection(code=1000)))
    assert (await until(CloseConnection)).code == 1000
    assert await reader.read() == b""
    writer.close()


async def test_close_code_reaches_the_peer() -> None:
    left, right = pipe()
    ours, theirs = WebSocket(left, client=True), WebSocket(right, client=False)
    await theirs.close(1011, "broken")
    assert await ours.recv() is None
    assert ours.close_code == 1011
    with pytest.raises(ConnectionError):
        await ours.send(b"x")


async def test_vanished_peer_ends_the_messages() -> None:
    left, right = pipe()
    socket = WebSocket(left, client=True)
    await right.close()
    assert await socket.recv() is None
    assert socket.close_code == 1006


async def test_protocol_error_is_answered_1002() -> None:
    left, right = pipe()
    server = WebSocket(left, client=False)
    # A client frame must be masked.
    await right.write(b"\x82\x01x")
    assert await server.recv() is None
    assert server.close_code == 1002
    assert (await right.read())[2:4] == b"\x03\xea"
