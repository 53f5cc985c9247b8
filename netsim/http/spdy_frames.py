"""The frames of SPDY/3.1 and the numbers in them (SPDY Protocol draft 3.1, section 2). Pure."""

from __future__ import annotations

from dataclasses import dataclass

VERSION = 3
INITIAL_WINDOW = 64 * 1024
MAX_STREAM_ID = 2**31 - 1

SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9
FIN, UNIDIRECTIONAL = 1, 2
# RST_STREAM status codes (2.6.3) and GOAWAY's (2.6.6)
PROTOCOL_ERROR, INVALID_STREAM, REFUSED_STREAM, CANCEL, FLOW_CONTROL_ERROR = 1, 2, 3, 5, 7
GOAWAY_OK, GOAWAY_PROTOCOL_ERROR = 0, 1
SETTINGS_INITIAL_WINDOW = 7

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SynStream:
    """Opens a stream. Header names are lower case."""

    stream_id: int
    headers: Pairs = ()
    fin: bool = False
    unidirectional: bool = False


@dataclass(frozen=True, slots=True)
class SynReply:
    """Accepts a stream."""

    stream_id: int
    headers: Pairs = ()
    fin: bool = False


@dataclass(frozen=True, slots=True)
class MoreHeaders:
    """HEADERS: further headers of an open stream."""

    stream_id: int
    headers: Pairs = ()
    fin: bool = False


@dataclass(frozen=True, slots=True)
class RstStream:
    """Ends a stream at once, in both directions."""

    stream_id: int
    status: int


@dataclass(frozen=True, slots=True)
class Settings:
    """(id, value) pairs."""

    values: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Ping:
    """To be sent back as it is, if the peer began it."""

    ping_id: int


@dataclass(frozen=True, slots=True)
class GoAway:
    """The sender takes no new streams."""

    last_good: int
    status: int = GOAWAY_OK


@dataclass(frozen=True, slots=True)
class WindowUpdate:
    """The sender may take `delta` more bytes on a stream, or on all together (stream 0)."""

    stream_id: int
    delta: int


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes of a stream; `fin` marks the sender's last."""

    stream_id: int
    data: bytes
    fin: bool = False


Frame = SynStream | SynReply | MoreHeaders | RstStream | Settings | Ping | GoAway | WindowUpdate | Data
