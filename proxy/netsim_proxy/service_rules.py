"""Compile one Service port and its endpoints to rules. Pure.

A port owns the chains SVC, SVL, EXT, FW and one SEP per endpoint, and adds single rules to the shared chains
(KUBE-SERVICES, KUBE-NODEPORTS, KUBE-EXTERNAL-SERVICES, KUBE-PROXY-FIREWALL), in which the order among Services has no
meaning.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

from netsim_proxy import names
from netsim_proxy.context import Context
from netsim_proxy.endpoints import Selection, select_endpoints
from netsim_proxy.model import Endpoint, ServicePort
from netsim_proxy.rule import (
    Comment,
    Dnat,
    Final,
    Jump,
    LocalAddress,
    Match,
    OneIn,
    Place,
    RecentCheck,
    RecentSet,
    Rule,
    Transport,
)

_MARK = Jump(names.MARK_MASQ)
_NAT_SERVICES: Place = ("nat", names.SERVICES)
_NAT_NODE_PORTS: Place = ("nat", names.NODE_PORTS)
_FILTER_SERVICES: Place = ("filter", names.SERVICES)
_FILTER_EXTERNAL: Place = ("filter", names.EXTERNAL_SERVICES)
_FILTER_NODE_PORTS: Place = ("filter", names.NODE_PORTS)
_FILTER_FIREWALL: Place = ("filter", names.PROXY_FIREWALL)


@dataclass(frozen=True, slots=True)
class PortRules:
    """Rules of one Service port: whole chains of its own (nat), and what it adds to shared chains; `kept` are those of
    its own that are known and need not be made."""

    own: dict[str, tuple[Rule, ...]]
    shared: dict[Place, tuple[Rule, ...]]
    kept: tuple[Place, ...] = ()


@dataclass(frozen=True, slots=True)
class _Plan:
    """A Service port with everything decided that its rules depend on."""

    port: ServicePort
    chosen: Selection
    ctx: Context
    name: str
    digest: str
    chains: dict[str, str]

    @property
    def cluster_chain(self) -> str:
        return names.CLUSTER_PREFIX + self.digest

    @property
    def local_chain(self) -> str:
        return names.LOCAL_PREFIX + self.digest

    @property
    def external_chain(self) -> str:
        return names.EXTERNAL_PREFIX + self.digest

    @property
    def firewall_chain(self) -> str:
        return names.FIREWALL_PREFIX + self.digest

    @property
    def internal_chain(self) -> str:
        """Where ClusterIP traffic is balanced."""
        return self.local_chain if self.port.internal_local else self.cluster_chain

    @property
    def has_internal(self) -> bool:
        return self.chosen.exists and (not self.port.internal_local or bool(self.chosen.local))

    @property
    def has_external(self) -> bool:
        return self.chosen.exists and (not self.port.external_local or bool(self.chosen.local))

    @property
    def filtered(self) -> bool:
        """The load-balancer addresses are open to some source ranges only."""
        return self.chosen.exists and bool(self.port.vips and self.port.source_ranges)

    def comment(self, text: str) -> Comment:
        return Comment(f"{self.name} {text}")

    def to_address(self, address: str, target: Jump | Final, comment: Comment) -> Rule:
        """Match address and port of this Service."""
        return Rule(
            target,
            (comment, Transport(self.port.port)),
            destination=host_cidr(address),
            protocol=self.port.protocol.lower(),
        )

    def to_node_port(self, target: Final, comment: Comment) -> Rule:
        return Rule(
            target,
            (comment, LocalAddress("dst"), Transport(self.port.node_port)),
            protocol=self.port.protocol.lower(),
        )


def host_cidr(address: str) -> str:
    """`address/32` or `address/128`."""
    return f"{address}/128" if ":" in address else f"{address}/32"


def compile_port(
    port: ServicePort, endpoints: Sequence[Endpoint], ctx: Context, known: Container[Place] = ()
) -> PortRules:
    """All rules of one Service port; `endpoints` are sorted by text, unfiltered. An endpoint's chain that is `known`,
    of the same port in the same context, is only named."""
    chosen = select_endpoints(port, endpoints, ctx.zone, ctx.node_name, hints=ctx.hints)
    name, reachable = port.name, {endpoint.text: endpoint for endpoint in chosen.reachable}
    chains = {text: names.endpoint_chain(name, port.protocol, text) for text in reachable}
    plan = _Plan(port, chosen, ctx, name, names.service_hash(name, port.protocol), chains)
    own: dict[str, tuple[Rule, ...]] = {}
    if chosen.exists:
        _balancing_chains(plan, own)
    if chosen.exists and port.externally_accessible:
        own[plan.external_chain] = tuple(_external_chain(plan))
    if plan.filtered:
        own[plan.firewall_chain] = tuple(_firewall_chain(plan))
    kept = tuple(("nat", chain) for chain in chains.values() if ("nat", chain) in known)
    for text, endpoint in reachable.items():
        if ("nat", chains[text]) not in known:
            own[chains[text]] = _endpoint_chain(plan, endpoint, chains[text])
    shared = {place: tuple(rules) for place, rules in _shared_rules(plan).items() if rules}
    return PortRules(own, shared, kept)


def _balancing_chains(plan: _Plan, own: dict[str, tuple[Rule, ...]]) -> None:
    """SVC and SVL: the masquerade rule for ClusterIP traffic, then the choice of an endpoint."""
    wanted = []
    if plan.port.uses_cluster_endpoints and plan.chosen.cluster:
        wanted.append((plan.cluster_chain, plan.chosen.cluster))
    if plan.port.uses_local_endpoints and plan.chosen.local:
        wanted.append((plan.local_chain, plan.chosen.local))
    for chain, endpoints in wanted:
        masquerade = _cluster_ip_masquerade(plan) if chain == plan.internal_chain and plan.has_internal else ()
        own[chain] = (*masquerade, *_choice(plan, endpoints))


def _cluster_ip_masquerade(plan: _Plan) -> tuple[Rule, ...]:
    rule = plan.to_address(plan.port.cluster_ip, _MARK, plan.comment("cluster IP"))
    if plan.ctx.masquerade_all:
        return (rule,)
    return (plan.ctx.pods.excluded(rule),) if plan.ctx.pods else ()


def _choice(plan: _Plan, endpoints: Sequence[Endpoint]) -> Iterator[Rule]:
    """Sticky clients first, then chance: 1/n, 1/(n-1), ... and the last endpoint takes the rest."""
    texts = [endpoint.text for endpoint in endpoints]
    chains = [plan.chains[text] for text in texts]
    comments: list[tuple[Match, ...]] = [()] * len(chains)
    if plan.ctx.endpoint_comments:
        comments = [(plan.comment(f"-> {text}"),) for text in texts]
    if plan.port.affinity_seconds:
        for chain, comment in zip(chains, comments, strict=True):
            yield Rule(Jump(chain), (*comment, RecentCheck(chain, plan.port.affinity_seconds)))
    for left, (chain, comment) in zip(range(len(chains), 0, -1), zip(chains, comments, strict=True), strict=True):
        yield Rule(Jump(chain), (*comment, OneIn(left)) if left > 1 else comment)


def _external_chain(plan: _Plan) -> Iterator[Rule]:
    """EXT: entry of NodePort, externalIP and load-balancer traffic."""
    name = plan.name
    if not plan.port.external_local:
        yield Rule(_MARK, (Comment(f"masquerade traffic for {name} external destinations"),))
        yield Rule(Jump(plan.cluster_chain))
        return
    cluster = Jump(plan.cluster_chain)
    if plan.ctx.pods:
        yield plan.ctx.pods.only(Rule(cluster, (Comment(f"pod traffic for {name} external destinations"),)))
    local = LocalAddress("src")
    yield Rule(_MARK, (Comment(f"masquerade LOCAL traffic for {name} external destinations"), local))
    yield Rule(cluster, (Comment(f"route LOCAL traffic for {name} external destinations"), local))
    if plan.has_external:
        yield Rule(Jump(plan.local_chain))


def _firewall_chain(plan: _Plan) -> Iterator[Rule]:
    """FW: source ranges that may use the load-balancer addresses; others fall through to be dropped."""
    comment = plan.comment("loadbalancer IP")
    external = Jump(plan.external_chain)
    networks = [ipaddress.ip_network(text) for text in plan.port.source_ranges]
    for network in networks:
        yield Rule(external, (comment,), source=str(network))
    node = ipaddress.ip_address(plan.ctx.node_address)
    if any(node in network for network in networks):
        for vip in plan.port.vips:
            yield Rule(external, (comment,), source=host_cidr(vip))
    yield Rule(None, (Comment(f"other traffic to {plan.name} will be dropped by {names.PROXY_FIREWALL}"),))


def _endpoint_chain(plan: _Plan, endpoint: Endpoint, chain: str) -> tuple[Rule, ...]:
    """SEP: masquerade a pod that reaches itself, then DNAT."""
    comment: tuple[Match, ...] = (Comment(plan.name),) if plan.ctx.endpoint_comments else ()
    affinity: tuple[Match, ...] = (RecentSet(chain),) if plan.port.affinity_seconds else ()
    # Names and comments have the address as it was given, rules as the kernel prints it.
    address = endpoint.address if plan.ctx.family == 4 else str(ipaddress.ip_address(endpoint.address))
    return (
        Rule(_MARK, comment, source=host_cidr(address)),
        Rule(
            Dnat(address, endpoint.port),
            (*comment, *affinity, Transport()),
            protocol=plan.port.protocol.lower(),
        ),
    )


def _refusal(plan: _Plan) -> tuple[Final, Comment]:
    """REJECT when there is no endpoint anywhere, DROP when only this node has none."""
    if not plan.chosen.exists:
        return Final("REJECT"), plan.comment("has no endpoints")
    return Final("DROP"), plan.comment("has no local endpoints")


def _internal_rules(plan: _Plan) -> Iterator[tuple[Place, Rule]]:
    address = plan.port.cluster_ip
    if plan.has_internal:
        yield _NAT_SERVICES, plan.to_address(address, Jump(plan.internal_chain), plan.comment("cluster IP"))
    else:
        yield _FILTER_SERVICES, plan.to_address(address, *_refusal(plan))


def _external_rules(plan: _Plan) -> Iterator[tuple[Place, Rule]]:
    if plan.chosen.exists:
        yield from _external_entries(plan)
    if not plan.has_external:
        for address in (*plan.port.external_ips, *plan.port.vips):
            yield _FILTER_EXTERNAL, plan.to_address(address, *_refusal(plan))
        if plan.port.node_port:
            yield _FILTER_EXTERNAL, plan.to_node_port(*_refusal(plan))


def _external_entries(plan: _Plan) -> Iterator[tuple[Place, Rule]]:
    """The ways in from outside: externalIPs, load-balancer addresses, NodePort."""
    external = Jump(plan.external_chain)
    for address in plan.port.external_ips:
        yield _NAT_SERVICES, plan.to_address(address, external, plan.comment("external IP"))
    balanced = Jump(plan.firewall_chain) if plan.filtered else external
    for address in plan.port.vips:
        yield _NAT_SERVICES, plan.to_address(address, balanced, plan.comment("loadbalancer IP"))
    if plan.port.node_port:
        matches = (Comment(plan.name), Transport(plan.port.node_port))
        yield _NAT_NODE_PORTS, Rule(external, matches, protocol=plan.port.protocol.lower())


def _source_range_drops(plan: _Plan) -> Iterator[tuple[Place, Rule]]:
    if plan.filtered:
        comment = plan.comment(f"traffic not accepted by {plan.firewall_chain}")
        for address in plan.port.vips:
            yield _FILTER_FIREWALL, plan.to_address(address, Final("DROP"), comment)


def _health_rules(plan: _Plan) -> Iterator[tuple[Place, Rule]]:
    if plan.port.health_check_node_port:
        matches = (plan.comment("health check node port"), Transport(plan.port.health_check_node_port))
        yield _FILTER_NODE_PORTS, Rule(Final("ACCEPT"), matches, protocol="tcp")


_SHARED = (_internal_rules, _external_rules, _source_range_drops, _health_rules)


def _shared_rules(plan: _Plan) -> dict[Place, list[Rule]]:
    shared: dict[Place, list[Rule]] = {}
    for make in _SHARED:
        for place, rule in make(plan):
            shared.setdefault(place, []).append(rule)
    return shared
