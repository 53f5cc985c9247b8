"""Blocks of a pcapng file (draft-ietf-opsawg-pcapng), little-endian, timestamps in nanoseconds.

A file is a section header, one interface block per place of capture, then packets in any order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from struct import pack

SECTION, INTERFACE, NAMES, PACKET = 0x0A0D0D0A, 1, 4, 6
ETHERNET = 1
SNAPLEN = 262144
INBOUND, OUTBOUND = 1, 2

_END, _COMMENT = 0, 1
_OS, _APPLICATION = 3, 4
_IF_NAME, _IF_DESCRIPTION, _IF_TSRESOL = 2, 3, 9
_FLAGS = 2
_NANOSECONDS = b"\x09"

Option = tuple[int, bytes]


def section_header(application: str, system: str = "Linux") -> bytes:
    """Start of a file; its length is left open, so that the file is valid after each block."""
    body = pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)
    return _block(SECTION, body, [(_OS, system.encode()), (_APPLICATION, application.encode())])


def interface(name: str, description: str = "", linktype: int = ETHERNET) -> bytes:
    """An interface; packets name it by its number, the first being 0."""
    options = [(_IF_NAME, name.encode()), (_IF_TSRESOL, _NANOSECONDS)]
    if description:
        options.insert(1, (_IF_DESCRIPTION, description.encode()))
    return _block(INTERFACE, pack("<HHI", linktype, 0, SNAPLEN), options)


def packet(
    number: int, time_ns: int, data: bytes, *, length: int = 0, direction: int = 0, comments: Iterable[str] = ()
) -> bytes:
    """A packet on interface `number` at `time_ns` (since 1970); `length` its bytes on the wire if more than `data`,
    `direction` INBOUND, OUTBOUND or 0 for unknown."""
    body = pack("<IIIII", number, time_ns >> 32, time_ns & 0xFFFFFFFF, len(data), max(length, len(data)))
    options: list[Option] = [(_COMMENT, text.encode()) for text in comments]
    if direction:
        options.append((_FLAGS, pack("<I", direction)))
    return _block(PACKET, body + _padded(data), options)


def host_names(names: Mapping[str, str]) -> bytes:
    """Names of addresses (IPv4 or IPv6 text to name), which readers show in their place."""
    records = b""
    for address, name in names.items():
        packed = ip_address(address).packed
        value = packed + name.encode() + b"\0"
        records += pack("<HH", 1 if len(packed) == 4 else 2, len(value)) + _padded(value)
    return _block(NAMES, records + pack("<HH", 0, 0), [])


def _block(kind: int, body: bytes, options: list[Option]) -> bytes:
    tail = b"".join(pack("<HH", code, len(value)) + _padded(value) for code, value in options)
    if options:
        tail += pack("<HH", _END, 0)
    length = len(body) + len(tail) + 12
    return pack("<II", kind, length) + body + tail + pack("<I", length)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
