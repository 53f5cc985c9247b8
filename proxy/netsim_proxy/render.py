"""Objects in, `iptables-save` text out: what a node would have, without a cluster and without root. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from netsim_proxy.config import Family, ProxyConfig
from netsim_proxy.iptables import render_save
from netsim_proxy.model import Node, cut_node, cut_service, cut_slice
from netsim_proxy.rule import Ruleset
from netsim_proxy.rules import compile_rules

Obj = Mapping[str, Any]


def flatten(objects: Iterable[Obj]) -> list[Obj]:
    """Objects, with those of `List` objects in the place of the List."""
    found: list[Obj] = []
    for obj in objects:
        found += obj.get("items") or [] if obj.get("kind", "").endswith("List") else [obj]
    return found


def compile_objects(
    objects: Iterable[Obj], config: ProxyConfig, node_addresses: Sequence[str], family: Family = 4
) -> Ruleset:
    """Rules of the node named by `config` for API objects (Services, EndpointSlices, Nodes; others are ignored).

    `node_addresses` are the addresses of the node's interfaces, with or without prefix length. Without a Node object
    of that name the node has no labels and the first of them (per family) as its primary address.
    """
    flat = flatten(objects)
    addresses = tuple(address.split("/")[0] for address in node_addresses)
    services = [port for obj in flat if obj.get("kind") == "Service" for port in cut_service(obj, family)]
    slices = [part for obj in flat if obj.get("kind") == "EndpointSlice" if (part := cut_slice(obj)) is not None]
    nodes = [obj for obj in flat if obj.get("kind") == "Node" and obj["metadata"]["name"] == config.hostname]
    node = cut_node(nodes[0]) if nodes else _bare_node(config.hostname, addresses)
    return compile_rules(services, slices, node, config, addresses, family=family)


def _bare_node(name: str, addresses: Sequence[str]) -> Node:
    ipv4 = next((address for address in addresses if "." in address and not address.startswith("127.")), "")
    ipv6 = next((address for address in addresses if ":" in address and address != "::1"), "")
    return Node(name, ipv4=ipv4, ipv6=ipv6)


def render_objects(
    objects: Iterable[Obj], config: ProxyConfig, node_addresses: Sequence[str], family: Family = 4
) -> str:
    """As `compile_objects`, printed in the form of `iptables-save` (or `ip6tables-save`)."""
    return render_save(compile_objects(objects, config, node_addresses, family))
