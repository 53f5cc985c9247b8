"""`macspoofchk`: a bridge's port takes no frame with another source than the pod's MAC address (nftables, bridge)."""

from __future__ import annotations

from netsim.host.exec import run
from netsim_cni.request import Request

TABLE = "bridge netsim_cni"


def chain_of(link: str) -> str:
    """Name of a port's chain: nftables' names have letters, digits and "_" (pure)."""
    return "port_" + link.replace("-", "_")


def render_mac_check(link: str, mac: str) -> str:
    """The transaction that adds a port, and the table where it is missing (pure)."""
    chain = chain_of(link)
    return "\n".join(
        [
            *_skeleton(),
            f"add chain {TABLE} {chain}",
            f"flush chain {TABLE} {chain}",
            f"add rule {TABLE} {chain} ether saddr != {mac} drop",
            f'add element {TABLE} ports {{ "{link}" : jump {chain} }}',
            "",
        ]
    )


def render_removal(link: str) -> str:
    """The transaction that removes a port, whether it is there or not (pure)."""
    chain = chain_of(link)
    element = f'element {TABLE} ports {{ "{link}" : jump {chain} }}'
    gone = [f"add {element}", f"delete {element}", f"flush chain {TABLE} {chain}", f"delete chain {TABLE} {chain}", ""]
    return "\n".join([*_skeleton(), f"add chain {TABLE} {chain}", *gone])


def _skeleton() -> list[str]:
    return [
        f"add table {TABLE}",
        f"add map {TABLE} ports {{ type ifname : verdict ; }}",
        f"add chain {TABLE} prerouting {{ type filter hook prerouting priority dstnat ; }}",
        f"flush chain {TABLE} prerouting",
        f"add rule {TABLE} prerouting iifname vmap @ports",
    ]


def add_mac_check(request: Request, link: str) -> None:
    """Have the port's rule; CommandFailed, CommandMissing."""
    from netsim_cni.perform import mac_of_link

    mac = mac_of_link(request.netns, request.ifname)
    run(["nft", "-f", "-"], input=render_mac_check(link, mac).encode())


def mac_check_faults(link: str) -> list[str]:
    """Whether the port's rule and the way to it are there."""
    shown = run(["nft", "list", "table", *TABLE.split()], check=False).stdout.decode()
    whole = f'"{link}" : jump {chain_of(link)}' in shown and f"chain {chain_of(link)} {{" in shown
    return [] if whole else [f"MAC spoof check of {link} is missing"]


def remove_mac_check(link: str) -> None:
    """Remove the port's rule; none there is no error. CommandFailed, CommandMissing."""
    run(["nft", "-f", "-"], input=render_removal(link).encode())
