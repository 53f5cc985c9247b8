"""Settings of the proxy, under the names of kube-proxy's flags."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Literal

Family = Literal[4, 6]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
DetectLocal = Literal["ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix"]


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """What kube-proxy takes on its command line; the defaults are kube-proxy's but for `min_sync_period`.

    Times are seconds. `cluster_cidr` and `nodeport_addresses` may mix families; each family uses its own entries.
    `min_sync_period` 0 means no limit: changes that arrive while a sync runs are merged into the next one.
    `traffic_distribution`: topology hints count for every Service, as from 1.33 on. Without it they count, as in 1.30,
    for Services with the annotation, and for those with a `trafficDistribution`, which 1.30 does not have.
    """

    node_name: str
    mode: Literal["iptables"] = "iptables"
    families: tuple[Family, ...] = (4,)
    cluster_cidr: tuple[str, ...] = ()
    detect_local_mode: DetectLocal = "ClusterCIDR"
    bridge_interface: str = ""
    interface_name_prefix: str = ""
    masquerade_all: bool = False
    masquerade_bit: int = 14
    random_fully: bool = True
    nodeport_addresses: tuple[str, ...] = ()
    localhost_nodeports: bool = True
    conntrack_tcp_be_liberal: bool = False
    traffic_distribution: bool = False
    hostname_override: str = ""
    sync_period: float = 30.0
    min_sync_period: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.masquerade_bit <= 31:
            raise ValueError(f"--iptables-masquerade-bit {self.masquerade_bit}: give a bit from 0 to 31")
        if self.sync_period <= 0 or self.min_sync_period < 0:
            raise ValueError("--iptables-sync-period must be above 0 and --iptables-min-sync-period not negative")
        if self.detect_local_mode == "BridgeInterface" and not self.bridge_interface:
            raise ValueError("--detect-local-mode BridgeInterface needs --pod-bridge-interface")
        if self.detect_local_mode == "InterfaceNamePrefix" and not self.interface_name_prefix:
            raise ValueError("--detect-local-mode InterfaceNamePrefix needs --pod-interface-name-prefix")
        for flag, cidrs in (("cluster-cidr", self.cluster_cidr), ("nodeport-addresses", self.nodeport_addresses)):
            _check_cidrs(flag, cidrs)

    @property
    def hostname(self) -> str:
        """Name of this node's Node object: the override or the given name, trimmed and in lower case."""
        return (self.hostname_override or self.node_name).strip().lower()

    @property
    def mark(self) -> int:
        """Packet mark that asks for masquerading."""
        return 1 << self.masquerade_bit


def _check_cidrs(flag: str, cidrs: tuple[str, ...]) -> None:
    for cidr in cidrs:
        try:
            ipaddress.ip_network(cidr.strip(), strict=False)
        except ValueError as error:
            raise ValueError(f"--{flag} {cidr!r}: {error}; give a CIDR such as 192.168.0.0/24") from error


def networks_of(cidrs: tuple[str, ...], family: Family) -> tuple[Network, ...]:
    """The CIDRs of one family, host bits cleared, in the given order."""
    parsed = (ipaddress.ip_network(cidr.strip(), strict=False) for cidr in cidrs)
    return tuple(network for network in parsed if network.version == family)
