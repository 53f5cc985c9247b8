"""The lists of netfilter's match `recent`, in which mode iptables keeps the clients of each endpoint of a Service with
session affinity. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

_ENTRY = re.compile(r"^src=(\S+) .*\blast_seen: (\d+)", re.MULTILINE)
_RATES = (100, 250, 300, 1000)
"""The kernel's ticks a second, whichever it was built with."""
_START = 300
"""The kernel's count begins so many seconds before 2 ** 32 ticks, so that an overflow shows early."""


@dataclass(frozen=True, slots=True)
class Recent:
    """What the kernel shows: the text of each list by its name (the endpoint's chain), and the present by its count of
    ticks and by seconds since it started."""

    lists: Mapping[str, str] = field(default_factory=dict)
    ticks: int = 0
    uptime: float = 0.0

    def lists_with(self, address: str, seconds: int) -> frozenset[str]:
        """The lists that have seen an address within the last so many seconds: an entry stays until a packet comes."""
        oldest, wanted = self.ticks - seconds * self._rate(), ip_address(address)
        return frozenset(
            name
            for name, text in self.lists.items()
            for entry in _ENTRY.finditer(text)
            if int(entry[2]) >= oldest and ip_address(entry[1]) == wanted
        )

    def _rate(self) -> int:
        return min(_RATES, key=lambda rate: abs(2**32 + (self.uptime - _START) * rate - self.ticks))
