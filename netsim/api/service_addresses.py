"""Rules of the addresses of Services: cluster IPs and their families, external IPs, those of a load balancer (pure).

Facts: ValidateServiceClusterIPsRelatedFields, ValidateEndpointIP and ValidateLoadBalancerStatus of Kubernetes 1.36.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from functools import lru_cache

from netsim.api import causes
from netsim.api.errors import Cause
from netsim.api.kinds import Obj

_FAMILIES = ("IPv4", "IPv6")
_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
_IP_MODES = ("Proxy", "VIP")
_ONCE = "may not change once set"
_LINK_LOCAL_MULTICAST = (ipaddress.ip_network("224.0.0.0/24"), ipaddress.ip_network("ff02::/16"))


def cluster_addresses(spec: Obj) -> Iterator[Cause]:
    """clusterIP, clusterIPs and ipFamilies of a Service that is no ExternalName."""
    if spec.get("type") == "ExternalName":
        return
    addresses, families = spec.get("clusterIPs") or [], spec.get("ipFamilies") or []
    yield from _first_address(spec.get("clusterIP") or "", addresses)
    yield from _families(families, spec.get("ipFamilyPolicy"))
    wrong = list(_single_addresses(addresses))
    yield from wrong
    if len(addresses) > len(_FAMILIES):
        yield causes.invalid("spec.clusterIPs", addresses, "may only hold up to 2 values")
    if wrong or addresses == ["None"]:
        return
    found = [family_of(address) for address in addresses]
    if len(found) > 1 and len(set(found)) == 1:
        yield causes.invalid("spec.clusterIPs", addresses, "may specify no more than one IP for each IP family")
    for index, (family, has) in enumerate(zip(families, found, strict=False)):
        if family in _FAMILIES and family != has:
            why = f"expected an {family} value as indicated by `ipFamilies[{index}]`"
            yield causes.invalid(f"spec.clusterIPs[{index}]", addresses[index], why)


def family_of(address: str) -> str:
    """IPv4 or IPv6."""
    return "IPv6" if ":" in address else "IPv4"


def _first_address(first: str, addresses: list[str]) -> Iterator[Cause]:
    if first and not addresses:
        yield causes.required("spec.clusterIPs")
    elif first and addresses[0] != first:
        yield causes.invalid("spec.clusterIPs", addresses, "first value must match `clusterIP`")
    elif addresses and not first:
        yield causes.invalid("spec.clusterIPs", addresses, "must be empty when `clusterIP` is not specified")


def _families(families: list[str], policy: str | None) -> Iterator[Cause]:
    for index, family in enumerate(families):
        field = f"spec.ipFamilies[{index}]"
        if family not in _FAMILIES:
            yield causes.unsupported(field, family, _FAMILIES)
        if family in families[:index]:
            yield causes.duplicate(field, family)
    if policy is not None and policy not in _POLICIES:
        yield causes.unsupported("spec.ipFamilyPolicy", policy, _POLICIES)


def _single_addresses(addresses: list[str]) -> Iterator[Cause]:
    for index, address in enumerate(addresses):
        if index or address != "None":
            yield from causes.ip_address(f"spec.clusterIPs[{index}]", address)
        elif len(addresses) > 1:
            yield causes.invalid("spec.clusterIPs", addresses, "'None' must be the first and only value")


def kept_addresses(now: Obj, before: Obj) -> Iterator[Cause]:
    """The first cluster IP and family stay what they are."""
    asked, held = now.get("clusterIPs") or [], before.get("clusterIPs") or []
    if asked == held == ["None"]:
        return
    if held and not asked:
        yield causes.invalid("spec.clusterIPs[0]", asked, "primary clusterIP can not be unset")
    elif held and asked[0] != held[0]:
        yield causes.invalid("spec.clusterIPs[0]", asked, _ONCE)
    wanted, given = now.get("ipFamilies") or [], before.get("ipFamilies") or []
    if "None" not in (*asked, *held) and wanted and given and wanted[0] != given[0]:
        yield causes.invalid("spec.ipFamilies[0]", wanted, _ONCE)


def reachable_address(field: str, address: str) -> Iterator[Cause]:
    """An address that means the same host everywhere."""
    yield from causes.ip_address(field, address) if not causes.is_ip(address) else special_address(field, address)


def special_address(field: str, address: str) -> Iterator[Cause]:
    """What is wrong with an address that means another host to everyone."""
    for why in _special(address):
        yield causes.invalid(field, address, why)


@lru_cache(16384)
def _special(address: str) -> tuple[str, ...]:
    found = ipaddress.ip_address(address)
    multicast = any(found in network for network in _LINK_LOCAL_MULTICAST if network.version == found.version)
    judged = (
        (found.is_unspecified, f"may not be unspecified ({address})"),
        (found.is_loopback, "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        (found.is_link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        (multicast, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
    )
    return tuple(why for wrong, why in judged if wrong)


def balancer_status(service: Obj) -> Iterator[Cause]:
    """What a load balancer says it answers at."""
    field = "status.loadBalancer.ingress"
    found = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    if found and (service.get("spec") or {}).get("type") != "LoadBalancer":
        yield causes.forbidden(field, "may only be used when `spec.type` is 'LoadBalancer'")
        return
    for index, ingress in enumerate(found):
        yield from _ingress(f"{field}[{index}]", ingress)


def _ingress(field: str, ingress: Obj) -> Iterator[Cause]:
    address, mode, host = ingress.get("ip") or "", ingress.get("ipMode"), ingress.get("hostname") or ""
    if address:
        yield from causes.ip_address(f"{field}.ip", address)
    if mode is not None and not address:
        yield causes.forbidden(f"{field}.ipMode", "may not be specified when `ip` is not set")
    elif mode is not None and mode not in _IP_MODES:
        yield causes.unsupported(f"{field}.ipMode", mode, _IP_MODES)
    if host:
        yield from causes.dns_subdomain(f"{field}.hostname", host)
        if causes.is_ip(host):
            yield causes.invalid(f"{field}.hostname", host, "must be a DNS name, not an IP address")
