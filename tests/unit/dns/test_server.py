"""The sockets: UDP and TCP on 127.0.0.1, asked by dig, by dnspython and by hand."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import socket
import struct
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import dns.asyncquery
import dns.message
import pytest

from netsim_dns import tcp, udp
from netsim_dns.config import ConfigError, DnsConfig
from netsim_dns.datagrams import BATCH
from netsim_dns.index import Index
from netsim_dns.responder import Responder
from netsim_dns.seams import Answered, Batch
from netsim_dns.server import DnsServer, make_responder, open_pair

from .conftest import GOLDEN
from .false_upstream import reply, upstream
from .forwarding import until

CONFIG = DnsConfig(listen=(("127.0.0.1", 0),))
SVC1 = "svc1.testns.svc.cluster.local."


@pytest.fixture
async def server(index: Index) -> AsyncIterator[int]:
    running = DnsServer(Responder(index, CONFIG))
    await running.start()
    yield running.ports[0]
    await running.close()


def wire(name: str = SVC1, qtype: str = "A", number: int = 0) -> bytes:
    query = dns.message.make_query(name, qtype)
    query.id = number
    return query.to_wire()


def framed(*messages: bytes) -> bytes:
    return b"".join(struct.pack("!H", len(m)) + m for m in messages)


async def read_message(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(5):
        length = int.from_bytes(await reader.readexactly(2), "big")
        return await reader.readexactly(length)


async def dig(port: int, *words: str) -> str:
    path = shutil.which("dig")
    if path is None:
        pytest.skip("dig is not installed (Debian package bind9-dnsutils)")
    command = (path, "@127.0.0.1", "-p", str(port), "+tries=1", "+time=5", *words)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    return output.decode()


@pytest.mark.parametrize("transport", ["+notcp", "+tcp"])
async def test_dig(server: int, transport: str) -> None:
    assert await dig(server, transport, "+short", SVC1) == "10.96.1.1\n"
    assert await dig(server, transport, "+short", "-x", "10.96.1.1") == SVC1 + "\n"
    assert await dig(server, transport, "+short", "_http._tcp." + SVC1, "SRV") == f"0 100 80 {SVC1}\n"
    assert "status: NXDOMAIN" in await dig(server, transport, "nosuch.testns.svc.cluster.local")
    assert "status: SERVFAIL" in await dig(server, transport, "www.example.test")


async def test_dig_falls_back_to_tcp(server: int) -> None:
    output = await dig(server, "+noedns", "+bufsize=0", "+short", "big.testns.svc.cluster.local")
    assert len(output.splitlines()) in (60, 61), "60 addresses, perhaps after a line about the retry"


async def test_dnspython_over_both(server: int) -> None:
    query = dns.message.make_query("multi.testns.svc.cluster.local", "SRV", use_edns=0)
    over_udp = await dns.asyncquery.udp(query, "127.0.0.1", port=server, timeout=5)
    over_tcp = await dns.asyncquery.tcp(query, "127.0.0.1", port=server, timeout=5)
    assert over_udp.answer == over_tcp.answer
    assert len(over_udp.answer[0]) == 4


async def test_a_burst_of_datagrams_is_answered_whole(server: int) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.connect(("127.0.0.1", server))
        for number in range(200):
            client.send(wire(number=number))
        async with asyncio.timeout(5):
            replies = [await loop.sock_recv(client, 4096) for _ in range(200)]
    assert sorted(int.from_bytes(r[:2], "big") for r in replies) == list(range(200))


async def test_each_of_a_burst_gets_its_own_answer(index: Index) -> None:
    """Answers at hand, in any order, dated, new, in another spelling, and none, in the same batches."""
    names = [SVC1, "hdls.testns.svc.cluster.local.", "nosuch.testns.svc.cluster.local.", SVC1.title()]
    asked = {}
    for number in range(280):
        kind = number % 7
        name = names[kind] if kind < 4 else f"new-{number}.testns.svc.cluster.local."
        query = wire(name, number=number)
        asked[number] = {5: query[:11], 6: query[:2] + b"\x80" + query[3:]}.get(kind, query)
    running = DnsServer(Responder(index, CONFIG))
    await running.start()
    loop = asyncio.get_running_loop()
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.setblocking(False)
            client.connect(("127.0.0.1", running.ports[0]))
            for query in asked.values():
                client.send(query)
            async with asyncio.timeout(5):
                came = [await loop.sock_recv(client, 4096) for _ in range(200)]
    finally:
        await running.close()
    answers = {int.from_bytes(data[:2], "big"): dns.message.from_wire(data) for data in came}
    assert sorted(answers) == [number for number in asked if number % 7 < 5]
    fresh = Responder(index, CONFIG)
    for number, found in answers.items():
        expected = fresh.udp(asked[number])
        assert isinstance(expected, bytes)
        assert found == dns.message.from_wire(expected)
        assert found.question[0].to_text() == dns.message.from_wire(asked[number]).question[0].to_text()


async def test_pipelined_queries_are_answered_in_order(server: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server)
    writer.write(framed(*(wire("huge.testns.svc.cluster.local." if n == 0 else SVC1, number=n) for n in range(20))))
    assert [int.from_bytes((await read_message(reader))[:2], "big") for _ in range(20)] == list(range(20))
    writer.close()
    await writer.wait_closed()


async def test_odd_streams_stay_usable(server: int) -> None:
    """Empty and short frames are ignored, malformed ones answered; bytes may come singly, the end early."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server)
    writer.write(framed(b"", b"abc", wire()[:12] + b"\x80"))
    assert (await read_message(reader))[3] & 15 == 1
    for byte in framed(wire(number=7)):
        writer.write(bytes([byte]))
        await writer.drain()
    assert (await read_message(reader))[:2] == b"\0\7"
    writer.write(framed(wire(number=8)))
    writer.write_eof()
    assert (await read_message(reader))[:2] == b"\0\x08"
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    "sent", [b"", b"\0", framed(b"x" * 40)[:20]], ids=["nothing", "half a length", "half a message"]
)
async def test_a_silent_client_is_dropped(server: int, sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "FIRST_TIMEOUT", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", server)
    writer.write(sent)
    async with asyncio.timeout(3):
        assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_an_idle_client_is_dropped_after_its_answer(server: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "IDLE_TIMEOUT", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", server)
    writer.write(framed(wire()))
    await read_message(reader)
    async with asyncio.timeout(3):
        assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_a_client_that_does_not_read_is_dropped(server: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds no more than a connection's buffers, and not for long."""
    monkeypatch.setattr(tcp, "WRITE_TIMEOUT", 0.1)
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setblocking(False)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await loop.sock_connect(client, ("127.0.0.1", server))
        queries = framed(*[wire("huge.testns.svc.cluster.local.")] * 500)
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(10):
                while True:
                    await loop.sock_sendall(client, queries)


async def test_many_queries_on_one_connection(server: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server)
    for start in range(0, 5000, 500):
        writer.write(framed(*(wire(number=n) for n in range(start, start + 500))))
        for n in range(start, start + 500):
            assert int.from_bytes((await read_message(reader))[:2], "big") == n
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(("listen", "own", "asked"), [("0.0.0.0", "127.0.0.1", "127.0.0.77"), ("::", "::1", "::1")])
async def test_a_wildcard_listener_answers_from_the_address_asked(
    index: Index, listen: str, own: str, asked: str
) -> None:
    running = DnsServer(Responder(index, DnsConfig(listen=((listen, 0),))))
    await running.start()
    loop = asyncio.get_running_loop()
    try:
        with socket.socket(socket.AF_INET6 if ":" in own else socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.setblocking(False)
            client.bind((own, 0))
            for number in range(udp.ALONE + 2):  # the last ones come together
                client.sendto(wire(number=number), (asked, running.ports[0]))
            async with asyncio.timeout(5):
                came = [await loop.sock_recvfrom(client, 4096) for _ in range(udp.ALONE + 2)]
        assert {peer[:2] for _, peer in came} == {(asked, running.ports[0])}
        assert [data[1] for data, _ in came] == list(range(udp.ALONE + 2))
    finally:
        await running.close()


async def test_one_answer_that_cannot_be_sent_holds_up_no_other(
    index: Index, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An answer of more than a datagram holds; those before and after it in the same batch arrive. One line says so."""
    monkeypatch.setattr("netsim_dns.udp.SAY_LOST_SECONDS", 3600.0)

    class Talkative(Responder):
        def udp(self, data: bytes) -> Answered:
            return data[:2] + bytes(65_533) if data[1] == 1 else super().udp(data)

        def udp_all(self, queries: Sequence[bytes]) -> Batch:
            return Batch(len(queries) * (b"",), (), range(len(queries)))

    running = DnsServer(Talkative(index, CONFIG))
    await running.start()
    loop = asyncio.get_running_loop()
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.setblocking(False)
            client.connect(("127.0.0.1", running.ports[0]))
            for _ in range(udp.ALONE):  # these are answered one by one, the rest together
                client.send(wire(number=1))
            for number in range(3):
                client.send(wire(number=number))
            async with asyncio.timeout(5):
                came = [await loop.sock_recv(client, 4096) for _ in range(2)]
                for number in (1, 3):
                    client.send(wire(number=number))
                came.append(await loop.sock_recv(client, 4096))
        assert sorted(data[1] for data in came) == [0, 2, 3]
        assert caplog.text.count("dns: udp: ") == 1
    finally:
        await running.close()


async def test_a_taken_port_is_named_and_nothing_stays_open(index: Index) -> None:
    udp_socket, tcp_socket = open_pair(("127.0.0.1", 0))
    port = udp_socket.getsockname()[1]
    udp_socket.close()
    with tcp_socket:
        running = DnsServer(Responder(index, DnsConfig(listen=(("127.0.0.1", port),))))
        with pytest.raises(OSError, match=f"dns cannot listen on 127.0.0.1 port {port}"):
            await running.start()
    free_again, other = open_pair(("127.0.0.1", port))
    free_again.close()
    other.close()
    with pytest.raises(ConfigError, match="'localhost' is not an IP address"):
        open_pair(("localhost", 0))


def test_own_addresses_are_those_configured(index: Index) -> None:
    assert make_responder(index, CONFIG).local == frozenset(), "bound to one address: no NS of its own"
    given = DnsConfig(local_addresses=("10.244.0.53", "fd00::1"))
    assert {len(address) for address in make_responder(index, given).local} == {4, 16}
    own = make_responder(index, DnsConfig()).local
    assert bytes((127, 0, 0, 1)) not in own


async def http_get(port: int, path: str) -> tuple[int, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    async with asyncio.timeout(5):
        head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return int(head.split()[1]), body


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def eventually_connects(port: int) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            await writer.wait_closed()
            return


async def refuses(port: int) -> None:
    async with asyncio.timeout(5):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                return
            writer.close()
            await writer.wait_closed()
            await asyncio.sleep(0.02)


@asynccontextmanager
async def process(port: int, *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The program itself, answering from the golden objects on a port."""
    served = ("-f", str(GOLDEN / "fixture.json"), "--listen", f"127.0.0.1:{port}")
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "netsim_dns", *served, *words, env=os.environ | {"PYTHONUNBUFFERED": "1"}
    )
    try:
        await eventually_connects(port)
        yield running
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()


async def test_the_process_from_start_to_lameduck() -> None:
    """File mode without root: /health, /ready; SIGTERM closes /ready at once, DNS goes on for a while, exit 0."""
    port, health, ready = free_port(), free_port(), free_port()
    words = ("--lameduck", "1", "--health", f"127.0.0.1:{health}", "--ready", f"127.0.0.1:{ready}")
    async with process(port, *words) as running:
        assert await http_get(health, "/health") == (200, "OK")
        assert await http_get(ready, "/ready") == (200, "OK")
        assert await http_get(ready, "/other") == (404, "404 page not found\n")
        running.send_signal(signal.SIGTERM)
        await refuses(ready)
        query = dns.message.make_query(SVC1, "A")
        answer = await dns.asyncquery.udp(query, "127.0.0.1", port=port, timeout=5)
        assert str(answer.answer[0][0]) == "10.96.1.1"
        assert (await http_get(health, "/health"))[0] == 200
        async with asyncio.timeout(10):
            assert await running.wait() == 0


async def test_what_an_upstream_was_asked_is_answered_after_the_lameduck() -> None:
    """By UDP and TCP, and then it is over, also for the connection that stays open."""
    port, ready, name = free_port(), free_port(), "www.example.test."
    async with upstream(lambda query, _: reply(query, f"{name} 60 IN A 192.0.2.1"), gate=asyncio.Event()) as server:
        words = ("--lameduck", "0", "--ready", f"127.0.0.1:{ready}", "--forward", "{}:{}".format(*server.address))
        async with process(port, *words) as running:
            query, (reader, writer) = (
                dns.message.make_query(name, "A"),
                await asyncio.open_connection("127.0.0.1", port),
            )
            by_udp = asyncio.create_task(dns.asyncquery.udp(query, "127.0.0.1", port=port, timeout=10))
            writer.write(framed(wire(name, "A", 7)))
            await until(lambda: server.names().count(name) == 2)
            running.send_signal(signal.SIGTERM)
            await refuses(ready)
            assert server.gate
            server.gate.set()
            by_tcp = dns.message.from_wire(await read_message(reader))
            for answer in (by_tcp, await by_udp):
                assert [str(record) for rrset in answer.answer for record in rrset] == ["192.0.2.1"]
            async with asyncio.timeout(10):
                assert await running.wait() == 0
            writer.transport.abort()


async def test_a_turn_ends_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long an answer takes: others have their turn after each batch."""
    now, turns = [0.0], list[int]()

    def respond_all(queries: Sequence[bytes]) -> Batch:
        now[0] += udp.TURN_SECONDS
        turns[-1] += len(queries)
        return Batch(queries, (), ())

    monkeypatch.setattr(udp, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(udp, "ALONE", 0)
    sock = udp.open_udp("127.0.0.1", 0)
    served = udp.UdpServer(sock, lambda data: data, respond_all)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            for _ in range(3 * BATCH):
                client.sendto(bytes(12), sock.getsockname())
        while sum(turns) < 3 * BATCH:
            turns.append(0)
            served._drain()
        assert turns == 3 * [BATCH]
    finally:
        served.close()


class Unprivileged(socket.socket):
    """Without CAP_NET_ADMIN."""

    def setsockopt(self, level: int, option: int, value: int) -> None:  # type: ignore[override]
        if level == socket.SOL_SOCKET and option in (udp.SO_RCVBUFFORCE, udp.SO_SNDBUFFORCE):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        super().setsockopt(level, option, value)


def test_buffers_are_as_large_as_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = int(Path("/proc/sys/net/core/rmem_max").read_text())
    with udp.open_udp("127.0.0.1", 0) as sock:
        whole = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    monkeypatch.setattr(socket, "socket", Unprivileged)
    with udp.open_udp("127.0.0.1", 0) as sock:
        allowed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    assert allowed == 2 * min(udp.RECEIVE_BUFFER, limit), "the kernel doubles it for what it needs itself"
    assert whole in (allowed, 2 * udp.RECEIVE_BUFFER)


async def test_places_change_all_together_or_not_at_all(index: Index) -> None:
    server = DnsServer(make_responder(index, DnsConfig(listen=(("127.0.0.1", 0),))))
    await server.start()
    (first,) = server.ports
    try:
        await server.move([("127.0.0.1", 0), ("127.0.0.2", 0)])
        assert server.ports[0] == first, "which was open already"
        await server.move([("127.0.0.2", 0)])
        (second,) = server.ports
        query = dns.message.make_query("svc1.testns.svc.cluster.local.", "A")
        for by in (dns.asyncquery.udp, dns.asyncquery.tcp):
            assert (await by(query, "127.0.0.2", port=second, timeout=5)).answer
        taken = socket.create_server(("127.0.0.1", first))
        with taken, pytest.raises(OSError, match=f"port {first}: Address already in use"):
            await server.move([("127.0.0.3", 0), taken.getsockname()])
        assert server.ports == [second]
        assert (await dns.asyncquery.udp(query, "127.0.0.2", port=second, timeout=5)).answer
    finally:
        await server.close()
