"""port-forward by SPDY, by SPDY in a WebSocket, and by WebSocket channels, to real listeners on localhost."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from netsim.agent.model import PodState, Sandbox
from netsim.agent.remote_forward import TUNNEL, answer_forward, parse_port, request_key
from netsim.http.client import HttpClient
from netsim.http.server import serve
from netsim.http.spdy_session import BUFFER_LIMIT, SpdySession
from netsim.http.spdy_stream import SpdyStream, StreamReset
from netsim.http.types import ByteStream, Request, Response
from netsim.http.websocket import WebSocketBytes, connect


class Kubelet:
    """A kubelet's portForward of one host-network pod."""

    def __init__(self) -> None:
        state = PodState("u1", "ns", "pod", 0.0, Sandbox("", [], 0.0, host_network=True))
        self.worker: Any = SimpleNamespace(state=state, gone=asyncio.Event())
        self.context: Any = SimpleNamespace(engine=SimpleNamespace(call=asyncio.to_thread))

    async def __call__(self, request: Request) -> Response:
        return answer_forward(self.context, request, self.worker)


@pytest.fixture
async def kubelet() -> AsyncIterator[tuple[HttpClient, Kubelet]]:
    found = Kubelet()
    server = await serve(found, socket.create_server(("127.0.0.1", 0)))
    client = HttpClient(f"http://127.0.0.1:{server.port}", timeout=5)
    try:
        async with asyncio.timeout(20):
            yield client, found
    finally:
        await client.close()
        await server.close()


