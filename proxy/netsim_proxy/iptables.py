"""Write rules as text, in the form that `iptables-save` prints. Pure.

`iptables-restore` reads the same form, so one text is sent, read back and compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Final as Constant
from typing import assert_never

from netsim_proxy.config import Family
from netsim_proxy.names import join_address
from netsim_proxy.rule import (
    Comment,
    ConnState,
    Dnat,
    Final,
    Jump,
    LocalAddress,
    MarkSet,
    Masquerade,
    Match,
    OneIn,
    Place,
    RecentCheck,
    RecentSet,
    Rule,
    Ruleset,
    SetMark,
    Target,
    Transport,
)

State = dict[Place, tuple[str, ...]]
"""Chains as text: place -> rules without their `-A CHAIN ` head."""

TABLES: Constant = ("mangle", "filter", "nat")
_ANYWHERE = ("0.0.0.0/0", "::/0")
_PLAIN = re.compile(r"[A-Za-z0-9_-]+\Z")
BUILT_IN: Constant = {
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
}


def quote(text: str) -> str:
    """Text as iptables-save quotes it; control characters, which could end the line, become `?`."""
    if _PLAIN.match(text):
        return text
    safe = text if text.isprintable() else "".join(each if each.isprintable() else "?" for each in text)
    return '"' + safe.replace("\\", "\\\\").replace('"', '\\"') + '"'


@cache
def probability(count: int) -> str:
    """`1/count` as the kernel keeps it, in 31 bits, and prints it."""
    return f"{round(2**31 * round(1 / count, 10)) / 2**31:.11f}"


def _recent(name: str, family: Family) -> str:
    mask = "255.255.255.255" if family == 4 else "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
    return f"--name {name} --mask {mask} --rsource"


def render_match(match: Match, protocol: str, family: Family) -> str:  # noqa: PLR0911 - a line per kind
    """One match with its `-m` head."""
    match match:
        case Comment(text):
            return f"-m comment --comment {quote(text)}"
        case ConnState(states, negated):
            return f"-m conntrack {'! ' if negated else ''}--ctstate {','.join(states)}"
        case LocalAddress(side):
            return f"-m addrtype --{side}-type LOCAL"
        case Transport(port):
            return f"-m {protocol} --dport {port}" if port else f"-m {protocol}"
        case MarkSet(mark, negated):
            return f"-m mark {'! ' if negated else ''}--mark {mark:#x}/{mark:#x}"
        case RecentCheck(name, seconds):
            return f"-m recent --rcheck --seconds {seconds} --reap {_recent(name, family)}"
        case RecentSet(name):
            return f"-m recent --set {_recent(name, family)}"
        case OneIn(count):
            return f"-m statistic --mode random --probability {probability(count)}"
    assert_never(match)


def render_target(target: Target, family: Family) -> str:
    """One target with its `-j` head."""
    match target:
        case Jump(chain):
            return f"-j {chain}"
        case Final("REJECT"):
            return f"-j REJECT --reject-with {'icmp' if family == 4 else 'icmp6'}-port-unreachable"
        case Final(action):
            return f"-j {action}"
        case SetMark(mark, flip):
            return f"-j MARK --set-xmark {mark:#x}/{0 if flip else mark:#x}"
        case Dnat(address, port):
            return f"-j DNAT --to-destination {join_address(address, port)}"
        case Masquerade(random_fully):
            return "-j MASQUERADE --random-fully" if random_fully else "-j MASQUERADE"
    assert_never(target)


def render_rule(rule: Rule, family: Family) -> str:
    """A rule without its `-A CHAIN` head."""
    parts = []
    if rule.source and rule.source not in _ANYWHERE:
        parts.append(f"! -s {rule.source}" if rule.not_source else f"-s {rule.source}")
    if rule.destination and rule.destination not in _ANYWHERE:
        parts.append(f"! -d {rule.destination}" if rule.not_destination else f"-d {rule.destination}")
    if rule.interface:
        parts.append(f"! -i {rule.interface}" if rule.not_interface else f"-i {rule.interface}")
    if rule.protocol:
        parts.append(f"-p {rule.protocol}")
    for match in rule.matches:
        parts.append(render_match(match, rule.protocol, family))
    if rule.target is not None:
        parts.append(render_target(rule.target, family))
    return " ".join(parts)


def render_chains(chains: Mapping[Place, Iterable[Rule]], family: Family) -> State:
    """Text of each chain."""
    return {place: tuple(render_rule(rule, family) for rule in rules) for place, rules in chains.items()}


def render_hooks(ruleset: Ruleset) -> list[tuple[Place, str]]:
    """Text of the jump rules, in their order of creation."""
    return [(place, render_rule(rule, ruleset.family)) for place, rule in ruleset.hooks]


def render_save(ruleset: Ruleset) -> str:
    """What `iptables-save` prints on a machine that has these rules and no others (without its comment lines)."""
    state = render_chains(ruleset.chains, ruleset.family)
    hooked: dict[Place, list[str]] = {}
    for place, text in render_hooks(ruleset):
        hooked.setdefault(place, []).insert(0, text)
    return "".join(_save_table(table, state, hooked) for table in TABLES)


def _save_table(table: str, state: State, hooked: Mapping[Place, list[str]]) -> str:
    ours = {chain: rules for (owner, chain), rules in sorted(state.items()) if owner == table}
    built_in = {chain: hooked.get((table, chain), []) for chain in BUILT_IN[table]}
    lines = [f"*{table}"]
    lines += [f":{chain} ACCEPT [0:0]" for chain in built_in]
    lines += [f":{chain} - [0:0]" for chain in ours]
    lines += [f"-A {chain} {rule}" for chain, rules in (*built_in.items(), *ours.items()) for rule in rules]
    return "\n".join((*lines, "COMMIT", ""))


def parse_save(text: str) -> State:
    """The chains in the output of `iptables-save`, the kernel's own included."""
    return dict(read_save(text.splitlines()))


def read_save(lines: Iterable[str]) -> Iterator[tuple[Place, tuple[str, ...]]]:
    """The chains of `iptables-save` one after the other: each once without rules, then those that have some, whole."""
    table, chain = "", ""
    rules: list[str] = []
    for line in lines:
        if line.startswith("-A "):
            _, name, rule = line.split(" ", 2)
            if name != chain and rules:
                yield (table, chain), tuple(rules)
                rules = []
            chain = name
            rules.append(rule.rstrip("\n"))
            continue
        if rules:
            yield (table, chain), tuple(rules)
            rules = []
        if line.startswith("*"):
            table = line[1:].rstrip("\n")
        elif line.startswith(":"):
            yield (table, line[1:].split(" ", 1)[0]), ()
