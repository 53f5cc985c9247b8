"""Walk a new connection's first packet through a table, as the kernel would, and say what becomes of it. Pure.

Gives the same Verdict as the walk through iptables rules; `Packet.sticky` names the sets (`affinity-…`) that have the
source address. Where the modes differ, they do as kube-proxy's do: see the README.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from ipaddress import ip_address
from typing import assert_never

from netsim_proxy.names import join_address
from netsim_proxy.nftables.language import (
    TABLE,
    Choice,
    Data,
    Dnat,
    DnatMap,
    Final,
    Goto,
    Incoming,
    InNetwork,
    InSet,
    Jump,
    KeyPart,
    Local,
    Masquerade,
    Match,
    NewConnection,
    Nftables,
    OneIn,
    Remember,
    Rule,
    SetMark,
    Translated,
    Unmarked,
    Verdict,
    VerdictMap,
    pack_address,
    pack_index,
    pack_port,
    pack_protocol,
    unpack,
)
from netsim_proxy.nftables.text import element_text, rule_text
from netsim_proxy.walk import MAX_DEPTH, Fate, Outcome, Packet, in_cidr, on_interface
from netsim_proxy.walk import Verdict as Answer


@dataclass(frozen=True, slots=True)
class _Branch:
    """One way the packet can have gone so far; `end` is the action that ended its way through a hook."""

    packet: Packet
    weight: Fraction = Fraction(1)
    trail: tuple[tuple[str, str, str], ...] = ()
    endpoint: str = ""
    end: Final | Dnat | Masquerade | None = None

    def noting(self, chain: str, words: str) -> _Branch:
        return replace(self, trail=(*self.trail, (TABLE, chain, words)))


_Step = tuple[list[_Branch], list[_Branch], list[_Branch]]
"""Ways that go on with the next rule, that return to the caller, and that ended."""


@dataclass(frozen=True, slots=True)
class _Walker:
    table: Nftables

    def hook(self, name: str, starts: Iterable[_Branch]) -> list[_Branch]:
        """All ways through one of the kernel's hooks, in the order of priorities; a verdict of drop ends them all."""
        hooked = sorted(
            (chain.hook.priority, label)
            for label, chain in self.table.chains.items()
            if chain.hook and chain.hook.hook == name
        )
        branches = list(starts)
        for _, chain in hooked:
            branches = [result for branch in branches for result in self._base(chain, branch)]
        return branches

    def _base(self, chain: str, branch: _Branch) -> list[_Branch]:
        if isinstance(branch.end, Final):
            return [branch]
        results = self._chain(chain, replace(branch, end=None), 0)
        return [_translate(replace(r, end=r.end or branch.end)) for r in results]

    def _chain(self, name: str, start: _Branch, depth: int) -> list[_Branch]:
        """Ways out of a chain: without an end where the caller goes on."""
        if depth > MAX_DEPTH:
            raise ValueError(f"rules of chain {name} jump in a circle")
        live, out = [start], []
        for rule in self.table.chains[name].rules:
            steps = [self._rule(name, rule, branch, depth) for branch in live]
            live = [branch for onward, _, _ in steps for branch in onward]
            out += [branch for _, returned, ended in steps for branch in (*returned, *ended)]
        return [*live, *out]

    def _rule(self, chain: str, rule: Rule, branch: _Branch, depth: int) -> _Step:
        share = Fraction(1)
        for match in rule.matches:
            share *= self._match(match, branch.packet)
        missed = [replace(branch, weight=branch.weight * (1 - share))] if share < 1 else []
        if not share:
            return missed, [], []
        taken = replace(branch, weight=branch.weight * share)
        onward, returned, ended = self._act(chain, rule, taken, depth)
        return missed + onward, returned, ended

    def _act(self, chain: str, rule: Rule, branch: _Branch, depth: int) -> _Step:  # noqa: PLR0911  # one an action
        text = rule_text(rule, self.table.family)
        noted = branch.noting(chain, text)
        match rule.action:
            case Jump(target):
                results = self._chain(target, noted, depth + 1)
                return [each for each in results if not each.end], [], [each for each in results if each.end]
            case Goto(target):
                return self._goto(target, noted, depth)
            case Final("return"):
                return [], [noted], []
            case Final() | Masquerade():
                return [], [], [replace(noted, end=rule.action)]
            case SetMark(mark, flip):
                value = branch.packet.mark ^ mark if flip else branch.packet.mark | mark
                return [replace(noted, packet=replace(branch.packet, mark=value))], [], []
            case VerdictMap(key, name):
                return self._verdict(chain, text, self._look_up(name, key, branch.packet), branch, depth)
            case DnatMap():
                return self._choose(chain, text, rule.action, branch)
            case Dnat(protocol, _, _):
                hit = protocol == branch.packet.protocol
                return ([], [], [replace(noted, end=rule.action)]) if hit else ([branch], [], [])
            case Remember():
                return [noted], [], []
        assert_never(rule.action)

    def _goto(self, target: str, branch: _Branch, depth: int) -> _Step:
        results = self._chain(target, branch, depth + 1)
        return [], [each for each in results if not each.end], [each for each in results if each.end]

    def _look_up(self, name: str, key: tuple[KeyPart, ...], packet: Packet) -> tuple[str, Data] | None:
        packed = pack_key(key, packet)
        elements = self.table.elements.get(name, {})
        if packed not in elements:
            return None
        return element_text(packed, elements[packed], self.table.sets[name], self.table.family), elements[packed]

    def _verdict(self, chain: str, text: str, found: tuple[str, Data] | None, branch: _Branch, depth: int) -> _Step:
        if found is None:
            return [branch], [], []
        words, verdict = found
        assert isinstance(verdict, Verdict)
        noted = branch.noting(chain, f"{text} # {words}")
        if not verdict.chain:
            return [], [], [replace(noted, end=Final("drop"))]
        return self._goto(verdict.chain, noted, depth)

    def _choose(self, chain: str, text: str, action: DnatMap, branch: _Branch) -> _Step:
        *start, choice = action.key
        assert isinstance(choice, Choice)
        onward, ended = [], []
        each = replace(branch, weight=branch.weight / choice.count)
        elements, spec = self.table.elements.get(action.map, {}), self.table.sets[action.map]
        for index in range(choice.count):
            key = pack_key(tuple(start), branch.packet) + pack_index(index)
            data = elements.get(key)
            if not isinstance(data, bytes) or not isinstance(spec.data, tuple):
                onward.append(each)
                continue
            address, port = unpack(data, spec.data, self.table.family)
            noted = each.noting(chain, f"{text} # {element_text(key, data, spec, self.table.family)}")
            ended.append(replace(noted, end=Dnat(branch.packet.protocol, str(address), int(port))))
        return [branch] if len(onward) == choice.count else onward, [], ended

    def _match(self, match: Match, packet: Packet) -> Fraction:
        match match:
            case OneIn(count):
                return Fraction(1, count)
            case InSet(key, name, negated):
                hit = self._contains(name, key, packet) != negated
            case InNetwork(side, cidr, negated):
                hit = in_cidr(_side(side, packet), cidr, negated)
            case Incoming(interface, negated):
                hit = on_interface(packet.interface, interface, negated)
            case NewConnection():
                hit = True
            case Translated():
                hit = packet.translated
            case Local(side):
                hit = self.is_local(_side(side, packet))
            case Unmarked(mark):
                hit = not packet.mark & mark
            case _:
                assert_never(match)
        return Fraction(hit)

    def _contains(self, name: str, key: tuple[KeyPart, ...], packet: Packet) -> bool:
        spec = self.table.sets[name]
        if spec.timeout:
            return name in packet.sticky
        packed = pack_key(key, packet)
        elements = self.table.elements.get(name, {})
        if not spec.interval:
            return packed in elements
        half = len(packed)
        return any(element[:half] <= packed <= element[half:] for element in elements)

    def is_local(self, address: str) -> bool:
        return address in self.table.local_addresses or ip_address(address).is_loopback


