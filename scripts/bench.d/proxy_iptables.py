"""The service proxy's iptables mode: a changed endpoint, full syncs, memory.

Beside it, in namespaces of their own: `iptables-restore` that rewrites the shared chains, as kube-proxy's partial sync
does, and one that flushes the tables and loads the whole text.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial

from proxy_load import NODE, POD_CIDR, Feed, Row, alternate, cost_of, memory, namespace

from netsim.host import firewall, netns
from netsim.host.exec import run
from netsim_proxy.config import ProxyConfig
from netsim_proxy.iptables import State
from netsim_proxy.programmer import Programmer

_CONFIG = ProxyConfig(NODE.name, cluster_cidr=(POD_CIDR,))
_FOREIGN = "*nat\n:MINE - [0:0]\n-A POSTROUTING -s 10.9.0.0/16 -j MINE\n[7:420] -A MINE -j RETURN\nCOMMIT\n"
_REWRITTEN = ("KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-POSTROUTING", "KUBE-MARK-MASQ")
_GOALS = {1000: 0.3, 10000: 0.15}
_CHANGED = 7


def _tables(state: State, tables: dict[str, list[str]]) -> bytes:
    """Restore text that empties and fills the given chains."""
    lines = []
    for table, chains in tables.items():
        lines += [f"*{table}", *(f":{chain} - [0:0]" for chain in chains)]
        lines += [f"-A {chain} {rule}" for chain in chains for rule in state[table, chain]]
        lines.append("COMMIT")
    return "\n".join((*lines, "")).encode()


def _partial_sync(state: State) -> bytes:
    """What kube-proxy sends when a Service's endpoints change: the filter table, the shared chains, that Service's."""
    mine = [chain for _, chain in state if chain.startswith("KUBE-SVC-")][_CHANGED]
    own = [mine, *(rule.rpartition("-j ")[2] for rule in state["nat", mine] if "KUBE-SEP-" in rule)]
    filters = [chain for table, chain in state if table == "filter"]
    return _tables(state, {"filter": filters, "nat": [*_REWRITTEN, *own]})


class _Cluster:
    """A proxy with so many Services in one namespace, and the text of its rules for the peers."""

    def __init__(self, path: str, services: int) -> None:
        self.path, self.feed = path, Feed()
        netns.run_in(path, firewall.restore, _FOREIGN.encode(), 4, counters=True)
        self.given = self.feed.fill(services)
        self.programmer: Programmer = netns.run_in(path, Programmer, _CONFIG, 4)

    def sync(self, *, check: bool = False) -> None:
        given, self.given = self.given or self.feed.take(), {}
        netns.run_in(self.path, partial(self.programmer.sync, given, NODE, check=check))

    def swing(self) -> None:
        """Take one endpoint of a Service away and give it back: two changes."""
        for endpoints in (9, 10):
            self.feed.change(_CHANGED, endpoints)
            self.sync()

    def check_foreign_rules(self) -> None:
        saved = netns.run_in(self.path, run, ["iptables-save", "-c", "-t", "nat"], timeout=120).stdout
        if b"[7:420] -A MINE -j RETURN" not in saved:
            raise SystemExit("scripts/bench: a foreign rule lost its counters")


def measure_one(services: int, ours: str, peer: str) -> Iterator[Row]:
    """All rows of one size, in this process, whose memory counts, in two empty namespaces."""
    cluster = _Cluster(ours, services)
    loaded = cost_of(cluster.sync)
    cluster.sync(check=True)
    if services == 10000:
        work = f"memory, {services} Services, after a check"
        yield Row(work, "MiB", memory("VmRSS"), 0, 200, f"at most {memory('VmHWM'):.0f} while it worked")
    cluster.check_foreign_rules()
    text = netns.run_in(ours, firewall.save, 4).encode()
    bare = cost_of(partial(netns.run_in, peer, firewall.restore, text, 4, flush=True, timeout=300))
    if services < 10000:
        yield _row(f"full sync, {services} Services", loaded, bare, 1.5, "iptables-restore that flushes")
    if services in _GOALS:
        state = cluster.programmer.desired_state()
        restore = partial(netns.run_in, peer, firewall.restore, _partial_sync(state), 4, timeout=120)
        changed, rewritten = alternate(10 if services == 1000 else 3, cluster.swing, restore)
        half = (changed[0] / 2, changed[1] / 2)
        work = f"one endpoint changes, {services} Services"
        yield _row(work, half, rewritten, _GOALS[services], "iptables-restore of the shared chains")


def _row(work: str, ours: tuple[float, float], peer: tuple[float, float], goal: float, who: str) -> Row:
    wall = f"{who}; wall {ours[1]:.0f} / {peer[1]:.0f} ms"
    return Row(work, "ms", ours[0], peer[0], goal, wall)


def measure(sizes: tuple[int, ...]) -> Iterator[Row]:
    """Rows of every size, each size in a process of its own."""
    for services in sizes:
        with namespace("ours") as ours, namespace("peer") as peer:
            done = run([sys.executable, "-B", __file__, str(services), ours, peer], timeout=1800)
        yield from (Row(**row) for row in json.loads(done.stdout))


if __name__ == "__main__":
    print(json.dumps([asdict(row) for row in measure_one(int(sys.argv[1]), *sys.argv[2:])]))
