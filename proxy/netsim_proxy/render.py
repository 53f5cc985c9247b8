"""Objects in, rules out, as text: what a node would have, without a cluster and without root. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from netsim_proxy.config import Family, ProxyConfig
from netsim_proxy.cut import cut_node, cut_service, cut_slice
from netsim_proxy.desired import Input
from netsim_proxy.iptables import render_save
from netsim_proxy.model import Node, ServicePort, Slice, with_own_address
from netsim_proxy.nftables.language import Nftables
from netsim_proxy.nftables.state import compile_nftables
from netsim_proxy.nftables.text import render_nftables
from netsim_proxy.object_check import find_problem
from netsim_proxy.rule import Ruleset
from netsim_proxy.rules import compile_rules

Obj = Mapping[str, Any]
LOOPBACK = ("127.0.0.1", "::1")
_T = TypeVar("_T")


def flatten(objects: Iterable[Obj]) -> list[Obj]:
    """Objects, with those of `List` objects in the place of the List."""
    found: list[Obj] = []
    for obj in objects:
        found += obj.get("items") or [] if obj.get("kind", "").endswith("List") else [obj]
    return found


class Malformed(ValueError):
    """An object that cannot be read; says which, and which field."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the proxy keeps of API objects, in one family."""

    services: tuple[ServicePort, ...]
    slices: tuple[Slice, ...]
    node: Node
    addresses: tuple[str, ...]

    def inputs(self) -> dict[str, Input]:
        """By Service ("ns/name"): its ports and slices."""
        ports: dict[str, list[ServicePort]] = {}
        slices: dict[str, list[Slice]] = {}
        for port in self.services:
            ports.setdefault(f"{port.namespace}/{port.service}", []).append(port)
        for part in self.slices:
            slices.setdefault(part.service_key, []).append(part)
        return {key: Input(tuple(found), tuple(slices.get(key, ()))) for key, found in ports.items()}


def cut_objects(
    objects: Iterable[Obj], config: ProxyConfig, node_addresses: Sequence[str], family: Family = 4
) -> Parts:
    """Cut API objects (Services, EndpointSlices, Nodes; others are ignored) for the node named by `config`.

    `node_addresses` are the addresses of the node's interfaces, with or without prefix length; it has the loopback
    addresses too, and by default those of its Node object. Without a Node object of that name the node has no labels
    and the first of them (per family) as its primary address. Raises Malformed.
    """
    flat = flatten(objects)
    addresses = tuple(address.split("/")[0] for address in node_addresses)
    services = _cut(flat, "Service", lambda obj: cut_service(obj, family))
    slices = _cut(flat, "EndpointSlice", cut_slice)
    nodes = [node for node in _cut(flat, "Node", cut_node) if node.name == config.hostname]
    node = nodes[0] if nodes else _bare_node(config.hostname, addresses)
    node = with_own_address(node, config.bind_address)
    own = dict.fromkeys((*LOOPBACK, *(addresses or (node.ipv4, node.ipv6))))
    return Parts(
        tuple(port for ports in services for port in ports),
        tuple(part for part in slices if part is not None and part.family == family),
        node,
        tuple(filter(None, own)),
    )


def _cut(objects: Iterable[Obj], kind: str, cut: Callable[[Obj], _T]) -> list[_T]:
    chosen = [obj for obj in objects if obj.get("kind") == kind]
    for obj in chosen:
        if problem := find_problem(obj):
            raise Malformed(problem)
    return [cut(obj) for obj in chosen]


def compile_objects(
    objects: Iterable[Obj], config: ProxyConfig, node_addresses: Sequence[str], family: Family = 4
) -> Ruleset:
    """The rules of mode iptables for API objects, which `cut_objects` describes."""
    parts = cut_objects(objects, config, node_addresses, family)
    return compile_rules(parts.services, parts.slices, parts.node, config, parts.addresses, family=family)


def compile_table(
    objects: Iterable[Obj], config: ProxyConfig, node_addresses: Sequence[str], family: Family = 4
) -> Nftables:
    """The table of mode nftables for API objects, which `cut_objects` describes."""
    parts = cut_objects(objects, config, node_addresses, family)
    return compile_nftables(parts.inputs(), parts.node, config, parts.addresses, family)


def _bare_node(name: str, addresses: Sequence[str]) -> Node:
    ipv4 = next((address for address in addresses if "." in address and not address.startswith("127.")), "")
    ipv6 = next((address for address in addresses if ":" in address and address != "::1"), "")
    return Node(name, ipv4=ipv4, ipv6=ipv6)


def render_objects(
    objects: Iterable[Obj], config: ProxyConfig, node_addresses: Sequence[str], family: Family = 4
) -> str:
    """The rules of `config.mode` for API objects: as `iptables-save` (`ip6tables-save`), or as `nft list` prints."""
    if config.mode == "nftables":
        return render_nftables(compile_table(objects, config, node_addresses, family))
    return render_save(compile_objects(objects, config, node_addresses, family))
