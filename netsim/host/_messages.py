"""Encoding of rtnetlink messages (pure): the layouts of rtnetlink(7), and those attributes that are used here.

By our own table: a pod takes a dozen messages, and a library of message classes 100 to 200 µs for each.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from functools import lru_cache, partial
from socket import AF_INET, AF_INET6
from typing import Any

HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence number, port id
ATTRIBUTE = struct.Struct("=HH")  # nlattr: length with this header, type
LINK = struct.Struct("=BxHiII")  # ifinfmsg: family, type, index, flags, change
ROUTE = struct.Struct("=8BI")  # rtmsg: family, lengths of destination and source, tos, table, proto, scope, type, flags
NESTED = 0x8000  # NLA_F_NESTED, which younger attributes must have and older ones go without

# A value of an attribute: a scalar, or nested attributes as a tuple of pairs.
Value = int | str | bytes | tuple[Any, ...]
Attrs = tuple[tuple[str, Value], ...]
Fields = tuple[tuple[str, int], ...]
Writer = Callable[[Any], bytes]


def _fixed(layout: str, *names: str) -> tuple[struct.Struct, dict[str, int]]:
    return struct.Struct(layout), dict.fromkeys(names, 0)


# Fixed parts: the layout, and 0 for each of its names (what is padding has none).
_FIXED = {
    "ifinfmsg": _fixed(LINK.format, "family", "type", "index", "flags", "change"),
    "ifaddrmsg": _fixed("=BBBBI", "family", "prefixlen", "flags", "scope", "index"),
    "rtmsg": _fixed(ROUTE.format, "family", "dst_len", "src_len", "tos", "table", "proto", "scope", "type", "flags"),
    "ndmsg": _fixed("=BxxxiHBB", "family", "ifindex", "state", "flags", "ndm_type"),
}
_PADDING = (b"", b"\0", b"\0\0", b"\0\0\0")


def _attribute(number: int, data: bytes) -> bytes:
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(data), number) + data + _PADDING[-len(data) & 3]


# Writers of attributes by their number: each makes a whole attribute, with its header and padding.
def _u8(number: int) -> Writer:
    return partial(struct.Struct("=HHB3x").pack, 5, number)


def _u32(number: int) -> Writer:
    return partial(struct.Struct("=HHI").pack, 8, number)


def _be16(number: int) -> Writer:
    return lambda value: _attribute(number, value.to_bytes(2, "big"))


def _text(number: int) -> Writer:
    return lambda value: _attribute(number, value.encode() + b"\0")


def _bytes(number: int) -> Writer:
    return lambda value: _attribute(number, value)


def _mac(number: int) -> Writer:
    return lambda value: _attribute(number, bytes.fromhex(value.replace(":", "")))


def _ip(number: int) -> Writer:
    return lambda value: _attribute(number, socket.inet_pton(AF_INET6 if ":" in value else AF_INET, value))


def _nested(number: int) -> Writer:
    return lambda value: _attribute(number, join(value))


def join(attrs: Attrs) -> bytes:
    """Attributes one after the other."""
    return b"".join([_ATTRIBUTES[name](value) for name, value in attrs])


# Their numbers and forms, from linux/if_link.h, if_addr.h, rtnetlink.h, neighbour.h and veth.h.
_ATTRIBUTES: dict[str, Writer] = {
    "IFLA_ADDRESS": _mac(1),
    "IFLA_IFNAME": _text(3),
    "IFLA_MTU": _u32(4),
    "IFLA_LINK": _u32(5),
    "IFLA_MASTER": _u32(10),
    "IFLA_LINKINFO": _nested(18),
    "IFLA_IFALIAS": _text(20),
    "IFLA_AF_SPEC": _nested(26),
    "IFLA_GROUP": _u32(27),
    "IFLA_NET_NS_FD": _u32(28),
    "IFLA_EXT_MASK": _u32(29),
    "IFLA_NUM_TX_QUEUES": _u32(31),
    "IFLA_NUM_RX_QUEUES": _u32(32),
    "IFLA_PROP_LIST": _nested(52 | NESTED),
    "IFLA_ALT_IFNAME": _text(53),
    # in IFLA_LINKINFO
    "IFLA_INFO_KIND": _text(1),
    "IFLA_INFO_DATA": _nested(2),
    "IFLA_INFO_SLAVE_KIND": _text(4),
    "IFLA_INFO_SLAVE_DATA": _nested(5),
    # in IFLA_INFO_DATA: a whole message, and those of VXLAN
    "VETH_INFO_PEER": _bytes(1),
    "IFLA_VXLAN_ID": _u32(1),
    "IFLA_VXLAN_LINK": _u32(3),
    "IFLA_VXLAN_LOCAL": _ip(4),
    "IFLA_VXLAN_LEARNING": _u8(7),
    "IFLA_VXLAN_PORT": _be16(15),
    "IFLA_VXLAN_LOCAL6": _ip(17),
    # in IFLA_INFO_SLAVE_DATA
    "IFLA_BRPORT_MODE": _u8(4),
    "IFLA_BRPORT_ISOLATED": _u8(33),
    # in IFLA_AF_SPEC
    "AF_INET6": _nested(10),
    "IFLA_INET6_ADDR_GEN_MODE": _u8(8),
    "IFA_ADDRESS": _ip(1),
    "IFA_LOCAL": _ip(2),
    "RTA_DST": _ip(1),
    "RTA_OIF": _u32(4),
    "RTA_GATEWAY": _ip(5),
    "RTA_PRIORITY": _u32(6),
    "RTA_PREFSRC": _ip(7),
    "RTA_METRICS": _nested(8),
    "RTA_TABLE": _u32(15),
    "RTAX_MTU": _u32(2),
    "RTAX_ADVMSS": _u32(8),
    "NDA_DST": _ip(1),
    "NDA_LLADDR": _mac(2),
}


def encode(kind: str, fields: Fields, attrs: Attrs) -> bytes:
    """Body of a message without its netlink header.

    `kind` is ifinfmsg, ifaddrmsg, rtmsg or ndmsg; `fields` those of its fixed part that are not 0; `attrs` nested pairs
    by their kernel names, for instance (("IFLA_IFNAME", "br0"), ("IFLA_LINKINFO", (("IFLA_INFO_KIND", "bridge"),))). A
    nested message (a veth's peer) is given encoded. KeyError for a name that is not in the tables, OSError for an IP
    address that is none.
    """
    layout, zeros = _FIXED[kind]
    return layout.pack(*(zeros | dict(fields)).values()) + join(attrs)


# --- what each pod takes several of, each in one step: the same bytes as of `encode` -------------------------------


@lru_cache(maxsize=256)
def read_prefix(text: str) -> tuple[int, bytes, int]:
    """Family, address and length of "10.0.0.0/8", of a lone address the whole length; OSError, ValueError."""
    ip, slash, length = text.partition("/")
    family = AF_INET6 if ":" in ip else AF_INET
    packed = socket.inet_pton(family, ip)
    return family, packed, int(length) if slash else 8 * len(packed)


_U32 = struct.Struct("=HHI").pack
# By the size of an address.
_IP = {size: struct.Struct(f"=HH{size}s").pack for size in (4, 16)}
_ADDRESS = {size: struct.Struct(f"=4BIHH{size}sHH{size}s").pack for size in (4, 16)}
_NEIGHBOUR = {size: struct.Struct(f"=B3xiHBBHH{size}sHH6s2x").pack for size in (4, 16)}


def encode_address(address: str, flags: int, scope: int, index: int) -> bytes:
    """Body of a message about an interface's address."""
    family, ip, length = read_prefix(address)
    size = len(ip)
    return _ADDRESS[size](family, length, flags, scope, index, size + 4, 2, ip, size + 4, 1, ip)


def encode_neighbour(ip: str, mac: str, index: int, state: int) -> bytes:
    """Body of a message about a neighbour and its MAC address."""
    family, packed, _ = read_prefix(ip)
    size, raw = len(packed), bytes.fromhex(mac.replace(":", ""))
    return _NEIGHBOUR[size](family, index, state, 0, 0, size + 4, 1, packed, 10, 2, raw)


def encode_ip(number: int, packed: bytes) -> bytes:
    """An attribute that is an IP address."""
    size = len(packed)
    return _IP[size](size + 4, number, packed)


def encode_u32(number: int, value: int) -> bytes:
    """An attribute that is a number of 32 bits."""
    return _U32(8, number, value)
