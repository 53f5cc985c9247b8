"""Rules of IPAddresses and ServiceCIDRs (KEP-1880)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator

from netsim.api import causes
from netsim.api.errors import Cause
from netsim.api.kinds import Obj

_CIDRS = "spec.cidrs"
_MOST_CIDRS = 2
_CIDR_MESSAGE = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
_LEADING_ZEROS = re.compile(r"(?<![0-9a-fA-F:])0+(?=[0-9])")


def strict_ip(field: str, text: str) -> Iterator[Cause]:
    """An address as it is written canonically."""
    without = _LEADING_ZEROS.sub("", text)
    if not causes.is_ip(without):
        yield causes.invalid(field, text, causes.IP_MESSAGE)
        return
    if without != text:
        yield causes.invalid(field, text, "must not have leading 0s")
        return
    address = ipaddress.ip_address(text)
    if address.version == 6 and address.ipv4_mapped is not None:
        yield causes.invalid(field, text, "must not be an IPv4-mapped IPv6 address")
    elif str(address) != text:
        yield causes.invalid(field, text, f'must be in canonical form ("{address}")')


def strict_cidr(field: str, text: str) -> Iterator[Cause]:
    """A network as it is written canonically, without host bits."""
    without = _LEADING_ZEROS.sub("", text)
    if not causes.is_cidr(without) or not without.rpartition("/")[2].isdecimal():
        yield causes.invalid(field, text, _CIDR_MESSAGE)
        return
    if without != text:
        yield causes.invalid(field, text, "must not have leading 0s in IP or prefix length")
        return
    found = ipaddress.ip_interface(text)
    if found.version == 6 and found.ip.ipv4_mapped is not None:
        yield causes.invalid(field, text, "must not have an IPv4-mapped IPv6 address")
    elif found.ip != found.network.network_address:
        yield causes.invalid(field, text, "must not have bits set beyond the prefix length")
    elif str(found.network) != text:
        yield causes.invalid(field, text, f'must be in canonical form ("{found.network}")')


def ip_address(obj: Obj) -> Iterator[Cause]:
    parent = (obj.get("spec") or {}).get("parentRef")
    if parent is None:
        yield causes.required("spec.parentRef")
        return
    rules: tuple[tuple[str, Callable[[str, str], Iterator[Cause]]], ...] = (
        ("group", causes.dns_subdomain),
        ("resource", causes.path_segment),
        ("name", causes.path_segment),
        ("namespace", causes.path_segment),
    )
    for name, rule in rules:
        if parent.get(name):
            yield from rule(f"spec.parentRef.{name}", parent[name])
        elif name in ("resource", "name"):
            yield causes.required(f"spec.parentRef.{name}")


def ip_address_update(new: Obj, old: Obj) -> Iterator[Cause]:
    now, before = (_in_go((obj.get("spec") or {}).get("parentRef")) for obj in (new, old))
    yield from causes.unchanged("spec.parentRef", now, before)


def _in_go(parent: Obj | None) -> Obj | None:
    """As Kubernetes quotes it: with the names of its Go type."""
    if parent is None:
        return None
    return {name.capitalize(): parent.get(name, "") for name in ("group", "resource", "namespace", "name")}


def _cidrs(obj: Obj) -> list[str]:
    found: list[str] = (obj.get("spec") or {}).get("cidrs") or []
    return found


def service_cidr(obj: Obj) -> Iterator[Cause]:
    """What a new one must keep to; of one that is there nothing is judged but what changes."""
    cidrs = _cidrs(obj)
    if not cidrs:
        yield causes.required(_CIDRS, "at least one CIDR required")
        return
    if len(cidrs) > _MOST_CIDRS:
        yield causes.invalid(_CIDRS, {"CIDRs": cidrs}, "may only hold up to 2 values")
        return
    wrong = [cause for index, text in enumerate(cidrs) for cause in strict_cidr(f"{_CIDRS}[{index}]", text)]
    yield from wrong
    if len(cidrs) == _MOST_CIDRS and all(map(causes.is_cidr, cidrs)) and len({":" in cidr for cidr in cidrs}) == 1:
        why = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"
        yield causes.invalid(_CIDRS, cidrs, why)


def service_cidr_update(new: Obj, old: Obj) -> Iterator[Cause]:
    """A second family may be added; nothing else changes."""
    now, before = _cidrs(new), _cidrs(old)
    widened = (len(before), len(now)) == (1, _MOST_CIDRS)
    if len(now) != len(before) and not widened:
        yield causes.invalid(_CIDRS, now, causes.IMMUTABLE)
        return
    for index, (cidr, held) in enumerate(zip(now, before, strict=False)):
        yield from causes.unchanged(f"{_CIDRS}[{index}]", cidr, held)
    if widened:
        yield from service_cidr(new)
