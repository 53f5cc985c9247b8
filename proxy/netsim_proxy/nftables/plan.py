"""The step from one table to another, as the smallest transaction. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from netsim_proxy.nftables.language import (
    Chain,
    Data,
    DnatMap,
    Elements,
    InSet,
    Nftables,
    Remember,
    Rule,
    SetSpec,
    VerdictMap,
)

_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Transaction:
    """What is sent to the kernel at once, in this order; either all of it holds afterwards or nothing.

    `rebuild`: delete the whole table first. `flush`: chains that lose all their rules. `create_table`: also
    switches on one that exists.
    `rules` are the chains that get rules (they have none at that point).
    """

    rebuild: bool = False
    delete_elements: Mapping[str, Collection[bytes]] = field(default_factory=dict)
    flush: tuple[str, ...] = ()
    delete_sets: tuple[str, ...] = ()
    delete_chains: tuple[str, ...] = ()
    create_table: bool = False
    create_sets: Mapping[str, SetSpec] = field(default_factory=dict)
    create_chains: Mapping[str, Chain] = field(default_factory=dict)
    add_elements: Elements = field(default_factory=dict)
    rules: Mapping[str, Chain] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Sets, rules and elements written or deleted."""
        elements = (*self.delete_elements.values(), *self.add_elements.values())
        objects = (self.flush, self.delete_chains, self.delete_sets, self.create_sets, self.create_chains)
        rules = (chain.rules for chain in self.rules.values())
        return self.rebuild + self.create_table + sum(map(len, (*elements, *objects, *rules)))

    def __bool__(self) -> bool:
        return self.size > 0


def plan_transaction(current: Nftables | None, desired: Nftables) -> Transaction:
    """What makes `current` (None: no table) into `desired`. Both may be the same part of their tables.

    Sets cannot be changed, only made anew, and with them the rules that refer to them. Base chains neither: where one
    of those differs, the whole table is made anew, in the same transaction.
    """
    if current is None or _rehooked(current, desired):
        made = plan_transaction(Nftables(desired.family), desired)
        return replace(made, create_table=True, rebuild=current is not None)
    renewed = {name for name, spec in current.sets.items() if desired.sets.get(name, spec) != spec}
    gone = [name for name in current.chains if name not in desired.chains]
    fresh = {name: chain for name, chain in desired.chains.items() if name not in current.chains}
    changed = [
        name
        for name, chain in current.chains.items()
        if name in desired.chains and (desired.chains[name] != chain or _refers(chain, renewed))
    ]
    return Transaction(
        delete_elements=_removed(current, desired, renewed),
        flush=tuple(name for name in (*changed, *gone) if current.chains[name].rules),
        delete_sets=tuple(name for name in current.sets if name in renewed or name not in desired.sets),
        delete_chains=tuple(gone),
        create_table=current.dormant,
        create_sets={n: spec for n, spec in desired.sets.items() if n in renewed or n not in current.sets},
        create_chains=fresh,
        add_elements=_added(current, desired, renewed),
        rules={**{name: desired.chains[name] for name in changed}, **fresh},
    )


def _rehooked(current: Nftables, desired: Nftables) -> bool:
    return any(
        name in desired.chains and chain.hook != desired.chains[name].hook for name, chain in current.chains.items()
    )


def _refers(chain: Chain, sets: Collection[str]) -> bool:
    """Whether a rule of the chain names one of the sets."""
    return bool(sets) and any(not sets_of(rule).isdisjoint(sets) for rule in chain.rules)


def sets_of(rule: Rule) -> set[str]:
    """The sets and maps that a rule names."""
    found = {match.set for match in rule.matches if isinstance(match, InSet)}
    match rule.action:
        case VerdictMap(_, name) | DnatMap(_, name) | Remember(name):
            found.add(name)
    return found


def _removed(current: Nftables, desired: Nftables, renewed: Collection[str]) -> dict[str, list[bytes]]:
    """Keys that are gone or have other data, of sets that stay."""
    removed = {}
    for name, have in current.elements.items():
        if name in renewed or (name in current.sets and name not in desired.sets):
            continue
        want: Mapping[bytes, Data] = desired.elements.get(name, {})
        keys = [key for key, data in have.items() if want.get(key, _ABSENT) != data]
        if keys:
            removed[name] = keys
    return removed


def _added(current: Nftables, desired: Nftables, renewed: Collection[str]) -> dict[str, Mapping[bytes, Data]]:
    added: dict[str, Mapping[bytes, Data]] = {}
    for name, want in desired.elements.items():
        have: Mapping[bytes, Data] = current.elements.get(name, {}) if name not in renewed else {}
        items = {key: data for key, data in want.items() if have.get(key, _ABSENT) != data} if have else want
        if items:
            added[name] = items
    return added
