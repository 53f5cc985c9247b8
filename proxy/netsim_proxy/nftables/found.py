"""The kernel's table beside what one Service should have there. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from netsim_proxy.model import ServicePort
from netsim_proxy.nftables import names
from netsim_proxy.nftables.dump import Count, count_rules, recognise_chains
from netsim_proxy.nftables.language import (
    TABLE,
    Data,
    Elements,
    Nftables,
    SetSpec,
    Verdict,
    key_length,
    pack_address,
    pack_port,
    pack_protocol,
)
from netsim_proxy.nftables.skeleton import find_spec
from netsim_proxy.nftables.text import element_text


@dataclass(frozen=True, slots=True)
class Found:
    """What was read of the table: attributes of chains and rules, and the elements with their counts."""

    chains: Sequence[bytes] = ()
    rules: Sequence[bytes] = ()
    elements: Elements = field(default_factory=dict)
    counts: Mapping[str, Mapping[bytes, Count]] = field(default_factory=dict)
    dormant: bool = False

    def has(self, name: str, key: bytes, data: Data) -> bool:
        """Whether an element is there. Comments do not matter."""
        there = self.elements.get(name, {})
        return key in there and _bare(there[key]) == _bare(data)

    def sets_with(self, table: Nftables, address: str) -> frozenset[str]:
        """The sets filled by packets that have an address: the endpoints to which that client keeps."""
        key = pack_address(address)
        kept = (name for name, spec in table.sets.items() if spec.timeout)
        return frozenset(name for name in kept if key in self.elements.get(name, {}))


def _bare(data: Data) -> Data:
    return Verdict(data.chain) if isinstance(data, Verdict) else data


def strange_elements(found: Found, table: Nftables, port: ServicePort) -> Iterator[str]:
    """Elements for the port's addresses that it should not have, as `nft` prints them, with the set they are in."""
    numbers = pack_protocol(port.protocol)
    addresses = (port.cluster_ip, *port.vips, *port.external_ips)
    places = tuple(pack_address(address) + numbers + pack_port(port.port) for address in addresses)
    node_port = numbers + pack_port(port.node_port)
    for name, elements in found.elements.items():
        spec, wanted = find_spec(name), table.elements.get(name, {})
        if spec is None or "port" not in spec.key or (spec.key[0] == "proto" and not port.node_port):
            continue
        ours = places if spec.key[0] == "addr" else (node_port,)
        for key, data in elements.items():
            same = key in wanted and _bare(wanted[key]) == _bare(data)
            if key.startswith(ours) and not same and _fits(key, data, spec, table):
                yield f"{name} {{ {element_text(key, data, spec, table.family)} }}"


def _fits(key: bytes, data: Data, spec: SetSpec, table: Nftables) -> bool:
    """Whether an element is of the set's types: somebody may have made a set of that name with others."""
    right = len(key) == key_length(spec.key, table.family) * (2 if spec.interval else 1)
    if isinstance(spec.data, tuple):
        return right and isinstance(data, bytes) and len(data) == key_length(spec.data, table.family)
    return right and isinstance(data, Verdict if spec.data else type(None))


def broken_parts(found: Found, table: Nftables, shared: Nftables) -> Iterator[str]:
    """What all Services need and is not as it should be. Of the chains that choose, the rules of this Service only."""
    if found.dormant:
        yield f"table {TABLE} (it is switched off: dormant)"
    chains = recognise_chains(found.chains, found.rules, shared, table.family)
    for name, wanted in shared.chains.items():
        if name not in chains:
            yield f"chain {name} (it is gone)"
        elif name in names.CHOOSE.values():
            there, _ = count_rules(name, table.chains[name], found.rules, table.family)
            if not all(is_there for is_there, _ in there):
                yield f"chain {name} (a rule is gone)"
        elif chains[name] != wanted:
            yield f"chain {name}"
