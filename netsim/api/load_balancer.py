"""Load-balancer addresses: pools of them, and what a Service says of its own. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

from netsim.api.kinds import Obj
from netsim.api.objects import dig

ANNOUNCED_FROM = "netsim.io/announced-from"
"""The annotation of a Service that names the node which answers for its addresses."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Range:
    """Addresses of one family from `first` to `last`, both included."""

    first: Address
    last: Address

    @property
    def family(self) -> str:
        """IPv4 or IPv6, as in a Service's ipFamilies."""
        return f"IPv{self.first.version}"

    def __contains__(self, address: object) -> bool:
        if not isinstance(address, ipaddress.IPv4Address | ipaddress.IPv6Address):
            return False
        return address.version == self.first.version and int(self.first) <= int(address) <= int(self.last)

    def __iter__(self) -> Iterator[Address]:
        return (type(self.first)(number) for number in range(int(self.first), int(self.last) + 1))


def parse_pool(text: str) -> tuple[Range, ...]:
    """Ranges of "172.30.0.240/28" or "172.30.0.240-172.30.0.250", several separated by commas.

    A CIDR's first and last address are left out, since most networks treat them specially; a single address (/32) is
    itself. Raises ValueError.
    """
    return tuple(_parse_range(part.strip()) for part in text.split(",") if part.strip())


def _parse_range(text: str) -> Range:
    first, dash, last = (part.strip() for part in text.partition("-"))
    try:
        if not dash:
            network = ipaddress.ip_network(text)
            inner = 1 if network.num_addresses > 2 else 0
            return Range(network[inner], network[-1 - inner])
        found = Range(ipaddress.ip_address(first), ipaddress.ip_address(last))
    except ValueError as error:
        raise ValueError(f"{text!r} is no pool ({error}); write it as 172.30.0.240/28 or FIRST-LAST") from None
    if found.first.version != found.last.version or int(found.first) > int(found.last):
        raise ValueError(f"{text!r} is no pool: the first address must not be above the last")
    return found


def is_balanced(service: Obj) -> bool:
    """Of type LoadBalancer, or with addresses from when it was."""
    return dig(service, "spec", "type") == "LoadBalancer" or bool(dig(service, "status", "loadBalancer", "ingress"))


def balancer_addresses(service: Obj) -> list[Address]:
    """The addresses that load balancers gave a Service and that its packets carry (ipMode VIP), in their order."""
    entries = dig(service, "status", "loadBalancer", "ingress") or []
    found = []
    for entry in entries:
        if entry.get("ip") and entry.get("ipMode") in (None, "", "VIP"):
            try:
                found.append(ipaddress.ip_address(entry["ip"]))
            except ValueError:  # a name in the place of an address is nobody's to announce
                continue
    return found
