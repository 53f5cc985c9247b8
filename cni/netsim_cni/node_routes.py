"""host-gw: which routes a node needs to the pods of the others (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import NamedTuple, Protocol

# The routing protocol number of our routes, so that only they are ever removed. 96 is free in rt_protos.
PROTOCOL = 96


class CurrentRoute(Protocol):
    """What is asked of a route in the kernel's table (see netsim.host.netlink.Route)."""

    @property
    def dst(self) -> str: ...
    @property
    def via(self) -> str: ...
    @property
    def protocol(self) -> int: ...


@dataclass(frozen=True, slots=True, order=True)
class NodeRoute:
    """Pods of another node by that node's address."""

    dst: str
    via: str


class RoutePlan(NamedTuple):
    """Routes to add (in the place of one with the same destination), and routes of ours to remove."""

    add: list[NodeRoute]
    remove: list[NodeRoute]


def plan_node_routes(nodes: Iterable[tuple[str, str, str]], me: str, current: Sequence[CurrentRoute]) -> RoutePlan:
    """Difference between the routes that the nodes (name, internal IP, pod CIDR) need and those of the main table.

    A node without IP or CIDR is not ready for routes; of another family than its CIDR, it is ValueError.
    """
    wanted = {}
    for name, ip, cidr in nodes:
        if name == me or not ip or not cidr:
            continue
        net = ip_network(cidr)
        if (net.version == 6) != (":" in ip):
            raise ValueError(f"node {name}: pod CIDR {cidr} and internal IP {ip} are of different families")
        wanted[str(net)] = ip
    present = {(route.dst, route.via) for route in current}
    ours = [NodeRoute(route.dst, route.via) for route in current if route.protocol == PROTOCOL]
    add = [NodeRoute(dst, via) for dst, via in sorted(wanted.items()) if (dst, via) not in present]
    # A route that changes its gateway is replaced in one step, never removed first.
    remove = sorted(route for route in ours if route.dst not in wanted)
    return RoutePlan(add, remove)
