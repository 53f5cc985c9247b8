"""CHECK: what of an attachment is missing, from what the kernel shows (pure; `perform.observe` looks)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from netsim_cni.addressing import MAIN_TABLE, Addressing
from netsim_cni.plan import host_routes
from netsim_cni.request import Request

if TYPE_CHECKING:
    from netsim.host.netlink import Address, Link, Route


@dataclass(frozen=True, slots=True)
class Side:
    """One namespace: the attachment's interface there (None: gone), and its addresses and routes."""

    link: Link | None
    addresses: list[Address]
    routes: list[Route]


def find_faults(
    request: Request, named: Addressing, wanted: Addressing, host: Side, pod: Side, master: int
) -> list[str]:
    """What is missing or down, in words; [] when the attachment is whole.

    `named` is what the result of ADD says, `wanted` what the configuration would make of it: only what both have is
    missed, since a later plugin may have changed the rest. `master` is the bridge's index, 0 if none.
    """
    disabled = request.config.bridge.disable_container_interface
    faults = _link_faults(f"pod interface {request.ifname}", pod.link, disabled)
    faults += _link_faults("host interface", host.link, False)
    if faults:
        return faults
    routed = request.config.mode == "routed"
    told = {(route.dst, route.table) for route in named.routes}
    routes = {
        _route(route.dst, route.gw, route.table or MAIN_TABLE)
        for route in wanted.routes
        if (route.dst, route.table) in told or (route.dst, 0) in told
    }
    return [
        *_missing("pod address", {one.alone if routed else one.within for one in named.ips}, pod),
        *_missing("pod route", routes, pod),
        *_missing("host route", {_route(dst, "", MAIN_TABLE) for dst in host_routes(request, named)}, host),
        *_master_faults(request, host.link, master),
    ]


def _link_faults(name: str, link: Link | None, disabled: bool) -> list[str]:
    if link is None:
        return [f"{name} is missing"]
    return [] if link.up or disabled else [f"{name} is down"]


def _missing(what: str, wanted: set[str], side: Side) -> list[str]:
    present = {address.address for address in side.addresses}
    present |= {_route(route.dst, route.via, route.table) for route in side.routes}
    return [f"{what} {item} is missing" for item in sorted(wanted - present)]


def _route(dst: str, via: str, table: int) -> str:
    place = "" if table == MAIN_TABLE else f" in table {table}"
    return f"{dst} via {via}{place}" if via else f"{dst} on the link{place}"


def _master_faults(request: Request, link: Link | None, master: int) -> list[str]:
    if request.config.mode == "routed" or (link is not None and link.master == master != 0):
        return []
    return [f"host interface is no port of bridge {request.config.bridge.name}"]
