"""The desired rules of one family, compiled to text Service by Service. No input or output.

Only what the rules are made from is kept, and the text of what changed last: that of 10,000 Services with ten endpoints
each takes 100 MB.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from netsim_proxy import names
from netsim_proxy.config import Family, ProxyConfig
from netsim_proxy.conntrack import PortKey, UdpPort, udp_port
from netsim_proxy.context import Context, make_context, with_primary_addresses
from netsim_proxy.endpoints import endpoints_of
from netsim_proxy.iptables import State, render_chains, render_rule
from netsim_proxy.model import Node, ServicePort, Slice
from netsim_proxy.rule import Place
from netsim_proxy.service_rules import compile_port
from netsim_proxy.skeleton import fixed_chains, hook_rules, node_port_jumps

FEW = 16
"""Services whose text is kept until the next change: what changed last is likely to change again."""


@dataclass(frozen=True, slots=True)
class Input:
    """All that is known of one Service in one family; without ports it is gone."""

    ports: tuple[ServicePort, ...] = ()
    slices: tuple[Slice, ...] = ()


@dataclass(frozen=True, slots=True)
class Compiled:
    """Text of one Service's rules: chains of its own, and what it adds to shared ones."""

    own: State
    shared: State


@dataclass(frozen=True, slots=True)
class Step:
    """What a change of inputs changed, for the changed Services alone; `whole` when all rules have to be compared."""

    old: State
    new: State
    old_udp: Mapping[PortKey, UdpPort]
    new_udp: Mapping[PortKey, UdpPort]
    whole: bool


class Desired:
    """Holds the inputs of one family; owned by one thread at a time."""

    def __init__(self, config: ProxyConfig, family: Family) -> None:
        self.config = config
        self.family = family
        self.hooks = [(place, render_rule(rule, family)) for place, rule in hook_rules()]
        self._inputs: dict[str, Input] = {}
        self._recent: dict[str, Compiled] = {}
        self._endpoints = 0
        self._context: Context | None = None
        self._machine: tuple[tuple[str, ...], tuple[str, ...]] | None = None
        """Where NodePorts may answer, and the machine's addresses, that `_fixed` is compiled for."""
        self._fixed: State = {}

    def advance(
        self, changes: Mapping[str, Input], node: Node, local_addresses: Iterable[str], *, check: bool = False
    ) -> Step:
        """Take in changed Services ("ns/name" -> Input), the node and the machine's addresses. That endpoints are so
        many, or so few again, counts from a `check` on, which compares all rules anyway: it changes but comments."""
        before = {key: self._inputs[key] for key in changes if key in self._inputs}
        after = {key: given for key, given in changes.items() if given.ports}
        for key in changes:
            self._inputs.pop(key, None)
        self._inputs.update(after)
        self._endpoints += sum(map(_count, after.values())) - sum(map(_count, before.values()))
        context = make_context(self.config, node, self.family, self._endpoints)
        if self._context is not None and not check:
            context = replace(context, endpoint_comments=self._context.endpoint_comments)
        config, local = with_primary_addresses(self.config, node), tuple(local_addresses)
        machine = config.nodeport_addresses, local
        fixed = self._fixed if machine == self._machine else self._compile_fixed(config, local)
        whole = (context, fixed) != (self._context, self._fixed)
        self._context, self._machine, self._fixed = context, machine, fixed
        udp = udp_ports(before.values(), context), udp_ports(after.values(), context)
        if whole:
            self._recent = {}
            return Step({}, {}, *udp, True)
        recent = self._recent
        old = {key: recent.get(key) or _compile(given, context) for key, given in before.items()}
        same = {key for key in old if key in after and after[key].ports == before[key].ports}
        made = {key: _compile(given, context, old[key].own if key in same else {}) for key, given in after.items()}
        if changes:
            self._recent = made if len(made) <= FEW else {}
        return Step(_merge(old.values()), _merge(made.values()), *udp, False)

    def _compile_fixed(self, config: ProxyConfig, local_addresses: tuple[str, ...]) -> State:
        chains = render_chains(fixed_chains(config, self.family), self.family)
        jumps = node_port_jumps(config, self.family, local_addresses)
        chains["nat", names.SERVICES] = tuple(render_rule(rule, self.family) for rule in jumps)
        return chains

    def chains(self) -> Iterator[tuple[Place, tuple[str, ...]]]:
        """The complete text of all our chains, made chain by chain; those that Services share come last."""
        shared: dict[Place, list[str]] = {}
        if self._context is None:
            return
        for given in self._inputs.values():
            compiled = _compile(given, self._context)
            yield from compiled.own.items()
            for place, rules in compiled.shared.items():
                shared.setdefault(place, []).extend(rules)
        for place, fixed in self._fixed.items():
            yield place, (*shared.get(place, ()), *fixed)

    def state(self) -> State:
        """The complete text of all our chains."""
        return dict(self.chains())


def _count(given: Input) -> int:
    """Endpoints over all ports of a Service, each once, before any filtering."""
    return sum(
        len(
            {
                (endpoint.address, number)
                for part in given.slices
                for name, protocol, number in part.ports
                if (name, protocol) == (port.port_name, port.protocol)
                for endpoint in part.endpoints
            }
        )
        for port in given.ports
    )


def udp_ports(inputs: Iterable[Input], context: Context) -> dict[PortKey, UdpPort]:
    """The UDP ports of Services, by name and protocol."""
    return {
        (port.name, port.protocol): udp_port(
            port, endpoints_of(given.slices, port.port_name, port.protocol, context.node_name)
        )
        for given in inputs
        for port in given.ports
        if port.protocol == "UDP"
    }


def _compile(given: Input, context: Context, known: Mapping[Place, tuple[str, ...]] = MappingProxyType({})) -> Compiled:
    """The text of a Service's rules; `known` is what its ports had in the same context, with whatever endpoints. Most
    stay when some of a thousand go, and to make their chains anew was more than half of what a sync takes."""
    own: State = {}
    shared: dict[Place, tuple[str, ...]] = {}
    for port in given.ports:
        endpoints = endpoints_of(given.slices, port.port_name, port.protocol, context.node_name)
        rules = compile_port(port, endpoints, context, known)
        own.update((place, known[place]) for place in rules.kept)
        own.update(render_chains({("nat", chain): text for chain, text in rules.own.items()}, context.family))
        for place, text in render_chains(rules.shared, context.family).items():
            shared[place] = (*shared.get(place, ()), *text)
    return Compiled(own, shared)


def _merge(parts: Iterable[Compiled]) -> State:
    merged: State = {}
    collected: dict[Place, list[str]] = {}
    for compiled in parts:
        merged.update(compiled.own)
        for place, rules in compiled.shared.items():
            collected.setdefault(place, []).extend(rules)
    merged.update({place: tuple(rules) for place, rules in collected.items()})
    return merged
