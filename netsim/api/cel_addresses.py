"""IP addresses, networks and URLs in the Common Expression Language, as Kubernetes has them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, parse_qs, quote, urlsplit

from netsim.cel.errors import EvaluationError
from netsim.cel.values import Opaque

Functions = dict[str, Callable[..., Any]]


def succeeds(read: Callable[..., Any]) -> Callable[..., bool]:
    """Whether a reader takes its argument."""

    def check(*arguments: Any) -> bool:
        try:
            read(*arguments)
        except EvaluationError:
            return False
        return True

    return check


# --- addresses -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Address(Opaque):
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address
    type_name = "net.IP"


@dataclass(frozen=True, slots=True)
class Cidr(Opaque):
    interface: ipaddress.IPv4Interface | ipaddress.IPv6Interface
    type_name = "net.CIDR"


def _ip(text: str) -> Address:
    try:
        found = ipaddress.ip_address(text)
    except ValueError as error:
        raise EvaluationError(f'IP Address "{text}" parse error during conversion from string: {error}') from None
    if "%" in text:
        raise EvaluationError(f'IP address "{text}" with zone value is not allowed')
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        raise EvaluationError(f'IPv4-mapped IPv6 address "{text}" is not allowed')
    return Address(found)


def _cidr(text: str) -> Cidr:
    address, slash, length = text.partition("/")
    if not slash or re.fullmatch(r"0|[1-9]\d*", length) is None:
        raise EvaluationError(f'network address parse error during conversion from string: "{text}" is no CIDR')
    _ip(address)
    try:
        return Cidr(ipaddress.ip_interface(text))
    except ValueError as error:
        raise EvaluationError(f"network address parse error during conversion from string: {error}") from None


def _contains_ip(network: Cidr, address: Address) -> bool:
    return address.ip in network.interface.network


def _contains_cidr(network: Cidr, other: Cidr) -> bool:
    outer, inner = network.interface.network, other.interface.network
    return outer.prefixlen <= inner.prefixlen and other.interface.ip in outer


def _masked(network: Cidr) -> Cidr:
    return Cidr(ipaddress.ip_interface(str(network.interface.network)))


def _is_multicast_on_link(address: Address) -> bool:
    local = "224.0.0.0/24" if address.ip.version == 4 else "ff02::/16"
    return address.ip in ipaddress.ip_network(local)


def _is_global(address: Address) -> bool:
    ip = address.ip
    broadcast = ip.version == 4 and str(ip) == "255.255.255.255"
    return not (broadcast or ip.is_unspecified or ip.is_loopback or ip.is_multicast or ip.is_link_local)


ADDRESSES: Functions = {
    "ip(string) net.IP": _ip,
    "isIP(string) bool": succeeds(_ip),
    "ip.isCanonical(string) bool": lambda text: str(_ip(text).ip) == text,
    "string(net.IP) string": lambda address: str(address.ip),
    "net.IP::family() int": lambda address: address.ip.version,
    "net.IP::isUnspecified() bool": lambda address: address.ip.is_unspecified,
    "net.IP::isLoopback() bool": lambda address: address.ip.is_loopback,
    "net.IP::isLinkLocalMulticast() bool": _is_multicast_on_link,
    "net.IP::isLinkLocalUnicast() bool": lambda address: address.ip.is_link_local,
    "net.IP::isGlobalUnicast() bool": _is_global,
    "cidr(string) net.CIDR": _cidr,
    "isCIDR(string) bool": succeeds(_cidr),
    "string(net.CIDR) string": lambda network: str(network.interface),
    "net.CIDR::containsIP(string) bool": lambda network, text: _contains_ip(network, _ip(text)),
    "net.CIDR::containsIP(net.IP) bool": _contains_ip,
    "net.CIDR::containsCIDR(string) bool": lambda network, text: _contains_cidr(network, _cidr(text)),
    "net.CIDR::containsCIDR(net.CIDR) bool": _contains_cidr,
    "net.CIDR::ip() net.IP": lambda network: Address(network.interface.ip),
    "net.CIDR::prefixLength() int": lambda network: network.interface.network.prefixlen,
    "net.CIDR::masked() net.CIDR": _masked,
}


# --- URLs ----------------------------------------------------------------------------------------------------------


_NOT_IN_URLS = re.compile(r"[\x00-\x1f\x7f]|%(?![0-9a-fA-F]{2})")


@dataclass(frozen=True, slots=True)
class Url(Opaque):
    parts: SplitResult
    type_name = "kubernetes.URL"


def url(text: str) -> Url:
    """An absolute URI or an absolute path, as Go's url.ParseRequestURI takes it."""
    try:
        parts = urlsplit(text)
        checked = parts.port, parts.hostname  # which are looked at only when they are asked for
    except ValueError as error:
        raise EvaluationError(f"URL parse error during conversion from string: {error}") from None
    absolute = bool(parts.scheme) and checked is not None and " " not in parts.netloc
    if not text or not (absolute or text.startswith("/")) or re.search(_NOT_IN_URLS, text):
        why = f'parse "{text}": invalid URI for request'
        raise EvaluationError(f"URL parse error during conversion from string: {why}")
    return Url(parts)


def _hostname(found: Url) -> str:
    """The host without its port, as it is written."""
    host = found.parts.netloc.rpartition("@")[2]
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


_U = "kubernetes.URL"
URLS: Functions = {
    f"url(string) {_U}": url,
    "isURL(string) bool": succeeds(url),
    f"{_U}::getScheme() string": lambda found: found.parts.scheme,
    f"{_U}::getHost() string": lambda found: found.parts.netloc.rpartition("@")[2],
    f"{_U}::getHostname() string": _hostname,
    f"{_U}::getPort() string": lambda found: "" if found.parts.port is None else str(found.parts.port),
    f"{_U}::getEscapedPath() string": lambda found: quote(found.parts.path, safe="/%:@!$&'()*+,;=~-._"),
    f"{_U}::getQuery() map(string,list(string))": lambda found: parse_qs(found.parts.query, keep_blank_values=True),
}

TYPES = ("net.IP", "net.CIDR", _U)
