"""`ipMasq`: source NAT of what a pod sends out of its network, in one chain of the nat table for each attachment."""

from __future__ import annotations

from netsim.host.firewall import Family, list_chain, restore
from netsim_cni.addressing import Addressing, Assigned
from netsim_cni.extras.chains import by_family, chain_name, comment, remove_chain, remove_stale_chains, target
from netsim_cni.request import Request

PREFIX, PARENT = "CNI-netsim-", "POSTROUTING"
MULTICAST = {4: "224.0.0.0/4", 6: "ff00::/8"}


def masquerade_chain(request: Request) -> str:
    """Name of the attachment's chain (pure)."""
    return chain_name(PREFIX, request.config.name, request.key)


def render_masquerade(request: Request, ips: list[Assigned]) -> bytes:
    """iptables-restore text for the addresses of one family (pure).

    Packets to the pods' own subnets and to nonMasqueradeCIDRs stay as they are, multicast too; the rest is masqueraded.
    """
    chain, family = masquerade_chain(request), ips[0].family
    subnets = (str(one.subnet) for one in ips)
    kept = (*subnets, *(net for net in request.config.no_masq if (":" in net) == (family == 6)))
    told = comment(request.config.name, request.container_id)
    lines = [
        "*nat",
        f":{chain} - [0:0]",
        *(f"-A {chain} -d {net} {told} -j RETURN" for net in dict.fromkeys(kept)),
        f"-A {chain} ! -d {MULTICAST[family]} {told} -j MASQUERADE",
        *(f"-A {PARENT} -s {one.alone} {told} -j {chain}" for one in ips),
        "COMMIT",
    ]
    return "\n".join(lines).encode() + b"\n"


def add_masquerade(request: Request, addressing: Addressing) -> None:
    """Add the rules for every address; CommandFailed, CommandMissing."""
    for family, ips in by_family(addressing).items():
        restore(render_masquerade(request, ips), family)


def masquerade_faults(request: Request, addressing: Addressing) -> list[str]:
    """Addresses without the rule that leads to the attachment's chain."""
    chain, faults = masquerade_chain(request), []
    for family, ips in by_family(addressing).items():
        leading = [rule for rule in list_chain(family, PARENT) if target(rule) == chain]
        missing = [one for one in ips if not any(f"-s {one.alone} " in rule for rule in leading)]
        faults += [f"masquerade rule of {one.ip} is missing" for one in missing]
        if not any(target(rule) == "MASQUERADE" for rule in list_chain(family, chain)):
            faults.append(f"chain {chain} masquerades nothing")
    return faults


def remove_masquerade(request: Request, family: Family) -> None:
    """Remove the rules of an attachment; rules that are not there are no error."""
    remove_chain(masquerade_chain(request), PARENT, family)


def remove_stale_masquerades(network: str, valid: set[tuple[str, str]], family: Family) -> None:
    """Remove the rules of a network's attachments that are not in `valid`."""
    remove_stale_chains(PREFIX, PARENT, network, valid, family)
