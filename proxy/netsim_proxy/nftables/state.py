"""The desired table of one family, recompiled Service by Service. No input or output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from netsim_proxy.config import Family, ProxyConfig
from netsim_proxy.conntrack import PortKey, UdpPort
from netsim_proxy.context import Context, make_context
from netsim_proxy.desired import Input, udp_ports
from netsim_proxy.model import Node
from netsim_proxy.nftables.language import Chain, Data, Nftables, SetSpec
from netsim_proxy.nftables.policies import EndpointMap, choice_chains, endpoint_map, map_name, parse_map_name
from netsim_proxy.nftables.services import Compiled, Destination, Place, compile_service, expand
from netsim_proxy.nftables.skeleton import fixed_part

MOST_COUNTED = 5_000
"""Elements of maps up to which each counts. With a counter the kernel needs 6 to 9 µs longer to make one, which would
double the time of large loads."""

NOTHING = Compiled()
_Parts = dict[str, dict[bytes, Data]]


@dataclass(frozen=True, slots=True)
class Step:
    """What a recompilation changed: the parts of the table it touched, before and after.

    `whole` when everything has to be compared; then `old` and `new` are empty.
    """

    old: Nftables
    new: Nftables
    old_udp: Mapping[PortKey, UdpPort]
    new_udp: Mapping[PortKey, UdpPort]
    whole: bool


class Desired:
    """Holds what the Services of one family compile to; owned by one thread at a time."""

    def __init__(self, config: ProxyConfig, family: Family) -> None:
        self._config, self._family = config, family
        self._context: Context | None = None
        self._fixed = Nftables(family)
        self._machine: tuple[Node, tuple[str, ...]] | None = None
        self._inputs: dict[str, Input] = {}
        self._compiled: dict[str, Compiled] = {}
        self._claims: dict[Place, dict[str, Destination]] = {}
        self._shared: Counter[tuple[str, bytes]] = Counter()
        self._maps: dict[EndpointMap, None] = {}
        """In the order of their rules. One that is not needed any more stays until everything is compared."""
        self._counted = True
        """Whether maps count; decided when everything is compared."""

    def advance(self, changes: Mapping[str, Input], node: Node, local_addresses: Iterable[str]) -> Step:
        """Take in changed Services ("ns/name" -> Input), the node and the machine's addresses, and recompile.

        Raises ValueError, with all as it was but for the inputs of the Services given, if one cannot be compiled.
        """
        context = make_context(self._config, node, self._family, 0)
        local = tuple(local_addresses)
        whole = (node, local) != self._machine
        given = {**self._inputs, **changes} if context != self._context else changes
        compiled = {key: compile_service(each, context) if each.ports else NOTHING for key, each in given.items()}
        old_udp = udp_ports((self._inputs[key] for key in changes if key in self._inputs), context)
        if whole:
            self._machine, self._fixed = (node, local), fixed_part(self._config, node, self._family, local)
        self._context = context
        old, new = self._replace(compiled, whole)
        self._inputs.update({key: each for key, each in changes.items() if each.ports})
        for key in [key for key, each in changes.items() if not each.ports]:
            self._inputs.pop(key, None)
        return Step(old, new, old_udp, udp_ports(changes.values(), context), whole)

    def _replace(self, compiled: Mapping[str, Compiled], whole: bool) -> tuple[Nftables, Nftables]:
        """Swap what the given Services want; the touched parts before and after, empty if `whole`."""
        before = [self._compiled.get(key, NOTHING) for key in compiled]
        if whole:
            self._swap(compiled)
            return Nftables(self._family), Nftables(self._family)
        parts = (*before, *compiled.values())
        places = list(dict.fromkeys(place for part in parts for place in part.destinations))
        shared = list(dict.fromkeys(element for part in parts for element in part.shared))
        old = self._part(before, self._elements(places, shared))
        self._swap(compiled)
        elements = self._elements(places, shared)
        new = self._part(compiled.values(), elements)
        fresh = {key: None for key in map(parse_map_name, elements) if key is not None and key not in self._maps}
        if not fresh:
            return old, new
        choices = {**self._maps, **fresh}
        sets = self._counting({map_name(*key): endpoint_map(*key) for key in fresh})
        old = replace(old, chains={**old.chains, **choice_chains(self._maps)})
        new = replace(new, sets={**new.sets, **sets}, chains={**new.chains, **choice_chains(choices)})
        self._maps = choices
        return old, new

    def _swap(self, compiled: Mapping[str, Compiled]) -> None:
        """Take back what the Services wanted, and note what they want now."""
        for key, wanted in compiled.items():
            past = self._compiled.pop(key, NOTHING)
            for place in past.destinations:
                claims = self._claims[place]
                del claims[key]
                if not claims:
                    del self._claims[place]
            for element in past.shared:
                self._shared[element] -= 1
                if not self._shared[element]:
                    del self._shared[element]
            if wanted is not NOTHING:
                self._compiled[key] = wanted
                for place, destination in wanted.destinations.items():
                    self._claims.setdefault(place, {})[key] = destination
                self._shared.update(wanted.shared)

    def _elements(self, places: Iterable[Place], shared: Iterable[tuple[str, bytes]]) -> _Parts:
        elements: _Parts = {}
        for place in places:
            if place in self._claims:
                for name, key, data in expand(place, _winner(self._claims[place])):
                    elements.setdefault(name, {})[key] = data
        for name, key in shared:
            if (name, key) in self._shared:
                elements.setdefault(name, {})[key] = None
        return elements

    def _part(self, services: Iterable[Compiled], elements: _Parts) -> Nftables:
        sets: dict[str, SetSpec] = {}
        chains: dict[str, Chain] = {}
        for service in services:
            sets.update(service.sets)
            chains.update(service.chains)
        return Nftables(self._family, sets, chains, elements)

    def _counting(self, sets: Mapping[str, SetSpec]) -> dict[str, SetSpec]:
        """The same, with maps that count if they are not too large for it."""
        return {name: replace(spec, counted=self._counted and bool(spec.data)) for name, spec in sets.items()}

    def value(self) -> Nftables:
        """The complete table, with a map for each number of endpoints that there is, in order."""
        elements = self._elements(self._claims, self._shared)
        self._maps = dict.fromkeys(sorted(key for key in map(parse_map_name, elements) if key is not None))
        part = self._part(self._compiled.values(), elements)
        maps = {map_name(*key): endpoint_map(*key) for key in self._maps}
        sets = {**self._fixed.sets, **maps, **part.sets}
        self._counted = sum(len(elements.get(name, ())) for name, spec in sets.items() if spec.data) <= MOST_COUNTED
        return Nftables(
            self._family,
            self._counting(sets),
            {**self._fixed.chains, **choice_chains(self._maps), **part.chains},
            {**self._fixed.elements, **part.elements},
            self._fixed.local_addresses,
        )


def _winner(claims: Mapping[str, Destination]) -> Destination:
    """Of Services that want the same destination, the first by name has it."""
    return claims[min(claims)] if len(claims) > 1 else next(iter(claims.values()))


def compile_nftables(
    services: Mapping[str, Input], node: Node, config: ProxyConfig, local_addresses: Iterable[str], family: Family = 4
) -> Nftables:
    """The table that Services ("ns/name" -> ports and slices of one family) should have on this node."""
    desired = Desired(config, family)
    desired.advance(services, node, tuple(local_addresses))
    return desired.value()
