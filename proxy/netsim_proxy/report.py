"""The rules of one Service on one node, explained, and what packets meet there. Pure.

`iptables_report` here and `nftables_report` beside it give the same shape, which `netsim rules` prints.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from netsim_proxy import names
from netsim_proxy.context import make_context
from netsim_proxy.diff import NODE_PORT_JUMP, SHARED_CHAINS, is_dynamic
from netsim_proxy.endpoints import endpoints_of, select_endpoints
from netsim_proxy.explain import explain_chain, explain_rule
from netsim_proxy.iptables import render_rule
from netsim_proxy.model import Endpoint, ServicePort
from netsim_proxy.recent import Recent
from netsim_proxy.render import Parts
from netsim_proxy.rule import Place, Rule, Ruleset
from netsim_proxy.rules import compile_rules
from netsim_proxy.walk import Outcome, Packet, Verdict
from netsim_proxy.walk import walk as walk_iptables

Counters = Mapping[tuple[Place, str], tuple[int, int]]
"""Packets and bytes of the kernel's rules, by chain and text without its comment."""

_NOBODY = Recent()
_COMMENT = re.compile(r'-m comment --comment (?:"(?:[^"\\]|\\.)*"|\S+) ?')
_COUNTED = re.compile(r"\[(\d+):(\d+)\] -A (\S+) (.*)")


@dataclass(frozen=True, slots=True)
class RuleView:
    """One rule or element. `missing`: the kernel has none such; `packets` and `bytes` are None then, and where the
    kernel does not count."""

    rule: str
    says: str
    packets: int | None = None
    bytes: int | None = None
    missing: bool = False


@dataclass(frozen=True, slots=True)
class ChainView:
    table: str
    chain: str
    what: str
    rules: tuple[RuleView, ...]


@dataclass(frozen=True, slots=True)
class EndpointView:
    """`used` says whether any of this node's traffic may go there."""

    name: str
    address: str
    node: str
    state: str
    used: bool


@dataclass(frozen=True, slots=True)
class Way:
    """A connection: from whom (`who`, `source`), by which way (clusterip, nodeport, lb, external) to what."""

    who: str
    source: str
    way: str
    destination: str
    port: int
    interface: str


@dataclass(frozen=True, slots=True)
class OutcomeView:
    """One thing that can become of a connection; `trail` are the rules it matches, (table, chain, rule, words)."""

    probability: float
    fate: str
    endpoint: str
    name: str
    sees: str
    trail: tuple[tuple[str, str, str, str], ...]


@dataclass(frozen=True, slots=True)
class WalkView:
    way: Way
    outcomes: tuple[OutcomeView, ...]


@dataclass(frozen=True, slots=True)
class PortReport:
    """One port of the Service. How the kernel differs from what should be: so many rules are `missing`, `unexpected`
    ones are where only the Service's should be, and parts that all Services share are `broken`."""

    port: ServicePort
    endpoints: tuple[EndpointView, ...]
    chains: tuple[ChainView, ...]
    walks: tuple[WalkView, ...] = ()
    missing: int = 0
    unexpected: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """What a report is made from: the Service's port and slices on a node, who has which address, connections."""

    parts: Parts
    config: Any
    family: Any
    pods: Mapping[str, str]
    ways: tuple[Way, ...]


def read_counters(lines: Sequence[str] | Iterator[str]) -> Counters:
    """From the output of `iptables-save -c`."""
    found: dict[tuple[Place, str], tuple[int, int]] = {}
    table = ""
    for line in lines:
        if line.startswith("*"):
            table = line[1:].strip()
        elif match := _COUNTED.match(line):
            found[(table, match[3]), plain(match[4].strip())] = (int(match[1]), int(match[2]))
    return found


def plain(rule: str) -> str:
    """A rule's text without its comment, which large clusters leave out."""
    return _COMMENT.sub("", rule)


def iptables_report(question: Question, counters: Counters, recent: Recent = _NOBODY) -> PortReport:
    """The chains of one Service port in mode iptables, in the order in which packets come to them; `recent` are the
    kernel's lists of clients."""
    parts, (port,) = question.parts, question.parts.services
    ruleset = compile_rules([port], parts.slices, parts.node, question.config, parts.addresses, family=question.family)
    endpoints = endpoint_names(question, lambda _, each: names.endpoint_chain(port.name, port.protocol, each.text))
    chains = tuple(_chain_view(place, rules, ruleset, endpoints, counters) for place, rules in _places(ruleset, port))
    says = {
        (*place, render_rule(rule, ruleset.family)): explain_rule(rule, endpoints)
        for place, rules in (*ruleset.chains.items(), *((place, (rule,)) for place, rule in ruleset.hooks))
        for rule in rules
    }
    walks = walk_views(
        question,
        lambda packet: walk_iptables(ruleset, packet),
        lambda step: says[step],
        lambda ip: recent.lists_with(ip, port.affinity_seconds) if port.affinity_seconds else frozenset(),
    )
    wanted = {(p, plain(render_rule(r, ruleset.family))) for p, rules in ruleset.chains.items() for r in rules}
    own = {place for place in ruleset.chains if is_dynamic(place)}
    unexpected = tuple(f"-A {p[1]} {text}" for p, text in counters if p in own and (p, text) not in wanted)
    return PortReport(port, endpoint_views(question), chains, walks, count_missing(chains), unexpected)


