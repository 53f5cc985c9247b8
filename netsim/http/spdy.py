"""SPDY/3.1 frames as bytes (SPDY Protocol draft 3.1): what kubectl's exec, attach and port-forward speak. Pure.

Data is handed on as it arrives, so that no frame has to be kept whole; everything else has a limit on its size.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

from netsim.http.spdy_dictionary import DICTIONARY
from netsim.http.spdy_frames import (
    FIN,
    GOAWAY,
    HEADERS,
    MAX_STREAM_ID,
    PING,
    RST_STREAM,
    SETTINGS,
    SYN_REPLY,
    SYN_STREAM,
    UNIDIRECTIONAL,
    VERSION,
    WINDOW_UPDATE,
    Data,
    Frame,
    GoAway,
    MoreHeaders,
    Pairs,
    Ping,
    RstStream,
    Settings,
    SynReply,
    SynStream,
    WindowUpdate,
)

CONTROL_LIMIT = 64 * 1024
HEADERS_LIMIT = 16 * 1024
PAIRS_LIMIT = 128

# Header blocks are small: a window just larger than the dictionary keeps a connection's memory small.
_WINDOW_BITS, _MEMORY_LEVEL = 11, 1
_HEAD = struct.Struct(">II")
_U32 = struct.Struct(">I")


class SpdyError(Exception):
    """The peer broke the protocol: the connection is of no more use."""


class Encoder:
    """Frames to bytes, in the order in which they are sent: header blocks share one compressor."""

    def __init__(self) -> None:
        self._zlib = zlib.compressobj(
            zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, _WINDOW_BITS, _MEMORY_LEVEL, zlib.Z_DEFAULT_STRATEGY, DICTIONARY
        )

    def encode(self, frame: Frame) -> bytes:
        match frame:
            case Data(stream_id, data, fin):
                return _HEAD.pack(stream_id, (FIN if fin else 0) << 24 | len(data)) + data
            case SynStream(stream_id, headers, fin, unidirectional):
                flags = FIN * fin | UNIDIRECTIONAL * unidirectional
                return _control(SYN_STREAM, flags, struct.pack(">IIH", stream_id, 0, 0) + self._block(headers))
            case SynReply(stream_id, headers, fin):
                return _control(SYN_REPLY, FIN * fin, _U32.pack(stream_id) + self._block(headers))
            case MoreHeaders(stream_id, headers, fin):
                return _control(HEADERS, FIN * fin, _U32.pack(stream_id) + self._block(headers))
        return _plain_frame(frame)

    def _block(self, headers: Pairs) -> bytes:
        raw = b"".join(_counted(part.encode()) for pair in headers for part in pair)
        return self._zlib.compress(_U32.pack(len(headers)) + raw) + self._zlib.flush(zlib.Z_SYNC_FLUSH)


def _plain_frame(frame: RstStream | Settings | Ping | GoAway | WindowUpdate) -> bytes:
    match frame:
        case RstStream(stream_id, status):
            return _control(RST_STREAM, 0, _HEAD.pack(stream_id, status))
        case Settings(values):
            entries = b"".join(_HEAD.pack(ident, value) for ident, value in values)
            return _control(SETTINGS, 0, _U32.pack(len(values)) + entries)
        case Ping(ping_id):
            return _control(PING, 0, _U32.pack(ping_id))
        case GoAway(last_good, status):
            return _control(GOAWAY, 0, _HEAD.pack(last_good, status))
        case WindowUpdate(stream_id, delta):
            return _control(WINDOW_UPDATE, 0, _HEAD.pack(stream_id, delta))


def _counted(part: bytes) -> bytes:
    return _U32.pack(len(part)) + part


def _control(kind: int, flags: int, body: bytes) -> bytes:
    return _HEAD.pack(1 << 31 | VERSION << 16 | kind, flags << 24 | len(body)) + body


class Decoder:
    """Bytes to frames. `feed` raises SpdyError for what is no SPDY/3 or beyond the limits; nothing follows that."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._zlib = zlib.decompressobj(zdict=DICTIONARY)
        self._data_left = 0
        self._data_stream = 0
        self._data_fin = False

    def feed(self, received: bytes) -> list[Frame]:
        """The frames that are complete now; a data frame comes in as many parts as its bytes do."""
        self._pending += received
        frames: list[Frame] = []
        while (frame := self._next()) is not None:
            frames.append(frame)
        return frames

    def _next(self) -> Frame | None:
        if self._data_left:
            return self._more_data()
        while len(self._pending) >= _HEAD.size:
            first, second = _HEAD.unpack_from(self._pending)
            flags, length = second >> 24, second & 0xFFFFFF
            if not first >> 31:
                return self._begin_data(first, flags, length)
            if length > CONTROL_LIMIT:
                raise SpdyError(f"a control frame of {length} bytes is longer than {CONTROL_LIMIT}")
            if len(self._pending) < _HEAD.size + length:
                return None
            body = bytes(self._pending[_HEAD.size : _HEAD.size + length])
            del self._pending[: _HEAD.size + length]
            frame = self._control(first, flags, body)
            if frame is not None:
                return frame
        return None

    def _begin_data(self, stream_id: int, flags: int, length: int) -> Frame | None:
        if stream_id == 0:
            raise SpdyError("data on stream 0")
        del self._pending[: _HEAD.size]
        self._data_stream, self._data_fin, self._data_left = stream_id, bool(flags & FIN), length
        return self._more_data() if length else Data(stream_id, b"", self._data_fin)

    def _more_data(self) -> Frame | None:
        if not self._pending:
            return None
        part = bytes(self._pending[: self._data_left])
        del self._pending[: len(part)]
        self._data_left -= len(part)
        return Data(self._data_stream, part, self._data_fin and not self._data_left)

    def _control(self, first: int, flags: int, body: bytes) -> Frame | None:
        """A control frame; None for one of an unknown type, which is ignored (2.6)."""
        version, kind = first >> 16 & 0x7FFF, first & 0xFFFF
        if version != VERSION:
            raise SpdyError(f"a frame of SPDY version {version}, want {VERSION}")
        try:
            return self._parse(kind, flags, body)
        except struct.error:
            raise SpdyError(f"a control frame of type {kind} is cut short ({len(body)} bytes)") from None

    def _parse(self, kind: int, flags: int, body: bytes) -> Frame | None:
        if kind in _PLAIN:
            return _PLAIN[kind](body)
        fin = bool(flags & FIN)
        if kind == SYN_STREAM:
            ident, _, _ = struct.unpack_from(">IIH", body)
            return SynStream(_stream(ident), self._headers(body[10:]), fin, bool(flags & UNIDIRECTIONAL))
        if kind in (SYN_REPLY, HEADERS):
            ident = _stream(_U32.unpack_from(body)[0])
            headers = self._headers(body[4:])
            return SynReply(ident, headers, fin) if kind == SYN_REPLY else MoreHeaders(ident, headers, fin)
        return None

    def _headers(self, block: bytes) -> Pairs:
        try:
            raw = self._zlib.decompress(block, HEADERS_LIMIT)
        except zlib.error as error:
            raise SpdyError(f"a header block that cannot be decompressed: {error}") from None
        if self._zlib.unconsumed_tail or self._zlib.eof:
            raise SpdyError(f"a header block of more than {HEADERS_LIMIT} bytes, or after the end of compression")
        return _pairs(raw)


