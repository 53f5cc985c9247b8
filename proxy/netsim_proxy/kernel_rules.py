"""What iptables says is in the kernel. Blocking, in the network namespace of its caller."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from netsim.host import firewall
from netsim_proxy.config import Family
from netsim_proxy.diff import Summary, summarise
from netsim_proxy.iptables import read_save
from netsim_proxy.rule import Place

_UNREADABLE = re.compile(r"# Table `(\w+)' is incompatible")


@dataclass(frozen=True, slots=True)
class KernelRules:
    """The chains of all tables. `unreadable` tables have rules that only `nft` can show: of those tables nothing is
    known but which of the jumps asked for are there."""

    chains: Summary
    unreadable: frozenset[str]


def read_rules(family: Family, hooks: Iterable[tuple[Place, str]]) -> KernelRules:
    """The rules of a family, and the jumps `hooks` if they are there. Raises CommandFailed, CommandMissing."""
    unreadable: set[str] = set()
    chains = dict(summarise(read_save(_note_unreadable(firewall.save_lines(family), unreadable))))
    for (table, chain), rule in hooks:
        if table in unreadable and firewall.run_iptables(["-t", table, "-C", chain, *shlex.split(rule)], family) == 0:
            known = chains.get((table, chain), ())
            chains[table, chain] = (*(known if isinstance(known, tuple) else ()), rule)
    return KernelRules(chains, frozenset(unreadable))


def _note_unreadable(lines: Iterable[str], tables: set[str]) -> Iterator[str]:
    for line in lines:
        if line.startswith("# Table") and (found := _UNREADABLE.match(line)):
            tables.add(found[1])
        yield line
