"""Chains that decide for all Services alike: what is masqueraded, and among which endpoints to choose. Pure.

`numgen` takes the number of endpoints from its rule, not from a map. So there is a map, and a rule that looks into it,
for each number of endpoints that Services have: each endpoint gets exactly its share, however many there are. A
connection meets as many rules as there are such numbers, not as there are Services.

No Service of policy Cluster without session affinity has a verdict in a map for its ClusterIP, and no verdict says how
many endpoints there are: the kernel looks at the chains behind all verdicts of a table whenever one is added, which
takes 2 ms with 10,000 of them. Endpoints that come and go change nothing but addresses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Literal

from netsim_proxy.context import PodTraffic
from netsim_proxy.nftables import names
from netsim_proxy.nftables.language import (
    DESTINATION,
    NODE_PORT,
    Chain,
    Choice,
    DnatMap,
    FieldType,
    Goto,
    Incoming,
    InNetwork,
    InSet,
    Jump,
    KeyPart,
    Local,
    Match,
    Rule,
    SetSpec,
)

Policy = Literal["external", "external-local"]
EndpointMap = tuple[str, int]
"""One of `names.CHOOSE`, and the number of endpoints."""

_BY_ADDRESS: tuple[FieldType, ...] = ("addr", "proto", "port", "index")
_BY_NODE_PORT: tuple[FieldType, ...] = ("proto", "port", "index")


@lru_cache(maxsize=4096)
def map_name(kind: str, count: int) -> str:
    """Of the map of destinations with that many endpoints."""
    return f"{kind}-{count}"


def parse_map_name(name: str) -> EndpointMap | None:
    """What `map_name` was given, None for another set."""
    kind, _, count = name.rpartition("-")
    return (kind, int(count)) if kind in names.CHOOSE else None


def endpoint_map(kind: str, count: int) -> SetSpec:
    """Destination and number of an endpoint -> its address and port."""
    key = _BY_NODE_PORT if kind.startswith("nodeport") else _BY_ADDRESS
    return SetSpec(key, ("addr", "port"), comment=f"destinations with {count} {_words(kind)}")


def _words(kind: str) -> str:
    return "endpoints on this node" if "local" in kind else "endpoints"


def choice_chains(maps: Iterable[EndpointMap]) -> dict[str, Chain]:
    """The chains that choose an endpoint, one rule for each map."""
    rules: dict[str, list[Rule]] = {chain: [] for chain in names.CHOOSE.values()}
    for kind, count in maps:
        key: tuple[KeyPart, ...] = NODE_PORT if kind.startswith("nodeport") else DESTINATION
        rules[names.CHOOSE[kind]].append(Rule(DnatMap((*key, Choice(count)), map_name(kind, count))))
    return {chain: Chain(tuple(found)) for chain, found in rules.items()}


def policy_chains(pods: PodTraffic | None) -> dict[str, Chain]:
    """Entries of traffic from outside: by address or NodePort, to any endpoint or to this node's."""
    cluster, local, node_port, node_port_local = names.CHOOSE.values()
    return {
        "external": Chain(tuple(policy_rules("external", pods, cluster, ""))),
        "external-local": Chain(tuple(policy_rules("external-local", pods, cluster, local))),
        "nodeport": Chain(tuple(policy_rules("external", pods, node_port, ""))),
        "nodeport-local": Chain(tuple(policy_rules("external-local", pods, node_port, node_port_local))),
    }


def policy_rules(policy: Policy, pods: PodTraffic | None, cluster: str, local: str) -> Iterator[Rule]:
    """What is masqueraded, and in which of two chains to choose; `local` is "" without endpoints on this node."""
    if policy == "external":
        yield Rule(Jump(names.MARK))
        yield Rule(Goto(cluster))
        return
    if pods:
        yield Rule(Goto(cluster), (from_pods(pods),), "short-circuit pod traffic")
    yield Rule(Jump(names.MARK), (Local("saddr"),), "masquerade local traffic")
    yield Rule(Goto(cluster), (Local("saddr"),), "short-circuit local traffic")
    if local:
        yield Rule(Goto(local))


def masquerade_others(pods: PodTraffic | None, *, everyone: bool) -> tuple[Rule, ...]:
    """ClusterIP traffic that is not from this node's pods needs the node's address as source to come back here."""
    if pods is None and not everyone:
        return ()
    others = () if everyone or pods is None else (from_pods(pods, negated=True),)
    matches = (*others, InSet(("daddr",), names.CLUSTER_IPS))
    return (Rule(Jump(names.MARK), matches, "masquerade traffic to ClusterIPs"),)


def from_pods(pods: PodTraffic, *, negated: bool = False) -> Match:
    """How traffic of this node's pods, or all other, is told."""
    return InNetwork("saddr", pods.cidr, negated) if pods.cidr else Incoming(pods.interface, negated)
