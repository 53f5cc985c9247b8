from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from netsim.http.client import MAX_WHOLE, HttpClient
from netsim.http.types import Request, Response

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Scripted:
    """A TCP server that plays a script for each connection."""

    def __init__(self, *scripts: Talk) -> None:
        self.scripts = list(scripts)
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script = self.scripts[min(self.connections, len(self.scripts) - 1)]
        self.connections += 1
        try:
            await script(reader, writer)
        finally:
            writer.close()


@pytest.fixture
async def scripted(doors: Any) -> Callable[..., Awaitable[tuple[Scripted, HttpClient]]]:
    async def start(*scripts: Talk) -> tuple[Scripted, HttpClient]:
        scripted = Scripted(*scripts)
        server = await asyncio.start_server(scripted, "127.0.0.1", 0)

        async def close() -> None:
            server.close()
            await server.wait_closed()

        doors.closers.append(close)
        return scripted, doors.client(server.sockets[0].getsockname()[1])

    return start


def answering(*answers: bytes) -> Talk:
    """Answer each request with the next of `answers`, then close."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()

    return talk


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = Request("GET", "/")


async def test_connections_are_kept_and_shared(doors: Any) -> None:
    ports: set[int] = set()

    async def handler(request: Request) -> Response:
        return Response(200, [], request.path.encode())

    server = await doors.serve(handler)
    client = doors.client(server.port)
    for n in range(20):
        assert (await client(Request("GET", f"/{n}"))).body == f"/{n}".encode()
        ports.add(len(server.connections))
    assert ports == {1}
    bodies = await asyncio.gather(*(client(Request("GET", f"/{n}")) for n in range(20)))
    assert [response.body for response in bodies] == [f"/{n}".encode() for n in range(20)]


async def test_a_burst_shares_few_connections(doors: Any) -> None:
    most, release = 0, asyncio.Event()

    async def handler(request: Request) -> Response:
        nonlocal most
        most = max(most, len(server.connections))
        if most == MAX_WHOLE:
            release.set()
        await release.wait()
        return Response(200, [], request.path.encode())

    server = await doors.serve(handler)
    client = doors.client(server.port)
    bodies = await asyncio.gather(*(client(Request("GET", f"/{n}")) for n in range(5 * MAX_WHOLE)))
    assert [response.body for response in bodies] == [f"/{n}".encode() for n in range(5 * MAX_WHOLE)]
    assert most == MAX_WHOLE


async def test_stale_connection_is_replaced_once_for_idempotent_requests(scripted: Any) -> None:
    async def answer_then_vanish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answering(OK)(reader, writer)
        # The next request is swallowed, as when a server dies with it in its buffer.
        await reader.readuntil(b"\r\n\r\n")

    server, client = await scripted(answer_then_vanish, answering(OK, OK))
    assert (await client(GET)).body == b"ok"
    assert (await client(GET)).body == b"ok"
    assert server.connections == 2


async def test_stale_connection_is_an_error_for_post(scripted: Any) -> None:
    async def answer_then_vanish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answering(OK)(reader, writer)
        await reader.readuntil(b"\r\n\r\n")

    server, client = await scripted(answer_then_vanish)
    await client(GET)
    with pytest.raises(ConnectionError):
        await client(Request("POST", "/", body=b"x"))
    assert server.connections == 1


async def test_fresh_connection_that_fails_is_not_retried(scripted: Any) -> None:
    server, client = await scripted(answering())
    with pytest.raises(ConnectionError):
        await client(GET)
    assert server.connections == 1


async def test_answer_cut_short_is_an_error(scripted: Any) -> None:
    _, client = await scripted(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok"))
    with pytest.raises(ConnectionError, match="before the whole answer"):
        await client(GET)


async def test_answer_that_is_not_http_is_an_error(scripted: Any) -> None:
    _, client = await scripted(answering(b"SSH-2.0-OpenSSH\r\n\r\n"))
    with pytest.raises(ConnectionError, match="not HTTP"):
        await client(GET)


async def test_body_ended_by_the_close(scripted: Any) -> None:
    _, client = await scripted(answering(b"HTTP/1.1 200 OK\r\n\r\nuntil the end"))
    assert (await client(GET)).body == b"until the end"


async def test_interim_answers_are_skipped(scripted: Any) -> None:
    _, client = await scripted(answering(b"HTTP/1.1 100 Continue\r\n\r\n" + OK))
    response = await client(GET)
    assert (response.status, response.body) == (200, b"ok")


async def test_head_has_no_body(doors: Any) -> None:
    async def handler(request: Request) -> Response:
        return Response(200, [], b"12345")

    server = await doors.serve(handler)
    client = doors.client(server.port)
    response = await client(Request("HEAD", "/"))
    assert (response.body, response.header("content-length")) == (b"", "5")
    assert (await client(GET)).body == b"12345"


async def test_silent_server_times_out(doors: Any, scripted: Any) -> None:
    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    server = await asyncio.start_server(Scripted(silence), "127.0.0.1", 0)
    client = doors.client(server.sockets[0].getsockname()[1], timeout=0.05)
    with pytest.raises(TimeoutError):
        await client(GET)
    server.close()
    await server.wait_closed()


async def test_cancelled_request_leaves_no_connection_behind(doors: Any) -> None:
    gate = asyncio.Event()

    async def handler(request: Request) -> Response:
        if request.path == "/slow":
            await gate.wait()
        return Response(200, [], request.path.encode())

    server = await doors.serve(handler)
    client = doors.client(server.port)
    task = asyncio.ensure_future(client(Request("GET", "/slow")))
    await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (await client(Request("GET", "/next"))).body == b"/next"


async def test_stream_returns_its_connection_or_hangs_up(doors: Any) -> None:
    ended = asyncio.Event()

    async def chunks(count: int) -> AsyncIterator[bytes]:
        try:
            for n in range(count):
                yield b"%d\n" % n
                await asyncio.sleep(0)
        finally:
            ended.set()

    async def handler(request: Request) -> Response:
        return Response(200, [], chunks(3 if request.path == "/short" else 10**9))

    server = await doors.serve(handler)
    client = doors.client(server.port)
    for _ in range(3):
        response = await client.stream(Request("GET", "/short"))
        assert b"".join([chunk async for chunk in response.body]) == b"0\n1\n2\n"
    assert len(server.connections) == 1
    ended.clear()
    response = await client.stream(Request("GET", "/long"))
    await anext(response.body)
    await response.body.aclose()
    await asyncio.wait_for(ended.wait(), 5)


async def test_unread_stream_does_not_fill_memory(doors: Any) -> None:
    produced = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal produced
        while produced < 2000:
            produced += 1
            yield b"x" * 65536

    async def handler(request: Request) -> Response:
        return Response(200, [], chunks())

    server = await doors.serve(handler)
    response = await doors.client(server.port).stream(GET)
    before = -1
    async with asyncio.timeout(5):
        while before != produced or produced == 0:
            before = produced
            await asyncio.sleep(0.1)
    assert produced < 500
    total = 0
    async for chunk in response.body:
        total += len(chunk)
    assert total == 2000 * 65536


async def test_custom_dial_default_headers_and_prefix(doors: Any) -> None:
    async def handler(request: Request) -> Response:
        return Response(200, [], f"{request.path} {request.header('a')} {request.header('host')}".encode())

    server = await doors.serve(handler)
    dialled: list[tuple[str, int]] = []

    async def dial(host: str, port: int) -> socket.socket:
        dialled.append((host, port))
        return await asyncio.to_thread(socket.create_connection, ("127.0.0.1", server.port), 5)

    client = doors.client("http://cluster.example:99/base", dial=dial, headers=[("A", "default")])
    assert (await client(Request("GET", "/x"))).body == b"/base/x default cluster.example:99"
    assert (await client(Request("GET", "/x", headers=[("a", "own")]))).body == b"/base/x own cluster.example:99"
    assert dialled == [("cluster.example", 99)]


async def test_refused_connection_is_an_os_error(doors: Any) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        client = doors.client(sock.getsockname()[1])
        with pytest.raises(ConnectionRefusedError):
            await client(GET)


async def test_closed_client_refuses(doors: Any) -> None:
    client = doors.client(9)
    await client.close()
    with pytest.raises(ConnectionError, match="closed"):
        await client(GET)


@pytest.mark.parametrize("base", ["", "localhost:80", "ftp://x", "https://"])
def test_bad_address_says_what_is_wanted(base: str) -> None:
    with pytest.raises(ValueError, match="http://host:port"):
        HttpClient(base)


async def test_request_with_a_line_break_in_a_header_is_not_sent(doors: Any) -> None:
    client = doors.client(9)
    with pytest.raises(ValueError, match="line break"):
        await client(Request("GET", "/", headers=[("a", "b\r\nc: d")]))
