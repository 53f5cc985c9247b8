"""The entries of one Service on one node in mode nftables, explained and beside the kernel's. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from netsim_proxy.explain_nftables import explain_chain, explain_element, explain_rule
from netsim_proxy.nftables.dump import Count, count_rules
from netsim_proxy.nftables.found import Found, broken_parts, strange_elements
from netsim_proxy.nftables.language import Chain, DnatMap, Nftables, VerdictMap
from netsim_proxy.nftables.names import endpoint_suffix
from netsim_proxy.nftables.state import compile_nftables
from netsim_proxy.nftables.text import element_text, rule_text
from netsim_proxy.nftables.walk import walk
from netsim_proxy.report import (
    ChainView,
    PortReport,
    Question,
    RuleView,
    count_missing,
    endpoint_names,
    endpoint_views,
    pod_name,
    walk_views,
)


def nftables_report(question: Question, found: Found | None) -> PortReport:
    """What the table has more with one Service port than without it; `found` is the kernel's (None: no table)."""
    parts, (port,) = question.parts, question.parts.services
    given = (parts.node, question.config, parts.addresses, question.family)
    table, empty = compile_nftables(parts.inputs(), *given), compile_nftables({}, *given)
    kernel = found or Found()
    walks = walk_views(
        question, lambda packet: walk(table, packet), _words(question, table), lambda ip: kernel.sets_with(table, ip)
    )
    chains = (*_elements(question, table, empty, kernel), *_own_chains(question, table, empty, kernel))
    strange = [*strange_elements(kernel, table, port), *_strange_rules(table, empty, kernel)]
    broken = tuple(broken_parts(found, table, empty)) if found else ()
    return PortReport(port, endpoint_views(question), chains, walks, count_missing(chains), tuple(strange), broken)


def _endpoint_names(question: Question) -> Callable[[str], str]:
    return endpoint_names(question, lambda port, each: f"endpoint-{endpoint_suffix(port, each)}")


def _words(question: Question, table: Nftables) -> Callable[[tuple[str, str, str]], str]:
    """What explains a step of a walk: the rule, or the element that it found (after a "#")."""
    rules = {(n, rule_text(rule, table.family)): rule for n, chain in table.chains.items() for rule in chain.rules}
    endpoint = _endpoint_names(question)

    def explain(step: tuple[str, str, str]) -> str:
        _, chain, words = step
        text, _, element = words.partition(" # ")
        rule = rules[chain, text]
        if element and isinstance(rule.action, VerdictMap | DnatMap):
            return explain_element(rule.action.map, element, lambda ip: pod_name(question, ip))
        return explain_rule(rule, endpoint)

    return explain


def _elements(question: Question, table: Nftables, empty: Nftables, found: Found) -> Iterator[ChainView]:
    for name, elements in table.elements.items():
        spec, views = table.sets[name], []
        counts, others = found.counts.get(name, {}), empty.elements.get(name, {})
        for key, data in elements.items() if spec.data else sorted(elements.items()):
            if key not in others:
                text, there = element_text(key, data, spec, table.family), found.has(name, key, data)
                says = explain_element(name, text, lambda ip: pod_name(question, ip))
                views.append(_view(text, says, counts.get(key), there=there))
        if views:
            yield ChainView("map" if spec.data else "set", name, spec.comment, tuple(views))


def _view(text: str, says: str, count: Count | None, *, there: bool) -> RuleView:
    if not there:
        return RuleView(text, says, missing=True)
    return RuleView(text, says, *count) if count else RuleView(text, says)


def _own(table: Nftables, empty: Nftables) -> Iterator[tuple[str, Chain]]:
    yield from ((name, chain) for name, chain in table.chains.items() if name not in empty.chains)


def _own_chains(question: Question, table: Nftables, empty: Nftables, found: Found) -> Iterator[ChainView]:
    """The chains of a Service with session affinity."""
    endpoint = _endpoint_names(question)
    for name, chain in _own(table, empty):
        counts, _ = count_rules(name, chain, found.rules, table.family)
        views = (
            _view(rule_text(rule, table.family), explain_rule(rule, endpoint), count, there=there)
            for rule, (there, count) in zip(chain.rules, counts, strict=True)
        )
        yield ChainView("chain", name, explain_chain(name, endpoint), tuple(views))


def _strange_rules(table: Nftables, empty: Nftables, found: Found) -> Iterator[str]:
    for name, chain in _own(table, empty):
        _, handles = count_rules(name, chain, found.rules, table.family)
        yield from (f"chain {name}, handle {handle}" for handle in handles)
