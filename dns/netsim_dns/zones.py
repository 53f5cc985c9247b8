"""Which zone a name belongs to, and which addresses belong to the cluster."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Generic, TypeVar

from . import names
from .names import Labels
from .wire import HEADER_SIZE

T = TypeVar("T")


class ZoneTable(Generic[T]):
    """What belongs to zones (`.`, `corp.example`), found by the bytes of a query: the longest zone of its name wins."""

    def __init__(self, zones: Mapping[str, T]) -> None:
        self._zones = {_as_bytes(zone): value for zone, value in zones.items()}

    def find(self, query: bytes, default: T) -> T:
        """What belongs to the zone of the name that is asked for; the default if it is in none, or no name."""
        at, end = HEADER_SIZE, query.find(0, HEADER_SIZE) + 1
        name = query[:end].lower()
        while at < end:
            if (rest := name[at:]) in self._zones:
                return self._zones[rest]
            at += query[at] + 1
        return default


def _as_bytes(zone: str) -> bytes:
    labels = names.lower(names.labels_of(zone)) if zone != "." else ()
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


@lru_cache(maxsize=16)
def _zones(zones: tuple[str, ...]) -> tuple[Labels, ...]:
    """Served zones, longest first."""
    return tuple(sorted((names.lower(names.labels_of(zone)) for zone in zones), key=len, reverse=True))


def find_zone(qname: Labels, zones: tuple[str, ...]) -> Labels | None:
    """The longest served zone that a lower-case name is under, or None."""
    return next((z for z in _zones(zones) if names.under(qname, z)), None)


@lru_cache(maxsize=64)
def overlap(zone: Labels, zones: tuple[str, ...]) -> bool:
    """May a name under `zone` be under one of the others?"""
    return any(names.under(zone, other) or names.under(other, zone) for other in _zones(zones))


def reverse_zones(cidr: str) -> tuple[str, ...]:
    """The reverse zones of a range, at the next boundary of a label: an octet of IPv4, four bits of IPv6."""
    network = ip_network(cidr, strict=False)
    bits = 8 if network.version == 4 else 4
    prefix = -(-network.prefixlen // bits) * bits
    return tuple(_reverse_zone(part, prefix // bits) for part in network.subnets(new_prefix=prefix))


def _reverse_zone(network: IPv4Network | IPv6Network, count: int) -> str:
    """The name that the addresses of a range have in common: the last `count` labels before the base."""
    labels = network.network_address.reverse_pointer.split(".")
    return ".".join(labels[len(labels) - 2 - count :])


@lru_cache(maxsize=16)
def _networks(cidrs: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(cidr) for cidr in cidrs)


def in_cluster(address: bytes, cidrs: tuple[str, ...]) -> bool:
    """Is an address (4 or 16 bytes) in one of the cluster's ranges?"""
    return any(ip_address(address) in network for network in _networks(cidrs))
