"""Applying a plan: the plugin's only door to interfaces, addresses and routes."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from functools import partial
from ipaddress import ip_interface
from typing import NamedTuple

from netsim.host.netlink import Netlink, NetlinkError
from netsim.host.patterns import Pattern, send_pattern
from netsim.host.sysctl import keep_sysctl
from netsim_cni.addressing import Addressing
from netsim_cni.check import Side
from netsim_cni.errors import DUPLICATE_ATTACHMENT, INVALID_CONFIG, UNKNOWN_CONTAINER, WIRING_FAILED, CniError
from netsim_cni.plan import VETH_MTU, Op, Plan, plan_add, pod_mac, settling
from netsim_cni.request import Request
from netsim_cni.result import Interface
from netsim_cni.wiring import Values, changes_of, encode_number, values_of, wiring_of

FORWARDING = {4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding"}
DAD_SECONDS, DAD_POLL_SECONDS = 10.0, 0.05


class Wired(NamedTuple):
    """What was made: the MAC of the host-side interface, that of the pod's, and the bridge where there is one."""

    host_mac: str
    pod_mac: str
    mtu: int
    bridge: Interface | None = None


def wire(request: Request, addressing: Addressing, link: str) -> Wired:
    """Make the attachment. Nothing is left of it when it fails with CniError; a bridge that was missing stays."""
    wiring, netns = wiring_of(request, addressing), request.netns
    plan, values = wiring.plan, values_of(request, addressing, link)

    def asked(side: int, place: int) -> str:
        return changes_of(plan_add(request, addressing, link), request.ifname)[side][place][-1]

    pod = _open_pod(netns)
    with Netlink() as host, pod:
        try:
            _ensure_bridge(host, plan)
            _make_pair(host, netns, wiring.veth, values, partial(asked, 0))
        except NetlinkError as error:
            raise _failed(error) from error
        try:
            values[b"index"] = encode_number(host.index(link))
            if plan.bridge_name:
                values[b"bridge"] = encode_number(host.index(plan.bridge_name))
            send_pattern(host, wiring.host, values, partial(asked, 1))
            values[b"inside"] = encode_number(pod.index(request.ifname))
            send_pattern(pod, wiring.pod, values, partial(asked, 2))
            host.settle(link)
            _settle(pod, settling(request.config, addressing))
            return _describe(plan, host, pod, link, pod_mac(request, addressing))
        except BaseException as error:
            unwire(link)
            raise (_failed(error) if isinstance(error, NetlinkError) else error) from error


def _make_pair(host: Netlink, netns: str, pattern: Pattern, values: Values, asked: Callable[[int], str]) -> None:
    fd = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
    try:
        send_pattern(host, pattern, values | {b"netns": encode_number(fd)}, asked)
    finally:
        os.close(fd)


def _describe(plan: Plan, host: Netlink, pod: Netlink, link: str, peer_mac: str) -> Wired:
    """What a routed pair looks like is known; of a bridged one the kernel chooses the host's MAC."""
    mac, mtu = str(plan.veth.args["mac"]), int(plan.veth.args["mtu"]) or VETH_MTU
    if not plan.bridge_name:
        return Wired(mac, peer_mac, mtu)
    bridge = host.link(plan.bridge_name)
    peer_mac = peer_mac or pod.link(str(plan.veth.args["peer"])).mac
    return Wired(host.link(link).mac, peer_mac, mtu, Interface(bridge.name, bridge.mac, bridge.mtu))


def unwire(link: str) -> bool:
    """Remove an attachment's veth pair, and with it its addresses, routes and neighbours; False if it was gone."""
    with Netlink() as host:
        try:
            host.delete_link(link)
        except NetlinkError as error:
            if error.errno == errno.ENODEV:
                return False
            raise CniError(WIRING_FAILED, str(error)) from error
    return True


