"""What an attachment needs on the host's side and in the pod, as operations of `netsim.host.netlink` (pure).

Routed (as the ptp plugin): the pod has its address as /32 and a default route through the node's pod gateway, which
every host-side veth carries as /32; the host has a route to the pod by its veth. Both sides know the other's MAC
for good, so there is no ARP. Bridge (as the bridge plugin): the veths are ports of one bridge.
"""

from __future__ import annotations

import string
from functools import lru_cache
from hashlib import blake2b
from ipaddress import ip_address
from typing import Any, NamedTuple

from netsim_cni.addressing import Addressing, Assigned, RouteSpec
from netsim_cni.config import Config
from netsim_cni.ranges import Ip
from netsim_cni.request import Request

# Of every routed host-side veth: one is as good as many, since each is alone on its link with one pod.
HOST_MAC = "ee:ee:ee:ee:ee:ee"
NAME_IN_LINK = 9
DIGITS = (string.digits + string.ascii_lowercase).encode()
DIGITS_IN_LINK, DIGITS_ALONE = 5, 8
_DIGIT_OF_BYTE = bytes(DIGITS[byte % len(DIGITS)] for byte in range(256))
_NOT_IN_LINK = bytes(set(range(256)) - {*DIGITS, *b"-"})
DEFAULT = {4: "0.0.0.0/0", 6: "::/0"}
# A routed pod's next hop where its addresses name none; it is never asked for, so it need be nobody's.
NEXT_HOP = {4: ip_address("169.254.1.1"), 6: ip_address("fe80::1")}
VETH_MTU = 1500
ON_LINK = (253, 254)


class Op(NamedTuple):
    """A call of a method of Netlink by keyword."""

    verb: str
    args: dict[str, Any]


class Plan(NamedTuple):
    """The veth pair, then the host's and the pod's operations.

    `bridge` are those that make the bridge if it is missing; `gateways` the addresses it is to have, `force` whether
    another address of the same subnet gives way.
    """

    link: str
    veth: Op
    host: tuple[Op, ...]
    pod: tuple[Op, ...]
    bridge: tuple[Op, ...] = ()
    bridge_name: str = ""
    gateways: tuple[str, ...] = ()
    force: bool = False


def link_name(request: Request, attempt: int = 0) -> str:
    """Name of the host-side interface: says which pod it is, and follows from the attachment.

    15 bytes cannot tell all attachments apart: where a name is another's, a further `attempt` has a further one.
    """
    text = f"{request.container_id}{request.ifname}" + (f"#{attempt}" if attempt else "")
    name = request.args.get("K8S_POD_NAME", "").lower().encode("ascii", "ignore")
    pod = name.translate(None, _NOT_IN_LINK)[:NAME_IN_LINK].strip(b"-")
    start, size = (pod + b"-", DIGITS_IN_LINK) if pod else (b"veth", DIGITS_ALONE)
    # blake2b is built into Python: for the hashes of OpenSSL the processor first has to fetch a library of its own.
    digest = blake2b(text.encode(), digest_size=size).digest()
    return (start + digest.translate(_DIGIT_OF_BYTE)).decode()


def alias_of(request: Request) -> str:
    """Whose interface it is, in full: "NAMESPACE/POD", or the container's id outside Kubernetes."""
    pod = request.args.get("K8S_POD_NAME")
    return f"{request.args.get('K8S_POD_NAMESPACE', 'default')}/{pod}" if pod else request.container_id


def mac_of(ip: Ip) -> str:
    """A local MAC address that follows from the IP address: the same pod address always has the same."""
    return "0a:58:" + ip.packed[-4:].hex(":")


def pod_mac(request: Request, addressing: Addressing) -> str:
    """The requested MAC address, else the one of the pod's first IP address; "" lets the kernel choose."""
    return request.config.mac or (mac_of(addressing.ips[0].ip) if addressing.ips else "")


def settle_addressing(config: Config, addressing: Addressing) -> Addressing:
    """Gateways where the mode has one that the addresses do not name, and routes with their next hops.

    A routed pod, and a bridged one with isDefaultGateway, has a default route. The first route to a destination counts.
    """
    ips = tuple([one if one.gateway else one._replace(gateway=_gateway(config, one)) for one in addressing.ips])
    gateways = tuple([one.gateway for one in ips if one.gateway])
    return Addressing(ips, _settle_routes(config, gateways, addressing.routes), addressing.dns)


@lru_cache(maxsize=64)
def _settle_routes(config: Config, gateways: tuple[Ip, ...], given: tuple[RouteSpec, ...]) -> tuple[RouteSpec, ...]:
    """The same for all pods of a network."""
    next_hops: dict[int, str] = {}
    for gateway in gateways:
        next_hops.setdefault(gateway.version, str(gateway))
    configured = [_with_next_hop(route, next_hops) for route in given]
    # A default route that the configuration gives, with a metric or MTU of its own, takes the place of ours.
    wants_default = config.mode == "routed" or config.bridge.is_default_gateway
    own = [RouteSpec(DEFAULT[family], hop) for family, hop in next_hops.items() if wants_default]
    taken = {route.dst for route in configured if not route.table}
    unique = {(route.dst, route.table, route.priority): route for route in reversed(configured)}
    return (*(route for route in own if route.dst not in taken), *reversed(unique.values()))


def _with_next_hop(route: RouteSpec, next_hops: dict[int, str]) -> RouteSpec:
    on_link = route.gw or route.scope in ON_LINK
    return route if on_link else route._replace(gw=next_hops.get(route.family, ""))


