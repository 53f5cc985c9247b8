"""Which zone a name belongs to, and which addresses belong to the cluster."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from . import names
from .names import IN_ADDR_ARPA, IP6_ARPA, Labels


@lru_cache(maxsize=16)
def _zones(zone: str) -> tuple[Labels, ...]:
    """Served zones, longest first."""
    own = names.lower(names.labels_of(zone))
    return tuple(sorted((own, IN_ADDR_ARPA, IP6_ARPA), key=len, reverse=True))


def find_zone(qname: Labels, zone: str) -> Labels | None:
    """The longest served zone that a lower-case name is under, or None."""
    return next((z for z in _zones(zone) if names.under(qname, z)), None)


@lru_cache(maxsize=16)
def _networks(cidrs: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(cidr) for cidr in cidrs)


def in_cluster(address: bytes, cidrs: tuple[str, ...]) -> bool:
    """Is an address (4 or 16 bytes) in one of the cluster's ranges?"""
    return any(ip_address(address) in network for network in _networks(cidrs))
