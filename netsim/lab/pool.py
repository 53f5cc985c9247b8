"""Which addresses of the fabric Services of type LoadBalancer may have. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from netsim.api.load_balancer import Address, Range, parse_pool

NONE = "none"
_SIZE = 15
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def default_pool(fabrics: Iterable[Network], machines: Sequence[Address]) -> str:
    """The last 15 addresses of each of the fabric's networks, fewer where machines are that far up; "" if none is."""
    return ",".join(part for fabric in fabrics if (part := _last_of(fabric, machines)))


def _last_of(fabric: Network, machines: Iterable[Address]) -> str:
    last = int(fabric[-2])
    first = max(last - _SIZE + 1, max(int(address) for address in machines if address in fabric) + 1)
    return f"{fabric[first - int(fabric[0])]}-{fabric[-2]}" if first <= last else ""


def check_pool(text: str, fabrics: Sequence[Network], machines: Iterable[Address]) -> None:
    """Raises ValueError if the pool is not on the fabric, or has a machine's address."""
    taken = {*machines, *(fabric[end] for fabric in fabrics for end in (0, -1))}
    for part in parse_pool(text):
        if not any(part.first in fabric and part.last in fabric for fabric in fabrics):
            where = " or ".join(map(str, fabrics))
            raise ValueError(f"{_show(part)} is not on the fabric {where}; choose addresses of it")
        if clash := sorted((address for address in taken if address in part), key=int):
            raise ValueError(f"{_show(part)} has {clash[0]}, which is taken on the fabric; choose others")


def _show(part: Range) -> str:
    return f"{part.first}-{part.last}"
