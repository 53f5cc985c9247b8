"""SPDY frames: every frame comes back however its bytes are cut, and no bytes do harm."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.http import spdy_frames as spdy
from netsim.http.spdy import CONTROL_LIMIT, Decoder, Encoder, SpdyError
from netsim.http.spdy_dictionary import DICTIONARY
from netsim.http.spdy_frames import Data

IDS = st.integers(1, spdy.MAX_STREAM_ID)
WORDS = st.integers(0, 2**31 - 1)
HEADERS = st.lists(
    st.tuples(st.text("abc-x", max_size=12), st.text(max_size=30, alphabet=st.characters(exclude_categories=("Cs",)))),
    max_size=6,
).map(tuple)
FRAMES = st.one_of(
    st.builds(spdy.SynStream, IDS, HEADERS, st.booleans(), st.booleans()),
    st.builds(spdy.SynReply, IDS, HEADERS, st.booleans()),
    st.builds(spdy.MoreHeaders, IDS, HEADERS, st.booleans()),
    st.builds(spdy.RstStream, IDS, WORDS),
    st.builds(spdy.Settings, st.lists(st.tuples(st.integers(0, 2**24 - 1), WORDS), max_size=4).map(tuple)),
    st.builds(spdy.Ping, WORDS),
    st.builds(spdy.GoAway, WORDS, WORDS),
    st.builds(spdy.WindowUpdate, WORDS, WORDS),
    st.builds(Data, IDS, st.binary(max_size=200), st.booleans()),
)


def joined(frames: list[spdy.Frame]) -> list[spdy.Frame]:
    """Frames with the parts of one data frame put together again, and empty ones without meaning left out."""
    found: list[spdy.Frame] = []
    for frame in frames:
        last = found[-1] if found else None
        if isinstance(frame, Data) and isinstance(last, Data) and last.stream_id == frame.stream_id and not last.fin:
            found[-1] = Data(frame.stream_id, last.data + frame.data, frame.fin)
        else:
            found.append(frame)
    return found


def test_the_dictionary_is_the_one_of_the_specification():
    assert len(DICTIONARY) == 1423
    assert zlib.adler32(DICTIONARY) == 0xE3C6A7C2


@given(st.lists(FRAMES, max_size=8), st.integers(1, 50))
def test_frames_survive_any_cut(frames, step):
    encoder, decoder = Encoder(), Decoder()
    raw = b"".join(encoder.encode(frame) for frame in frames)
    got = [frame for at in range(0, len(raw), step) for frame in decoder.feed(raw[at : at + step])]
    assert joined(got) == joined(frames)


@given(st.binary(max_size=400))
def test_arbitrary_bytes_give_frames_or_an_error(raw):
    decoder = Decoder()
    try:
        decoder.feed(raw)
    except SpdyError:
        return
    assert len(decoder._pending) <= CONTROL_LIMIT + 8


@given(st.lists(FRAMES, min_size=1, max_size=4), st.data())
def test_a_damaged_frame_is_no_other_exception(frames, data):
    encoder, decoder = Encoder(), Decoder()
    raw = bytearray(b"".join(encoder.encode(frame) for frame in frames))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        decoder.feed(bytes(raw))
    except SpdyError as error:
        assert str(error)


def control(kind: int, body: bytes, version: int = 3) -> bytes:
    return struct.pack(">II", 1 << 31 | version << 16 | kind, len(body)) + body


def block(raw: bytes) -> bytes:
    compressor = zlib.compressobj(zdict=DICTIONARY)
    return compressor.compress(raw) + compressor.flush(zlib.Z_SYNC_FLUSH)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (control(1, bytes(4), version=2), "version 2"),
        (struct.pack(">II", 1 << 31 | 3 << 16 | 1, CONTROL_LIMIT + 1), "longer than"),
        (control(1, bytes(4)), "cut short"),
        (control(2, struct.pack(">I", 0) + block(bytes(4))), "stream 0"),
        (control(2, struct.pack(">I", 1) + b"no zlib"), "cannot be decompressed"),
        (control(2, struct.pack(">I", 1) + block(bytes(80_000))), "more than 16384 bytes"),
        (control(2, struct.pack(">I", 1) + block(struct.pack(">I", 10_000))), "10000 headers"),
        (control(2, struct.pack(">I", 1) + block(struct.pack(">II", 1, 2**31))), "longer than its block"),
        (control(4, struct.pack(">I", 2**32 - 1)), "entries"),
        (struct.pack(">II", 0, 5), "stream 0"),
    ],
)
def test_hostile_frames_are_refused(raw, why):
    with pytest.raises(SpdyError, match=why):
        Decoder().feed(raw)


def test_data_is_not_kept_until_its_frame_is_whole():
    decoder = Decoder()
    assert decoder.feed(struct.pack(">II", 5, 1 << 24 | 0xFFFFFF) + b"x" * 10) == [Data(5, b"x" * 10)]
    for _ in range(20):
        assert decoder.feed(b"y" * 1000) == [Data(5, b"y" * 1000)]
    assert not decoder._pending


def test_frames_of_unknown_types_are_ignored():
    assert Decoder().feed(control(11, b"credential") + control(6, struct.pack(">I", 7))) == [spdy.Ping(7)]