def _stream(ident: int) -> int:
    if not ident & MAX_STREAM_ID:
        raise SpdyError("stream 0 is no stream")
    return ident & MAX_STREAM_ID


def _reset(body: bytes) -> RstStream:
    ident, status = _HEAD.unpack_from(body)
    return RstStream(_stream(ident), status)


def _go_away(body: bytes) -> GoAway:
    ident, status = _HEAD.unpack_from(body)
    return GoAway(ident & MAX_STREAM_ID, status)


def _window_update(body: bytes) -> WindowUpdate:
    ident, delta = _HEAD.unpack_from(body)
    return WindowUpdate(ident & MAX_STREAM_ID, delta & MAX_STREAM_ID)


def _settings(body: bytes) -> Settings:
    (count,) = _U32.unpack_from(body)
    if count * _HEAD.size != len(body) - 4:
        raise SpdyError(f"a SETTINGS frame of {len(body)} bytes says that it has {count} entries")
    entries = [_HEAD.unpack_from(body, 4 + i * _HEAD.size) for i in range(count)]
    return Settings(tuple((ident & 0xFFFFFF, value) for ident, value in entries))


_PLAIN: dict[int, Callable[[bytes], Frame]] = {
    RST_STREAM: _reset,
    SETTINGS: _settings,
    PING: lambda body: Ping(_U32.unpack_from(body)[0]),
    GOAWAY: _go_away,
    WINDOW_UPDATE: _window_update,
}


def _pairs(raw: bytes) -> Pairs:
    """Names (in lower case) and values of a decompressed header block (2.6.10)."""
    (count,) = _U32.unpack_from(raw)
    if count > PAIRS_LIMIT:
        raise SpdyError(f"{count} headers are more than {PAIRS_LIMIT}")
    at, found = 4, []
    for _ in range(count):
        name, at = _part(raw, at)
        value, at = _part(raw, at)
        found.append((name.lower(), value))
    return tuple(found)


def _part(raw: bytes, at: int) -> tuple[str, int]:
    (size,) = _U32.unpack_from(raw, at)
    end = at + 4 + size
    if end > len(raw):
        raise SpdyError("a header is longer than its block")
    return raw[at + 4 : end].decode("utf-8", "replace"), end
