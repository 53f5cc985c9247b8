"""What the table holds without any Service: hooks, checks, empty sets and maps. Pure.

Base chains, their priorities and the jumps in them are those of kube-proxy 1.30 in nftables mode.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from netsim_proxy.config import Family, ProxyConfig, networks_of
from netsim_proxy.context import detect_pods, nodeport_addresses
from netsim_proxy.model import Node
from netsim_proxy.nftables import names
from netsim_proxy.nftables.language import (
    DESTINATION,
    NODE_PORT,
    Chain,
    Data,
    FieldType,
    Final,
    Goto,
    Hook,
    InNetwork,
    InSet,
    Jump,
    Local,
    Masquerade,
    Match,
    NewConnection,
    Nftables,
    Rule,
    SetMark,
    SetSpec,
    Translated,
    Unmarked,
    VerdictMap,
    pack_address,
)
from netsim_proxy.nftables.policies import endpoint_map, masquerade_others, parse_map_name, policy_chains

_KEY: tuple[FieldType, ...] = ("addr", "proto", "port")
_PORT_KEY: tuple[FieldType, ...] = ("proto", "port")
_NEW = (NewConnection(),)
SETS: dict[str, SetSpec] = {
    names.CLUSTER_IPS: SetSpec(("addr",), comment="Active ClusterIPs"),
    names.NODEPORT_IPS: SetSpec(("addr",), comment="IPs that accept NodePort traffic"),
    names.SERVICE_IPS: SetSpec(
        _KEY, "verdict", comment="ExternalIP and LoadBalancer IP traffic, and ClusterIPs with affinity or policy Local"
    ),
    names.SERVICE_NODEPORTS: SetSpec(_PORT_KEY, "verdict", comment="NodePort traffic"),
    names.NO_ENDPOINT_SERVICES: SetSpec(
        _KEY, "verdict", comment="vmap to drop or reject packets to services with no endpoints"
    ),
    names.NO_ENDPOINT_NODEPORTS: SetSpec(
        _PORT_KEY, "verdict", comment="vmap to drop or reject packets to service nodeports with no endpoints"
    ),
    names.FIREWALL_IPS: SetSpec(_KEY, comment="destinations that are subject to LoadBalancerSourceRanges"),
    names.SOURCE_RANGES: SetSpec((*_KEY, "addr"), interval=True, comment="LoadBalancerSourceRanges by destination"),
    names.HAIRPIN: SetSpec(("addr", "addr"), comment="pods that may reach themselves through a Service"),
}
"""All but the maps of endpoints and the sets of Services with session affinity."""


def find_spec(name: str) -> SetSpec | None:
    """Of a set with elements that the proxy writes; None for others."""
    found = parse_map_name(name)
    return endpoint_map(*found) if found else SETS.get(name)


def fixed_part(config: ProxyConfig, node: Node, family: Family, local_addresses: Iterable[str]) -> Nftables:
    """The table of a node without Services."""
    sets = {name: spec for name, spec in SETS.items() if name != names.NODEPORT_IPS}
    elements: dict[str, dict[bytes, Data]] = {}
    local = tuple(local_addresses)
    match, addresses = _node_ports(config, node, family, local)
    if addresses is not None:
        sets[names.NODEPORT_IPS] = SETS[names.NODEPORT_IPS]
        elements[names.NODEPORT_IPS] = dict.fromkeys(map(pack_address, addresses))
    pods = detect_pods(config, node, family)
    services = _services(match, masquerade_others(pods, everyone=config.masquerade_all))
    chains = {**_hooks(), **_checks(match), **services, **policy_chains(pods), **_marking(config)}
    return Nftables(family, sets, chains, elements, local)


def _node_ports(
    config: ProxyConfig, node: Node, family: Family, local_addresses: tuple[str, ...]
) -> tuple[tuple[Match, ...], tuple[str, ...] | None]:
    """How to tell traffic to NodePorts, and the elements of the set that this needs, None for no set.

    By default the node's primary address alone answers, with a list those of its addresses that are in it. Loopback
    never does.
    """
    if not networks_of(config.nodeport_addresses, family):
        own = node.address(family)
        addresses: tuple[str, ...] | None = () if own in ("127.0.0.1", "::1") else (own,)
    else:
        addresses = nodeport_addresses(replace(config, localhost_nodeports=False), family, local_addresses)
    if addresses is None:
        loopback = "::1/128" if family == 6 else "127.0.0.0/8"
        return (Local("daddr"), InNetwork("daddr", loopback, negated=True)), None
    return (InSet(("daddr",), names.NODEPORT_IPS),), addresses


def _hooks() -> dict[str, Chain]:
    """The kernel's calls, and the jumps to our checks, of new connections only."""
    check = Rule(Jump("service-endpoints-check"), _NEW)
    firewall, undefined = Rule(Jump("firewall-check"), _NEW), Rule(Jump("cluster-ips-check"), _NEW)
    node_ports = Rule(Jump("nodeport-endpoints-check"), _NEW)
    return {
        "filter-prerouting": Chain((firewall,), Hook("filter", "prerouting", -110)),
        "filter-input": Chain((node_ports, check), Hook("filter", "input", -110)),
        "filter-forward": Chain((check, undefined), Hook("filter", "forward", -110)),
        "filter-output": Chain((check, firewall), Hook("filter", "output", -110)),
        "filter-output-post-dnat": Chain((undefined,), Hook("filter", "output", -90)),
        "nat-prerouting": Chain((Rule(Jump("services")),), Hook("nat", "prerouting", -100)),
        "nat-output": Chain((Rule(Jump("services")),), Hook("nat", "output", -100)),
        "nat-postrouting": Chain((Rule(Jump("masquerading")),), Hook("nat", "postrouting", 100)),
    }


