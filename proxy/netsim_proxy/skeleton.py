"""The rules that are there without any Service: fixed chains and the jumps to them.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netsim_proxy import names
from netsim_proxy.config import Family, ProxyConfig
from netsim_proxy.context import localhost_nodeports, nodeport_addresses
from netsim_proxy.rule import (
    Comment,
    ConnState,
    Final,
    Jump,
    LocalAddress,
    MarkSet,
    Masquerade,
    Match,
    Place,
    Rule,
    SetMark,
)

_PORTALS = "kubernetes service portals"
_VISIBLE = "kubernetes externally-visible service portals"
_BALANCER = "kubernetes load balancer firewall"
_NODE_PORTS_LAST = "kubernetes service nodeports; NOTE: this must be the last rule in this chain"
_NEW = ConnState(("NEW",))

_HOOKS: tuple[tuple[Place, str, bool, str], ...] = (
    (("filter", "INPUT"), names.EXTERNAL_SERVICES, True, _VISIBLE),
    (("filter", "FORWARD"), names.EXTERNAL_SERVICES, True, _VISIBLE),
    (("filter", "INPUT"), names.NODE_PORTS, False, "kubernetes health check service ports"),
    (("filter", "FORWARD"), names.SERVICES, True, _PORTALS),
    (("filter", "OUTPUT"), names.SERVICES, True, _PORTALS),
    (("filter", "FORWARD"), names.FORWARD, False, "kubernetes forwarding rules"),
    (("filter", "INPUT"), names.PROXY_FIREWALL, True, _BALANCER),
    (("filter", "OUTPUT"), names.PROXY_FIREWALL, True, _BALANCER),
    (("filter", "FORWARD"), names.PROXY_FIREWALL, True, _BALANCER),
    (("nat", "OUTPUT"), names.SERVICES, False, _PORTALS),
    (("nat", "PREROUTING"), names.SERVICES, False, _PORTALS),
    (("nat", "POSTROUTING"), names.POSTROUTING, False, "kubernetes postrouting rules"),
    (("filter", "INPUT"), names.FIREWALL, False, ""),
    (("filter", "OUTPUT"), names.FIREWALL, False, ""),
)
"""Jump rules in the order they are created: hook, target, new connections only, comment."""


def hook_rules() -> tuple[tuple[Place, Rule], ...]:
    """The jumps from the kernel's chains to ours; each is put at the head, so the last given comes first."""
    rules = []
    for place, chain, new_only, comment in _HOOKS:
        matches: tuple[Match, ...] = ((_NEW,) if new_only else ()) + ((Comment(comment),) if comment else ())
        rules.append((place, Rule(Jump(chain), matches)))
    return tuple(rules)


def fixed_chains(config: ProxyConfig, family: Family) -> dict[Place, tuple[Rule, ...]]:
    """Chains that every node has, in order of declaration; those that Services fill are empty here."""
    return {
        ("mangle", names.CANARY): (),
        ("filter", names.CANARY): (),
        ("filter", names.SERVICES): (),
        ("filter", names.EXTERNAL_SERVICES): (),
        ("filter", names.FORWARD): tuple(_forward(config)),
        ("filter", names.NODE_PORTS): (),
        ("filter", names.PROXY_FIREWALL): (),
        ("filter", names.FIREWALL): _martian_guard() if localhost_nodeports(config, family) else (),
        ("nat", names.CANARY): (),
        ("nat", names.SERVICES): (),
        ("nat", names.NODE_PORTS): (),
        ("nat", names.POSTROUTING): _postrouting(config),
        ("nat", names.MARK_MASQ): (Rule(SetMark(config.mark)),),
    }


def _forward(config: ProxyConfig) -> Iterator[Rule]:
    """What is forwarded: marked and established packets are accepted, invalid ones dropped."""
    if not config.conntrack_tcp_be_liberal:
        yield Rule(Final("DROP"), (ConnState(("INVALID",)),))
    yield Rule(Final("ACCEPT"), (Comment("kubernetes forwarding rules"), MarkSet(config.mark)))
    established = ConnState(("RELATED", "ESTABLISHED"))
    yield Rule(Final("ACCEPT"), (Comment("kubernetes forwarding conntrack rule"), established))


def _martian_guard() -> tuple[Rule, ...]:
    """With route_localnet on, others must not reach what listens on loopback only."""
    state = ConnState(("RELATED", "ESTABLISHED", "DNAT"), negated=True)
    matches = (Comment("block incoming localnet connections"), state)
    return (Rule(Final("DROP"), matches, source="127.0.0.0/8", not_source=True, destination="127.0.0.0/8"),)


def _postrouting(config: ProxyConfig) -> tuple[Rule, ...]:
    """Leave unmarked packets alone, clear the mark of the others, masquerade them."""
    return (
        Rule(Final("RETURN"), (MarkSet(config.mark, negated=True),)),
        Rule(SetMark(config.mark, flip=True)),
        Rule(Masquerade(config.random_fully), (Comment("kubernetes service traffic requiring SNAT"),)),
    )


def node_port_jumps(config: ProxyConfig, family: Family, local_addresses: Sequence[str]) -> tuple[Rule, ...]:
    """The last rules of nat KUBE-SERVICES: traffic to the node's own addresses may be for a NodePort."""
    target, comment = Jump(names.NODE_PORTS), Comment(_NODE_PORTS_LAST)
    addresses = nodeport_addresses(config, family, local_addresses)
    if addresses is not None:
        bits = 128 if family == 6 else 32
        return tuple(Rule(target, (comment,), destination=f"{address}/{bits}") for address in addresses)
    matches = (comment, LocalAddress("dst"))
    if family == 6:
        return (Rule(target, matches, destination="::1/128", not_destination=True),)
    if not config.localhost_nodeports:
        return (Rule(target, matches, destination="127.0.0.0/8", not_destination=True),)
    return (Rule(target, matches),)
