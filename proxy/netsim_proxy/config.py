"""Settings of the proxy, under the names of kube-proxy's flags."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Literal, get_args

Family = Literal[4, 6]
_PORTS = {"healthz-bind-address": 10256, "metrics-bind-address": 10249}
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Mode = Literal["iptables", "nftables"]
PRIMARY = "primary"
"""The value of `nodeport_addresses` that stands for the node's own addresses, as its Node names them."""
DetectLocal = Literal["ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix"]


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """What kube-proxy takes on its command line; the defaults are kube-proxy's but for `min_sync_period`.

    Times are seconds. `cluster_cidr` and `nodeport_addresses` may mix families; each family uses its own entries.
    In the place of CIDRs `nodeport_addresses` may be (PRIMARY,), kube-proxy's from 1.31 on.
    `min_sync_period` 0 means no limit: changes that arrive while a sync runs are merged into the next one.
    `traffic_distribution`: topology hints count for every Service, as from 1.33 on. Without it they count, as in 1.30,
    for Services with the annotation, and for those with a `trafficDistribution`, which 1.30 does not have.
    An empty `healthz_bind_address` or `metrics_bind_address` opens nothing. Of the conntrack settings 0 leaves the
    machine's as they are; `conntrack_max_per_core` and `conntrack_min` are of the whole machine, not of a namespace.
    """

    node_name: str
    mode: Mode = "iptables"
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
    bind_address: str = "0.0.0.0"
    healthz_bind_address: str = "0.0.0.0:10256"
    metrics_bind_address: str = "127.0.0.1:10249"
    bind_address_hard_fail: bool = False
    conntrack_max_per_core: int = 32768
    conntrack_min: int = 131072
    conntrack_tcp_established: float = 86400.0
    conntrack_tcp_close_wait: float = 3600.0
    conntrack_udp: float = 0.0
    conntrack_udp_stream: float = 0.0

    def __post_init__(self) -> None:
        _check_choice("proxy-mode", self.mode, get_args(Mode))
        _check_choice("detect-local-mode", self.detect_local_mode, get_args(DetectLocal))
        if not 0 <= self.masquerade_bit <= 31:
            raise ValueError(f"--iptables-masquerade-bit {self.masquerade_bit}: give a bit from 0 to 31")
        if self.sync_period <= 0 or not 0 <= self.min_sync_period <= self.sync_period:
            raise ValueError(
                "--iptables-sync-period must be above 0, and --iptables-min-sync-period neither negative nor above it"
            )
        if self.detect_local_mode == "BridgeInterface" and not self.bridge_interface:
            raise ValueError("--detect-local-mode BridgeInterface needs --pod-bridge-interface")
        if self.detect_local_mode == "InterfaceNamePrefix" and not self.interface_name_prefix:
            raise ValueError("--detect-local-mode InterfaceNamePrefix needs --pod-interface-name-prefix")
        _check_cidrs("cluster-cidr", self.cluster_cidr)
        if self.nodeport_addresses != (PRIMARY,):
            _check_cidrs("nodeport-addresses", self.nodeport_addresses, f", or {PRIMARY} alone")
        _check_ip("bind-address", self.bind_address)
        for flag in ("healthz-bind-address", "metrics-bind-address"):
            split_address(flag, getattr(self, flag.replace("-", "_")))
        for flag in ("conntrack_max_per_core", "conntrack_min"):
            if getattr(self, flag) < 0:
                raise ValueError(f"--{flag.replace('_', '-')} must not be negative; 0 leaves the machine's setting")

    @property
    def hostname(self) -> str:
        """Name of this node's Node object: the override or the given name, trimmed and in lower case."""
        return (self.hostname_override or self.node_name).strip().lower()

    @property
    def mark(self) -> int:
        """Packet mark that asks for masquerading."""
        return 1 << self.masquerade_bit


def _check_choice(flag: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"--{flag} {value!r}: not known; use {' or '.join(choices)}")


def _check_ip(flag: str, text: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(f"--{flag} {text!r}: not an IP address; give one such as 192.168.0.2, or 0.0.0.0") from None


def split_address(flag: str, text: str) -> tuple[str, int] | None:
    """Host and port of "IP:PORT" or "[IP6]:PORT", for an IPv4 address alone with the flag's usual port; None for "",
    where nothing is opened. Raises ValueError."""
    if not text:
        return None
    if re.fullmatch(r"\d+(\.\d+){3}", text):
        text = f"{text}:{_PORTS[flag]}"
    host, _, port = text.rpartition(":")
    try:
        ipaddress.ip_address(host.strip("[]"))
        number = int(port)
    except ValueError:
        raise ValueError(f"--{flag} {text!r}: expected IP:PORT such as 0.0.0.0:10256, or nothing") from None
    if (":" in host) != host.startswith("[") or not 0 <= number <= 65535:
        raise ValueError(f"--{flag} {text!r}: expected IP:PORT, an IPv6 address in brackets, a port up to 65535")
    return host.strip("[]"), number


def _check_cidrs(flag: str, cidrs: tuple[str, ...], instead: str = "") -> None:
    for cidr in cidrs:
        try:
            ipaddress.ip_network(cidr.strip(), strict=False)
        except ValueError as error:
            raise ValueError(f"--{flag} {cidr!r}: {error}; give a CIDR such as 192.168.0.0/24{instead}") from error


def networks_of(cidrs: tuple[str, ...], family: Family) -> tuple[Network, ...]:
    """The CIDRs of one family, host bits cleared, in the given order; PRIMARY is none."""
    parsed = (ipaddress.ip_network(cidr.strip(), strict=False) for cidr in cidrs if cidr != PRIMARY)
    return tuple(network for network in parsed if network.version == family)
