"""CHECK: what of an attachment is missing, from what the kernel shows (pure; `perform.observe` looks)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from netsim_cni.config import Request
from netsim_cni.plan import host_routes, pod_address, pod_routes
from netsim_cni.ranges import Lease

if TYPE_CHECKING:
    from netsim.host.netlink import Address, Link, Route


@dataclass(frozen=True, slots=True)
class Side:
    """One namespace: the attachment's interface there (None: gone), and its addresses and routes."""

    link: Link | None
    addresses: list[Address]
    routes: list[Route]


def find_faults(request: Request, leases: list[Lease], host: Side, pod: Side, master: int) -> list[str]:
    """What is missing or down, in words; [] when the attachment is whole. `master` is the bridge's index, 0 if none."""
    faults = _link_faults(f"pod interface {request.ifname}", pod.link) + _link_faults("host interface", host.link)
    if faults:
        return faults
    wanted_pod = {_route(dst, via) for dst, via in pod_routes(request, leases)}
    wanted_host = {_route(dst, "") for dst in host_routes(request, leases)}
    return [
        *_missing("pod address", {pod_address(request.config, lease) for lease in leases}, pod),
        *_missing("pod route", wanted_pod, pod),
        *_missing("host route", wanted_host, host),
        *_master_faults(request, host.link, master),
    ]


def _link_faults(name: str, link: Link | None) -> list[str]:
    if link is None:
        return [f"{name} is missing"]
    return [] if link.up else [f"{name} is down"]


def _missing(what: str, wanted: set[str], side: Side) -> list[str]:
    present = {address.address for address in side.addresses} | {_route(r.dst, r.via) for r in side.routes}
    return [f"{what} {item} is missing" for item in sorted(wanted - present)]


def _route(dst: str, via: str) -> str:
    return f"{dst} via {via}" if via else f"{dst} on the link"


def _master_faults(request: Request, link: Link | None, master: int) -> list[str]:
    if request.config.mode == "routed" or (link is not None and link.master == master != 0):
        return []
    return [f"host interface is no port of bridge {request.config.bridge}"]


def prev_result_faults(prev_result: dict[str, Any], leases: list[Lease]) -> list[str]:
    """Whether the result of ADD still names the leases (specification, section 4 "CHECK")."""
    named = {str(ip.get("address", "")).partition("/")[0] for ip in prev_result.get("ips") or []}
    return [f"address {lease.ip} is not in prevResult" for lease in leases if str(lease.ip) not in named]
