from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httptools  # noqa: F401  (fails early and clearly where the dependency is missing)
import pytest

from netsim.http.server import BODY_LIMIT, serve
from netsim.http.types import ByteStream, Request, Response

TIMEOUT = 5.0


async def raw_talk(port: int, payload: bytes, *, until_close: bool = True, enough: bytes = b"") -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(payload)
        data = b""
        async with asyncio.timeout(TIMEOUT):
            while not (enough and enough in data):
                chunk = await reader.read(65536)
                if not chunk:
                    break
                data += chunk
        return data
    finally:
        writer.close()


async def echo(request: Request) -> Response:
    text = f"{request.method} {request.path} {request.query} {len(request.body)}"
    return Response(200, [("Content-Type", "text/plain")], text.encode())


async def test_request_parts_are_decoded_and_repeats_kept(doors: Any) -> None:
    server = await doors.serve(echo)
    data = await raw_talk(
        server.port,
        b"GET /a%20b/c?command=ls&command=-l&x=a%3Db&empty= HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    )
    assert data.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"GET /a b/c [('command', 'ls'), ('command', '-l'), ('x', 'a=b'), ('empty', '')] 0" in data
    assert b"Connection: close" in data


async def test_repeated_headers_are_kept(doors: Any) -> None:
    seen: list[list[tuple[str, str]]] = []

    async def handler(request: Request) -> Response:
        seen.append(request.headers)
        return Response(204)

    server = await doors.serve(handler)
    data = await raw_talk(server.port, b"GET / HTTP/1.1\r\nHost: x\r\nX-P: a\r\nX-P: b\r\nConnection: close\r\n\r\n")
    assert [value for name, value in seen[0] if name == "x-p"] == ["a", "b"]
    assert data.startswith(b"HTTP/1.1 204 No Content\r\n")
    assert b"Content-Length" not in data


async def test_pipelined_requests_are_answered_in_order(doors: Any) -> None:
    async def handler(request: Request) -> Response:
        # The first answer is the slowest to come.
        await asyncio.sleep(0.02 if request.path == "/0" else 0)
        return Response(200, [], request.path.encode())

    server = await doors.serve(handler)
    count = 40
    payload = b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(count))
    data = await raw_talk(server.port, payload + b"GET /end HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    bodies = [part.partition(b"\r\n\r\n")[2] for part in data.split(b"HTTP/1.1 200 OK")[1:]]
    assert bodies == [b"/%d" % n for n in range(count)] + [b"/end"]


async def test_body_over_the_limit_is_refused(doors: Any) -> None:
    server = await doors.serve(echo)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (BODY_LIMIT + 1)
    answer = await raw_talk(server.port, head + b"x" * 1000)
    assert answer.startswith(b"HTTP/1.1 413 ")
    status = json.loads(answer.partition(b"\r\n\r\n")[2])  # kubectl says what it says
    assert (status["reason"], status["message"]) == (
        "RequestEntityTooLarge", "Request entity too large: limit is 3145728",
    )  # fmt: skip
    chunk = b"%x\r\n%b\r\n" % (1 << 20, b"y" * (1 << 20))
    chunked = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 4
    assert (await raw_talk(server.port, chunked)).startswith(b"HTTP/1.1 413 ")


async def test_body_at_the_limit_is_taken(doors: Any) -> None:
    server = await doors.serve(echo)
    response = await doors.client(server.port)(Request("POST", "/", body=b"z" * BODY_LIMIT))
    assert response.status == 200
    assert response.body.endswith(str(BODY_LIMIT).encode())


@pytest.mark.parametrize("junk", [b"\x16\x03\x01\x02\x00\x01", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nbad header\r\n\r\n"])
async def test_malformed_request_is_answered_400_and_closed(doors: Any, junk: bytes) -> None:
    server = await doors.serve(echo)
    assert (await raw_talk(server.port, junk)).startswith(b"HTTP/1.1 400 ")


async def test_oversized_head_is_refused(doors: Any) -> None:
    server = await doors.serve(echo)
    data = await raw_talk(server.port, b"GET / HTTP/1.1\r\nHost: x\r\nX-Big: " + b"a" * 70_000 + b"\r\n\r\n")
    assert data.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 "))


async def test_expect_continue(doors: Any) -> None:
    server = await doors.serve(echo)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"POST /p HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
    async with asyncio.timeout(TIMEOUT):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"abc")
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
    writer.close()


async def test_stream_head_is_flushed_before_the_first_chunk(doors: Any) -> None:
    gate = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        await gate.wait()
        yield b"one\n"
        yield b""
        yield b"two\n"

    async def handler(request: Request) -> Response:
        return Response(200, [], chunks())

    server = await doors.serve(handler)
    response = await doors.client(server.port).stream(Request("GET", "/"))
    assert response.header("transfer-encoding") == "chunked"
    gate.set()
    assert b"".join([chunk async for chunk in response.body]) == b"one\ntwo\n"


async def test_http_1_0_stream_ends_with_the_connection(doors: Any) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    async def handler(request: Request) -> Response:
        return Response(200, [], chunks())

    server = await doors.serve(handler)
    data = await raw_talk(server.port, b"GET / HTTP/1.0\r\n\r\n")
    assert data.endswith(b"\r\n\r\nonetwo")


async def test_slow_reader_holds_the_stream_back(doors: Any) -> None:
    produced = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal produced
        while produced < 2000:
            produced += 1
            yield b"x" * 65536

    async def handler(request: Request) -> Response:
        return Response(200, [], chunks())

    server = await doors.serve(handler)
    _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    before = -1
    async with asyncio.timeout(TIMEOUT):
        while before != produced or produced == 0:
            before = produced
            await asyncio.sleep(0.1)
    assert produced < 500
    writer.transport.abort()


class Told:
    """A polled body of so many chunks, given out one a poll, which tells of the next one; told of by the test, too."""

    def __init__(self, count: int, size: int = 65536) -> None:
        self.polls, self.count, self.chunk = 0, count, b"x" * size
        self.ready: Callable[[], None] = lambda: None
        self.listening, self.closed = asyncio.Event(), asyncio.Event()

    def __aiter__(self) -> Told:
        return self

    async def __anext__(self) -> bytes:
        raise AssertionError("polled bodies are not waited for")

    def listen(self, ready: Callable[[], None]) -> None:
        self.ready = ready
        self.listening.set()

    def poll(self) -> bytes | None:
        if self.polls == self.count:
            return None
        self.polls += 1
        asyncio.get_running_loop().call_soon(self.ready)
        return self.chunk

    async def aclose(self) -> None:
        self.closed.set()


async def test_polled_body_waits_for_a_slow_reader_and_ends_whole(doors: Any) -> None:
    body = Told(1000)

    async def handler(request: Request) -> Response:
        return Response(200, [], body)

    server = await doors.serve(handler)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    await asyncio.wait_for(body.listening.wait(), TIMEOUT)
    for _ in range(100):
        body.ready()  # as often as it is told: what does not fit waits
    assert 0 < body.polls < 500
    data = await asyncio.wait_for(reader.read(), TIMEOUT)
    assert data.count(b"x" * 65536) == body.polls == 1000 and data.endswith(b"\r\n0\r\n\r\n")
    assert body.closed.is_set()
    writer.close()


async def test_polled_body_of_a_client_that_left_is_closed(doors: Any) -> None:
    body = Told(1, 10)
    body.poll = lambda: b""  # type: ignore[method-assign]

    async def handler(request: Request) -> Response:
        return Response(200, [], body)

    server = await doors.serve(handler)
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.wait_for(body.listening.wait(), TIMEOUT)
    writer.transport.abort()
    await asyncio.wait_for(body.closed.wait(), TIMEOUT)
    body.ready()


@pytest.mark.parametrize("mode", ["handler", "stream"])
async def test_disconnect_cancels(doors: Any, mode: str) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def forever() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def chunks() -> AsyncIterator[bytes]:
        yield b"x"
        await forever()

    async def handler(request: Request) -> Response:
        if mode == "handler":
            await forever()
        return Response(200, [], chunks())

    server = await doors.serve(handler)
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.wait_for(started.wait(), TIMEOUT)
    writer.close()
    await asyncio.wait_for(cancelled.wait(), TIMEOUT)


async def test_broken_stream_is_visible_to_the_client(doors: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"part"
        raise RuntimeError("boom")

    async def handler(request: Request) -> Response:
        return Response(200, [], chunks())

    server = await doors.serve(handler)
    response = await doors.client(server.port).stream(Request("GET", "/"))
    with pytest.raises(ConnectionError):
        async for _ in response.body:
            continue
    assert "broke off" in caplog.text


async def test_failing_handler_answers_500(doors: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def handler(request: Request) -> Response:
        raise RuntimeError("boom")

    server = await doors.serve(handler)
    response = await doors.client(server.port)(Request("GET", "/x"))
    assert response.status == 500
    assert "GET /x" in caplog.text


async def test_header_injection_never_reaches_the_wire(doors: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def handler(request: Request) -> Response:
        return Response(200, [("X-A", "b\r\nX-Evil: 1")], b"")

    server = await doors.serve(handler)
    assert await raw_talk(server.port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") == b""
    assert "cannot be sent" in caplog.text


@pytest.mark.parametrize("protocol", ["SPDY/3.1", "websocket"])
async def test_upgrade_hands_over_the_connection_with_early_bytes(doors: Any, protocol: str) -> None:
    async def shout(stream: ByteStream) -> None:
        while data := await stream.read():
            await stream.write(data.upper())
        await stream.write(b"bye")

    async def handler(request: Request) -> Response:
        return Response(101, [("Upgrade", request.header("upgrade"))], upgrade=shout)

    server = await doors.serve(handler)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = f"POST /exec HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n"
    writer.write(head.encode() + b"early ")
    async with asyncio.timeout(TIMEOUT):
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101 ")
        assert b"Connection: Upgrade" in answer
        assert await reader.readexactly(6) == b"EARLY "
        writer.write(b"late")
        assert await reader.readexactly(4) == b"LATE"
        writer.write_eof()
        assert await reader.read() == b"bye"
    writer.close()


async def test_upgrade_without_connection_header_is_refused(doors: Any) -> None:
    async def handler(request: Request) -> Response:
        return Response(101, [("Upgrade", "SPDY/3.1")], upgrade=lambda stream: stream.close())

    server = await doors.serve(handler)
    response = await doors.client(server.port)(Request("POST", "/exec", headers=[("upgrade", "SPDY/3.1")]))
    assert response.status == 400


async def test_refused_upgrade_is_a_plain_answer(doors: Any) -> None:
    async def handler(request: Request) -> Response:
        return Response(403, [], b"no")

    server = await doors.serve(handler)
    response = await doors.client(server.port).upgrade(
        Request("POST", "/exec", headers=[("connection", "Upgrade"), ("upgrade", "SPDY/3.1")])
    )
    assert (response.status, response.body, response.stream) == (403, b"no", None)


async def test_unix_socket_and_trusted(doors: Any, tmp_path: Path) -> None:
    import socket

    async def handler(request: Request) -> Response:
        return Response(200, [], str(request.peer.trusted).encode())

    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(tmp_path / "s"))
    server = await serve(handler, sock, trusted=True)
    doors.closers.append(server.close)
    response = await doors.client(f"unix:{tmp_path / 's'}")(Request("GET", "/"))
    assert response.body == b"True"


async def test_close_cancels_running_handlers_and_waits(doors: Any) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def handler(request: Request) -> Response:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return Response()

    server = await doors.serve(handler)
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.wait_for(started.wait(), TIMEOUT)
    await asyncio.wait_for(server.close(), TIMEOUT)
    assert ended.is_set()
    writer.close()


async def test_request_that_does_not_arrive_whole_is_timed_out(doors: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netsim.http.connection.HEAD_TIMEOUT", 0.05)
    server = await doors.serve(echo)
    assert (await raw_talk(server.port, b"GET / HTTP/1.1\r\nHost: x\r\n")).startswith(b"HTTP/1.1 408 ")
    assert (await raw_talk(server.port, b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc")).startswith(
        b"HTTP/1.1 408 "
    )


async def test_idle_connection_is_left_alone(doors: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netsim.http.connection.HEAD_TIMEOUT", 0.02)
    server = await doors.serve(echo)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    async with asyncio.timeout(TIMEOUT):
        for _ in range(2):
            await asyncio.sleep(0.06)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(len("GET / [] 0"))
    writer.close()
