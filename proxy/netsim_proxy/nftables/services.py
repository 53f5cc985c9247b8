"""Compile the ports of one Service to destinations, map elements and, for session affinity, chains. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from netsim_proxy.context import Context
from netsim_proxy.desired import Input
from netsim_proxy.endpoints import Selection, endpoints_of, select_endpoints
from netsim_proxy.model import Endpoint, ServicePort
from netsim_proxy.nftables import names
from netsim_proxy.nftables.affinity import affinity_chains, affinity_sets
from netsim_proxy.nftables.language import (
    Chain,
    Data,
    SetSpec,
    Verdict,
    pack_address,
    pack_index,
    pack_port,
    pack_protocol,
)
from netsim_proxy.nftables.policies import map_name

_INDEXES = tuple(map(pack_index, range(1024)))

Place = tuple[Literal["address", "node port"], bytes]
"""A destination that at most one Service can have: packed address, protocol and port, or protocol and NodePort."""

Element = tuple[str, bytes, Data]
"""Set, packed key, data."""


@dataclass(frozen=True, slots=True)
class Destination:
    """What becomes of connections to one address and port, or NodePort, of a Service.

    They go to `chain`, or, where that is "", to the chain for all ClusterIPs; these choose from the packed endpoints
    `cluster` or `local`. `refusal` is what the filter does. With `ranges`, packed first and last addresses, others are
    dropped.
    """

    name: str
    chain: str = ""
    refusal: Literal["", "drop", "reject"] = ""
    cluster: tuple[bytes, ...] = ()
    local: tuple[bytes, ...] = ()
    ranges: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Compiled:
    """What one Service wants. `shared` elements may be wanted by other Services alike."""

    destinations: Mapping[Place, Destination] = field(default_factory=dict)
    shared: frozenset[tuple[str, bytes]] = frozenset()
    chains: Mapping[str, Chain] = field(default_factory=dict)
    sets: Mapping[str, SetSpec] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Plan:
    """A Service port with everything decided that its elements depend on."""

    port: ServicePort
    chosen: Selection
    ctx: Context
    tail: bytes
    cluster: tuple[bytes, ...]
    local: tuple[bytes, ...]

    def has_usable(self, local_only: bool) -> bool:
        return self.chosen.exists and (not local_only or bool(self.chosen.local))

    def mapped(self, endpoints: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Those that are looked up in maps: none with session affinity, where chains have them."""
        return () if self.port.affinity_seconds else endpoints

    def chain(self, kind: Literal["cluster ip", "external", "nodeport"]) -> str:
        """The Service's own chain with session affinity, else the one for all such destinations."""
        internal = kind == "cluster ip"
        local_only = self.port.internal_local if internal else self.port.external_local
        if self.port.affinity_seconds:
            prefix = ("local" if local_only else "service") if internal else "external"
            return f"{prefix}-{names.port_suffix(self.port)}"
        if internal:
            return names.CHOOSE[names.LOCAL_ENDPOINTS] if local_only else ""
        return f"{kind}-local" if local_only else kind


def compile_service(given: Input, ctx: Context) -> Compiled:
    """All that one Service wants of the table; raises ValueError, naming the port, for what cannot be."""
    destinations: dict[Place, Destination] = {}
    shared: set[tuple[str, bytes]] = set()
    chains: dict[str, Chain] = {}
    sets: dict[str, SetSpec] = {}
    unplaced = {entry.address for part in given.slices for entry in part.endpoints if not entry.node}
    for port in given.ports:
        endpoints = endpoints_of(given.slices, port.port_name, port.protocol, ctx.node_name)
        plan = _plan(port, endpoints, ctx)
        destinations.update(_destinations(plan))
        shared.add((names.CLUSTER_IPS, pack_address(port.cluster_ip)))
        shared.update(_hairpins(plan, unplaced))
        if port.affinity_seconds and plan.chosen.exists:
            chains.update(affinity_chains(port, plan.chosen, ctx))
            sets.update(affinity_sets(port, plan.chosen))
    return Compiled(destinations, frozenset(shared), chains, sets)


def _plan(port: ServicePort, endpoints: Sequence[Endpoint], ctx: Context) -> _Plan:
    chosen = select_endpoints(port, endpoints, ctx.zone, ctx.node_name, hints=ctx.hints)
    try:
        tail = pack_protocol(port.protocol)
    except ValueError as error:
        raise ValueError(f"Service port {port.name}: {error}") from None
    return _Plan(port, chosen, ctx, tail, _pack(chosen.cluster), _pack(chosen.local))


def _pack(endpoints: Sequence[Endpoint]) -> tuple[bytes, ...]:
    return tuple([pack_address(endpoint.address) + pack_port(endpoint.port) for endpoint in endpoints])


