"""A node's VTEP, and the routes, neighbours and forwarding entries that lead to the other nodes' pods (pure).

As flannel: pods of a node are reached by a route to the first address of their subnet, which has a permanent neighbour
entry with the MAC address of that node's VTEP, which has a forwarding entry with that node's own address.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import NamedTuple, Protocol

from netsim_cni.node_routes import PROTOCOL, CurrentRoute
from netsim_cni.vxlan.annotations import VNI, Peer

PORT = 8472
"""flannel's and Linux' own; IANA's, of later date, is 4789."""
OVERHEAD = {4: 50, 6: 70}
"""Bytes of outer IP, UDP and VXLAN headers and of the inner Ethernet header, by the underlay's IP version."""
PERMANENT = 0x80
_IFNAMSIZ = 15


@dataclass(frozen=True, slots=True)
class Vtep:
    """A node's VXLAN interface as it should be; `addresses` are full ones, such as 10.244.1.0/32."""

    name: str
    vni: int
    port: int
    local: str
    mac: str
    addresses: tuple[str, ...]


class DeviceRoute(CurrentRoute, Protocol):
    """A route of the table, and the index of the interface by which it leads."""

    @property
    def dev(self) -> int: ...


class CurrentNeighbour(Protocol):
    """What is asked of an entry of the neighbour table (see netsim.host.netlink.Neighbour)."""

    @property
    def ip(self) -> str: ...
    @property
    def mac(self) -> str: ...
    @property
    def state(self) -> int: ...


class CurrentForwarding(Protocol):
    """What is asked of a forwarding entry (see netsim.host.netlink.Forwarding)."""

    @property
    def mac(self) -> str: ...
    @property
    def remote(self) -> str: ...


class Hop(NamedTuple):
    """A route to a subnet by the first address of it, which lies behind the VTEP."""

    dst: str
    via: str


class Changes(NamedTuple):
    """What to change at the VTEP, in this order: nothing is routed to a neighbour that is not known, ever.

    neighbours and forget_neighbours are (address, MAC); forwarding and forget_forwarding (MAC, remote address).
    """

    neighbours: list[tuple[str, str]]
    forwarding: list[tuple[str, str]]
    routes: list[Hop]
    forget_routes: list[Hop]
    forget_neighbours: list[tuple[str, str]]
    forget_forwarding: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Seen:
    """What the kernel has: all routes of the main table, and the entries of the VTEP, whose index is `index`."""

    index: int
    routes: Sequence[DeviceRoute]
    neighbours: Sequence[CurrentNeighbour]
    forwarding: Sequence[CurrentForwarding]


def plan_vtep(node: str, address: str, cidrs: Iterable[str]) -> Vtep:
    """The VTEP of a node with an address on the underlay and subnets for its pods.

    Its MAC address follows from the node's name: an agent that starts again, or a lost interface, changes nothing for
    the others.
    """
    digest = hashlib.sha1(node.encode(), usedforsecurity=False).digest()
    mac = bytes([digest[0] & 0xFE | 0x02, *digest[1:6]]).hex(":")
    return Vtep(vtep_name(node), VNI, PORT, address, mac, tuple(_full(first_address(cidr)) for cidr in cidrs))


def vtep_name(node: str) -> str:
    """Name of a node's VTEP, unique in a lab: `vx-` and the node's name, cut with a hash where that is too long."""
    name = f"vx-{node}"
    if len(name) <= _IFNAMSIZ:
        return name
    return f"{name[:9]}-{hashlib.sha1(node.encode(), usedforsecurity=False).hexdigest()[:5]}"


def first_address(cidr: str) -> str:
    """The subnet's own address, which no pod ever gets: the VTEP's."""
    return str(ip_network(cidr).network_address)


def _full(address: str) -> str:
    return f"{address}/{128 if ':' in address else 32}"


def plan_changes(peers: Iterable[Peer], seen: Seen) -> Changes:
    """The difference between what the peers need and what is there. Routes of others (by protocol) are left alone."""
    peers = list(peers)
    hops = {cidr: first_address(cidr) for peer in peers for cidr in peer.cidrs}
    neighbours = {first_address(cidr): peer.mac for peer in peers for cidr in peer.cidrs}
    forwarding = {peer.mac: peer.remote for peer in peers}
    routed = {(route.dst, route.via) for route in seen.routes if route.dev == seen.index}
    known = {entry.ip: entry.mac for entry in seen.neighbours if entry.state == PERMANENT}
    sent = {entry.mac: entry.remote for entry in seen.forwarding}
    return Changes(
        [item for item in neighbours.items() if known.get(item[0]) != item[1]],
        [item for item in forwarding.items() if sent.get(item[0]) != item[1]],
        [Hop(*item) for item in hops.items() if item not in routed],
        [Hop(r.dst, r.via) for r in seen.routes if r.protocol == PROTOCOL and r.dst not in hops],
        [item for item in known.items() if item[0] not in neighbours],
        [item for item in sent.items() if item[0] not in forwarding],
    )
