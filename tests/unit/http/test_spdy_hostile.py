"""Whatever a peer sends, a SPDY session ends with it, answers within bounds and keeps nothing."""

from __future__ import annotations

import asyncio
import contextlib

from hypothesis import given
from hypothesis import strategies as st

from netsim.http import spdy_frames as spdy
from netsim.http import spdy_session
from netsim.http.spdy import Encoder, SpdyError
from netsim.http.spdy_frames import Data
from netsim.http.spdy_session import SpdySession
from netsim.http.spdy_stream import SpdyStream, StreamReset
from netsim.http.stream import pipe

SMALL = st.integers(1, 9)
NUMBERS = st.integers(0, 2**31 - 1)
FRAMES = st.one_of(
    st.builds(spdy.SynStream, SMALL, st.just((("a", "b"),)), st.booleans(), st.booleans()),
    st.builds(spdy.SynReply, SMALL, st.just(()), st.booleans()),
    st.builds(spdy.MoreHeaders, SMALL, st.just(()), st.booleans()),
    st.builds(spdy.RstStream, SMALL, NUMBERS),
    st.builds(spdy.Settings, st.lists(st.tuples(st.integers(1, 8), NUMBERS), max_size=3).map(tuple)),
    st.builds(spdy.Ping, NUMBERS),
    st.builds(spdy.GoAway, NUMBERS, NUMBERS),
    st.builds(spdy.WindowUpdate, st.integers(0, 9), NUMBERS),
    st.builds(Data, SMALL, st.binary(max_size=100), st.booleans()),
)


async def echo(stream: SpdyStream) -> None:
    with contextlib.suppress(StreamReset):
        while data := await stream.read():
            await stream.write(data)
        await stream.finish()


async def survive(raw: list[bytes]) -> None:
    near, far = pipe()
    tasks: list[asyncio.Task[None]] = []
    session = SpdySession(far, lambda stream: tasks.append(asyncio.create_task(echo(stream))))
    running = asyncio.create_task(session.run())

    async def listen() -> int:
        size = 0
        while data := await near.read():
            size += len(data)
        return size

    listening = asyncio.create_task(listen())
    async with asyncio.timeout(5):
        for part in raw:
            if running.done():
                break
            with contextlib.suppress(ConnectionResetError):
                await near.write(part)
        await near.close()
        with contextlib.suppress(SpdyError, StreamReset):
            await running
        await asyncio.gather(*tasks)
        answered = await listening
    assert session.closed and not session.streams
    assert session._buffered == 0
    assert answered <= 4 * sum(map(len, raw)) + 1000


@given(st.lists(FRAMES, max_size=30))
def test_any_order_of_frames(frames: list[spdy.Frame]) -> None:
    encoder = Encoder()
    asyncio.run(survive([encoder.encode(frame) for frame in frames]))


@given(st.lists(FRAMES, max_size=6), st.lists(st.binary(max_size=60), max_size=4))
def test_frames_followed_by_noise(frames: list[spdy.Frame], noise: list[bytes]) -> None:
    encoder = Encoder()
    asyncio.run(survive([*(encoder.encode(frame) for frame in frames), *noise]))


def test_more_streams_than_are_allowed_cost_nothing() -> None:
    encoder = Encoder()
    opened = [encoder.encode(spdy.SynStream(number)) for number in range(1, 4 * spdy_session.MAX_STREAMS, 2)]
    asyncio.run(survive(opened))
