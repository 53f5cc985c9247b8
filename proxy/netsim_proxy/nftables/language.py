"""The typed ruleset that Services compile to: sets, maps, chains, and rules made of statements.

Only what the service proxy needs of nftables is here. Elements are kept packed, as the kernel looks them up: fields one
after the other, each filled to a multiple of four bytes. A large cluster has 100,000 of them.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, NamedTuple

from netsim_proxy.config import Family

TABLE = "kube-proxy"
FieldType = Literal["addr", "proto", "port", "index"]
PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58, "sctp": 132}
PROTOCOL_NAMES = {number: name for name, number in PROTOCOLS.items()}


class Verdict(NamedTuple):
    """Data of a verdict map's element: `goto chain`, or drop when `chain` is ""; and its comment."""

    chain: str
    comment: str = ""


Data = bytes | Verdict | None
"""What an element maps to: packed fields, a verdict, or nothing in a set."""


@dataclass(frozen=True, slots=True)
class SetSpec:
    """A set, or a map when it has `data`. `timeout` seconds: filled by packets. `interval`: elements are ranges.

    `counted`: each element counts the packets that found it.

    The elements of an interval set are the packed first key followed by the packed last one.
    """

    key: tuple[FieldType, ...]
    data: tuple[FieldType, ...] | Literal["verdict"] | None = None
    interval: bool = False
    timeout: int = 0
    comment: str = ""
    counted: bool = False


@dataclass(frozen=True, slots=True)
class Hook:
    """Where a base chain is called: type, hook, priority."""

    kind: Literal["filter", "nat"]
    hook: Literal["prerouting", "input", "forward", "output", "postrouting"]
    priority: int


# --- what a rule may look at -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Choice:
    """A number from 0 to `count` - 1, by chance, as a part of a key."""

    count: int


KeyPart = Literal["saddr", "daddr", "proto", "dport"] | Choice
DESTINATION: tuple[KeyPart, ...] = ("daddr", "proto", "dport")
NODE_PORT: tuple[KeyPart, ...] = ("proto", "dport")


@dataclass(frozen=True, slots=True)
class InSet:
    """The key is (or, negated, is not) an element of a set."""

    key: tuple[KeyPart, ...]
    set: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class InNetwork:
    """The source or destination address is in a CIDR."""

    side: Literal["saddr", "daddr"]
    cidr: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Incoming:
    """The packet came in through an interface; a `+` at the end stands for any ending."""

    interface: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class NewConnection:
    """Connection tracking sees the first packet of a connection."""


@dataclass(frozen=True, slots=True)
class Translated:
    """The connection's destination was replaced."""


@dataclass(frozen=True, slots=True)
class Local:
    """The address belongs to this machine."""

    side: Literal["saddr", "daddr"]


@dataclass(frozen=True, slots=True)
class Unmarked:
    """The bit of `mark` is not set."""

    mark: int


@dataclass(frozen=True, slots=True)
class OneIn:
    """One packet in `count`, by chance."""

    count: int


Match = InSet | InNetwork | Incoming | NewConnection | Translated | Local | Unmarked | OneIn


# --- what a rule may do ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Jump:
    chain: str


@dataclass(frozen=True, slots=True)
class Goto:
    chain: str


@dataclass(frozen=True, slots=True)
class Final:
    """End of the packet's way through a chain (return) or altogether."""

    action: Literal["return", "drop", "reject"]


@dataclass(frozen=True, slots=True)
class SetMark:
    """Set the bit of `mark`, or flip it."""

    mark: int
    flip: bool = False


@dataclass(frozen=True, slots=True)
class VerdictMap:
    """Do what the map says for the key; go on with the next rule if it says nothing."""

    key: tuple[KeyPart, ...]
    map: str


@dataclass(frozen=True, slots=True)
class DnatMap:
    """Send the connection to the address and port that the map has for the key."""

    key: tuple[KeyPart, ...]
    map: str


@dataclass(frozen=True, slots=True)
class Dnat:
    """Send the connection of this protocol to an address and port."""

    protocol: str
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Remember:
    """Put the source address into a set, and start its time anew."""

    set: str


@dataclass(frozen=True, slots=True)
class Masquerade:
    random_fully: bool = True


Action = Jump | Goto | Final | SetMark | VerdictMap | DnatMap | Dnat | Remember | Masquerade


@dataclass(frozen=True, slots=True)
class Rule:
    """When all of `matches` hold, do `action`. `counted`: counts these packets."""

    action: Action
    matches: tuple[Match, ...] = ()
    comment: str = ""
    counted: bool = False


@dataclass(frozen=True, slots=True)
class Chain:
    """Rules, called by jumps or, with a `hook`, by the kernel."""

    rules: tuple[Rule, ...] = ()
    hook: Hook | None = None


Elements = Mapping[str, Mapping[bytes, Data]]
"""Set name -> packed key -> data."""


@dataclass(frozen=True, slots=True)
class Nftables:
    """All of one family's table. Sets with a timeout have no elements here: packets bring them.

    `local_addresses` are the machine's own addresses at compile time, which `walk` needs to know. `dormant`: somebody
    switched the table off.
    """

    family: Family
    sets: Mapping[str, SetSpec] = field(default_factory=dict)
    chains: Mapping[str, Chain] = field(default_factory=dict)
    elements: Elements = field(default_factory=dict)
    local_addresses: tuple[str, ...] = ()
    dormant: bool = False


# --- packing -----------------------------------------------------------------------------------------------------

_OCTETS = {str(number): bytes((number,)) for number in range(256)}


def pack_address(text: str) -> bytes:
    """4 or 16 bytes of an address, which is known to be one."""
    if ":" in text:
        return ipaddress.IPv6Address(text).packed
    first, second, third, fourth = text.split(".")
    return _OCTETS[first] + _OCTETS[second] + _OCTETS[third] + _OCTETS[fourth]


@lru_cache(maxsize=1024)
def pack_port(number: int) -> bytes:
    return number.to_bytes(2) + b"\0\0"


@lru_cache
def pack_protocol(name: str) -> bytes:
    """Raises ValueError for a protocol that no Service may have."""
    number = PROTOCOLS.get(name.lower())
    if number is None:
        raise ValueError(f"protocol {name!r} is not known; use TCP, UDP or SCTP")
    return bytes((number, 0, 0, 0))


def pack_index(number: int) -> bytes:
    """As `numgen` makes it: in the machine's byte order."""
    return number.to_bytes(4, sys.byteorder)


def field_length(kind: FieldType, family: Family) -> int:
    """Bytes of a field in a packed key."""
    return 16 if kind == "addr" and family == 6 else 4


def key_length(fields: tuple[FieldType, ...], family: Family) -> int:
    return sum(field_length(kind, family) for kind in fields)


def unpack(packed: bytes, fields: tuple[FieldType, ...], family: Family) -> tuple[str | int, ...]:
    """Addresses and protocols as text, ports and indexes as numbers."""
    values: list[str | int] = []
    for kind in fields:
        length = field_length(kind, family)
        part, packed = packed[:length], packed[length:]
        match kind:
            case "addr":
                values.append(str(ipaddress.ip_address(part)))
            case "proto":
                values.append(PROTOCOL_NAMES.get(part[0], str(part[0])))
            case "port":
                values.append(int.from_bytes(part[:2]))
            case "index":
                values.append(int.from_bytes(part, sys.byteorder))
    return tuple(values)
