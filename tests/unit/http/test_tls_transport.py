"""The server's own TLS transport: large and slow transfers both ways, upgrades, key updates, both versions of TLS."""

from __future__ import annotations

import asyncio
import hashlib
import random
import shutil
import ssl
from typing import Any

import pytest

from netsim.http.types import ByteStream, Request, Response
from netsim.http.websocket import WebSocket, accept, connect
from support.authority import Authority, client_context, server_context
from support.tls_server import BIG, GET, TIMEOUT, Served, until


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_slow_reader_gets_everything_and_holds_up_nobody(served: Served, version: ssl.TLSVersion) -> None:
    served.context.maximum_version = served.context.minimum_version = version
    reader, writer = await served.open(limit=1024)
    writer.write(b"GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    await until(lambda: any(c._transport.get_write_buffer_size() for c in served.server.connections))
    (connection,) = served.server.connections
    assert connection._flow.paused
    await served.answers()
    async with asyncio.timeout(TIMEOUT):
        _, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert body == BIG
    writer.close()
    await until(lambda: not served.server.connections)


async def test_who_does_not_read_the_end_is_dropped(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netsim.http.tls.CLOSE_LIMIT", 0.2)
    _, writer = await served.open(limit=1024)
    writer.write(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
    await until(lambda: any(c._flow.paused for c in served.server.connections))
    (connection,) = served.server.connections
    connection._transport.close()
    await until(lambda: not served.server.connections)
    writer.transport.abort()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_large_uploads_arrive_whole(served: Served, version: ssl.TLSVersion) -> None:
    served.context.maximum_version = served.context.minimum_version = version
    body = BIG[: 3 << 20]
    reader, writer = await served.open()
    for _ in range(2):
        writer.write(b"POST /sum HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        async with asyncio.timeout(TIMEOUT):
            await reader.readuntil(b"\r\n\r\n")
            assert (await reader.readexactly(64)).decode() == hashlib.sha256(body).hexdigest()
    writer.close()


async def test_both_directions_at_once(doors: Any, authority: Authority) -> None:
    """Pieces of every size, echoed while more are being sent and the reader now and then rests."""

    async def echo(stream: ByteStream) -> None:
        while data := await stream.read():
            await stream.write(data)

    async def handler(request: Request) -> Response:
        return Response(101, [("Upgrade", "SPDY/3.1")], upgrade=echo)

    server = await doors.serve(handler, ssl=server_context(authority))
    client = doors.client(f"https://127.0.0.1:{server.port}", ssl=client_context(authority))
    request = Request("POST", "/", headers=[("connection", "Upgrade"), ("upgrade", "SPDY/3.1")])
    stream = (await client.upgrade(request)).stream
    draw, sent, got = random.Random(3), 0, b""

    async def send() -> None:
        nonlocal sent
        while sent < 4 << 20:
            size = draw.choice((1, 100, 16384, 16385, 100_000, 700_000))
            await stream.write(BIG[sent : sent + size])
            sent += size

    async with asyncio.timeout(TIMEOUT):
        sender = asyncio.ensure_future(send())
        while not sender.done() or len(got) < sent:
            got += await stream.read()
            if draw.random() < 0.1:
                await asyncio.sleep(0.002)
    assert got == BIG[:sent]
    await stream.close()


async def test_websocket(doors: Any, authority: Authority) -> None:
    async def echo(websocket: WebSocket) -> None:
        while (data := await websocket.recv()) is not None:
            await websocket.send(data)

    async def handler(request: Request) -> Response:
        return accept(request, ["v5.channel.k8s.io"], echo)

    server = await doors.serve(handler, ssl=server_context(authority))
    client = doors.client(f"https://127.0.0.1:{server.port}", ssl=client_context(authority))
    async with asyncio.timeout(TIMEOUT):
        websocket = await connect(client, Request("GET", "/"), ["v5.channel.k8s.io"])
        await websocket.send(BIG[: 1 << 20])
        assert await websocket.recv() == BIG[: 1 << 20]
        await websocket.close()


async def test_key_updates_are_answered(served: Served) -> None:
    """`openssl s_client` asks for one with a K at the start of its input."""
    openssl = shutil.which("openssl")
    assert openssl, "this test needs the command openssl"
    ca = served.authority.directory / "ca.pem"
    ca.write_text(served.authority.pem)
    client = await asyncio.create_subprocess_exec(
        openssl, "s_client", "-connect", f"127.0.0.1:{served.server.port}", "-tls1_3", "-CAfile", str(ca),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    assert client.stdin is not None and client.stdout is not None
    async with asyncio.timeout(TIMEOUT):
        await client.stdout.readuntil(b"Verify return code: 0")
        for _ in range(2):
            client.stdin.write(b"K\n")
            await client.stdout.readuntil(b"KEYUPDATE")
            client.stdin.write(GET)
            await client.stdout.readuntil(b"HTTP/1.1 200 OK")
            await client.stdout.readuntil(b"\r\n\r\nok")
        client.stdin.close()
        await client.wait()
