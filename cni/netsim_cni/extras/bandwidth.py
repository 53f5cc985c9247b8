"""Capability `bandwidth`: a token bucket (tc-tbf(8)) on each end of the veth pair, both of which go with the pair.

What comes into the pod leaves the host's end, what goes out leaves the pod's: each is shaped where it is sent, so no
intermediate device (ifb) is needed.
"""

from __future__ import annotations

from netsim.host import netns
from netsim.host.exec import run
from netsim_cni.request import Request

LATENCY = "25ms"  # how long a packet may wait for its tokens, as with the bandwidth plugin


def tbf_command(dev: str, rate: int, burst: int) -> list[str]:
    """tc's words for a limit in bits a second and bits (pure)."""
    size = str(max(burst // 8, 1))
    return [
        "tc",
        "qdisc",
        "replace",
        "dev",
        dev,
        "root",
        "tbf",
        "rate",
        f"{rate}bit",
        "burst",
        size,
        "latency",
        LATENCY,
    ]


def add_limits(request: Request, link: str) -> None:
    """Limit both ways, where asked; CommandFailed, CommandMissing."""
    limits = request.config.bandwidth
    if limits.ingress_rate:
        run(tbf_command(link, limits.ingress_rate, limits.ingress_burst))
    if limits.egress_rate:
        command = tbf_command(request.ifname, limits.egress_rate, limits.egress_burst)
        netns.run_in(request.netns, run, command)


def limit_faults(request: Request, link: str) -> list[str]:
    """Limits that are asked for and not there."""
    limits, faults = request.config.bandwidth, []
    if limits.ingress_rate and not _is_limited(run(_show(link), check=False).stdout):
        faults.append(f"ingress limit of {request.ifname} is missing")
    if limits.egress_rate:
        shown = netns.run_in(request.netns, run, _show(request.ifname), check=False).stdout
        if not _is_limited(shown):
            faults.append(f"egress limit of {request.ifname} is missing")
    return faults


def _show(dev: str) -> list[str]:
    return ["tc", "qdisc", "show", "dev", dev, "root"]


def _is_limited(shown: bytes) -> bool:
    return shown.startswith(b"qdisc tbf ")


def remove_limits(request: Request, link: str) -> None:
    """Remove the limits of interfaces that outlive the attachment: those that another plugin made."""
    if link and _is_limited(run(_show(link), check=False).stdout):
        run(["tc", "qdisc", "del", "dev", link, "root"])
    if not request.netns or not netns.exists(request.netns):
        return
    if _is_limited(netns.run_in(request.netns, run, _show(request.ifname), check=False).stdout):
        netns.run_in(request.netns, run, ["tc", "qdisc", "del", "dev", request.ifname, "root"])
