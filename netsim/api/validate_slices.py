"""Rules of EndpointSlices."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from netsim.api import causes
from netsim.api.errors import Cause
from netsim.api.kinds import Obj
from netsim.api.validate_services import endpoint_ip, is_own

_MOST_ENDPOINTS = 1000
_MOST_ADDRESSES = 100
_MOST_PORTS = 20000
_MOST_HINTS = 8


def endpoint_slice(obj: Obj) -> Iterator[Cause]:
    kind, own = obj.get("addressType", ""), is_own(obj)
    yield from causes.one_of("addressType", kind, ("FQDN", "IPv4", "IPv6"))
    yield from _ports(obj.get("ports") or [])
    found = obj.get("endpoints") or []
    if len(found) > _MOST_ENDPOINTS:
        yield causes.too_many("endpoints", len(found), _MOST_ENDPOINTS)
        return
    for index, endpoint in enumerate(found):
        addresses = endpoint.get("addresses") or []
        plain = len(addresses) == 1 and _is_plain(addresses[0], endpoint.get("nodeName"), kind, own)
        if not plain or "hostname" in endpoint or "hints" in endpoint:
            yield from _endpoint(f"endpoints[{index}]", endpoint, kind, own)


def _endpoint(field: str, endpoint: Obj, kind: str, own: bool) -> Iterator[Cause]:
    addresses = endpoint.get("addresses") or []
    if not addresses:
        yield causes.required(f"{field}.addresses", "must contain at least 1 address")
    elif len(addresses) > _MOST_ADDRESSES:
        yield causes.too_many(f"{field}.addresses", len(addresses), _MOST_ADDRESSES)
    for at, address in enumerate(addresses):
        yield from _address(f"{field}.addresses", at, address, kind, own)
    if "nodeName" in endpoint:
        yield from causes.dns_subdomain(f"{field}.nodeName", endpoint["nodeName"])
    if "hostname" in endpoint:
        yield from causes.dns_label(f"{field}.hostname", endpoint["hostname"])
    if endpoint.get("hints"):
        yield from _hints(f"{field}.hints", endpoint["hints"])


@lru_cache(16384)  # whenever one endpoint of a Service changes, all are told again
def _is_plain(address: str, node: str | None, kind: str, own: bool) -> bool:
    """Whether nothing is wrong with an endpoint's only address and its node."""
    wrong = any(_address("", 0, address, kind, own))
    return not wrong and (node is None or not any(causes.dns_subdomain("", node)))


def _address(field: str, at: int, address: str, kind: str, own: bool) -> Iterator[Cause]:
    """One of the addresses below `field`. Those of an unknown type are not looked at."""
    here = f"{field}[{at}]"
    if kind == "FQDN" and not address:
        yield causes.required(here)
    elif kind == "FQDN":
        yield from _host(here, address)
    elif kind in ("IPv4", "IPv6") and not causes.is_ip(address):
        yield causes.invalid(here, address, causes.IP_MESSAGE)
    elif kind in ("IPv4", "IPv6"):
        if (":" in address) != (kind == "IPv6"):
            yield causes.invalid(field, address, f"must be an {kind} address")
        yield from endpoint_ip(here, address, own)


def _host(field: str, name: str) -> Iterator[Cause]:
    """A name of two parts at least, with or without the dot at its end."""
    name = name.removesuffix(".")
    wrong = list(causes.dns_subdomain(field, name))
    yield from wrong
    if not wrong and "." not in name:
        yield causes.invalid(field, name, "should be a domain with at least two segments separated by dots")


def _hints(field: str, hints: Obj) -> Iterator[Cause]:
    for group in ("forZones", "forNodes"):
        found = [hint.get("name", "") for hint in hints.get(group) or ()]
        if len(found) > _MOST_HINTS:
            yield causes.too_many(f"{field}.{group}", len(found), _MOST_HINTS)
            return
        for index, name in enumerate(found):
            here = f"{field}.{group}[{index}].name"
            if name in found[:index]:
                yield causes.duplicate(here, name)
            yield from causes.dns_subdomain(here, name) if group == "forNodes" else causes.label_value(here, name)


def _ports(ports: list[Obj]) -> Iterator[Cause]:
    if len(ports) > _MOST_PORTS:
        yield causes.too_many("ports", len(ports), _MOST_PORTS)
        return
    seen: set[str] = set()
    for index, port in enumerate(ports):
        field, name = f"ports[{index}]", port.get("name", "")
        if name:
            yield from causes.dns_label(f"{field}.name", name)
        if name in seen:
            yield causes.duplicate(f"{field}.name", name)
        seen.add(name)
        if port.get("protocol") not in causes.PROTOCOLS:
            yield causes.unsupported(f"{field}.protocol", port.get("protocol"), causes.PROTOCOLS)
        if "appProtocol" in port:
            yield from causes.qualified_name(f"{field}.appProtocol", port["appProtocol"])


def endpoint_slice_update(new: Obj, old: Obj) -> Iterator[Cause]:
    yield from causes.unchanged("addressType", new.get("addressType"), old.get("addressType"))
