"""From the rules that are there to the rules that should be: the smallest restore payload. Pure.

Chains in which order matters are rewritten when their text changed. In the shared chains, where the order among
Services has no meaning, single rules are taken out and put in, so that a change of one Service does not rewrite the
rules of all. All of a table's chains of ours change in one transaction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from netsim_proxy import names
from netsim_proxy.iptables import BUILT_IN, TABLES, State
from netsim_proxy.rule import Place

SHARED_CHAINS = frozenset({names.SERVICES, names.EXTERNAL_SERVICES, names.NODE_PORTS, names.PROXY_FIREWALL})
NODE_PORT_JUMP = f"-j {names.NODE_PORTS}"

LIST_BELOW = 300
"""How many rules of a table iptables-nft reads in the time of finding one chain by name, over the square of chains."""

Summary = Mapping[Place, tuple[str, ...] | int]
"""Chains as they are: rules, or, of a Service's chain, only their hash. Memory counts, and equality is what matters."""


@dataclass(frozen=True, slots=True)
class ChainUpdate:
    """What is to be done to one chain, in this order: create or empty, delete rules, insert at the head, append."""

    place: Place
    rewrite: bool = False
    delete: tuple[str, ...] = ()
    insert: tuple[str, ...] = ()
    append: tuple[str, ...] = ()
    remove: bool = False

    @property
    def lines(self) -> int:
        """Number of rules written or deleted."""
        return len(self.delete) + len(self.insert) + len(self.append)


@dataclass(frozen=True, slots=True)
class Update:
    """Chains to change."""

    chains: tuple[ChainUpdate, ...] = field(default=())

    def __bool__(self) -> bool:
        return bool(self.chains)

    @property
    def lines(self) -> int:
        """Number of rules written or deleted."""
        return sum(chain.lines for chain in self.chains)

    @property
    def shared_lines(self) -> int:
        """Number of rules written to or deleted from chains that many Services share."""
        return sum(chain.lines for chain in self.chains if not is_dynamic(chain.place))


def is_dynamic(place: Place) -> bool:
    """Whether a chain carries the name of a Service's or an endpoint's chain."""
    return place[0] == "nat" and place[1].startswith(names.DYNAMIC_PREFIXES)


def summarise(chains: Iterable[tuple[Place, tuple[str, ...]]]) -> Summary:
    """What `diff_chains` needs to know of the chains that are there; of a chain given twice the latter counts."""
    return {place: hash(rules) if is_dynamic(place) else rules for place, rules in chains}


def diff(old: State, new: State) -> Update:
    """What turns the chains `old` into `new`, both complete.

    Chains in `old` alone are removed if they are a Service's; others (foreign ones) are left as they are.
    """
    return Update(tuple(diff_chains(old, new.items())))


def diff_chains(old: Summary, new: Iterable[tuple[Place, tuple[str, ...]]]) -> Iterator[ChainUpdate]:
    """As `diff`, one chain after the other."""
    stale = set(filter(is_dynamic, old))
    for place, rules in new:
        stale.discard(place)
        if change := _chain_change(place, old.get(place), rules):
            yield change
    for place in sorted(stale):
        yield ChainUpdate(place, rewrite=True, remove=True)


def diff_services(old: State, new: State) -> Update:
    """As `diff`, for the rules of some Services only: shared chains hold just what those Services add to them."""
    own = diff(*({place: rules for place, rules in state.items() if is_dynamic(place)} for state in (old, new)))
    shared = [
        change
        for place in dict.fromkeys((*old, *new))
        if not is_dynamic(place) and (change := _by_rule(place, old.get(place, ()), new.get(place, ())))
    ]
    return Update((*own.chains, *shared))


def _chain_change(place: Place, old: Sequence[str] | int | None, new: tuple[str, ...]) -> ChainUpdate | None:
    if isinstance(old, int):
        return None if old == hash(new) else ChainUpdate(place, rewrite=True, append=new)
    if old is None:
        return ChainUpdate(place, rewrite=True, append=new)
    if tuple(old) == new:
        return None
    if place[1] in SHARED_CHAINS and _jumps_last(old):
        change = _by_rule(place, old, new)
        if change is None or change.lines <= len(new) // 10:
            return change
    return ChainUpdate(place, rewrite=True, append=new)


def _jumps_last(rules: Sequence[str]) -> bool:
    """Whether no Service's rule comes after the jump to the NodePorts."""
    jumps = [rule.endswith(NODE_PORT_JUMP) for rule in rules]
    return jumps == sorted(jumps)


