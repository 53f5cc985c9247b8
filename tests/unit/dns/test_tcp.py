"""The TCP listener alone, with answers that a test gives when it likes."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsim_dns import tcp
from netsim_dns.seams import Answered, Exchange

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def framed(*messages: bytes) -> bytes:
    return b"".join(len(m).to_bytes(2, "big") + m for m in messages)


class Server:
    """Answers `now…` at once in upper case, `never…` not at all, anything else when told to."""

    def __init__(self) -> None:
        self.later: dict[bytes, asyncio.Future[bytes | None]] = {}
        self.seen: list[bytes] = []
        self.streams: set[tcp.DnsStream] = set()
        self.observed: list[Exchange] = []
        self.port = 0

    def respond(self, data: bytes) -> Answered:
        self.seen.append(data)
        if data.startswith(b"now"):
            return data.upper()
        if data.startswith(b"never"):
            return None
        return self.later.setdefault(data, asyncio.get_running_loop().create_future())

    def observe(self, _: str, exchanges: list[Exchange], seconds: float) -> None:
        self.observed += exchanges

    def stream(self) -> tcp.DnsStream:
        return tcp.DnsStream(self.respond, self.streams, self.observe)

    async def connect(self) -> Streams:
        return await asyncio.open_connection("127.0.0.1", self.port)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    listener = await asyncio.get_running_loop().create_server(server.stream, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    yield server
    listener.close()
    for stream in tuple(server.streams):
        stream.abort()
    await asyncio.sleep(0)


@asynccontextmanager
async def client(server: Server) -> AsyncIterator[Streams]:
    reader, writer = await server.connect()
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def read(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(10):
        return await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))


async def ended(reader: asyncio.StreamReader) -> bool:
    async with asyncio.timeout(10):
        return await reader.read() == b""


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.002)


async def test_a_slow_answer_delays_others_but_not_the_work_on_them(server: Server) -> None:
    async with client(server) as (reader, writer):
        writer.write(framed(b"now0", b"a", b"now1", b"never", b"b", b"now2"))
        assert await read(reader) == b"NOW0"
        await until(lambda: len(server.seen) == 6)
        server.later[b"b"].set_result(b"B")
        await asyncio.sleep(0)
        server.later[b"a"].set_result(b"A")
        assert [await read(reader) for _ in range(4)] == [b"A", b"NOW1", b"B", b"NOW2"]
        assert [exchange.answer for exchange in server.observed] == [b"NOW0", b"A", b"NOW1", None, b"B", b"NOW2"]


async def test_what_waits_is_answered_after_the_clients_end(server: Server) -> None:
    async with client(server) as (reader, writer):
        writer.write(framed(b"a", b"gone", b"now"))
        writer.write_eof()
        await until(lambda: len(server.seen) == 3)
        server.later[b"a"].set_result(b"A")
        server.later[b"gone"].cancel()
        assert [await read(reader), await read(reader)] == [b"A", b"NOW"]
        assert await ended(reader)


async def test_a_client_that_goes_away_leaves_nothing(server: Server) -> None:
    async with client(server) as (_, writer):
        writer.write(framed(b"a"))
        await until(lambda: bool(server.later))
    server.later[b"a"].set_result(b"A")
    await until(lambda: not server.streams)


async def test_only_so_many_queries_of_a_connection_wait(server: Server) -> None:
    async with client(server) as (reader, writer):
        names = [b"q%d" % n for n in range(200)]
        writer.write(framed(*names))
        await until(lambda: len(server.seen) == tcp.WAITING_MAX)
        for turn in range(200):
            await until(lambda: names[turn] in server.later)  # noqa: B023
            assert len(server.seen) <= turn + tcp.WAITING_MAX
            server.later[names[turn]].set_result(names[turn])
            assert await read(reader) == names[turn]


async def test_many_queries_in_one_segment_leave_turns_to_others(server: Server) -> None:
    """Its 3,000 queries are answered whole, but the other connection's single one does not come after them."""
    order: list[str] = []

    async def one(reader: asyncio.StreamReader, name: str, count: int) -> None:
        for _ in range(count):
            await read(reader)
        order.append(name)

    async with client(server) as (many, writer), client(server) as (single, other):
        writer.write(framed(*[b"now"] * 3000))
        other.write(framed(b"now"))
        await asyncio.gather(one(many, "many", 3000), one(single, "single", 1))
        assert order == ["single", "many"]
        assert len(server.seen) == 3001


async def test_the_oldest_idle_connection_makes_room(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "STREAMS_MAX", 3)
    async with client(server) as busy, client(server) as idle, client(server) as kept:
        for (reader, writer), name in ((idle, b"now"), (kept, b"now")):
            writer.write(framed(name))
            assert await read(reader) == b"NOW"
        busy[1].write(framed(b"slow"))
        await until(lambda: b"slow" in server.later)
        async with client(server) as newest:
            newest[1].write(framed(b"now"))
            assert await read(newest[0]) == b"NOW"
            assert await ended(idle[0])
            server.later[b"slow"].set_result(b"SLOW")
            assert await read(busy[0]) == b"SLOW", "one that waits for an answer is not idle"
            assert len(server.streams) == 3


async def test_a_wait_for_an_upstream_is_no_idleness(server: Server) -> None:
    async with client(server) as (reader, writer):
        writer.write(framed(b"slow"))
        await until(lambda: b"slow" in server.later)
        (stream,) = server.streams
        assert stream.deadline == math.inf
        server.later[b"slow"].set_result(b"SLOW")
        assert await read(reader) == b"SLOW"
        assert 0 < stream.deadline - asyncio.get_running_loop().time() <= tcp.IDLE_TIMEOUT


class Sink(asyncio.Transport):
    """A transport that takes everything; its client always reads."""

    def __init__(self) -> None:
        super().__init__()
        self.taken, self.closed = b"", False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.taken += data

    def get_extra_info(self, name: str, default: object = None) -> object:
        return default

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None:
        self.closed = True


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.one_of(st.binary(max_size=40), st.sampled_from((b"", b"now", b"never"))), max_size=30),
    st.lists(st.integers(1, 60), max_size=40),
    st.integers(0, 30),
)
def test_however_a_stream_is_cut_its_answers_are_the_same(messages: list[bytes], cuts: list[int], rest: int) -> None:
    """Also with a message at the end that never gets whole."""

    async def run() -> None:
        sink, stream = Sink(), tcp.DnsStream(lambda data: None if data == b"never" else data[::-1], set())
        stream.connection_made(sink)
        sent = framed(*messages) + framed(bytes(rest))[:rest]
        for size in [*cuts, len(sent)]:
            if sent[:size]:
                stream.data_received(sent[:size])
            sent = sent[size:]
        assert sink.taken == framed(*(m[::-1] for m in messages if m != b"never"))
        stream.eof_received()
        stream.connection_lost(None)

    asyncio.run(run())
