"""Session affinity: chains and sets of one Service port. Pure.

Each endpoint has a set of the clients it served, whose elements go when their time is over. That is one rule for each
endpoint, so only Services with affinity pay for it. Client and Service decide, not the address that was used.
All these rules count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_address

from netsim_proxy.context import Context
from netsim_proxy.endpoints import Selection
from netsim_proxy.model import Endpoint, ServicePort
from netsim_proxy.nftables import names
from netsim_proxy.nftables.language import Chain, Dnat, Goto, InSet, OneIn, Remember, Rule, SetSpec
from netsim_proxy.nftables.policies import Policy, policy_rules


def affinity_sets(port: ServicePort, chosen: Selection) -> dict[str, SetSpec]:
    """The clients of each endpoint."""
    spec = SetSpec(("addr",), timeout=port.affinity_seconds)
    return {f"{names.AFFINITY}{names.endpoint_suffix(port, endpoint)}": spec for endpoint in chosen.reachable}


def affinity_chains(port: ServicePort, chosen: Selection, ctx: Context) -> dict[str, Chain]:
    """`external-` decides the policy, `service-` and `local-` choose, `endpoint-` notes the client and sends."""
    suffix = names.port_suffix(port)
    cluster = f"service-{suffix}" if chosen.cluster else ""
    local = f"local-{suffix}" if chosen.local else ""
    chains: dict[str, Chain] = {}
    if port.externally_accessible:
        policy: Policy = "external-local" if port.external_local else "external"
        chains[f"external-{suffix}"] = Chain(tuple(policy_rules(policy, ctx.pods, cluster, local)))
    for name, endpoints in ((cluster, chosen.cluster), (local, chosen.local)):
        if name:
            chains[name] = Chain(tuple(_choice(port, endpoints)))
    for endpoint in chosen.reachable:
        end = names.endpoint_suffix(port, endpoint)
        send = Dnat(port.protocol.lower(), str(ip_address(endpoint.address)), endpoint.port)
        chains[f"endpoint-{end}"] = Chain((Rule(Remember(f"{names.AFFINITY}{end}")), Rule(send)))
    return {name: Chain(tuple(replace(rule, counted=True) for rule in chain.rules)) for name, chain in chains.items()}


def _choice(port: ServicePort, endpoints: Sequence[Endpoint]) -> Iterator[Rule]:
    """The endpoint that this client had; else 1/n, 1/(n-1) … by chance, the last takes the rest."""
    ends = [names.endpoint_suffix(port, endpoint) for endpoint in endpoints]
    for end in ends:
        yield Rule(Goto(f"endpoint-{end}"), (InSet(("saddr",), f"{names.AFFINITY}{end}"),))
    for left, end in zip(range(len(ends), 0, -1), ends, strict=True):
        yield Rule(Goto(f"endpoint-{end}"), (OneIn(left),) if left > 1 else ())
