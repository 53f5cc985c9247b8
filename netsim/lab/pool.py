"""Which addresses of the fabric Services of type LoadBalancer may have. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from netsim.api.load_balancer import Range, parse_pool

NONE = "none"
_SIZE = 15


def default_pool(fabric: ipaddress.IPv4Network, machines: Iterable[str]) -> str:
    """The fabric's last 15 addresses, fewer where machines are that far up; "" if nothing is left."""
    last = int(fabric[-2])
    first = max(last - _SIZE + 1, max(int(ipaddress.IPv4Address(address)) for address in machines) + 1)
    return f"{ipaddress.IPv4Address(first)}-{ipaddress.IPv4Address(last)}" if first <= last else ""


def check_pool(text: str, fabric: ipaddress.IPv4Network, machines: Iterable[str]) -> None:
    """Raises ValueError if the pool is not on the fabric, or has a machine's address."""
    taken = {ipaddress.IPv4Address(address) for address in machines} | {fabric[0], fabric[-1]}
    for part in parse_pool(text):
        if part.first not in fabric or part.last not in fabric:
            raise ValueError(f"{_show(part)} is not on the fabric {fabric}; choose addresses of it")
        if clash := sorted(address for address in taken if address in part):
            raise ValueError(f"{_show(part)} has {clash[0]}, which is taken on the fabric; choose others")


def _show(part: Range) -> str:
    return f"{part.first}-{part.last}"
