"""What the kernel answers on rtnetlink, read into values (pure): links, addresses, routes, neighbours, errors.

Only the attributes we use are decoded: a full decoding of a link costs a millisecond, and a node has a thousand.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from netsim.host._messages import ATTRIBUTE, HEADER

NESTED_MASK = 0x3FFF
SCOPES = {0: "global", 200: "site", 253: "link", 254: "host", 255: "nowhere"}
ROUTE_TYPES = {1: "unicast", 2: "local", 3: "broadcast", 4: "anycast", 5: "multicast", 6: "blackhole", 7: "unreachable"}


@dataclass(frozen=True, slots=True)
class Link:
    """An interface; `link` is the index of its peer (veth) or lower device, 0 if none; `master` 0 if none."""

    index: int
    name: str
    kind: str
    up: bool
    carrier: bool
    mtu: int
    mac: str
    master: int
    link: int
    link_netnsid: int | None
    group: int
    alias: str
    altnames: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Address:
    """An address on an interface; `address` is "10.0.0.1/24".

    `tentative` while nobody knows yet whether it is another's, `duplicate` when it is (IPv6).
    """

    index: int
    family: int
    address: str
    scope: str
    label: str = ""
    tentative: bool = False
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """A route; `dst` "0.0.0.0/0" and "::/0" are default routes; `via` and `src` are "" if none; `dev` is an index."""

    dst: str
    via: str
    dev: int
    scope: str
    src: str
    table: int
    protocol: int
    type: str
    metric: int
    family: int


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An entry of the neighbour table; `state` is the NUD_… bit mask, 0x80 permanent."""

    index: int
    ip: str
    mac: str
    state: int


@dataclass(frozen=True, slots=True)
class Forwarding:
    """A forwarding entry of a VXLAN interface: frames to `mac` go to the machine `remote` ("": to nobody's)."""

    index: int
    mac: str
    remote: str


@dataclass(frozen=True, slots=True)
class Vxlan:
    """What is particular to a VXLAN interface; it sends from address `local` ("" any) by interface `lower` (0 any)."""

    vni: int
    port: int
    local: str
    lower: int
    learning: bool


@dataclass(frozen=True, slots=True)
class Attributes:
    """Attributes of one message by number; repeated ones keep the last."""

    values: dict[int, bytes] = field(default_factory=dict)

    def text(self, number: int) -> str:
        return self.values.get(number, b"").rstrip(b"\0").decode(errors="replace")

    def number(self, number: int, default: int = 0) -> int:
        raw = self.values.get(number)
        return default if raw is None else int.from_bytes(raw[:4], "little" if _LITTLE else "big", signed=True)

    def mac(self, number: int) -> str:
        return self.values.get(number, b"").hex(":")

    def ip(self, number: int, family: int) -> str:
        raw = self.values.get(number)
        return "" if raw is None else socket.inet_ntop(family, raw)


_LITTLE = struct.pack("=H", 1) == b"\1\0"


