"""SPDY connections between two of our own ends, and against peers that do not keep to the rules."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.http import spdy_frames as spdy
from netsim.http import spdy_session
from netsim.http.spdy import Decoder, Encoder, SpdyError
from netsim.http.spdy_frames import Data, SynStream
from netsim.http.spdy_session import SpdySession
from netsim.http.spdy_stream import SpdyStream, StreamReset
from netsim.http.stream import PipeStream, pipe

HEADERS = (("streamtype", "data"),)


async def echo(stream: SpdyStream) -> None:
    """Send everything back, then half-close; a reset ends it."""
    with contextlib.suppress(StreamReset):
        while data := await stream.read():
            await stream.write(data)
        await stream.finish()


@asynccontextmanager
async def served(serve=echo) -> AsyncIterator[tuple[PipeStream, SpdySession, asyncio.Task[None]]]:
    """A serving session and the raw other end of its connection."""
    near, far = pipe()
    tasks: list[asyncio.Task[None]] = []
    session = SpdySession(far, lambda stream: tasks.append(asyncio.create_task(serve(stream))))
    running = asyncio.create_task(session.run())
    try:
        yield near, session, running
    finally:
        for task in (running, *tasks):
            task.cancel()
        await asyncio.gather(running, *tasks, return_exceptions=True)


@asynccontextmanager
async def connected(serve=echo) -> AsyncIterator[tuple[SpdySession, SpdySession]]:
    """A client's and a server's session, joined."""
    async with served(serve) as (near, server, _):
        client = SpdySession(near, lambda _: None, client=True)
        running = asyncio.create_task(client.run())
        try:
            yield client, server
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def read_all(stream: SpdyStream) -> bytes:
    parts = []
    while data := await stream.read():
        parts.append(data)
    return b"".join(parts)


async def send_all(stream: SpdyStream, data: bytes) -> None:
    await stream.write(data)
    await stream.finish()


@given(st.lists(st.binary(max_size=5000), min_size=1, max_size=4))
def test_every_stream_gets_its_own_bytes_back(contents):
    async def run() -> None:
        async with connected() as (client, server), asyncio.timeout(10):
            streams = [await client.open(HEADERS) for _ in contents]
            sent = [send_all(stream, data) for stream, data in zip(streams, contents, strict=True)]
            got = await asyncio.gather(*map(read_all, streams), *sent)
            assert got[: len(contents)] == contents
            assert not client.streams
            while server.streams:
                await asyncio.sleep(0)

    asyncio.run(run())


async def test_much_goes_through_while_windows_are_kept():
    data = bytes(range(256)) * 8192
    async with connected() as (client, server), asyncio.timeout(10):
        # From here on both ends hold to the windows, as a peer with flow control makes them.
        for session in (client, server):
            await session.send(spdy.Settings(((spdy.SETTINGS_INITIAL_WINDOW, spdy.INITIAL_WINDOW),)))
        stream = await client.open(HEADERS)
        _, got = await asyncio.gather(send_all(stream, data), read_all(stream))
        assert got == data


async def test_many_small_streams_use_up_no_window_of_the_connection():
    async with connected() as (client, server), asyncio.timeout(10):
        # From here on the client holds to the connection's window: of a stream's few bytes it hears nothing else.
        await server.send(spdy.WindowUpdate(0, 1))
        for _ in range(20):
            stream = await client.open(HEADERS)
            _, got = await asyncio.gather(send_all(stream, bytes(20_000)), read_all(stream))
            assert len(got) == 20_000


async def test_a_window_is_held_to_once_the_peer_counts():
    async def talk(stream: SpdyStream) -> None:
        await stream.write(bytes(200_000))

    async with served(talk) as (near, session, _), asyncio.timeout(5):
        encoder, decoder, got = Encoder(), Decoder(), 0
        await near.write(encoder.encode(spdy.Settings(((spdy.SETTINGS_INITIAL_WINDOW, 1000),))))
        await near.write(encoder.encode(SynStream(1, HEADERS)))
        for credit, total in ((500, 1000), (3000, 1500), (0, 4500)):
            while got < total:
                got += sum(len(frame.data) for frame in decoder.feed(await near.read()) if isinstance(frame, Data))
            assert got == total
            await near.write(encoder.encode(spdy.WindowUpdate(1, credit)))
        assert session.streams[1].window == 0


async def test_a_peer_that_ignores_windows_is_held_back_by_the_connection():
    gate = asyncio.Event()

    async def slow(stream: SpdyStream) -> None:
        await gate.wait()
        await echo(stream)

    async with served(slow) as (near, session, _), asyncio.timeout(10):
        encoder = Encoder()
        await near.write(encoder.encode(SynStream(1, HEADERS)))
        sent = 0

        async def flood() -> None:
            nonlocal sent
            for _ in range(400):
                await near.write(encoder.encode(Data(1, bytes(30_000))))
                sent += 30_000

        flooding = asyncio.create_task(flood())
        while session._buffered <= spdy_session.BUFFER_LIMIT:
            await asyncio.sleep(0)
        for _ in range(200):
            await asyncio.sleep(0)
        assert session._buffered < spdy_session.BUFFER_LIMIT + 31_000
        assert not flooding.done()
        gate.set()
        decoder, got = Decoder(), 0
        while got < 12_000_000:
            got += sum(len(frame.data) for frame in decoder.feed(await near.read()) if isinstance(frame, Data))
        await flooding


async def test_half_close_leaves_the_other_direction_open():
    async def late(stream: SpdyStream) -> None:
        assert await read_all(stream) == b"question"
        await stream.write(b"answer")
        await stream.finish()

    async with connected(late) as (client, _), asyncio.timeout(5):
        stream = await client.open(HEADERS)
        await send_all(stream, b"question")
        assert await read_all(stream) == b"answer"


async def test_reset_ends_reading_and_writing_on_both_sides():
    ended = asyncio.Event()

    async def wait(stream: SpdyStream) -> None:
        with pytest.raises(StreamReset):
            await stream.read()
        with pytest.raises(StreamReset):
            await stream.write(b"late")
        ended.set()

    async with connected(wait) as (client, server), asyncio.timeout(5):
        stream = await client.open(HEADERS)
        await stream.reset()
        with pytest.raises(StreamReset):
            await stream.read()
        await ended.wait()
        assert not server.streams


async def test_too_many_streams_are_refused(monkeypatch):
    monkeypatch.setattr(spdy_session, "MAX_STREAMS", 2)
    async with connected() as (client, _), asyncio.timeout(5):
        streams = [await client.open(HEADERS) for _ in range(3)]
        with pytest.raises(StreamReset):
            await streams[2].read()
        await send_all(streams[0], b"still")
        assert await read_all(streams[0]) == b"still"


@pytest.mark.parametrize(
    "frames",
    [[SynStream(2)], [SynStream(3), SynStream(3)], [SynStream(5), SynStream(1)]],
    ids=["even", "twice", "backwards"],
)
async def test_wrong_stream_numbers_end_the_connection(frames):
    async with served() as (near, session, running), asyncio.timeout(5):
        encoder = Encoder()
        for frame in frames:
            await near.write(encoder.encode(frame))
        with pytest.raises(SpdyError):
            await running
        assert session.closed
        decoder, got = Decoder(), []
        while received := await near.read():
            got += decoder.feed(received)
        assert any(isinstance(frame, spdy.GoAway) and frame.status == spdy.GOAWAY_PROTOCOL_ERROR for frame in got)


async def test_pings_of_the_peer_are_answered_and_its_answers_are_not():
    async with served() as (near, _, _), asyncio.timeout(5):
        encoder = Encoder()
        for number in (2, 7):
            await near.write(encoder.encode(spdy.Ping(number)))
        assert Decoder().feed(await near.read()) == [spdy.Ping(7)]


async def test_the_end_of_the_connection_ends_its_streams():
    async with connected() as (client, server), asyncio.timeout(5):
        stream = await client.open(HEADERS)
        await server.close()
        with pytest.raises(StreamReset):
            await stream.read()
        with pytest.raises(StreamReset):
            await stream.write(b"late")
