"""How many rules each table has, kept by difference: nothing is compiled to count it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from netsim_proxy.iptables import State
from netsim_proxy.rule import Place


class RuleCounts:
    """Rules of the proxy's own chains; the jumps to them are not counted, as kube-proxy does not."""

    def __init__(self) -> None:
        self.total: Counter[str] = Counter()

    def recount(self, chains: Iterable[tuple[Place, tuple[str, ...]]]) -> Iterator[tuple[Place, tuple[str, ...]]]:
        """Pass all chains on, and count them on the way."""
        self.total.clear()
        for place, rules in chains:
            if rules:  # table mangle has only an empty chain, which kube-proxy's metrics do not tell of
                self.total[place[0]] += len(rules)
            yield place, rules

    def shift(self, old: State, new: State) -> None:
        """Some Services' rules were `old` and are `new`."""
        for (table, _), rules in old.items():
            self.total[table] -= len(rules)
        for (table, _), rules in new.items():
            self.total[table] += len(rules)