def count_missing(chains: Sequence[ChainView]) -> int:
    """Rules that the kernel does not have."""
    return sum(rule.missing for chain in chains for rule in chain.rules)


def endpoint_names(question: Question, chain_of: Callable[[ServicePort, Endpoint], str]) -> Callable[[str], str]:
    """What names the endpoint of a chain, by a mode's names for such chains; other chains keep their names."""
    (port,) = question.parts.services
    chains = {
        chain_of(port, each): pod_name(question, each.address) or each.text
        for each in endpoints_of(question.parts.slices, port.port_name, port.protocol, "")
    }
    return lambda chain: chains.get(chain, chain)


def pod_name(question: Question, address: str) -> str:
    """Name of the pod that has an address; its namespace goes without saying if it is the Service's."""
    return question.pods.get(address, "").removeprefix(f"{question.parts.services[0].namespace}/")


def _places(ruleset: Ruleset, port: ServicePort) -> Iterator[tuple[Place, tuple[Rule, ...]]]:
    """The chains that have rules of this Service, entries first, endpoints after those that lead to them."""
    shared = {
        place: tuple(rule for rule in rules if not _is_node_port_jump(rule) or port.node_port)
        for place, rules in ruleset.chains.items()
        if place[1] in SHARED_CHAINS
    }
    own = {place: rules for place, rules in ruleset.chains.items() if is_dynamic(place)}
    order = (names.FIREWALL_PREFIX, names.EXTERNAL_PREFIX, names.CLUSTER_PREFIX, names.LOCAL_PREFIX)
    yield from ((place, rules) for place, rules in shared.items() if place[0] == "nat" and rules)
    for prefix in (*order, names.ENDPOINT_PREFIX):
        yield from ((place, rules) for place, rules in own.items() if place[1].startswith(prefix))
    yield from ((place, rules) for place, rules in shared.items() if place[0] == "filter" and rules)


def _is_node_port_jump(rule: Rule) -> bool:
    return render_rule(rule, 4).endswith(NODE_PORT_JUMP)


def _chain_view(
    place: Place, rules: tuple[Rule, ...], ruleset: Ruleset, endpoints: Callable[[str], str], counters: Counters
) -> ChainView:
    views = []
    for rule in rules:
        text = render_rule(rule, ruleset.family)
        packets, size = counters.get((place, plain(text)), (None, None))
        views.append(RuleView(text, explain_rule(rule, endpoints), packets, size, packets is None))
    return ChainView(*place, explain_chain(place, endpoints), tuple(views))


def endpoint_views(question: Question) -> tuple[EndpointView, ...]:
    parts, (port,) = question.parts, question.parts.services
    nodes = {entry.address: entry.node for part in parts.slices for entry in part.endpoints}
    ctx = make_context(question.config, parts.node, question.family, 0)
    found = endpoints_of(parts.slices, port.port_name, port.protocol, ctx.node_name)
    used = select_endpoints(port, found, ctx.zone, ctx.node_name, hints=ctx.hints).reachable
    return tuple(
        EndpointView(
            pod_name(question, each.address), each.text, nodes.get(each.address, ""), _state(each), each in used
        )
        for each in found
    )


def _state(endpoint: Endpoint) -> str:
    return "ready" if endpoint.ready else "terminating" if endpoint.terminating else "not ready"


def walk_views(
    question: Question,
    walk: Callable[[Packet], Verdict],
    says: Callable[[tuple[str, str, str]], str],
    sticky: Callable[[str], frozenset[str]] = lambda source: frozenset(),
) -> tuple[WalkView, ...]:
    """`sticky` gives the affinity lists that have a source's address."""
    (port,) = question.parts.services
    found = []
    for way in question.ways:
        protocol = port.protocol.lower()
        packet = Packet(way.source, way.destination, way.port, protocol, way.interface, sticky(way.source))
        outcomes = tuple(_outcome_view(question, way, outcome, says) for outcome in walk(packet).outcomes)
        found.append(WalkView(way, outcomes))
    return tuple(found)


def _outcome_view(
    question: Question, way: Way, outcome: Outcome, says: Callable[[tuple[str, str, str]], str]
) -> OutcomeView:
    address = outcome.endpoint.rpartition(":")[0].strip("[]")
    sees = "" if outcome.fate != "endpoint" else "node" if outcome.masqueraded else "client"
    trail = tuple((*step, says(step)) for step in outcome.trail)
    return OutcomeView(
        float(outcome.probability), outcome.fate, outcome.endpoint, pod_name(question, address), sees, trail
    )


def one_port(parts: Parts, port: ServicePort) -> Parts:
    """The same with one of the Service's ports."""
    return replace(parts, services=(port,))