def _destinations(plan: _Plan) -> Iterator[tuple[Place, Destination]]:
    port = plan.port
    number = plan.tail + pack_port(port.port)
    external = _external(plan, node_port=False) if port.external_ips or port.vips else None
    if external:
        for address in (*port.external_ips, *port.vips):
            yield ("address", pack_address(address) + number), external
    if external and port.source_ranges:
        filtered = _filtered(plan, external)
        for address in port.vips:
            yield ("address", pack_address(address) + number), filtered
    if port.node_port:
        yield ("node port", plan.tail + pack_port(port.node_port)), _external(plan, node_port=True)
    yield ("address", pack_address(port.cluster_ip) + number), _internal(plan)


def _internal(plan: _Plan) -> Destination:
    local_only = plan.port.internal_local
    if not plan.has_usable(local_only):
        return Destination(plan.port.name, refusal=_refusal(plan))
    if local_only:
        return Destination(plan.port.name, plan.chain("cluster ip"), local=plan.mapped(plan.local))
    return Destination(plan.port.name, plan.chain("cluster ip"), cluster=plan.mapped(plan.cluster))


def _external(plan: _Plan, *, node_port: bool) -> Destination:
    """Without endpoints on this node, policy Local drops; its pods and the node itself are let through all the same."""
    local_only = plan.port.external_local
    refusal = "" if plan.has_usable(local_only) else _refusal(plan)
    if not plan.chosen.exists:
        return Destination(plan.port.name, refusal=refusal)
    chain = plan.chain("nodeport" if node_port else "external")
    local = plan.mapped(plan.local) if local_only else ()
    return Destination(plan.port.name, chain, refusal, plan.mapped(plan.cluster), local)


def _refusal(plan: _Plan) -> Literal["drop", "reject"]:
    """Reject when there is no endpoint anywhere, drop when only this node has none."""
    return "drop" if plan.chosen.exists else "reject"


def _filtered(plan: _Plan, open_to_all: Destination) -> Destination:
    """With the ranges that a load-balancer address answers; with the node in one, its own use of the address too."""
    networks = [ipaddress.ip_network(text) for text in plan.port.source_ranges]
    node = ipaddress.ip_address(plan.ctx.node_address)
    if any(node in network for network in networks):
        networks += [ipaddress.ip_network(vip) for vip in plan.port.vips]
    merged = ipaddress.collapse_addresses(networks)  # type: ignore[type-var]  # all of one family
    ranges = tuple((network[0].packed, network[-1].packed) for network in merged)
    return replace(open_to_all, ranges=ranges)


def _hairpins(plan: _Plan, unplaced: Container[str]) -> Iterator[tuple[str, bytes]]:
    """Pairs of equal addresses: connections that come back to the pod they come from, which must not see itself.

    A pod of another node can only get here unmarked by policy Local's short cut, or where nothing tells pods. One that
    is on no known node (`unplaced`) may be on this one.
    """
    everyone = (plan.port.external_local and plan.port.externally_accessible) or plan.ctx.pods is None
    for endpoints, packed in ((plan.chosen.cluster, plan.cluster), (plan.chosen.local, plan.local)):
        for endpoint, address_and_port in zip(endpoints, packed, strict=True):
            if endpoint.local or everyone or endpoint.address in unplaced:
                yield names.HAIRPIN, address_and_port[:-4] * 2


def expand(place: Place, wanted: Destination) -> Iterator[Element]:
    """The elements that a destination is made of."""
    kind, key = place
    node_port = kind == "node port"
    if wanted.chain:
        yield names.SERVICE_NODEPORTS if node_port else names.SERVICE_IPS, key, Verdict(wanted.chain, wanted.name)
    if wanted.refusal:
        chain = names.REJECT if wanted.refusal == "reject" else ""
        target = names.NO_ENDPOINT_NODEPORTS if node_port else names.NO_ENDPOINT_SERVICES
        yield target, key, Verdict(chain, wanted.name)
    yield from _numbered(names.NODEPORT_ENDPOINTS if node_port else names.ENDPOINTS, key, wanted.cluster)
    yield from _numbered(names.NODEPORT_LOCAL_ENDPOINTS if node_port else names.LOCAL_ENDPOINTS, key, wanted.local)
    if wanted.ranges:
        yield names.FIREWALL_IPS, key, None
        for first, last in wanted.ranges:
            yield names.SOURCE_RANGES, key + first + key + last, None


def _numbered(kind: str, key: bytes, endpoints: tuple[bytes, ...]) -> Iterator[Element]:
    target = map_name(kind, len(endpoints))
    for index, endpoint in enumerate(endpoints):
        yield target, key + (_INDEXES[index] if index < len(_INDEXES) else pack_index(index)), endpoint
