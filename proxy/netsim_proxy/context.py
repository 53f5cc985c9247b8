"""What the rules of every Service depend on beside the Service itself: family, node, detection of local pods."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, replace

from netsim_proxy.config import PRIMARY, Family, Network, ProxyConfig, networks_of
from netsim_proxy.model import Node
from netsim_proxy.rule import Rule

LARGE_CLUSTER_ENDPOINTS = 1000
"""Above this many endpoints, the per-endpoint rules carry no comment."""


@dataclass(frozen=True, slots=True)
class PodTraffic:
    """How traffic of this node's pods is told from other traffic: by source CIDR or by incoming interface."""

    cidr: str = ""
    interface: str = ""

    def only(self, rule: Rule) -> Rule:
        """The rule, narrowed to traffic from local pods."""
        return replace(rule, source=self.cidr, interface=self.interface)

    def excluded(self, rule: Rule) -> Rule:
        """The rule, narrowed to traffic that is not from local pods."""
        return replace(
            rule,
            source=self.cidr,
            not_source=bool(self.cidr),
            interface=self.interface,
            not_interface=bool(self.interface),
        )


@dataclass(frozen=True, slots=True)
class Context:
    """Input of `compile_service` that all Services share; a change of it recompiles every Service."""

    family: Family
    node_name: str
    zone: str
    node_address: str
    pods: PodTraffic | None
    masquerade_all: bool
    endpoint_comments: bool
    hints: bool


def detect_pods(config: ProxyConfig, node: Node, family: Family) -> PodTraffic | None:
    """The detector of the configured mode, or None when that mode knows nothing for this family."""
    match config.detect_local_mode:
        case "BridgeInterface":
            return PodTraffic(interface=config.bridge_interface)
        case "InterfaceNamePrefix":
            return PodTraffic(interface=config.interface_name_prefix + "+")
        case "NodeCIDR":
            cidrs = networks_of(node.pod_cidrs, family)
        case "ClusterCIDR":
            cidrs = networks_of(config.cluster_cidr, family)
    return PodTraffic(cidr=str(cidrs[0])) if cidrs else None


def make_context(config: ProxyConfig, node: Node, family: Family, endpoint_count: int) -> Context:
    """Context for this node; `endpoint_count` is the sum over all Service ports, before any filtering."""
    return Context(
        family=family,
        node_name=config.hostname,
        zone=node.zone,
        node_address=node.address(family),
        pods=detect_pods(config, node, family),
        masquerade_all=config.masquerade_all,
        endpoint_comments=endpoint_count <= LARGE_CLUSTER_ENDPOINTS,
        hints=config.traffic_distribution,
    )


def with_primary_addresses(config: ProxyConfig, node: Node) -> ProxyConfig:
    """The same settings, with the node's addresses where `nodeport_addresses` is (PRIMARY,).

    Loopback is none of them, also where the Node names no address of a family: NodePorts answer nowhere then.
    """
    if config.nodeport_addresses != (PRIMARY,):
        return config
    addresses = (f"{node.address(4)}/32", f"{node.address(6)}/128")
    return replace(config, nodeport_addresses=addresses, localhost_nodeports=False)


def _nodeport_networks(config: ProxyConfig, family: Family) -> tuple[Network, ...]:
    """Networks that NodePorts are limited to; empty for all addresses."""
    networks = networks_of(config.nodeport_addresses, family)
    return () if any(network.prefixlen == 0 for network in networks) else networks


def nodeport_addresses(config: ProxyConfig, family: Family, local_addresses: Iterable[str]) -> tuple[str, ...] | None:
    """The machine's own addresses that NodePorts answer on, in the order given; None for all."""
    networks = _nodeport_networks(config, family)
    if not networks:
        return None
    loopback_allowed = family == 4 and config.localhost_nodeports
    own = [ipaddress.ip_address(address) for address in dict.fromkeys(local_addresses)]
    return tuple(
        str(address)
        for address in own
        if address.version == family
        and any(address in network for network in networks)
        and (loopback_allowed or not address.is_loopback)
    )


def localhost_nodeports(config: ProxyConfig, family: Family) -> bool:
    """Whether NodePorts answer on 127.0.0.1, which needs route_localnet and a guard."""
    if family != 4 or not config.localhost_nodeports or config.nodeport_addresses == (PRIMARY,):
        return False
    networks = _nodeport_networks(config, family)
    loopback = ipaddress.ip_address("127.0.0.1")
    return not networks or any(loopback in network or network.network_address.is_loopback for network in networks)
