"""The table of mode nftables as the kernel has it, with its counts. Blocking, in its caller's network namespace."""

from __future__ import annotations

from netsim.host.nftables import Nftables as Socket
from netsim_proxy.config import Family
from netsim_proxy.nftables import dump
from netsim_proxy.nftables.expressions import text
from netsim_proxy.nftables.found import Found
from netsim_proxy.nftables.language import TABLE
from netsim_proxy.nftables.names import AFFINITY
from netsim_proxy.nftables.skeleton import find_spec


def read_table(family: Family) -> Found | None:
    """Chains, rules, and the elements of the sets that the proxy or packets fill; None without a table. Raises
    OSError."""
    ours = text(1, TABLE)
    with Socket(family) as sock:
        dormant = dump.is_dormant(sock.dump(dump.GET_TABLE))
        if dormant is None:
            return None
        chains, rules = sock.dump(dump.GET_CHAIN), sock.dump(dump.GET_RULE, ours)
        sets = dump.set_names(sock.dump(dump.GET_SET, ours))
        bodies = {name: sock.dump(dump.GET_ELEMENTS, dump.elements_request(name)) for name in sets if _is_read(name)}
    elements = {name: dump.parse_elements(found) for name, found in bodies.items()}
    counts = {name: dump.parse_counts(found) for name, found in bodies.items()}
    return Found(chains, rules, elements, counts, dormant)


def _is_read(name: str) -> bool:
    return find_spec(name) is not None or name.startswith(AFFINITY)