def _by_rule(place: Place, old: Iterable[str], new: Iterable[str]) -> ChainUpdate | None:
    before, after = Counter(old), Counter(new)
    delete = tuple((before - after).elements())
    added = tuple((after - before).elements())
    if not delete and not added:
        return None
    insert = tuple(rule for rule in reversed(added) if not rule.endswith(NODE_PORT_JUMP))
    append = tuple(rule for rule in added if rule.endswith(NODE_PORT_JUMP))
    return ChainUpdate(place, delete=delete, insert=insert, append=append)


def missing_hooks(actual: Summary, hooks: Iterable[tuple[Place, str]]) -> Update:
    """The jump rules that are absent, to be put at the head of their chains in the given order."""
    absent: dict[Place, list[str]] = {}
    for place, wanted in hooks:
        rules = actual.get(place, ())
        if isinstance(rules, int) or not any(_same_jump(rule, wanted) for rule in rules):
            absent.setdefault(place, []).append(wanted)
    return Update(tuple(ChainUpdate(place, insert=tuple(rules)) for place, rules in absent.items()))


def _same_jump(rule: str, wanted: str) -> bool:
    """Same target and comment, however this version of iptables prints the matches."""
    return rule.rpartition("-j ")[2] == wanted.rpartition("-j ")[2] and _comment(rule) == _comment(wanted)


def _comment(rule: str) -> str:
    return rule.split('--comment "', 1)[1].split('"', 1)[0] if '--comment "' in rule else ""


class Payload:
    """Input for `iptables-restore --noflush`, gathered chain by chain; `unreadable` are tables it cannot list."""

    def __init__(self, unreadable: Collection[str] = ()) -> None:
        self.lines = 0
        self._unreadable = unreadable
        self._tables = {table: _Table() for table in TABLES}

    def __bool__(self) -> bool:
        return any(each.used for each in self._tables.values())

    def add(self, change: ChainUpdate) -> None:
        """Add what is to be done to one chain."""
        self.lines += change.lines
        table, chain = change.place
        self._tables[table].add(change, built_in=chain in BUILT_IN[table])

    def render(self, rules_there: int = 0) -> bytes:
        """The text; `rules_there` is about how many rules the kernel has, which decides what is quickest."""
        return b"".join(
            each.render(name, rules_there, can_list=name not in self._unreadable)
            for name, each in self._tables.items()
            if each.used
        )


class _Table:
    """Chains are declared first, so that rules may jump to them, and removed last.

    Jumps from the kernel's own chains go before them when they are deleted, and after them when they are inserted.
    """

    def __init__(self) -> None:
        self.used, self._jumps = 0, 0
        self._first, self._chains, self._rules, self._removals, self._last = (bytearray() for _ in range(5))

    def add(self, change: ChainUpdate, *, built_in: bool) -> None:
        name = change.place[1]
        self.used += 1
        # An endpoint's rules name no chain but one that all share; nearly all others' name one each.
        self._jumps += 0 if name.startswith(names.ENDPOINT_PREFIX) else change.lines
        if change.rewrite:
            self._chains += f":{name} - [0:0]\n".encode()
        deleted = "".join(f"-D {name} {rule}\n" for rule in change.delete)
        added = [f"-I {name} {rule}\n" for rule in change.insert] + [f"-A {name} {rule}\n" for rule in change.append]
        (self._first if built_in else self._rules).extend(deleted.encode())
        (self._last if built_in else self._rules).extend("".join(added).encode())
        if change.remove:
            self._removals += f"-X {name}\n".encode()

    def render(self, table: str, rules_there: int, *, can_list: bool) -> bytes:
        """One transaction, or three when there is much: finding chains by name takes iptables-nft 1.8.9 time quadratic
        in the number of those that lines speak of, also of those that they jump to, but for `-S` it reads all of them
        at once (and prints them, which nobody reads). Not with the kernel's own chains, which it then does not create.
        """
        ours, named = (self._chains, self._rules, self._removals), max(self.used, self._jumps)
        if not can_list or named * named < LIST_BELOW * max(rules_there, 1000):
            return _transaction(table, self._first, *ours, self._last)
        parts = [_transaction(table, b"-S\n", *ours)]
        parts[:0] = [_transaction(table, self._first)] if self._first else []
        parts += [_transaction(table, self._last)] if self._last else []
        return b"".join(parts)


def _transaction(table: str, *lines: bytes | bytearray) -> bytes:
    return b"".join((b"*", table.encode(), b"\n", *lines, b"COMMIT\n"))


def render_update(update: Update, rules_there: int = 0) -> bytes:
    """Input for `iptables-restore --noflush` that makes an update; see `Payload.render`."""
    payload = Payload()
    for change in update.chains:
        payload.add(change)
    return payload.render(rules_there)
