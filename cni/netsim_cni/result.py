"""ADD's result: read, written in the version asked, and joined with the one of an earlier plugin (pure; section 5)."""

from __future__ import annotations

from typing import Any, NamedTuple

from netsim_cni import fields
from netsim_cni.addressing import Addressing, Assigned, RouteSpec
from netsim_cni.errors import DECODING_FAILURE, CniError
from netsim_cni.ipam_config import read_routes

Result = dict[str, Any]
RESOLV_CONF = {"nameserver": "nameservers", "search": "search", "options": "options"}


class Interface(NamedTuple):
    """An interface of a result; `sandbox` "" is the host; `mtu` 0 is not known."""

    name: str
    mac: str = ""
    mtu: int = 0
    sandbox: str = ""


def render_result(
    version: str, interfaces: list[Interface], addressing: Addressing, dns: Result, routed: bool
) -> Result:
    """The result of an attachment whose addresses are those of the last of the interfaces."""
    at = len(interfaces) - 1
    return {
        "cniVersion": version,
        "interfaces": [_interface(version, one) for one in interfaces],
        "ips": [_ip(version, one, at, routed) for one in addressing.ips],
        "routes": [_route(version, route) for route in addressing.routes],
        "dns": dns or addressing.dns,
    }


def _interface(version: str, one: Interface) -> Result:
    name, mac, mtu, sandbox = one
    shown: Result = {"name": name, "mac": mac}
    if mtu and version == "1.1.0":
        shown["mtu"] = mtu
    if sandbox:
        shown["sandbox"] = sandbox
    return shown


def _ip(version: str, one: Assigned, interface: int, routed: bool) -> Result:
    # Versions before 1.0.0 say the family as well.
    family = {"version": str(one.family)} if version.startswith("0.") else {}
    gateway = {"gateway": str(one.gateway)} if one.gateway else {}
    return {**family, "address": one.alone if routed else one.within, **gateway, "interface": interface}


def _route(version: str, route: RouteSpec) -> Result:
    shown: Result = {"dst": route.dst} | ({"gw": route.gw} if route.gw else {})
    if version != "1.1.0":
        return shown
    numbers = {key: getattr(route, key) for key in ("mtu", "advmss", "priority", "table") if getattr(route, key)}
    return shown | numbers | ({"scope": route.scope} if route.scope is not None else {})


def join_results(previous: Result | None, own: Result) -> Result:
    """What an earlier plugin of the chain told, and then our own; its DNS settings stay where we have none."""
    if previous is None:
        return own
    before = len(_list(previous, "interfaces"))
    ips = [{**ip, "interface": ip["interface"] + before} for ip in own["ips"]]
    version = own["cniVersion"]
    return {
        "cniVersion": version,
        "interfaces": [*_list(previous, "interfaces"), *own["interfaces"]],
        "ips": [*(_ip_in(version, ip) for ip in _list(previous, "ips")), *ips],
        "routes": [*_list(previous, "routes"), *own["routes"]],
        "dns": own["dns"] or fields.mapping(previous, "dns"),
    }


def convert(previous: Result, version: str) -> Result:
    """An earlier plugin's result, unchanged but for the version."""
    return {**previous, "cniVersion": version, "ips": [_ip_in(version, ip) for ip in _list(previous, "ips")]}


def _ip_in(version: str, ip: Result) -> Result:
    family = {"version": "6" if ":" in str(ip.get("address")) else "4"} if version.startswith("0.") else {}
    return family | {key: value for key, value in ip.items() if key != "version"}


def find_interface(previous: Result | None, name: str) -> int | None:
    """Which interface of a result is the pod's `name`; None if none is."""
    for number, one in enumerate(_list(previous or {}, "interfaces")):
        if one.get("name") == name and one.get("sandbox"):
            return number
    return None


def host_interface(previous: Result) -> str:
    """The host's side of what an earlier plugin made: the last interface outside a sandbox, "" if there is none."""
    names = [str(one.get("name")) for one in _list(previous, "interfaces") if not one.get("sandbox")]
    return names[-1] if names else ""


def read_result(result: Result, name: str) -> Addressing:
    """Addresses, routes and DNS of a result: those of the pod's interface `name`, all with "" (an IPAM plugin's)."""
    wanted = find_interface(result, name) if name else None
    found = [ip for ip in _list(result, "ips") if not name or ip.get("interface", wanted) == wanted]
    return Addressing(
        tuple(_assigned(ip) for ip in found),
        read_routes(result.get("routes"), "result routes"),
        fields.mapping(result, "dns"),
    )


def _assigned(ip: Result) -> Assigned:
    address, prefix = fields.address(ip.get("address"), "result address")
    gateway = fields.address(ip["gateway"], "result gateway")[0] if ip.get("gateway") else None
    return Assigned(address, address.max_prefixlen if prefix is None else prefix, gateway)


def _list(result: Result, key: str) -> list[Result]:
    found = result.get(key) or []
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise CniError(DECODING_FAILURE, f"the result's {key} are no list of objects", repr(found))
    return found


def parse_resolv_conf(text: str) -> Result:
    """resolv.conf(5) as a result's `dns`: the last `domain` and `search` count, nameservers and options add up."""
    dns: Result = {}
    for line in text.splitlines():
        word, *values = line.split() or [""]
        if word == "domain" and values:
            dns["domain"] = values[0]
        elif word == "search" and values:
            dns["search"] = values
        elif word in RESOLV_CONF and values:
            dns.setdefault(RESOLV_CONF[word], []).extend(values[:1] if word == "nameserver" else values)
    return dns
