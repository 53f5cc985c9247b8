"""`ipMasq`: source NAT of what a pod sends out of its network, in one chain of the nat table for each attachment."""

from __future__ import annotations

import hashlib

from netsim.host.firewall import Family, restore, run_iptables
from netsim_cni.config import Request
from netsim_cni.ranges import Lease

MULTICAST = {4: "224.0.0.0/4", 6: "ff00::/8"}


def chain_name(request: Request) -> str:
    """Name of the attachment's chain, of at most 28 bytes (pure)."""
    text = "/".join((request.config.name, *request.key))
    return "CNI-netsim-" + hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:16]


def render_rules(request: Request, leases: list[Lease]) -> bytes:
    """iptables-restore text for the leases of one family (pure).

    Packets to the pods' own subnets and to nonMasqueradeCIDRs stay as they are, multicast too; the rest is masqueraded.
    """
    chain, version = chain_name(request), leases[0].ip.version
    subnets = (str(lease.range.subnet) for lease in leases)
    kept = (*subnets, *(net for net in request.config.no_masq if (":" in net) == (version == 6)))
    lines = [
        "*nat",
        f":{chain} - [0:0]",
        *(f"-A {chain} -d {net} -j RETURN" for net in dict.fromkeys(kept)),
        f"-A {chain} ! -d {MULTICAST[version]} -j MASQUERADE",
        *(f"-A POSTROUTING {' '.join(_jump(request, lease))}" for lease in leases),
        "COMMIT",
    ]
    return "\n".join(lines).encode() + b"\n"


def _jump(request: Request, lease: Lease) -> list[str]:
    return ["-s", f"{lease.ip}/{lease.ip.max_prefixlen}", "-j", chain_name(request)]


def add_masquerade(request: Request, leases: list[Lease]) -> None:
    """Add the rules for every lease; CommandFailed, CommandMissing."""
    for family, of_family in _by_family(leases).items():
        restore(render_rules(request, of_family), family)


def has_masquerade(request: Request, lease: Lease) -> bool:
    """Whether the jump to the attachment's chain is there."""
    return run_iptables(["-t", "nat", "-C", "POSTROUTING", *_jump(request, lease)], _family(lease)) == 0


def remove_masquerade(request: Request, leases: list[Lease]) -> None:
    """Remove the rules of an attachment; rules that are not there are no error."""
    chain = chain_name(request)
    for family, of_family in _by_family(leases).items():
        for lease in of_family:
            run_iptables(["-t", "nat", "-D", "POSTROUTING", *_jump(request, lease)], family)
        if run_iptables(["-t", "nat", "-F", chain], family) == 0:
            run_iptables(["-t", "nat", "-X", chain], family, check=True)


def _by_family(leases: list[Lease]) -> dict[Family, list[Lease]]:
    groups: dict[Family, list[Lease]] = {}
    for lease in leases:
        groups.setdefault(_family(lease), []).append(lease)
    return groups


def _family(lease: Lease) -> Family:
    return 4 if lease.ip.version == 4 else 6
