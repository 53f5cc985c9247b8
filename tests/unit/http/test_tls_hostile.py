"""The server's own TLS transport: bad and vanishing clients, no file left open."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import socket
import ssl
import struct

import pytest

from support.tls_server import GET, TIMEOUT, Served, until

RESET = struct.pack("ii", 1, 0)


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
        try:
            return sock.recv(65536)
        except ssl.SSLError as error:  # with Python 3.12 OpenSSL complains of that to the other side
            assert "ALERT" in str(error)
            return b""

    assert await served.blocking(end) == b""
    await until(lambda: not served.server.connections)


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
