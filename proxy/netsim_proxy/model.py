"""What the proxy keeps of Services, EndpointSlices and its Node: slim frozen values, which `cut` makes."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field, replace
from functools import lru_cache

from netsim_proxy.config import Family
from netsim_proxy.names import join_address, port_name

ZONE_LABEL = "topology.kubernetes.io/zone"


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of one Service in one address family."""

    namespace: str
    service: str
    port_name: str
    protocol: str
    cluster_ip: str
    port: int
    node_port: int = 0
    external_ips: tuple[str, ...] = ()
    vips: tuple[str, ...] = ()
    source_ranges: tuple[str, ...] = ()
    internal_local: bool = False
    external_local: bool = False
    affinity_seconds: int = 0
    health_check_node_port: int = 0
    hints_enabled: bool = False
    traffic_distribution: bool = False

    @property
    def name(self) -> str:
        """Printed form, `ns/name:port` or `ns/name`."""
        return port_name(self.namespace, self.service, self.port_name)

    @property
    def externally_accessible(self) -> bool:
        """Can be reached from outside through a node port, an external address or a load-balancer address."""
        return bool(self.node_port or self.external_ips or self.vips)

    @property
    def uses_cluster_endpoints(self) -> bool:
        """Some traffic of this port may go to endpoints of any node."""
        return not self.internal_local or self.externally_accessible

    @property
    def uses_local_endpoints(self) -> bool:
        """Some traffic of this port may go to endpoints of this node only."""
        return self.internal_local or (self.external_local and self.externally_accessible)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address and port behind a Service port. `zones` and `nodes` are the topology hints."""

    address: str
    port: int
    local: bool
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    zones: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    text: str = field(init=False, compare=False, repr=False)
    """`ip:port` or `[ip6]:port`: what endpoints are sorted by."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", join_address(self.address, self.port))


@dataclass(frozen=True, slots=True)
class SliceEndpoint:
    """One endpoint of a slice, before it meets the slice's ports."""

    address: str
    node: str
    ready: bool
    serving: bool
    terminating: bool
    zones: tuple[str, ...]
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Slice:
    """One EndpointSlice: `ports` are (name, protocol, number)."""

    namespace: str
    name: str
    service: str
    family: Family
    ports: tuple[tuple[str, str, int], ...]
    endpoints: tuple[SliceEndpoint, ...]
    rejected: tuple[str, ...] = ()

    @property
    def service_key(self) -> str:
        """`ns/name` of the Service it belongs to."""
        return f"{self.namespace}/{self.service}"


@dataclass(frozen=True, slots=True)
class Node:
    """This node: its name, its labels and its primary address by family. Whether it is `eligible` for load balancers'
    traffic is no matter of rules, so that a change of it is none of the node."""

    name: str
    labels: tuple[tuple[str, str], ...] = ()
    ipv4: str = ""
    ipv6: str = ""
    pod_cidrs: tuple[str, ...] = ()
    eligible: bool = field(default=True, compare=False)

    @property
    def zone(self) -> str:
        """Topology zone, or ""."""
        return dict(self.labels).get(ZONE_LABEL, "")

    def address(self, family: Family) -> str:
        """Primary address of the family; loopback when the Node object names none."""
        return (self.ipv4 or "127.0.0.1") if family == 4 else (self.ipv6 or "::1")


@lru_cache(16384)  # a slice tells its hundred addresses anew whenever one of them changes
def family_of(address: str) -> int:
    """4 or 6; 0 for text that is no address."""
    try:
        return ipaddress.ip_address(address).version
    except ValueError:
        return 0


def with_own_address(node: Node, address: str) -> Node:
    """The node with --bind-address as its own, unless that is none (0.0.0.0 or ::)."""
    if address in ("0.0.0.0", "::"):
        return node
    return replace(node, ipv6=address) if family_of(address) == 6 else replace(node, ipv4=address)
