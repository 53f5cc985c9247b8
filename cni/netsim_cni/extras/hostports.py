"""Capability `portMappings`: ports of the host that lead to the pod, with the portmap plugin's chains and rules.

CNI-HOSTPORT-DNAT is entered for whatever is sent to an address of the host; it leads to a chain of each attachment.
What would be answered past the host (from the pod itself, its bridge, 127.0.0.1) is marked there and masqueraded.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from netsim.host.conntrack import delete_entries
from netsim.host.firewall import Family, list_chain, restore, run_iptables
from netsim.host.netlink import Netlink
from netsim.host.sysctl import ensure_sysctl
from netsim_cni.addressing import Addressing, Assigned
from netsim_cni.extras.chains import by_family, chain_name, comment, remove_chain, remove_stale_chains, target
from netsim_cni.ipam_config import NONE
from netsim_cni.request import Request
from netsim_cni.runtime_config import PortMapping

DNAT, SETMARK, MASQ = "CNI-HOSTPORT-DNAT", "CNI-HOSTPORT-SETMARK", "CNI-HOSTPORT-MASQ"
# Not the portmap plugin's own CNI-DN-: GC of one must not remove the chains of the other.
PREFIX = "CNI-DN-netsim-"
MARK = "0x2000/0x2000"
PORTS_IN_A_RULE = 15  # of xt_multiport
LOCALHOST = "127.0.0.1/32"

# (chain, rule) of what all attachments share.
SHARED: tuple[tuple[str, list[str]], ...] = (
    (SETMARK, ["-m", "comment", "--comment", "CNI portfwd masquerade mark", "-j", "MARK", "--set-xmark", MARK]),
    (MASQ, ["-m", "mark", "--mark", MARK, "-j", "MASQUERADE"]),
    ("PREROUTING", ["-m", "addrtype", "--dst-type", "LOCAL", "-j", DNAT]),
    ("OUTPUT", ["-m", "addrtype", "--dst-type", "LOCAL", "-j", DNAT]),
    ("POSTROUTING", ["-m", "comment", "--comment", "CNI portfwd requiring masquerade", "-j", MASQ]),
)


def ports_chain(request: Request) -> str:
    """Name of the attachment's chain (pure)."""
    return chain_name(PREFIX, request.config.name, request.key)


def ports_of(request: Request, family: int) -> list[PortMapping]:
    """The mappings of one IP family (pure)."""
    return [port for port in request.config.ports if port.host_ip is None or port.host_ip.version == family]


def render_ports(request: Request, one: Assigned) -> bytes:
    """iptables-restore text for the mappings to one address, empty when it has none (pure)."""
    ports, chain = ports_of(request, one.family), ports_chain(request)
    if not ports:
        return b""
    told = comment(request.config.name, request.container_id, "dnat ")
    lines = ["*nat", f":{chain} - [0:0]"]
    for protocol in dict.fromkeys(port.protocol for port in ports):
        numbers = list(dict.fromkeys(str(port.host_port) for port in ports if port.protocol == protocol))
        for start in range(0, len(numbers), PORTS_IN_A_RULE):
            some = ",".join(numbers[start : start + PORTS_IN_A_RULE])
            lines.append(f"-A {DNAT} -p {protocol} {told} -m multiport --dports {some} -j {chain}")
    lines += [line for port in ports for line in _port_rules(request, one, chain, port)]
    return "\n".join([*lines, "COMMIT"]).encode() + b"\n"


def _port_rules(request: Request, one: Assigned, chain: str, port: PortMapping) -> list[str]:
    every = port.host_ip is None or port.host_ip.is_unspecified
    where = "" if every else f"-d {port.host_ip} "
    asked = f"{where}-p {port.protocol} -m {port.protocol} --dport {port.host_port}"
    # Neighbours on a bridge would be answered directly, by an address they did not ask.
    near = one.alone if _is_routed(request) else str(one.subnet)
    sources = (near, LOCALHOST) if one.family == 4 else (near,)
    to = f"{one.ip}:{port.container_port}" if one.family == 4 else f"[{one.ip}]:{port.container_port}"
    marks = [f"-A {chain} -s {source} {asked} -j {SETMARK}" for source in sources]
    return [*marks, f"-A {chain} {asked} -j DNAT --to-destination {to}"]


