"""What an attachment is given by its address management: addresses, routes and DNS settings (pure)."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any, NamedTuple

from netsim_cni.ranges import Ip, Net

MAIN_TABLE = 254


class Assigned(NamedTuple):
    """An address, the length of its subnet's prefix, and the subnet's gateway where it has one."""

    ip: Ip
    prefix: int
    gateway: Ip | None = None

    @property
    def subnet(self) -> Net:
        return ip_network(f"{self.ip}/{self.prefix}", strict=False)

    @property
    def family(self) -> int:
        return self.ip.version

    @property
    def alone(self) -> str:
        """The address as a network of its own, such as 10.244.1.5/32."""
        return f"{self.ip}/{self.ip.max_prefixlen}"

    @property
    def within(self) -> str:
        """The address with its subnet's prefix length, such as 10.244.1.5/24."""
        return f"{self.ip}/{self.prefix}"


class RouteSpec(NamedTuple):
    """A route of a pod (specification 1.1.0, section 5 "routes").

    `gw` "" is the pod's gateway; 0 for `mtu`, `advmss` (bytes), `priority`, `table` and None for `scope` are the
    kernel's defaults.
    """

    dst: str
    gw: str = ""
    mtu: int = 0
    advmss: int = 0
    priority: int = 0
    table: int = 0
    scope: int | None = None

    @property
    def family(self) -> int:
        return 6 if ":" in self.dst else 4


@dataclass(frozen=True, slots=True)
class Addressing:
    """All of it for one attachment; an attachment at layer 2 only has none."""

    ips: tuple[Assigned, ...] = ()
    routes: tuple[RouteSpec, ...] = ()
    dns: dict[str, Any] = field(default_factory=dict)

    @property
    def families(self) -> tuple[int, ...]:
        """4 and 6, those that occur, each once."""
        return tuple(dict.fromkeys(one.family for one in self.ips))