def _side(side: str, packet: Packet) -> str:
    return packet.source if side == "saddr" else packet.destination


def pack_key(key: tuple[KeyPart, ...], packet: Packet) -> bytes:
    """What a packet looks up, packed as the elements are."""
    parts = {"saddr": pack_address(packet.source), "daddr": pack_address(packet.destination)}
    parts |= {"proto": pack_protocol(packet.protocol), "dport": pack_port(packet.port)}
    return b"".join(parts[part] for part in key if not isinstance(part, Choice))


def _translate(branch: _Branch) -> _Branch:
    if not isinstance(branch.end, Dnat):
        return branch
    to = branch.end
    packet = replace(branch.packet, destination=to.address, port=to.port, translated=True)
    return replace(branch, packet=packet, endpoint=join_address(to.address, to.port), end=None)


def walk(table: Nftables, packet: Packet) -> Answer:
    """What becomes of the first packet of a connection on this node; `table.local_addresses` are the node's."""
    walker = _Walker(table)
    outcomes: list[Outcome] = []
    for branch in walker.hook("prerouting" if packet.interface else "output", [_Branch(packet)]):
        local = walker.is_local(branch.packet.destination)
        outcomes += _deliver(walker, branch, local=local, leaves=not (packet.interface and local))
    return Answer(tuple(outcomes))


def _deliver(walker: _Walker, branch: _Branch, *, local: bool, leaves: bool) -> Iterator[Outcome]:
    """Take a branch, its destination chosen, through the filters and on its way.

    What the node sends to itself leaves through the loopback interface and comes in again.
    """
    results = [branch]
    if branch.packet.interface and not local:
        results = walker.hook("forward", results)
    elif local:
        results = walker.hook("input", results)
    for result in results:
        if isinstance(result.end, Final):
            fate: Fate = "refused" if result.end.action == "reject" else "dropped"
            yield Outcome(result.weight, fate, trail=result.trail)
            continue
        for sent in walker.hook("postrouting", [result]) if leaves else [result]:
            reached: Fate = "endpoint" if sent.endpoint else "passed"
            yield Outcome(sent.weight, reached, sent.endpoint, isinstance(sent.end, Masquerade), sent.trail)
