"""Encoding of rtnetlink messages (pure): the layouts of rtnetlink(7), and those attributes that are used here.

By our own table: a pod takes a dozen messages, and a library of message classes 100 to 200 µs for each.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Any

HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence number, port id
ATTRIBUTE = struct.Struct("=HH")  # nlattr: length with this header, type
NESTED = 0x8000  # NLA_F_NESTED, which younger attributes must have and older ones go without

# A value of an attribute: a scalar, or nested attributes as a tuple of pairs.
Value = int | str | bytes | tuple[Any, ...]
Attrs = tuple[tuple[str, Value], ...]
Fields = tuple[tuple[str, int], ...]

# Fixed parts, with the names of what is not padding.
_FIXED = {
    "ifinfmsg": (struct.Struct("=BxHiII"), ("family", "type", "index", "flags", "change")),
    "ifaddrmsg": (struct.Struct("=BBBBI"), ("family", "prefixlen", "flags", "scope", "index")),
    "rtmsg": (
        struct.Struct("=8BI"),
        ("family", "dst_len", "src_len", "tos", "table", "proto", "scope", "type", "flags"),
    ),
    "ndmsg": (struct.Struct("=BxxxiHBB"), ("family", "ifindex", "state", "flags", "ndm_type")),
}
_PADDING = (b"", b"\0", b"\0\0", b"\0\0\0")

_u8, _u32, _be16 = struct.Struct("=B").pack, struct.Struct("=I").pack, struct.Struct("!H").pack


def _name(value: str) -> bytes:
    return value.encode() + b"\0"


def _mac(value: str) -> bytes:
    return bytes.fromhex(value.replace(":", ""))


def _ip(value: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in value else socket.AF_INET, value)


def _nested(value: Attrs) -> bytes:
    """Attributes one after the other."""
    parts: list[bytes] = []
    for name, content in value:
        number, write = _ATTRIBUTES[name]
        data = write(content)
        parts += ATTRIBUTE.pack(ATTRIBUTE.size + len(data), number), data, _PADDING[-len(data) & 3]
    return b"".join(parts)


# Numbers and forms, from linux/if_link.h, if_addr.h, rtnetlink.h, neighbour.h and veth.h.
_ATTRIBUTES: dict[str, tuple[int, Callable[[Any], bytes]]] = {
    "IFLA_ADDRESS": (1, _mac),
    "IFLA_IFNAME": (3, _name),
    "IFLA_MTU": (4, _u32),
    "IFLA_LINK": (5, _u32),
    "IFLA_MASTER": (10, _u32),
    "IFLA_LINKINFO": (18, _nested),
    "IFLA_IFALIAS": (20, _name),
    "IFLA_AF_SPEC": (26, _nested),
    "IFLA_GROUP": (27, _u32),
    "IFLA_NET_NS_FD": (28, _u32),
    "IFLA_EXT_MASK": (29, _u32),
    "IFLA_NUM_TX_QUEUES": (31, _u32),
    "IFLA_NUM_RX_QUEUES": (32, _u32),
    "IFLA_PROP_LIST": (52 | NESTED, _nested),
    "IFLA_ALT_IFNAME": (53, _name),
    # in IFLA_LINKINFO
    "IFLA_INFO_KIND": (1, _name),
    "IFLA_INFO_DATA": (2, _nested),
    "IFLA_INFO_SLAVE_KIND": (4, _name),
    "IFLA_INFO_SLAVE_DATA": (5, _nested),
    # in IFLA_INFO_DATA: a whole message, and those of VXLAN
    "VETH_INFO_PEER": (1, bytes),
    "IFLA_VXLAN_ID": (1, _u32),
    "IFLA_VXLAN_LINK": (3, _u32),
    "IFLA_VXLAN_LOCAL": (4, _ip),
    "IFLA_VXLAN_LEARNING": (7, _u8),
    "IFLA_VXLAN_PORT": (15, _be16),
    "IFLA_VXLAN_LOCAL6": (17, _ip),
    # in IFLA_INFO_SLAVE_DATA
    "IFLA_BRPORT_MODE": (4, _u8),
    "IFLA_BRPORT_ISOLATED": (33, _u8),
    # in IFLA_AF_SPEC
    "AF_INET6": (10, _nested),
    "IFLA_INET6_ADDR_GEN_MODE": (8, _u8),
    "IFA_ADDRESS": (1, _ip),
    "IFA_LOCAL": (2, _ip),
    "RTA_DST": (1, _ip),
    "RTA_OIF": (4, _u32),
    "RTA_GATEWAY": (5, _ip),
    "RTA_PRIORITY": (6, _u32),
    "RTA_PREFSRC": (7, _ip),
    "RTA_METRICS": (8, _nested),
    "RTA_TABLE": (15, _u32),
    "RTAX_MTU": (2, _u32),
    "RTAX_ADVMSS": (8, _u32),
    "NDA_DST": (1, _ip),
    "NDA_LLADDR": (2, _mac),
}


def encode(kind: str, fields: Fields, attrs: Attrs) -> bytes:
    """Body of a message without its netlink header.

    `kind` is ifinfmsg, ifaddrmsg, rtmsg or ndmsg; `fields` those of its fixed part that are not 0; `attrs` nested pairs
    by their kernel names, for instance (("IFLA_IFNAME", "br0"), ("IFLA_LINKINFO", (("IFLA_INFO_KIND", "bridge"),))). A
    nested message (a veth's peer) is given encoded. KeyError for a name that is not in the tables, OSError for an IP
    address that is none.
    """
    layout, names = _FIXED[kind]
    values = dict.fromkeys(names, 0)
    for name, value in fields:
        values[name] = value
    return layout.pack(*values.values()) + _nested(attrs)
