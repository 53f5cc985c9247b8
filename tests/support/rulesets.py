"""Rule sets as values that compare: what `iptables-save` prints, without what may differ between equal ones."""

from __future__ import annotations

from netsim_proxy.diff import SHARED_CHAINS
from netsim_proxy.iptables import State, parse_save

_CNI = ("NETSIM-POSTROUTING", "CNI-")


def comparable(state: State) -> State:
    """The rules by table and chain, sorted where every sync may put them in another order.

    Of the shared chains' rules only the jump to the NodePorts has a fixed place, the last; that is checked here.
    """
    jumps = [rule.endswith("-j KUBE-NODEPORTS") for rule in state.get(("nat", "KUBE-SERVICES"), ())]
    assert jumps == sorted(jumps)
    return {place: tuple(sorted(rules)) if place[1] in SHARED_CHAINS else rules for place, rules in state.items()}


def proxy_rules(text: str) -> State:
    """The service proxy's part of what `iptables-save` printed, comparable; the CNI plugin's chains, and the jumps to
    them, are left out."""
    ours = {place: rules for place, rules in parse_save(text).items() if not place[1].startswith(_CNI)}
    return comparable({p: tuple(r for r in rules if not _jumps_to_cni(r)) for p, rules in ours.items()})


def _jumps_to_cni(rule: str) -> bool:
    return any(f" -j {prefix}" in f" {rule}" for prefix in _CNI)