def messages(buffer: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """(type, flags, sequence number, body) of every message in a datagram."""
    offset = 0
    while offset + HEADER.size <= len(buffer):
        length, kind, flags, sequence, _ = HEADER.unpack_from(buffer, offset)
        if length < HEADER.size:
            return
        yield kind, flags, sequence, buffer[offset + HEADER.size : offset + length]
        offset += (length + 3) & ~3


def pairs(body: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """(number, value) of every attribute from `offset` on."""
    while offset + ATTRIBUTE.size <= len(body):
        length, number = ATTRIBUTE.unpack_from(body, offset)
        if length < ATTRIBUTE.size:
            return
        yield number & NESTED_MASK, body[offset + ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3


def attributes(body: bytes, offset: int = 0) -> Attributes:
    """All attributes from `offset` on."""
    return Attributes(dict(pairs(body, offset)))


def parse_link(body: bytes) -> Link:
    """RTM_NEWLINK; rtnetlink(7), linux/if_link.h."""
    index, flags = struct.unpack_from("=iI", body, 4)
    attrs = attributes(body, 16)
    info = attributes(attrs.values.get(18, b""))  # IFLA_LINKINFO
    altnames = (value for number, value in pairs(attrs.values.get(52, b"")) if number == 53)
    return Link(
        index=index,
        name=attrs.text(3),
        kind=info.text(1),
        up=bool(flags & 0x1),
        carrier=bool(flags & 0x10000),
        mtu=attrs.number(4),
        mac=attrs.mac(1),
        master=attrs.number(10),
        link=attrs.number(5),
        link_netnsid=attrs.number(37) if 37 in attrs.values else None,
        group=attrs.number(27),
        alias=attrs.text(20),
        altnames=tuple(value.rstrip(b"\0").decode(errors="replace") for value in altnames),
    )


def parse_address(body: bytes) -> Address:
    """RTM_NEWADDR; the local address where there is one (IPv4), else the address."""
    family, prefix, flags, scope, index = struct.unpack_from("=BBBBI", body)
    attrs = attributes(body, 8)
    ip = attrs.ip(2, family) or attrs.ip(1, family)
    name, tentative, duplicate = SCOPES.get(scope, str(scope)), bool(flags & 0x40), bool(flags & 0x08)
    return Address(index, family, f"{ip}/{prefix}", name, attrs.text(3), tentative, duplicate)


def parse_route(body: bytes) -> Route:
    """RTM_NEWROUTE; of a multipath route only what is common to its hops."""
    family, length, _, _, table, protocol, scope, kind = struct.unpack_from("=8B", body)
    attrs = attributes(body, 12)
    any_ = "0.0.0.0" if family == socket.AF_INET else "::"
    return Route(
        dst=f"{attrs.ip(1, family) or any_}/{length}",
        via=attrs.ip(5, family),
        dev=attrs.number(4),
        scope=SCOPES.get(scope, str(scope)),
        src=attrs.ip(7, family),
        table=attrs.number(15, table),
        protocol=protocol,
        type=ROUTE_TYPES.get(kind, str(kind)),
        metric=attrs.number(6),
        family=family,
    )


def parse_neighbour(body: bytes) -> Neighbour:
    """RTM_NEWNEIGH of an IP family."""
    family, index, state = struct.unpack_from("=BxxxiH", body)
    attrs = attributes(body, 12)
    return Neighbour(index, attrs.ip(1, family), attrs.mac(2), state)


def parse_forwarding(body: bytes) -> Forwarding:
    """RTM_NEWNEIGH of family AF_BRIDGE."""
    (index,) = struct.unpack_from("=4xi", body)
    attrs = attributes(body, 12)
    family = socket.AF_INET6 if len(attrs.values.get(1, b"")) == 16 else socket.AF_INET
    return Forwarding(index, attrs.mac(2), attrs.ip(1, family))


def parse_vxlan(body: bytes) -> Vxlan | None:
    """RTM_NEWLINK of a VXLAN interface, None of another kind."""
    info = attributes(attributes(body, 16).values.get(18, b""))  # IFLA_LINKINFO
    if info.text(1) != "vxlan":
        return None
    data = attributes(info.values.get(2, b""))  # IFLA_INFO_DATA
    local = data.ip(4, socket.AF_INET) or data.ip(17, socket.AF_INET6)
    port = int.from_bytes(data.values.get(15, b""), "big")
    return Vxlan(data.number(1), port, local, data.number(3), data.values.get(7, b"\1") != b"\0")


def parse_error(body: bytes, flags: int) -> tuple[int, str]:
    """NLMSG_ERROR: errno (0 is the acknowledgement) and the kernel's own words, "" if it has none."""
    code = -struct.unpack_from("=i", body)[0]
    if not flags & 0x200:  # NLM_F_ACK_TLVS: no extended acknowledgement follows
        return code, ""
    # With NETLINK_CAP_ACK only the request's header is repeated.
    length = struct.unpack_from("=I", body, 4)[0]
    offset = 4 + (HEADER.size if flags & 0x100 else (length + 3) & ~3)
    return code, attributes(body, offset).text(1)