def _is_routed(request: Request) -> bool:
    """Whether the interface is of our own routed kind; without addresses of ours it is an earlier plugin's."""
    return request.config.mode == "routed" and request.config.ipam.kind != NONE


def add_host_ports(request: Request, addressing: Addressing, link: str) -> None:
    """Add the rules for the first address of each family; CommandFailed, CommandMissing, OSError."""
    for family, ips in by_family(addressing).items():
        text = render_ports(request, ips[0])
        if not text:
            continue
        _ensure_shared(family, request.config.data_dir)
        restore(text, family)
        if family == 4:
            ensure_sysctl(f"net.ipv4.conf.{_facing(request, ips[0], link).replace('.', '/')}.route_localnet", 1)
        _forget_flows(request, family)


def _forget_flows(request: Request, family: Family) -> None:
    """A datagram flow that began before the mapping would go on past it."""
    for port in ports_of(request, family):
        if port.protocol == "udp":
            delete_entries("-p", "udp", "--orig-port-dst", str(port.host_port), family=family)


def _facing(request: Request, one: Assigned, link: str) -> str:
    """The host's interface towards the pod at layer 3; of an earlier plugin's the one that its route names."""
    if _is_routed(request):
        return link
    if request.config.mode == "bridge":
        return request.config.bridge.name
    with Netlink() as netlink:
        ways = [route for route in netlink.routes() if route.dev and _leads_to(route.dst, one)]
        if not ways:
            raise OSError(f"no route to {one.ip}")
        best = max(ways, key=lambda route: int(route.dst.rpartition("/")[2]))
        return netlink.link(best.dev).name


def _leads_to(dst: str, one: Assigned) -> bool:
    from ipaddress import ip_network

    return one.ip in ip_network(dst)


def _ensure_shared(family: Family, directory: str) -> None:
    """Have the chains and rules that all attachments share, each once."""
    if _has_shared(family):
        return
    with _alone(f"{directory}/hostports.lock"):
        for chain in (DNAT, SETMARK, MASQ):
            run_iptables(["-t", "nat", "-N", chain], family)
        for chain, rule in SHARED:
            if run_iptables(["-t", "nat", "-C", chain, *rule], family) != 0:
                run_iptables(["-t", "nat", "-A", chain, *rule], family, check=True)


def _has_shared(family: Family) -> bool:
    """Whether the last thing that is made of them is there."""
    chain, rule = SHARED[-1]
    return run_iptables(["-t", "nat", "-C", chain, *rule], family) == 0


@contextmanager
def _alone(path: str) -> Iterator[None]:
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    with open(path, "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def host_port_faults(request: Request, addressing: Addressing) -> list[str]:
    """Mappings that nothing leads to."""
    chain, faults = ports_chain(request), []
    for family, ips in by_family(addressing).items():
        wanted = [line for line in render_ports(request, ips[0]).decode().splitlines() if line.endswith(f"-j {chain}")]
        led = [rule for rule in list_chain(family, DNAT) if target(rule) == chain]
        if len(led) < len(wanted) or not _has_shared(family):
            faults.append(f"host ports of {ips[0].ip}: chain {chain} is not led to")
        targets = " ".join(list_chain(family, chain))
        faults += [
            f"host port {port.host_port}/{port.protocol} of {ips[0].ip} is missing"
            for port in ports_of(request, family)
            if f"--dport {port.host_port} -j DNAT" not in targets
        ]
    return faults


def remove_host_ports(request: Request, family: Family) -> None:
    """Remove the rules of an attachment; rules that are not there are no error."""
    remove_chain(ports_chain(request), DNAT, family)


def remove_stale_host_ports(network: str, valid: set[tuple[str, str]], family: Family) -> None:
    """Remove the rules of a network's attachments that are not in `valid`."""
    remove_stale_chains(PREFIX, DNAT, network, valid, family)
