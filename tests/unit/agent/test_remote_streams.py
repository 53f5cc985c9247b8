"""exec's and attach's streams as clients carry them: SPDY and every WebSocket protocol, over real HTTP connections."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from netsim.agent.remote_streams import STDERR, STDOUT, Channels, answer_streams, exit_status, parse_wanted
from netsim.http.client import HttpClient
from netsim.http.server import serve
from netsim.http.spdy_session import SpdySession
from netsim.http.spdy_stream import SpdyStream
from netsim.http.types import Request, Response
from netsim.http.websocket import HandshakeRefused, WebSocket, connect

FAILURE = exit_status(3)


async def shout(channels: Channels) -> None:
    """A program: its input in capitals on stdout, its sizes on stderr, exit status 3 after the end of the input."""
    over = asyncio.Event()

    async def on_input(data: bytes) -> None:
        await channels.send(STDOUT, data.upper())
        if data == b"quit":
            over.set()

    async def on_end() -> None:
        over.set()

    sizes: list[tuple[int, int]] = []

    def on_resize(width: int, height: int) -> None:
        sizes.append((width, height))

    receiving = asyncio.create_task(channels.receive(on_input, on_end, on_resize))
    await asyncio.wait([asyncio.create_task(over.wait()), receiving], return_when=asyncio.FIRST_COMPLETED)
    receiving.cancel()
    await asyncio.gather(receiving, return_exceptions=True)
    await channels.send(STDERR, repr(sizes).encode())
    await channels.finish(FAILURE)


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    async def handler(request: Request) -> Response:
        return answer_streams(request, shout)

    server = await serve(handler, socket.create_server(("127.0.0.1", 0)))
    found = HttpClient(f"http://127.0.0.1:{server.port}", timeout=5)
    try:
        async with asyncio.timeout(20):
            yield found
    finally:
        await found.close()
        await server.close()


def asked(*options: str) -> Request:
    return Request("GET", "/exec/ns/pod/c", [(option, "1") for option in options])


async def messages(web: WebSocket) -> list[bytes]:
    found = []
    while (message := await web.recv()) is not None:
        found.append(message)
    return found


async def test_v5_tells_the_end_of_the_input(client: HttpClient) -> None:
    web = await connect(client, asked("input", "output", "error"), ["v5.channel.k8s.io", "v4.channel.k8s.io"])
    assert web.subprotocol == "v5.channel.k8s.io"
    for message in (b"\x00hello", b"\x04" + json.dumps({"Width": 80, "Height": 24}).encode(), b"\x04junk", b"\xff\x00"):
        await web.send(message)
    assert await messages(web) == [b"\x01", b"\x01HELLO", b"\x02[(80, 24)]", b"\x03" + json.dumps(FAILURE).encode()]
    assert web.close_code == 1000


async def test_a_terminal_has_no_stderr_and_nothing_is_sent_unasked(client: HttpClient) -> None:
    web = await connect(client, asked("stdin", "stderr", "tty"), ["v4.channel.k8s.io"])
    await web.send(b"\x00quit")
    assert await messages(web) == [b"\x03", b"\x03" + json.dumps(FAILURE).encode()]


async def test_base64_protocols_carry_text(client: HttpClient) -> None:
    web = await connect(client, asked("stdin", "stdout"), ["v4.base64.channel.k8s.io"])
    for message in (b"0" + base64.b64encode(b"hi\xff"), b"0not base64!", b"x", b"0" + base64.b64encode(b"quit")):
        await web.send(message, text=True)
    got = await messages(web)
    assert [m[:1] for m in got] == [b"1", b"1", b"1", b"3"]
    assert [base64.b64decode(m[1:]) for m in got[1:3]] == [b"HI\xff", b"QUIT"]
    assert json.loads(base64.b64decode(got[3][1:])) == FAILURE


@pytest.mark.parametrize("offered", [[], ["channel.k8s.io"]])
async def test_the_first_protocol_ends_with_a_text(client: HttpClient, offered: list[str]) -> None:
    web = await connect(client, asked("stdin", "stdout"), offered)
    await web.send(b"\x00quit")
    assert (await messages(web))[-1] == b"\x03" + FAILURE["message"].encode()


async def spdy(client: HttpClient, options: tuple[str, ...], protocols: list[str]) -> tuple[Response, SpdySession]:
    request = Request("POST", "/exec/ns/pod/c", [(option, "1") for option in options])
    request.headers = [("connection", "Upgrade"), ("upgrade", "SPDY/3.1")]
    request.headers += [("x-stream-protocol-version", protocol) for protocol in protocols]
    answer = await client.upgrade(request)
    assert answer.status == 101 and answer.stream is not None, answer.body
    return answer, SpdySession(answer.stream, lambda _: None, client=True)


async def drain(stream: SpdyStream) -> bytes:
    parts = []
    while data := await stream.read():
        parts.append(data)
    return b"".join(parts)


async def with_session(session: SpdySession, work: Callable[[], Awaitable[None]]) -> None:
    running = asyncio.create_task(session.run())
    try:
        await work()
    finally:
        await session.close()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize("version", [1, 4])
async def test_spdy_has_a_stream_for_each(client: HttpClient, version: int) -> None:
    protocol = {1: "channel.k8s.io", 4: "v4.channel.k8s.io"}[version]
    answer, session = await spdy(client, ("input", "output", "error"), ["v9.channel.k8s.io", protocol])
    assert answer.header("x-stream-protocol-version") == protocol

    async def work() -> None:
        names = ("error", "stdin", "stdout", "stderr")
        streams = {name: await session.open((("streamtype", name),)) for name in names}
        extra = await session.open((("streamtype", "surprise"),))
        await streams["stdin"].write(b"data " * 50_000)
        await streams["stdin"].finish()
        assert await drain(streams["stdout"]) == b"DATA " * 50_000
        assert await drain(streams["stderr"]) == b"[]"
        last = await drain(streams["error"])
        assert (json.loads(last) == FAILURE) if version == 4 else (last == FAILURE["message"].encode())
        with pytest.raises(ConnectionResetError):
            await extra.read()

    await with_session(session, work)


async def test_spdy_resizes_come_in_pieces(client: HttpClient) -> None:
    _, session = await spdy(client, ("stdin", "stdout", "tty"), ["v4.channel.k8s.io"])

    async def work() -> None:
        names = ("error", "stdin", "stdout", "resize")
        streams = {name: await session.open((("streamtype", name),)) for name in names}
        for piece in (b'{"Width":80,"Hei', b'ght":24}\n{"Width":1,"Height":2}\n'):
            await streams["resize"].write(piece)
        await streams["stdin"].write(b"quit")
        assert await drain(streams["stdout"]) == b"QUIT"
        assert json.loads(await drain(streams["error"])) == FAILURE

    await with_session(session, work)


async def test_refusals(client: HttpClient) -> None:
    with pytest.raises(HandshakeRefused) as refused:
        await connect(client, asked("stdin"), ["v77.channel.k8s.io"])
    assert refused.value.response.status == 403
    for protocols, status, text in (([], 400, b"X-Stream-Protocol-Version is required"), (["x"], 403, b"negotiate")):
        request = Request("POST", "/", [("stdin", "1")], [("connection", "Upgrade"), ("upgrade", "SPDY/3.1")])
        request.headers += [("x-stream-protocol-version", protocol) for protocol in protocols]
        answer = await client.upgrade(request)
        assert answer.status == status and text in bytes(answer.body)
    accepted = [value for name, value in answer.headers if name == "x-accepted-stream-protocol-versions"]
    assert accepted[0] == "v4.channel.k8s.io"
    assert (await client(asked("stdin"))).status == 400
    assert b"at least 1 of stdin" in bytes((await client(asked("tty"))).body)


def test_wanted_streams_go_by_both_names() -> None:
    assert parse_wanted(asked("input", "output", "error")) == parse_wanted(asked("stdin", "stdout", "stderr"))
    assert not parse_wanted(asked("stdout", "stderr", "tty")).stderr
