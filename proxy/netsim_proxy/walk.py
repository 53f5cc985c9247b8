"""Walk a new connection's first packet through a Ruleset, as the kernel would, and say what becomes of it. Pure.

Chance is followed on every branch: the verdict lists all outcomes with their probabilities.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Literal, assert_never

from netsim_proxy.iptables import render_rule
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
    Transport,
)

Fate = Literal["endpoint", "passed", "refused", "dropped"]
MAX_DEPTH = 16


@dataclass(frozen=True, slots=True)
class Packet:
    """First packet of a connection. `interface` is where it came in, "" for one that the node itself sends.

    `sticky` names the endpoint chains whose affinity list has the source address.
    """

    source: str
    destination: str
    port: int
    protocol: str = "tcp"
    interface: str = "eth0"
    sticky: frozenset[str] = frozenset()
    mark: int = 0
    translated: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """One thing that can become of the packet.

    `endpoint`: it goes to `endpoint` ("ip:port"); `passed`: on to its own destination. `masqueraded`: with the node's
    address as source. `trail` lists the matching rules: (table, chain, text).
    """

    probability: Fraction
    fate: Fate
    endpoint: str = ""
    masqueraded: bool = False
    trail: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """All outcomes; their probabilities sum to 1."""

    outcomes: tuple[Outcome, ...]

    @property
    def endpoints(self) -> dict[str, Fraction]:
        """Endpoints that may be chosen, with their chances."""
        chances: dict[str, Fraction] = {}
        for outcome in self.outcomes:
            if outcome.fate == "endpoint":
                chances[outcome.endpoint] = chances.get(outcome.endpoint, Fraction(0)) + outcome.probability
        return chances

    @property
    def fates(self) -> frozenset[Fate]:
        return frozenset(outcome.fate for outcome in self.outcomes)

    @property
    def masqueraded(self) -> frozenset[bool]:
        """Whether the server sees the node's address; both values if it depends on chance."""
        return frozenset(outcome.masqueraded for outcome in self.outcomes)


@dataclass(frozen=True, slots=True)
class _Branch:
    """One way the packet can have gone so far; `end` is the rule's target that ended its way through a hook."""

    packet: Packet
    weight: Fraction = Fraction(1)
    trail: tuple[tuple[str, str, str], ...] = ()
    end: Final | Dnat | Masquerade | None = None


@dataclass(frozen=True, slots=True)
class _Walker:
    ruleset: Ruleset
    local: frozenset[str] = field(default=frozenset())

    def hook(self, table: str, hook: str, branch: _Branch) -> list[_Branch]:
        """All ways through one of the kernel's chains."""
        rules = [rule for place, rule in self.ruleset.hooks if place == (table, hook)]
        return list(self._chain((table, hook), rules[::-1], branch, 0))

    def _chain(self, place: Place, rules: Sequence[Rule], start: _Branch, depth: int) -> Iterator[_Branch]:
        if depth > MAX_DEPTH:
            raise ValueError(f"rules of chain {place[1]} jump in a circle")
        live = [start]
        for rule in rules:
            live, ended = self._rule(place, rule, live, depth)
            yield from ended
        yield from live

    def _rule(self, place: Place, rule: Rule, live: list[_Branch], depth: int) -> tuple[list[_Branch], list[_Branch]]:
        """Lead each branch past one rule: those that go on with the next rule, and those that ended."""
        onward: list[_Branch] = []
        ended: list[_Branch] = []
        for branch in live:
            share = self._share(rule, branch.packet)
            if share < 1:
                onward.append(replace(branch, weight=branch.weight * (1 - share)))
            if share > 0:
                text = render_rule(rule, self.ruleset.family)
                taken = replace(branch, weight=branch.weight * share, trail=(*branch.trail, (*place, text)))
                for result in self._target(place, rule, taken, depth):
                    (ended if result.end else onward).append(result)
        return onward, ended

    def _target(self, place: Place, rule: Rule, branch: _Branch, depth: int) -> Iterable[_Branch]:
        match rule.target:
            case None:
                return (branch,)
            case Jump(chain):
                called = (place[0], chain)
                results = self._chain(called, self.ruleset.chains[called], branch, depth + 1)
                return [replace(result, end=None) if result.end == Final("RETURN") else result for result in results]
            case SetMark(mark, flip):
                packet = branch.packet
                value = packet.mark ^ mark if flip else packet.mark | mark
                return (replace(branch, packet=replace(packet, mark=value)),)
            case Final() | Dnat() | Masquerade():
                return (replace(branch, end=rule.target),)
        assert_never(rule.target)

    def _share(self, rule: Rule, packet: Packet) -> Fraction:
        """The part of such packets that the rule matches."""
        if rule.protocol and rule.protocol != packet.protocol:
            return Fraction(0)
        if not (
            in_cidr(packet.source, rule.source, rule.not_source)
            and in_cidr(packet.destination, rule.destination, rule.not_destination)
            and on_interface(packet.interface, rule.interface, rule.not_interface)
        ):
            return Fraction(0)
        share = Fraction(1)
        for match in rule.matches:
            share *= self._match(match, packet)
        return share

    def _match(self, match: Match, packet: Packet) -> Fraction:
        match match:
            case OneIn(count):
                return Fraction(1, count)
            case Comment() | RecentSet():
                hit = True
            case ConnState(states, negated):
                hit = ("NEW" in states or (packet.translated and "DNAT" in states)) != negated
            case LocalAddress(side):
                hit = self.is_local(packet.source if side == "src" else packet.destination)
            case Transport(port):
                hit = port in (0, packet.port)
            case MarkSet(mark, negated):
                hit = (packet.mark & mark == mark) != negated
            case RecentCheck(name):
                hit = name in packet.sticky
            case _:
                assert_never(match)
        return Fraction(hit)

    def is_local(self, address: str) -> bool:
        return address in self.local or ipaddress.ip_address(address).is_loopback


