"""Compile everything: Services, EndpointSlices and the node to one family's Ruleset. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from netsim_proxy import names
from netsim_proxy.config import Family, ProxyConfig
from netsim_proxy.context import make_context, with_primary_addresses
from netsim_proxy.endpoints import endpoints_of
from netsim_proxy.model import Endpoint, Node, ServicePort, Slice
from netsim_proxy.rule import Place, Rule, Ruleset
from netsim_proxy.service_rules import compile_port
from netsim_proxy.skeleton import fixed_chains, hook_rules, node_port_jumps


def attach_endpoints(
    services: Iterable[ServicePort], slices: Iterable[Slice], node_name: str
) -> list[tuple[ServicePort, tuple[Endpoint, ...]]]:
    """Every Service port with its endpoints, unfiltered."""
    by_service: dict[str, list[Slice]] = {}
    for part in slices:
        by_service.setdefault(part.service_key, []).append(part)
    return [
        (port, endpoints_of(by_service.get(key, ()), port.port_name, port.protocol, node_name))
        for port in services
        for key in (f"{port.namespace}/{port.service}",)
    ]


def compile_rules(
    services: Sequence[ServicePort],
    endpointslices: Sequence[Slice],
    node: Node,
    config: ProxyConfig,
    local_addresses: Sequence[str],
    *,
    family: Family = 4,
) -> Ruleset:
    """The rules that `services` (ports of one family, see `model.cut_service`) should have on this node.

    `local_addresses` are the addresses of the machine's interfaces, of any family.
    """
    config = with_primary_addresses(config, node)
    attached = attach_endpoints(services, [part for part in endpointslices if part.family == family], config.hostname)
    context = make_context(config, node, family, sum(len(endpoints) for _, endpoints in attached))
    chains: dict[Place, tuple[Rule, ...]] = fixed_chains(config, family)
    collected: dict[Place, list[Rule]] = {}
    for port, endpoints in attached:
        compiled = compile_port(port, endpoints, context)
        for chain, rules in compiled.own.items():
            chains["nat", chain] = rules
        for place, rules in compiled.shared.items():
            collected.setdefault(place, []).extend(rules)
    collected.setdefault(("nat", names.SERVICES), []).extend(node_port_jumps(config, family, local_addresses))
    for place, added in collected.items():
        chains[place] = (*chains[place], *added)
    return Ruleset(family, config.mark, chains, hook_rules(), tuple(local_addresses))
