"""Chains of the nat table that belong to one attachment, and the rules of shared chains that lead to them."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable

from netsim.host.firewall import Family, list_chain, restore
from netsim_cni.addressing import Addressing, Assigned


def chain_name(prefix: str, network: str, key: tuple[str, str]) -> str:
    """Name of an attachment's chain: the kernel's 28 bytes, as many as there are of its hash (pure)."""
    text = "/".join((network, *key))
    return (prefix + hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())[:28]


def comment(network: str, container_id: str, kind: str = "") -> str:
    """The words `-m comment --comment …` that tell whose a rule is, as the reference plugins tell it (pure)."""
    text = f'{kind}name: "{network}" id: "{container_id}"'[:255]
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'-m comment --comment "{quoted}"'


def by_family(addressing: Addressing) -> dict[Family, list[Assigned]]:
    """The addresses of each family that occurs (pure)."""
    groups: dict[Family, list[Assigned]] = {}
    for one in addressing.ips:
        groups.setdefault(4 if one.family == 4 else 6, []).append(one)
    return groups


def target(rule: str) -> str:
    """Where a rule as `iptables -S` writes it leads (pure)."""
    words = rule.split()
    return words[words.index("-j") + 1] if "-j" in words else ""


def leads_for(rule: str, network: str) -> bool:
    """Whether a rule's comment names the network (pure)."""
    words = shlex.split(rule)
    told = words[words.index("--comment") + 1] if "--comment" in words else ""
    return f'name: "{network}" id: ' in told


def remove_chain(chain: str, parent: str, family: Family) -> None:
    """Remove a chain and every rule of `parent` that leads to it, at once; none there is no error."""
    leading = [rule for rule in list_chain(family, parent) if target(rule) == chain]
    # Declared, it is there and empty, whether it was or not.
    lines = ["*nat", f":{chain} - [0:0]", *(f"-D {rule.removeprefix('-A ')}" for rule in leading), f"-X {chain}"]
    restore(("\n".join([*lines, "COMMIT"]) + "\n").encode(), family)


def remove_stale_chains(
    prefix: str, parent: str, network: str, valid: Iterable[tuple[str, str]], family: Family
) -> None:
    """Remove the chains that `parent` leads to for a network and that are of no attachment in `valid`."""
    kept = {chain_name(prefix, network, key) for key in valid}
    ours = [rule for rule in list_chain(family, parent) if target(rule).startswith(prefix)]
    found = {target(rule) for rule in ours if leads_for(rule, network)}
    for chain in sorted(found - kept):
        remove_chain(chain, parent, family)
