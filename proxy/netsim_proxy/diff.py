"""From the rules that are there to the rules that should be: the smallest restore payload. Pure.

Chains in which order matters are rewritten when their text changed. In the shared chains, where the order among
Services has no meaning, single rules are taken out and put in, so that a change of one Service does not rewrite the
rules of all. Chains are written leaves first and jumps last, and removed at the end: at no instant does a rule lead to
a missing or unfinished chain, even though a large payload is committed in several parts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from netsim_proxy import names
from netsim_proxy.iptables import TABLES, State
from netsim_proxy.rule import Place

SHARED_CHAINS = frozenset({names.SERVICES, names.EXTERNAL_SERVICES, names.NODE_PORTS, names.PROXY_FIREWALL})
NODE_PORT_JUMP = f"-j {names.NODE_PORTS}"

CHAINS_PER_PART = 200
"""iptables-nft 1.8.9 without flushing takes time quadratic in the chains of one transaction, and reads all chains at
the start of each: this many is best, or near it, from 1,000 to 5,000 Services."""


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
    """Chains to change, in the order of writing."""

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


_LEAVES_FIRST = (
    (names.MARK_MASQ,),
    (names.ENDPOINT_PREFIX,),
    (names.CLUSTER_PREFIX, names.LOCAL_PREFIX),
    (names.EXTERNAL_PREFIX,),
    (names.FIREWALL_PREFIX,),
    (names.NODE_PORTS,),
    ("KUBE-",),
)


def _rank(update: ChainUpdate) -> int:
    """Leaves before those that jump to them; removals at the end, the other way round."""
    last = len(_LEAVES_FIRST)
    rank = next((rank for rank, prefix in enumerate(_LEAVES_FIRST) if update.place[1].startswith(prefix)), last)
    return 2 * last + 1 - rank if update.remove else rank


def is_dynamic(place: Place) -> bool:
    """Whether a chain carries the name of a Service's or an endpoint's chain."""
    return place[0] == "nat" and place[1].startswith(names.DYNAMIC_PREFIXES)


def diff(old: State, new: State) -> Update:
    """What turns the chains `old` into `new`, both complete.

    Chains in `old` alone are removed if they are a Service's; others (foreign ones) are left as they are.
    """
    found = [change for place, rules in new.items() if (change := _chain_change(place, old.get(place), rules))]
    stale = [ChainUpdate(place, rewrite=True, remove=True) for place in old if place not in new and is_dynamic(place)]
    return Update(tuple(sorted((*found, *stale), key=_rank)))


def diff_services(old: State, new: State) -> Update:
    """As `diff`, for the rules of some Services only: shared chains hold just what those Services add to them."""
    own = diff(*({place: rules for place, rules in state.items() if is_dynamic(place)} for state in (old, new)))
    shared = [
        change
        for place in dict.fromkeys((*old, *new))
        if not is_dynamic(place) and (change := _by_rule(place, old.get(place, ()), new.get(place, ())))
    ]
    return Update(tuple(sorted((*own.chains, *shared), key=_rank)))


def _chain_change(place: Place, old: Sequence[str] | None, new: tuple[str, ...]) -> ChainUpdate | None:
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


def missing_hooks(actual: State, hooks: Iterable[tuple[Place, str]]) -> Update:
    """The jump rules that are absent, to be put at the head of their chains in the given order."""
    absent: dict[Place, list[str]] = {}
    for place, wanted in hooks:
        if not any(_same_jump(rule, wanted) for rule in actual.get(place, ())):
            absent.setdefault(place, []).append(wanted)
    return Update(tuple(ChainUpdate(place, insert=tuple(rules)) for place, rules in absent.items()))


def _same_jump(rule: str, wanted: str) -> bool:
    """Same target and comment, however this version of iptables prints the matches."""
    return rule.rpartition("-j ")[2] == wanted.rpartition("-j ")[2] and _comment(rule) == _comment(wanted)


def _comment(rule: str) -> str:
    return rule.split('--comment "', 1)[1].split('"', 1)[0] if '--comment "' in rule else ""


def join_updates(*updates: Update) -> Update:
    """Several updates as one, in the order of writing."""
    return Update(tuple(sorted((chain for update in updates for chain in update.chains), key=_rank)))


def render_update(update: Update, chains_per_part: int = CHAINS_PER_PART) -> bytes:
    """Payload for `iptables-restore --noflush`; 0 chains per part puts all into one transaction for each table."""
    text: list[str] = []
    for table in TABLES:
        chains = [chain for chain in update.chains if chain.place[0] == table]
        step = chains_per_part or len(chains)
        for start in range(0, len(chains), step or 1):
            text += _render_part(table, chains[start : start + step])
    return "".join(f"{line}\n" for line in text).encode()


def _render_part(table: str, chains: Sequence[ChainUpdate]) -> Iterator[str]:
    yield f"*{table}"
    for chain in chains:
        if chain.rewrite:
            yield f":{chain.place[1]} - [0:0]"
    for chain in chains:
        name = chain.place[1]
        yield from (f"-D {name} {rule}" for rule in chain.delete)
        yield from (f"-I {name} {rule}" for rule in chain.insert)
        yield from (f"-A {name} {rule}" for rule in chain.append)
    for chain in chains:
        if chain.remove:
            yield f"-X {chain.place[1]}"
    yield "COMMIT"
