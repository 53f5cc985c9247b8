"""What an attachment needs on the host's side and in the pod, as operations of `netsim.host.netlink` (pure).

Routed (as the ptp plugin): the pod has its address as /32 and a default route through the node's pod gateway, which
every host-side veth carries as /32; the host has a route to the pod by its veth. Both sides know the other's MAC
for good, so there is no ARP. Bridge (as the bridge plugin): the veths are ports of one bridge.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

from netsim_cni.config import Config, Request
from netsim_cni.ranges import Ip, Lease

# Of every routed host-side veth: one is as good as many, since each is alone on its link with one pod.
HOST_MAC = "ee:ee:ee:ee:ee:ee"
NAME_IN_LINK = 9


@dataclass(frozen=True, slots=True)
class Op:
    """A call of a method of Netlink by keyword."""

    verb: str
    args: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """The veth pair, then the host's and the pod's operations; `bridge` those that make the bridge if it is missing."""

    link: str
    veth: Op
    host: tuple[Op, ...]
    pod: tuple[Op, ...]
    bridge: tuple[Op, ...] = ()


def link_name(request: Request) -> str:
    """Name of the host-side interface: says which pod it is, and is different for every attachment."""
    digest = hashlib.sha1(f"{request.container_id}{request.ifname}".encode(), usedforsecurity=False).hexdigest()
    pod = re.sub(r"[^a-z0-9-]", "", request.args.get("K8S_POD_NAME", "").lower())[:NAME_IN_LINK].strip("-")
    return f"{pod}-{digest[:5]}" if pod else f"veth{digest[:8]}"


def alias_of(request: Request) -> str:
    """Whose interface it is, in full: "NAMESPACE/POD", or the container's id outside Kubernetes."""
    pod = request.args.get("K8S_POD_NAME")
    return f"{request.args.get('K8S_POD_NAMESPACE', 'default')}/{pod}" if pod else request.container_id


def mac_of(ip: Ip) -> str:
    """A local MAC address that follows from the IP address: the same pod address always has the same."""
    return "0a:58:" + ip.packed[-4:].hex(":")


def pod_mac(request: Request, leases: list[Lease]) -> str:
    """The requested MAC address, else the one of the pod's first IP address."""
    return request.config.mac or mac_of(leases[0].ip)


def plan_add(request: Request, leases: list[Lease]) -> Plan:
    """Everything that ADD does to interfaces."""
    config = request.config
    link = link_name(request)
    veth = {
        "name": link,
        "peer": request.ifname,
        "peer_netns": request.netns,
        "mtu": config.mtu,
        "group": config.link_group,
        "mac": HOST_MAC if config.mode == "routed" else "",
        "peer_mac": pod_mac(request, leases),
    }
    up = {"dev": link, "up": True, "ipv6": False, "alias": alias_of(request)}
    ipv6 = any(lease.ip.version == 6 for lease in leases)
    pod = (Op("set_link", {"dev": request.ifname, "up": True, "ipv6": ipv6}),)
    if config.mode == "bridge":
        port = Op("set_link", {**up, "master": config.bridge, **({"hairpin": True} if config.hairpin else {})})
        return Plan(link, Op("add_veth", veth), (port,), pod + _bridged_pod(request, leases), _bridge(config, leases))
    host = (Op("set_link", up), *_routed_host(link, pod_mac(request, leases), leases))
    return Plan(link, Op("add_veth", veth), host, pod + _routed_pod(request, leases))


def _full(ip: Ip) -> str:
    return f"{ip}/{ip.max_prefixlen}"


def _gateways(leases: list[Lease]) -> list[Ip]:
    """Each gateway once: range sets may share one."""
    return list(dict.fromkeys(lease.range.gateway for lease in leases))


def _routed_host(link: str, mac: str, leases: list[Lease]) -> tuple[Op, ...]:
    addresses = [Op("add_address", {"dev": link, "address": _full(gateway)}) for gateway in _gateways(leases)]
    routes = [Op("add_route", {"dst": _full(lease.ip), "dev": link}) for lease in leases]
    neighbours = [Op("add_neighbour", {"ip": str(lease.ip), "mac": mac, "dev": link}) for lease in leases]
    return (*addresses, *routes, *neighbours)


