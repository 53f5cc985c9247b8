"""Source NAT of a node: pods reach what is outside the cluster, and are answered there, under their node's address."""

from __future__ import annotations

from netsim.host.firewall import Family, restore, run_iptables

CHAIN = "NETSIM-POSTROUTING"
_JUMP = ["POSTROUTING", "-m", "comment", "--comment", "netsim pods to outside", "-j", CHAIN]


def render_masquerade(cluster_cidr: str) -> bytes:
    """iptables-restore text of the chain (pure): pods see each other's own addresses, everybody else the node's.

    The rules are those that flannel's `--ip-masq` has for the same purpose.
    """
    multicast = "ff00::/8" if ":" in cluster_cidr else "224.0.0.0/4"
    lines = [
        "*nat",
        f":{CHAIN} - [0:0]",
        f"-A {CHAIN} -s {cluster_cidr} -d {cluster_cidr} -j RETURN",
        f"-A {CHAIN} -s {cluster_cidr} ! -d {multicast} -j MASQUERADE --random-fully",
        "COMMIT",
    ]
    return "\n".join(lines).encode() + b"\n"


def ensure_masquerade(cluster_cidr: str) -> None:
    """Have the chain and one jump to it, in this thread's namespace; CommandFailed, CommandMissing."""
    family: Family = 6 if ":" in cluster_cidr else 4
    restore(render_masquerade(cluster_cidr), family)
    if run_iptables(["-t", "nat", "-C", *_JUMP], family) != 0:
        run_iptables(["-t", "nat", "-A", *_JUMP], family, check=True)
