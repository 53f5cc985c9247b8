"""The server's own TLS transport: bad, slow and vanishing clients, both versions of TLS, no file left open."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
import random
import resource
import shutil
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Any

import pytest

from netsim.http.server import HttpServer
from netsim.http.types import ByteStream, Request, Response
from netsim.http.websocket import WebSocket, accept, connect
from support.authority import Authority, client_context, server_context

TIMEOUT = 10.0
BIG = random.Random(7).randbytes(10 << 20)
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
RESET = struct.pack("ii", 1, 0)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT):
        while not condition():
            await asyncio.sleep(0.005)


async def handle(request: Request) -> Response:
    """/big answers 10 MB, /sum a digest of what was sent, others "ok"."""
    if request.path == "/big":
        return Response(200, [], BIG)
    return Response(200, [], hashlib.sha256(request.body).hexdigest().encode() if request.path == "/sum" else b"ok")


class Served:
    """A TLS server and ways to connect to it."""

    def __init__(self, server: HttpServer, authority: Authority) -> None:
        self.server, self.authority, self.context = server, authority, client_context(authority)

    async def raw(self) -> socket.socket:
        """A connection without TLS."""
        sock = socket.socket()
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.server.port))
        return sock

    async def open(self, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.server.port, ssl=self.context, **options)

    async def blocking(self, talk: Callable[[ssl.SSLSocket], Any]) -> Any:
        """What `talk` makes of a connected blocking socket, in a thread."""

        def run() -> Any:
            with (
                socket.create_connection(("127.0.0.1", self.server.port), TIMEOUT) as plain,
                self.context.wrap_socket(plain, server_hostname="127.0.0.1") as sock,
            ):
                return talk(sock)

        return await asyncio.to_thread(run)

    async def answers(self) -> None:
        """It still serves others."""
        reader, writer = await self.open()
        writer.write(GET)
        async with asyncio.timeout(TIMEOUT):
            assert b"200 OK" in await reader.readuntil(b"ok")
            writer.close()
            await writer.wait_closed()


@pytest.fixture
async def served(doors: Any, authority: Authority) -> Served:
    return Served(await doors.serve(handle, ssl=server_context(authority)), authority)


async def told(sock: socket.socket) -> bytes:
    """What comes until the other end closes or resets the connection."""
    data, loop = b"", asyncio.get_running_loop()
    try:
        async with asyncio.timeout(TIMEOUT):
            while chunk := await loop.sock_recv(sock, 65536):
                data += chunk
    except ConnectionResetError:
        pass
    sock.close()
    return data


def files() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_a_handshake_that_stops_halfway_is_ended(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netsim.http.tls_listener.HANDSHAKE_LIMIT", 0.2)
    outgoing, loop = ssl.MemoryBIO(), asyncio.get_running_loop()
    hello = served.context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="127.0.0.1")
    with pytest.raises(ssl.SSLWantReadError):
        hello.do_handshake()
    silent, partial = await served.raw(), await served.raw()
    await loop.sock_sendall(partial, outgoing.read()[:100])
    await served.answers()
    assert await told(partial) == b"" and await told(silent) == b""


@pytest.mark.parametrize("junk", [b"\0" * 100, b"\x16\x03\x01\xff\xff" + b"x" * 200, b"SSH-2.0-OpenSSH_9.2\r\n"])
async def test_no_tls_at_all_is_refused(served: Served, junk: bytes) -> None:
    sock = await served.raw()
    await asyncio.get_running_loop().sock_sendall(sock, junk)
    assert b"HTTP" not in await told(sock)
    await served.answers()


async def test_http_on_the_tls_port_is_told_so(served: Served) -> None:
    sock = await served.raw()
    await asyncio.get_running_loop().sock_sendall(sock, GET)
    answer = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
    assert await told(sock) == answer


async def test_clients_that_leave_in_the_handshake_leave_nothing(served: Served) -> None:
    await served.answers()
    await until(lambda: not served.server.connections)
    gc.collect()
    before = files()
    for _ in range(20):
        sock = await served.raw()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        sock.close()
    await served.answers()
    await until(lambda: not served.server.connections and files() <= before)


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


async def test_a_client_that_vanishes_amid_a_body_is_forgotten(served: Served) -> None:
    gc.collect()
    before = files()

    def vanish(sock: ssl.SSLSocket) -> None:
        sock.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        sock.recv(1000)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    await served.blocking(vanish)
    await until(lambda: not served.server.connections and files() <= before)


async def test_a_reset_behind_the_last_bytes_is_noticed(served: Served) -> None:
    def leave(sock: ssl.SSLSocket) -> None:
        sock.sendall(b"POST /sum HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\npart")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    for _ in range(30):
        await served.blocking(leave)
    await until(lambda: not served.server.connections)


@pytest.mark.parametrize("junk", [b"\x17\x03\x03\x00\x20" + b"x" * 32, b"no record at all"])
async def test_a_broken_record_ends_the_connection(served: Served, junk: bytes) -> None:
    def break_it(sock: ssl.SSLSocket) -> None:
        sock.sendall(b"POST /sum HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
        socket.socket.send(sock, junk)
        with pytest.raises(OSError):
            sock.recv(1)

    await served.blocking(break_it)
    await served.answers()
    await until(lambda: not served.server.connections)


@pytest.mark.parametrize("farewell", [True, False])
async def test_the_end_of_input_ends_the_connection(served: Served, farewell: bool) -> None:
    """With TLS's farewell, which is answered, and by the socket's end alone."""

    def end(sock: ssl.SSLSocket) -> bytes:
        sock.sendall(GET)
        data = sock.recv(65536)
        while not data.endswith(b"ok"):
            data += sock.recv(65536)
        if farewell:
            sock.unwrap().close()
            return b""
        socket.socket.shutdown(sock, socket.SHUT_WR)  # without a word of TLS
        return sock.recv(65536)

    assert await served.blocking(end) == b""
    await until(lambda: not served.server.connections)


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


async def test_connections_one_after_another_leak_nothing(served: Served) -> None:
    await served.blocking(lambda sock: None)
    await until(lambda: not served.server.connections)
    gc.collect()
    before = files()

    def ask(sock: ssl.SSLSocket) -> None:
        sock.sendall(GET)
        assert sock.recv(5) == b"HTTP/"

    for number in range(200):
        await served.blocking(ask if number % 2 else lambda sock: None)
    await until(lambda: not served.server.connections and files() <= before)


async def test_without_files_left_clients_wait(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("netsim.http.tls_listener._PAUSE", 0.05)
    sock = socket.socket()
    sock.setblocking(False)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", served.server.port))
        await until(lambda: "cannot accept connections" in caplog.text)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    sock.setblocking(True)
    sock.settimeout(TIMEOUT)

    def ask() -> bytes:
        with served.context.wrap_socket(sock, server_hostname="127.0.0.1") as secured:
            secured.sendall(GET)
            return secured.recv(12)

    assert await asyncio.to_thread(ask) == b"HTTP/1.1 200"