async def digest(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads to the end of the input, answers its digest, and ends."""
    whole = hashlib.sha256()
    while data := await reader.read(65536):
        whole.update(data)
    writer.write(whole.hexdigest().encode())
    writer.close()


@asynccontextmanager
async def listening(serve_one: Any = digest, host: str = "127.0.0.1") -> AsyncIterator[int]:
    server = await asyncio.start_server(serve_one, host, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


@asynccontextmanager
async def forwards(client: HttpClient, way: str) -> AsyncIterator[SpdySession]:
    session = SpdySession(await opened(client, way), lambda _: None, client=True)
    running = asyncio.create_task(session.run())
    try:
        yield session
    finally:
        await session.close()
        await asyncio.gather(running, return_exceptions=True)


async def opened(client: HttpClient, way: str) -> ByteStream:
    if way == "tunnel":
        web = await connect(client, Request("GET", "/portForward/ns/pod"), [TUNNEL])
        assert web.subprotocol == TUNNEL
        return WebSocketBytes(web)
    headers = [("connection", "Upgrade"), ("upgrade", "SPDY/3.1"), ("x-stream-protocol-version", "portforward.k8s.io")]
    answer = await client.upgrade(Request("POST", "/portForward/ns/pod", headers=headers))
    assert answer.stream is not None, answer.body
    return answer.stream


async def pair(session: SpdySession, port: int, number: int) -> tuple[SpdyStream, SpdyStream]:
    """The data and error streams of one connection, opened as kubectl does."""
    shared = (("port", str(port)), ("requestid", str(number)))
    error = await session.open((("streamtype", "error"), *shared), fin=True)
    return await session.open((("streamtype", "data"), *shared)), error


async def drain(stream: SpdyStream) -> bytes:
    parts = []
    while data := await stream.read():
        parts.append(data)
    return b"".join(parts)


@pytest.mark.parametrize("way", ["spdy", "tunnel"])
async def test_many_connections_at_once_each_half_closed(kubelet: tuple[HttpClient, Kubelet], way: str) -> None:
    async with listening() as port, forwards(kubelet[0], way) as session:

        async def one(number: int) -> None:
            data, error = await pair(session, port, number)
            sent = bytes([number]) * 300_000
            await data.write(sent)
            await data.finish()
            assert await drain(data) == hashlib.sha256(sent).hexdigest().encode()
            assert await drain(error) == b""

        await asyncio.gather(*map(one, range(8)))
        assert not session.streams


@pytest.mark.parametrize("way", ["spdy", "tunnel"])
async def test_a_refused_port_is_told_and_the_others_go_on(kubelet: tuple[HttpClient, Kubelet], way: str) -> None:
    async with listening() as port, forwards(kubelet[0], way) as session:
        refused = closed_port()
        data, error = await pair(session, refused, 1)
        told = (await drain(error)).decode()
        assert f"failed to connect to localhost:{refused}" in told
        assert f"IPv4: dial tcp4 127.0.0.1:{refused}: connect: connection refused" in told
        assert await drain(data) == b""
        data, _ = await pair(session, port, 2)
        await data.finish()
        assert len(await drain(data)) == 64


async def test_a_port_on_ipv6_alone_is_found(kubelet: tuple[HttpClient, Kubelet]) -> None:
    async with listening(host="::1") as port, forwards(kubelet[0], "spdy") as session:
        data, _ = await pair(session, port, 1)
        await data.finish()
        assert len(await drain(data)) == 64


async def test_the_target_may_end_first(kubelet: tuple[HttpClient, Kubelet]) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready")
        writer.close()

    async with listening(greet) as port, forwards(kubelet[0], "spdy") as session:
        data, error = await pair(session, port, 1)
        assert await drain(data) == b"220 ready"
        assert await drain(error) == b""
        await data.reset()
        while session.streams:
            await asyncio.sleep(0)


async def test_a_client_that_breaks_off_ends_the_connection(kubelet: tuple[HttpClient, Kubelet]) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begun.set()
        with contextlib.suppress(ConnectionResetError):
            await reader.read()
        ended.set()
        writer.close()

    async with listening(silent) as port, forwards(kubelet[0], "spdy") as session:
        data, _ = await pair(session, port, 1)
        await begun.wait()
        await data.reset()
        await ended.wait()


async def test_what_is_sent_to_a_refused_port_holds_up_nobody(kubelet: tuple[HttpClient, Kubelet]) -> None:
    async with listening() as port, forwards(kubelet[0], "spdy") as session:
        lost, error = await pair(session, closed_port(), 1)
        assert await drain(error)
        await lost.write(bytes(2 * BUFFER_LIMIT))
        data, _ = await pair(session, port, 2)
        await data.finish()
        assert len(await drain(data)) == 64


async def test_the_second_stream_of_a_kind_is_refused(kubelet: tuple[HttpClient, Kubelet]) -> None:
    async with listening() as port, forwards(kubelet[0], "spdy") as session:
        headers = (("streamtype", "data"), ("port", str(port)), ("requestid", "1"))
        first, second = [await session.open(headers) for _ in range(2)]
        with pytest.raises(StreamReset):
            await second.read()
        await session.open((("streamtype", "error"), *headers[1:]), fin=True)
        await first.finish()
        assert len(await drain(first)) == 64


async def test_wrong_streams_are_refused(kubelet: tuple[HttpClient, Kubelet]) -> None:
    async with forwards(kubelet[0], "spdy") as session:
        for headers in ((("streamtype", "data"), ("port", "70000")), (("streamtype", "other"), ("port", "80"))):
            stream = await session.open(headers)
            with pytest.raises(StreamReset):
                await stream.read()


async def test_the_pods_end_is_the_sessions(kubelet: tuple[HttpClient, Kubelet]) -> None:
    async with listening() as port, forwards(kubelet[0], "spdy") as session:
        data, _ = await pair(session, port, 1)
        kubelet[1].worker.gone.set()
        with pytest.raises(StreamReset):
            await data.read()


@pytest.mark.parametrize("offered", [[], ["v5.channel.k8s.io", "v4.channel.k8s.io"]])
async def test_channels_of_a_websocket(kubelet: tuple[HttpClient, Kubelet], offered: list[str]) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(5))
        writer.close()

    async with listening(echo) as port:
        refused = closed_port()
        query = [("ports", str(refused)), ("ports", str(port))]
        web = await connect(kubelet[0], Request("GET", "/portForward/ns/pod", query), offered)
        first = [await web.recv() for _ in range(4)]
        numbers = [p.to_bytes(2, "little") for p in (refused, refused, port, port)]
        assert first == [bytes([channel]) + number for channel, number in enumerate(numbers)]
        await web.send(b"\x02hello")
        rest = [await web.recv(), await web.recv()]
        assert b"\x02hello" in rest
        assert any(m is not None and m[:1] == b"\x01" and b"connection refused" in m for m in rest)
        assert await web.recv() is None


@pytest.mark.parametrize("query", [[], [("ports", "0")], [("ports", "80,x")]])
async def test_channels_need_ports(kubelet: tuple[HttpClient, Kubelet], query: list[tuple[str, str]]) -> None:
    with pytest.raises(ConnectionError) as refused:
        await connect(kubelet[0], Request("GET", "/portForward/ns/pod", query), ["v4.channel.k8s.io"])
    assert "400" in str(refused.value)


def test_ports_and_requests() -> None:
    assert [parse_port(text) for text in ("80", "0", "65536", "-1", "٣", "")] == [80, None, None, None, None, None]
    assert request_key({"streamtype": "data"}, 5) == request_key({"streamtype": "error"}, 3)
    assert request_key({"streamtype": "data", "requestid": "9"}, 5) == "9"
