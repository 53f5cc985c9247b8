"""host-gw routes and the sysctls of a node, in the calling thread's network namespace."""

from __future__ import annotations

import errno
import socket

from netsim.host.netlink import Netlink, NetlinkError, Route
from netsim.host.sysctl import ensure_sysctl
from netsim_cni.node_routes import PROTOCOL, NodeRoute, RoutePlan, plan_node_routes

__all__ = [
    "FAMILIES",
    "NodeRoute",
    "RoutePlan",
    "apply_node_routes",
    "current_routes",
    "ensure_node_sysctls",
    "plan_node_routes",
]

FAMILIES = (socket.AF_INET, socket.AF_INET6)

# Reverse-path filters would drop a reply that comes back by another way than its request went, as with a Service
# whose endpoint is on the same node; redirects would send pods past their node.
NODE_SYSCTLS = {
    "net.ipv4.ip_forward": 1,
    "net.ipv4.conf.all.rp_filter": 0,
    "net.ipv4.conf.default.rp_filter": 0,
    "net.ipv4.conf.all.send_redirects": 0,
    "net.ipv4.conf.default.send_redirects": 0,
}
NODE_SYSCTLS_V6 = {"net.ipv6.conf.all.forwarding": 1}


def current_routes() -> list[Route]:
    """The main table's routes of both families."""
    with Netlink() as netlink:
        return [route for family in FAMILIES for route in netlink.routes(family)]


def apply_node_routes(plan: RoutePlan) -> None:
    """Add, replace and remove; a route that is gone already is no error. NetlinkError names the route."""
    if not plan.add and not plan.remove:
        return
    with Netlink() as netlink:
        with netlink.batch():
            for route in plan.add:
                netlink.replace_route(route.dst, via=route.via, protocol=PROTOCOL)
        for route in plan.remove:
            try:
                netlink.del_route(route.dst, via=route.via)
            except NetlinkError as error:
                if error.errno != errno.ESRCH:
                    raise


def ensure_node_sysctls(*, ipv6: bool = False) -> None:
    """Let this network namespace forward as a node does; interfaces made before keep their own rp_filter."""
    for name, value in (NODE_SYSCTLS | (NODE_SYSCTLS_V6 if ipv6 else {})).items():
        ensure_sysctl(name, value)
