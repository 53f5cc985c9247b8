"""The `ipam` section: host-local's and static's fields, and which addresses the runtime asks for (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from netsim_cni import fields
from netsim_cni.addressing import Assigned, RouteSpec
from netsim_cni.errors import INVALID_CONFIG, CniError
from netsim_cni.fields import Document, invalid
from netsim_cni.ranges import Ip, RangeSet, parse_range_sets, read_address, read_network

HOST_LOCAL, STATIC, NONE = "host-local", "static", ""
KNOWN = {
    HOST_LOCAL: ("type", "ranges", "subnet", "rangeStart", "rangeEnd", "gateway", "routes", "resolvConf", "dataDir"),
    STATIC: ("type", "addresses", "routes", "dns"),
    NONE: ("type",),
}
MAX = 2**32 - 1
REQUESTED = "runtimeConfig.ips"


@dataclass(frozen=True, slots=True)
class Ipam:
    """`kind` is host-local or static, done here; "" for layer 2 only; else the name of an executable in CNI_PATH.

    `requested` are the addresses that the runtime asks host-local for; `addresses` are static's.
    """

    kind: str
    range_sets: tuple[RangeSet, ...] = ()
    requested: tuple[Ip, ...] = ()
    addresses: tuple[Assigned, ...] = ()
    routes: tuple[RouteSpec, ...] = ()
    dns: dict[str, Any] = field(default_factory=dict)
    resolv_conf: str = ""
    data_dir: str = ""

    @property
    def delegated(self) -> bool:
        return self.kind not in KNOWN

    @property
    def families(self) -> tuple[int, ...]:
        """The IP families that it is known to give; () when an executable decides."""
        known = [one[0].subnet.version for one in self.range_sets] + [one.family for one in self.addresses]
        return tuple(dict.fromkeys(known))


def parse_ipam(document: Document, args: Mapping[str, str], strict: bool) -> Ipam:
    """The address management of a configuration, and the runtime's wishes in it and in CNI_ARGS.

    With `strict`, a field that is not known is an error.
    """
    ipam = fields.mapping(document, "ipam")
    kind = _kind(ipam)
    if strict and kind in KNOWN:
        fields.check_known(ipam, KNOWN[kind], "ipam.")
    wishes = _wishes(document, args)
    if kind == HOST_LOCAL:
        return Ipam(
            kind,
            range_sets=parse_range_sets(_with_ip_ranges(ipam, document)),
            requested=tuple(ip for ip, _ in wishes),
            routes=read_routes(ipam.get("routes"), "ipam.routes"),
            resolv_conf=_path(ipam, "resolvConf"),
            data_dir=_path(ipam, "dataDir"),
        )
    if kind == STATIC:
        addresses = _wished_addresses(wishes, args) or _addresses(ipam)
        if not addresses:
            raise CniError(INVALID_CONFIG, "ipam.addresses is empty", "static needs an address such as 10.10.0.1/24")
        routes, dns = read_routes(ipam.get("routes"), "ipam.routes"), fields.mapping(ipam, "dns")
        return Ipam(kind, addresses=addresses, routes=routes, dns=dns)
    return Ipam(kind)


def _kind(ipam: Document) -> str:
    kind = ipam.get("type")
    if kind is None:
        return HOST_LOCAL if "subnet" in ipam or "ranges" in ipam else NONE
    if not isinstance(kind, str) or "/" in kind or kind in (".", ".."):
        raise invalid("ipam.type", kind, '"host-local", "static" or the name of an executable in CNI_PATH')
    return kind


def _with_ip_ranges(ipam: Document, document: Document) -> dict[str, Any]:
    """The capability `ipRanges` comes before the configured ranges, as in host-local."""
    more = fields.items(fields.mapping(document, "runtimeConfig"), "ipRanges", "runtimeConfig.ipRanges")
    return {**ipam, "ranges": [*more, *fields.items(ipam, "ranges", "ipam.ranges")]} if more else dict(ipam)


def _wishes(document: Document, args: Mapping[str, str]) -> list[tuple[Ip, int | None]]:
    """Addresses from the capability `ips`, else from args.cni.ips, else from CNI_ARGS."""
    convention = fields.mapping(fields.mapping(document, "args"), "cni")
    found = fields.items(fields.mapping(document, "runtimeConfig"), "ips", REQUESTED)
    found = found or fields.items(convention, "ips", "args.cni.ips")
    if found:
        return [fields.address(value, REQUESTED) for value in found]
    texts = args.get("IP") or args.get("ip") or ""
    return [fields.address(value.strip(), "CNI_ARGS IP") for value in texts.split(",") if value.strip()]


def _wished_addresses(wishes: list[tuple[Ip, int | None]], args: Mapping[str, str]) -> tuple[Assigned, ...]:
    gateways = [fields.address(text, "CNI_ARGS GATEWAY")[0] for text in args.get("GATEWAY", "").split(",") if text]
    chosen = []
    for ip, prefix in wishes:
        if prefix is None:
            raise invalid("requested address", str(ip), "an address with prefix length, such as 10.10.0.1/24")
        one = Assigned(ip, prefix)
        chosen.append(Assigned(ip, prefix, next((gateway for gateway in gateways if gateway in one.subnet), None)))
    return tuple(chosen)


def _addresses(ipam: Document) -> tuple[Assigned, ...]:
    return tuple(_static(item) for item in fields.items(ipam, "addresses", "ipam.addresses"))


def _static(item: Any) -> Assigned:
    if not isinstance(item, dict):
        raise invalid("ipam.addresses", item, 'an object with "address"')
    ip, prefix = fields.address(item.get("address"), "ipam.addresses address")
    if prefix is None:
        raise invalid("ipam.addresses address", item["address"], "an address with prefix length, such as 10.10.0.1/24")
    return Assigned(ip, prefix, _gateway(item.get("gateway"), ip))


def _gateway(value: Any, ip: Ip) -> Ip | None:
    if value in (None, ""):
        return None
    gateway = fields.read(read_address, value, "ipam.addresses gateway", "an IP address")
    if gateway.version != ip.version:
        raise invalid("ipam.addresses gateway", value, f"an IPv{ip.version} address, as {ip} is")
    return gateway


def read_routes(values: Any, field: str) -> tuple[RouteSpec, ...]:
    """Routes of a configuration or result; what of their fields is 0 or missing is the kernel's to choose."""
    expected = 'a list of {"dst": NETWORK, "gw": ADDRESS (optional), "mtu", "advmss", "priority", "table", "scope"}'
    if values is not None and not (isinstance(values, list) and all(isinstance(item, dict) for item in values)):
        raise invalid(field, values, expected)
    return tuple(_route(item, field, expected) for item in values or [])


def _route(item: dict[str, Any], field: str, expected: str) -> RouteSpec:
    dst = str(fields.read(read_network, item.get("dst"), f"{field} dst", expected))
    gw = str(fields.read(read_address, item["gw"], f"{field} gw", expected)) if item.get("gw") else ""
    if gw and (":" in gw) != (":" in dst):
        raise invalid(f"{field} gw", gw, f"an address of the family of {dst}")
    numbers = {key: fields.number(item, key, MAX, f"{field} {key}") for key in ("mtu", "advmss", "priority", "table")}
    scope = None if item.get("scope") is None else fields.number(item, "scope", 255, f"{field} scope")
    return RouteSpec(dst, gw, **numbers, scope=scope)


def _path(ipam: Document, key: str) -> str:
    path = ipam.get(key) or ""
    if not isinstance(path, str) or not (path == "" or path.startswith("/")):
        raise invalid(f"ipam.{key}", path, "an absolute path")
    return path
