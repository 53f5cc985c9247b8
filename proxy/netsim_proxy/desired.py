"""The desired rules of one family, kept as text and recompiled Service by Service. No input or output."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from netsim_proxy import names
from netsim_proxy.config import Family, ProxyConfig
from netsim_proxy.conntrack import PortKey, UdpPort, udp_port
from netsim_proxy.context import Context, make_context
from netsim_proxy.endpoints import endpoints_of
from netsim_proxy.iptables import State, render_chains, render_rule
from netsim_proxy.model import Node, ServicePort, Slice
from netsim_proxy.rule import Place
from netsim_proxy.service_rules import compile_port
from netsim_proxy.skeleton import fixed_chains, hook_rules, node_port_jumps


@dataclass(frozen=True, slots=True)
class Input:
    """All that is known of one Service in one family; without ports it is gone."""

    ports: tuple[ServicePort, ...] = ()
    slices: tuple[Slice, ...] = ()


@dataclass(frozen=True, slots=True)
class Compiled:
    """Text of one Service's rules, its UDP ports, and how many endpoints its ports have."""

    own: State
    shared: State
    udp: Mapping[PortKey, UdpPort]
    endpoints: int


_NOTHING = Compiled({}, {}, {}, 0)


@dataclass(frozen=True, slots=True)
class Step:
    """What a recompilation changed, for the changed Services alone; `whole` when all of it has to be compared."""

    old: State
    new: State
    old_udp: Mapping[PortKey, UdpPort]
    new_udp: Mapping[PortKey, UdpPort]
    whole: bool


class Desired:
    """Holds inputs and compiled text of one family; owned by one thread at a time."""

    def __init__(self, config: ProxyConfig, family: Family) -> None:
        self.config = config
        self.family = family
        self.hooks = [(place, render_rule(rule, family)) for place, rule in hook_rules()]
        self._inputs: dict[str, Input] = {}
        self._compiled: dict[str, Compiled] = {}
        self._endpoints = 0
        self._context: Context | None = None
        self._fixed: State = {}

    def advance(self, changes: Mapping[str, Input], node: Node, local_addresses: Iterable[str]) -> Step:
        """Take in changed Services ("ns/name" -> Input), the node and the machine's addresses, and recompile."""
        for key, given in changes.items():
            if given.ports:
                self._inputs[key] = given
            else:
                self._inputs.pop(key, None)
        old_fixed, self._fixed = self._fixed, self._compile_fixed(tuple(local_addresses))
        stale = set(changes)
        count = self._endpoints + sum(_count(self._inputs.get(key)) - self._old(key).endpoints for key in stale)
        context = make_context(self.config, node, self.family, count)
        whole = context != self._context or old_fixed != self._fixed
        if context != self._context:
            stale |= self._inputs.keys()
        self._context, self._endpoints = context, count
        return self._recompile(stale, context, whole)

    def _old(self, key: str) -> Compiled:
        return self._compiled.get(key, _NOTHING)

    def _recompile(self, keys: Iterable[str], context: Context, whole: bool) -> Step:
        old, new = [], []
        for key in keys:
            old.append(self._old(key))
            compiled = _compile(self._inputs[key], context) if key in self._inputs else _NOTHING
            new.append(compiled)
            if key in self._inputs:
                self._compiled[key] = compiled
            else:
                self._compiled.pop(key, None)
        if whole:
            return Step({}, {}, _merge_udp(old), _merge_udp(new), True)
        return Step(_merge(old), _merge(new), _merge_udp(old), _merge_udp(new), False)

    def _compile_fixed(self, local_addresses: tuple[str, ...]) -> State:
        chains = render_chains(fixed_chains(self.config, self.family), self.family)
        jumps = node_port_jumps(self.config, self.family, local_addresses)
        chains["nat", names.SERVICES] = tuple(render_rule(rule, self.family) for rule in jumps)
        return chains

    def state(self) -> State:
        """The complete text of all our chains."""
        everything = _merge(self._compiled.values())
        for place, rules in self._fixed.items():
            everything[place] = (*everything.get(place, ()), *rules)
        return everything


def _count(given: Input | None) -> int:
    """Endpoints over all ports of a Service, before any filtering."""
    if given is None:
        return 0
    return sum(
        len(part.endpoints)
        for port in given.ports
        for part in given.slices
        for name, protocol, _ in part.ports
        if (name, protocol) == (port.port_name, port.protocol)
    )


def _compile(given: Input, context: Context) -> Compiled:
    own: State = {}
    shared: dict[Place, tuple[str, ...]] = {}
    udp: dict[PortKey, UdpPort] = {}
    for port in given.ports:
        endpoints = endpoints_of(given.slices, port.port_name, port.protocol, context.node_name)
        rules = compile_port(port, endpoints, context)
        own.update(render_chains({("nat", chain): text for chain, text in rules.own.items()}, context.family))
        for place, text in render_chains(rules.shared, context.family).items():
            shared[place] = (*shared.get(place, ()), *text)
        if port.protocol == "UDP":
            udp[port.name, port.protocol] = udp_port(port, endpoints)
    return Compiled(own, shared, udp, _count(given))


def _merge(parts: Iterable[Compiled]) -> State:
    merged: State = {}
    collected: dict[Place, list[str]] = {}
    for part in parts:
        merged.update(part.own)
        for place, rules in part.shared.items():
            collected.setdefault(place, []).extend(rules)
    merged.update({place: tuple(rules) for place, rules in collected.items()})
    return merged


def _merge_udp(parts: Iterable[Compiled]) -> dict[PortKey, UdpPort]:
    return {key: port for part in parts for key, port in part.udp.items()}