def in_cidr(address: str, cidr: str, negated: bool) -> bool:
    """Whether a rule that asks for (or, negated, against) a CIDR matches an address; "" asks for nothing."""
    return not cidr or (ipaddress.ip_address(address) in ipaddress.ip_network(cidr)) != negated


def on_interface(name: str, wanted: str, negated: bool) -> bool:
    """The same for the interface a packet came in through, "" for none; a `+` at the end stands for any ending."""
    if not wanted:
        return True
    hit = name.startswith(wanted[:-1]) if wanted.endswith("+") else name == wanted
    return (bool(name) and hit) != negated


def walk(ruleset: Ruleset, packet: Packet) -> Verdict:
    """What becomes of the first packet of a connection on this node; `ruleset.local_addresses` are the node's."""
    walker = _Walker(ruleset, frozenset(ruleset.local_addresses))
    entry = "PREROUTING" if packet.interface else "OUTPUT"
    outcomes: list[Outcome] = []
    for branch in walker.hook("nat", entry, _Branch(packet)):
        outcomes += _deliver(walker, branch)
    return Verdict(tuple(outcomes))


def _deliver(walker: _Walker, branch: _Branch) -> Iterator[Outcome]:
    """Take a branch, its destination chosen, through the filters and on its way."""
    endpoint = ""
    packet = branch.packet
    if isinstance(branch.end, Dnat):
        endpoint = join_address(branch.end.address, branch.end.port)
        packet = replace(packet, destination=branch.end.address, port=branch.end.port, translated=True)
    local = walker.is_local(packet.destination)
    hooks = ["FORWARD"] if packet.interface and not local else ["OUTPUT"] * (not packet.interface) + ["INPUT"] * local
    live = [replace(branch, packet=packet, end=None)]
    for hook in hooks:
        results = [result for each in live for result in walker.hook("filter", hook, each)]
        live = [replace(each, end=None) for each in results if each.end in (None, Final("ACCEPT"), Final("RETURN"))]
        yield from (_refused(each) for each in results if each.end in (Final("REJECT"), Final("DROP")))
    for each in live:
        yield from _send(walker, each, endpoint, leaves=not (packet.interface and local))


def _refused(branch: _Branch) -> Outcome:
    fate: Fate = "refused" if branch.end == Final("REJECT") else "dropped"
    return Outcome(branch.weight, fate, trail=branch.trail)


def _send(walker: _Walker, branch: _Branch, endpoint: str, *, leaves: bool) -> Iterator[Outcome]:
    """Masquerading happens to packets that leave, not to those taken in from outside."""
    for result in walker.hook("nat", "POSTROUTING", branch) if leaves else [branch]:
        fate: Fate = "endpoint" if endpoint else "passed"
        yield Outcome(result.weight, fate, endpoint, isinstance(result.end, Masquerade), result.trail)