def _gateway(config: Config, one: Assigned) -> Ip | None:
    if config.mode == "routed":
        return NEXT_HOP[one.family]
    return one.subnet[1] if config.bridge.is_gateway else None


def plan_add(request: Request, addressing: Addressing, link: str = "") -> Plan:
    """Everything that ADD does to interfaces; `link` is the host-side one's name, else the first that is tried."""
    config, link, mac = request.config, link or link_name(request), pod_mac(request, addressing)
    veth = {
        "name": link,
        "peer": request.ifname,
        "peer_netns": request.netns,
        "mtu": config.mtu,
        "group": config.link_group,
        "mac": HOST_MAC if config.mode == "routed" else "",
        "peer_mac": mac,
    }
    told = {"dev": link, "ipv6": False, "alias": alias_of(request)}
    raised = () if config.bridge.disable_container_interface else (_pod_up(request, addressing),)
    if config.mode == "bridge":
        return _plan_bridged(request, addressing, veth, told | {"up": True}, raised)
    host = (Op("set_link", told), *_routed_host(link, mac, addressing))
    pod = (*raised, *_addresses(request, addressing), *_routed_pod(request, addressing))
    # Up from the start: without a carrier, which it has once the pod's side is up, it gives itself no address.
    return Plan(link, Op("add_veth", veth | {"up": True}), host, pod)


def _plan_bridged(
    request: Request, addressing: Addressing, veth: dict[str, Any], up: dict[str, Any], raised: tuple[Op, ...]
) -> Plan:
    bridge = request.config.bridge
    port = up | {"master": bridge.name} | ({"hairpin": True} if bridge.hairpin else {})
    port |= {"isolated": True} if bridge.port_isolation else {}
    return Plan(
        veth["name"],
        Op("add_veth", veth),
        host=(Op("set_link", port),),
        pod=(*raised, *_addresses(request, addressing), *_routes(request, addressing)),
        bridge=_bridge(request.config, addressing),
        bridge_name=bridge.name,
        gateways=tuple(f"{one.gateway}/{one.prefix}" for one in addressing.ips if one.gateway and bridge.is_gateway),
        force=bridge.force_address,
    )


def _pod_up(request: Request, addressing: Addressing) -> Op:
    return Op("set_link", {"dev": request.ifname, "up": True, "ipv6": 6 in addressing.families})


def settling(config: Config, addressing: Addressing) -> tuple[str, ...]:
    """The addresses of the pod whose uniqueness is waited for."""
    return tuple(str(one.ip) for one in addressing.ips if one.family == 6 and config.enable_dad)


def _gateways(addressing: Addressing) -> list[Ip]:
    """Each gateway once: range sets may share one."""
    return list(dict.fromkeys(one.gateway for one in addressing.ips if one.gateway))


def _full(ip: Ip) -> str:
    return f"{ip}/{ip.max_prefixlen}"


def _routed_host(link: str, mac: str, addressing: Addressing) -> tuple[Op, ...]:
    addresses = [Op("add_address", {"dev": link, "address": _full(gateway)}) for gateway in _gateways(addressing)]
    alone = [one.alone for one in addressing.ips]
    routes = [Op("add_route", {"dst": dst, "dev": link}) for dst in alone]
    neighbours = [Op("add_neighbour", {"ip": ip.partition("/")[0], "mac": mac, "dev": link}) for ip in alone]
    return (*addresses, *routes, *neighbours)


def _routed_pod(request: Request, addressing: Addressing) -> tuple[Op, ...]:
    dev = request.ifname
    gateways = [
        op
        for gateway in _gateways(addressing)
        for op in (
            Op("add_route", {"dst": _full(gateway), "dev": dev}),
            Op("add_neighbour", {"ip": str(gateway), "mac": HOST_MAC, "dev": dev}),
        )
    ]
    return (*gateways, *_routes(request, addressing))


def _addresses(request: Request, addressing: Addressing) -> tuple[Op, ...]:
    dev, routed = request.ifname, request.config.mode == "routed"
    asked = [{"dev": dev, "address": one.alone if routed else one.within} for one in addressing.ips]
    dad = {"dad": True} if request.config.enable_dad else {}
    return tuple(
        Op("add_address", args | (dad if one.family == 6 else {}))
        for args, one in zip(asked, addressing.ips, strict=True)
    )


def _routes(request: Request, addressing: Addressing) -> tuple[Op, ...]:
    return tuple(Op("add_route", _route(request.ifname, route)) for route in addressing.routes)


def _route(dev: str, route: RouteSpec) -> dict[str, Any]:
    given = {"mtu": route.mtu, "advmss": route.advmss, "metric": route.priority, "table": route.table}
    scope = {} if route.scope is None else {"scope": route.scope}
    return {"dst": route.dst, "via": route.gw, "dev": dev} | {key: n for key, n in given.items() if n} | scope


def _bridge(config: Config, addressing: Addressing) -> tuple[Op, ...]:
    """The bridge keeps the MAC of its first gateway: one that changed with its ports would upset every pod's ARP."""
    gateway = next((one.gateway for one in addressing.ips if one.gateway), None)
    mac = mac_of(gateway) if gateway else ""
    make = Op("add_bridge", {"name": config.bridge.name, "mtu": config.mtu, "mac": mac})
    up = {"dev": config.bridge.name, "up": True, "ipv6": False, "promiscuous": config.bridge.promiscuous}
    return (make, Op("set_link", up))


def host_routes(request: Request, addressing: Addressing) -> list[str]:
    """Destinations that the host reaches by the attachment's own interface."""
    return [one.alone for one in addressing.ips] if request.config.mode == "routed" else []
