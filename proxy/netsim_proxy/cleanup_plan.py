"""Which of a machine's rules are a service proxy's, and how they are taken out. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from netsim_proxy import names
from netsim_proxy.diff import ChainUpdate, Update
from netsim_proxy.iptables import State
from netsim_proxy.rule import Place

_FIXED = {
    ("nat", names.SERVICES), ("nat", names.NODE_PORTS), ("nat", names.POSTROUTING), ("nat", names.MARK_MASQ),
    ("filter", names.SERVICES), ("filter", names.EXTERNAL_SERVICES), ("filter", names.FORWARD),
    ("filter", names.NODE_PORTS), ("filter", names.PROXY_FIREWALL), ("filter", names.FIREWALL),
    ("mangle", names.CANARY), ("nat", names.CANARY), ("filter", names.CANARY),
}  # fmt: skip
_KUBELET = ("mangle", "KUBE-KUBELET-CANARY")
_TARGET = re.compile(r"(?:^|\s)-[jg] (\S+)")


def plan_cleanup(actual: State) -> Update:
    """What removes a proxy's chains and the jumps to them, whichever proxy it was.

    KUBE-FIREWALL stays where a kubelet is, which has it too. A chain that somebody else's own chain refers to is
    emptied and stays; that reference is theirs to remove. Without any of our chains the plan is empty.
    """
    shared = {("filter", names.FIREWALL)} if _KUBELET in actual else set()
    ours = {place for place in actual if _is_ours(place)} - shared
    kept = {target for place, rules in actual.items() if place not in ours and not _built_in(place)
            for target in _targets(place, rules) if target in ours}  # fmt: skip
    changes = [
        ChainUpdate(place, delete=jumps)
        for place, rules in actual.items()
        if _built_in(place) and (jumps := tuple(rule for rule in rules if _goes_to(place, rule, ours)))
    ]
    changes += [
        ChainUpdate(place, rewrite=True, remove=place not in kept)
        for place in ours
        if place not in kept or actual[place]
    ]
    return Update(tuple(changes))


def _is_ours(place: Place) -> bool:
    return place in _FIXED or (place[0] == "nat" and place[1].startswith(names.DYNAMIC_PREFIXES))


def _built_in(place: Place) -> bool:
    return place[1] in ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")


def _targets(place: Place, rules: tuple[str, ...]) -> Iterator[Place]:
    for rule in rules:
        if found := _TARGET.search(rule):
            yield place[0], found[1]


def _goes_to(place: Place, rule: str, chains: set[Place]) -> bool:
    return any(target in chains for target in _targets(place, (rule,)))