def _checks(node_port: tuple[Match, ...]) -> dict[str, Chain]:
    closed = (InSet(DESTINATION, names.FIREWALL_IPS), InSet((*DESTINATION, "saddr"), names.SOURCE_RANGES, True))
    undefined = "Reject traffic to invalid ports of ClusterIPs"
    return {
        "nodeport-endpoints-check": Chain((Rule(VerdictMap(NODE_PORT, names.NO_ENDPOINT_NODEPORTS), node_port),)),
        "service-endpoints-check": Chain((Rule(VerdictMap(DESTINATION, names.NO_ENDPOINT_SERVICES)),)),
        "firewall-check": Chain((Rule(Final("drop"), closed),)),
        "cluster-ips-check": Chain((Rule(Final("reject"), (InSet(("daddr",), names.CLUSTER_IPS),), undefined),)),
        names.REJECT: Chain((Rule(Final("reject")),)),
    }


def _services(node_port: tuple[Match, ...], masquerade: tuple[Rule, ...]) -> dict[str, Chain]:
    """Where connections to Services are translated."""
    by_address = Rule(VerdictMap(DESTINATION, names.SERVICE_IPS))
    cluster_ip = Rule(Goto(names.CHOOSE[names.ENDPOINTS]), (InSet(("daddr",), names.CLUSTER_IPS),))
    by_port = Rule(VerdictMap(NODE_PORT, names.SERVICE_NODEPORTS), node_port)
    return {"services": Chain((*masquerade, by_address, cluster_ip, by_port))}


def _marking(config: ProxyConfig) -> dict[str, Chain]:
    """Marked packets leave with the node's address as source, and without the mark."""
    hairpin = (Translated(), InSet(("saddr", "daddr"), names.HAIRPIN))
    return {
        names.MARK: Chain((Rule(SetMark(config.mark)),)),
        "masquerading": Chain(
            (
                Rule(Jump(names.MARK), hairpin),
                Rule(Final("return"), (Unmarked(config.mark),)),
                Rule(SetMark(config.mark, flip=True)),
                Rule(Masquerade(config.random_fully)),
            )
        ),
    }