def _routed_pod(request: Request, leases: list[Lease]) -> tuple[Op, ...]:
    dev = request.ifname
    addresses = [Op("add_address", {"dev": dev, "address": _full(lease.ip)}) for lease in leases]
    gateways = [
        op
        for gateway in _gateways(leases)
        for op in (
            Op("add_route", {"dst": _full(gateway), "dev": dev}),
            Op("add_neighbour", {"ip": str(gateway), "mac": HOST_MAC, "dev": dev}),
        )
    ]
    routes = (Op("add_route", {"dst": dst, "via": gw, "dev": dev}) for dst, gw in pod_routes(request, leases))
    return (*addresses, *gateways, *routes)


def _bridged_pod(request: Request, leases: list[Lease]) -> tuple[Op, ...]:
    dev = request.ifname
    addresses = (Op("add_address", {"dev": dev, "address": pod_address(request.config, lease)}) for lease in leases)
    routes = (Op("add_route", {"dst": dst, "via": gw, "dev": dev}) for dst, gw in pod_routes(request, leases))
    return (*addresses, *routes)


def _bridge(config: Config, leases: list[Lease]) -> tuple[Op, ...]:
    """The bridge keeps the MAC of its first gateway: one that changed with its ports would upset every pod's ARP."""
    gateway = leases[0].range.gateway
    make = Op("add_bridge", {"name": config.bridge, "mtu": config.mtu, "mac": mac_of(gateway)})
    up = Op("set_link", {"dev": config.bridge, "up": True, "ipv6": False, "promiscuous": config.promiscuous})
    addresses = (
        Op("add_address", {"dev": config.bridge, "address": f"{lease.range.gateway}/{lease.range.subnet.prefixlen}"})
        for lease in leases
        if config.is_gateway
    )
    return (make, up, *addresses)


def pod_address(config: Config, lease: Lease) -> str:
    """The address as the pod's interface has it."""
    return _full(lease.ip) if config.mode == "routed" else f"{lease.ip}/{lease.range.subnet.prefixlen}"


def pod_routes(request: Request, leases: list[Lease]) -> list[tuple[str, str]]:
    """(destination, gateway) of the pod's routes: configured ones, and a default route where the mode has one.

    The first range set that gives a destination decides.
    """
    config = request.config
    routes: dict[str, str] = {}
    for lease in leases:
        gateway, default = str(lease.range.gateway), "0.0.0.0/0" if lease.ip.version == 4 else "::/0"
        if config.mode == "routed" or config.is_default_gateway:
            routes.setdefault(default, gateway)
        same_family = (spec for spec in config.routes if (":" in spec.dst) == (lease.ip.version == 6))
        for spec in same_family:
            routes.setdefault(spec.dst, spec.gw or gateway)
    return list(routes.items())


def host_routes(request: Request, leases: list[Lease]) -> list[str]:
    """Destinations that the host reaches by the attachment's own interface."""
    return [_full(lease.ip) for lease in leases] if request.config.mode == "routed" else []


def render_result(request: Request, leases: list[Lease], host_mac: str) -> dict[str, Any]:
    """ADD's result in the version asked (specification, section 5 "ADD Success")."""
    config = request.config
    host = {"name": link_name(request), "mac": host_mac}
    pod = {"name": request.ifname, "mac": pod_mac(request, leases), "sandbox": request.netns}
    interfaces = [*([{"name": config.bridge}] if config.mode == "bridge" else []), host, pod]
    result: dict[str, Any] = {"cniVersion": config.version, "interfaces": interfaces}
    result["ips"] = [_result_ip(config, lease, len(interfaces) - 1) for lease in leases]
    result["routes"] = [{"dst": dst, "gw": gw} for dst, gw in pod_routes(request, leases)]
    result["dns"] = config.dns
    return result


def _result_ip(config: Config, lease: Lease, interface: int) -> dict[str, Any]:
    # Versions before 1.0.0 say the family as well.
    family = {"version": str(lease.ip.version)} if config.version.startswith("0.") else {}
    gateway = str(lease.range.gateway)
    return {**family, "address": pod_address(config, lease), "gateway": gateway, "interface": interface}