def observe(netns: str | None, link: str, families: set[int]) -> Side:
    """The interface `link` in a namespace (None: this one); OSError when it cannot be entered."""
    with Netlink(netns) as netlink:
        try:
            found = netlink.link(link)
        except NetlinkError:
            return Side(None, [], [])
        routes = [r for family in families for r in netlink.routes(family, table=None) if r.dev == found.index]
        return Side(found, netlink.addresses(found.index), routes)


def mac_of_link(netns: str | None, link: str) -> str:
    """The MAC address of an interface; OSError when there is none."""
    with Netlink(netns) as netlink:
        return netlink.link(link).mac


def ensure_forwarding(families: tuple[int, ...]) -> None:
    """Let this network namespace forward packets of the families in use, as the ptp and bridge plugins do."""
    for family in families:
        keep_sysctl(FORWARDING[family], 1)


def _open_pod(netns: str) -> Netlink:
    try:
        return Netlink(netns)
    except OSError as error:
        raise CniError(UNKNOWN_CONTAINER, f"cannot enter the pod's network namespace {netns}", str(error)) from error


def _run(netlink: Netlink, op: Op) -> None:
    getattr(netlink, op.verb)(**op.args)


def _ensure_bridge(host: Netlink, plan: Plan) -> None:
    """Each on its own, since others make and address the same bridge at the same time: what is there is as wanted."""
    for op in plan.bridge:
        try:
            _run(host, op)
        except NetlinkError as error:
            if error.errno != errno.EEXIST:
                raise
            if host.link(plan.bridge_name).kind != "bridge":
                raise CniError(INVALID_CONFIG, f"bridge {plan.bridge_name!r} is there and no bridge") from error
    for address in plan.gateways:
        _ensure_gateway(host, plan, address)


def _ensure_gateway(host: Netlink, plan: Plan, address: str) -> None:
    """Have the address on the bridge, alone in its subnet: another one there gives way or is an error."""
    if not _add_unless_there(host, plan.bridge_name, address):
        return
    wanted = ip_interface(address)
    there = [ip_interface(other.address) for other in host.addresses(plan.bridge_name)]
    near = [ip for ip in there if ip != wanted and ip.version == wanted.version and ip.network.overlaps(wanted.network)]
    if near and not plan.force:
        host.del_address(plan.bridge_name, address)
        text = f"bridge {plan.bridge_name!r} has address {near[0]}, not the gateway's {wanted}"
        raise CniError(INVALID_CONFIG, text, "forceAddress replaces it")
    for ip in near:
        host.del_address(plan.bridge_name, str(ip))
        # With the first address of a subnet the kernel removes the later ones of it.
        _add_unless_there(host, plan.bridge_name, address)


def _add_unless_there(host: Netlink, dev: str, address: str) -> bool:
    try:
        host.add_address(dev, address)
    except NetlinkError as error:
        if error.errno != errno.EEXIST:
            raise
        return False
    return True


def _settle(pod: Netlink, ips: tuple[str, ...]) -> None:
    """Wait until nobody has claimed the pod's IPv6 addresses (`enabledad`)."""
    deadline = time.monotonic() + DAD_SECONDS
    while ips:
        found = [one for one in pod.addresses() if one.address.partition("/")[0] in ips]
        taken = [one.address for one in found if one.duplicate]
        if taken:
            raise CniError(WIRING_FAILED, f"address {taken[0]} is in use by another machine of its link")
        if not any(one.tentative for one in found):
            return
        if time.monotonic() > deadline:
            raise CniError(WIRING_FAILED, f"no end of duplicate address detection for {', '.join(ips)}")
        time.sleep(DAD_POLL_SECONDS)


def _failed(error: NetlinkError) -> CniError:
    if error.errno == errno.EEXIST and error.asked.startswith("add veth"):
        return CniError(DUPLICATE_ATTACHMENT, str(error), "an interface of this name is there already; call DEL first")
    return CniError(WIRING_FAILED, str(error))
