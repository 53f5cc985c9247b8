"""Applying a plan: the plugin's only door to interfaces, addresses and routes."""

from __future__ import annotations

import errno

from netsim.host.netlink import Netlink, NetlinkError
from netsim.host.sysctl import ensure_sysctl
from netsim_cni.check import Side
from netsim_cni.errors import DUPLICATE_ATTACHMENT, UNKNOWN_CONTAINER, WIRING_FAILED, CniError
from netsim_cni.plan import Op, Plan
from netsim_cni.ranges import Lease

FORWARDING = {4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding"}


def wire(plan: Plan, netns: str) -> str:
    """Make the attachment; the MAC of its host-side interface. Nothing is left of it when it fails with CniError."""
    pod = _open_pod(netns)
    with Netlink() as host, pod:
        try:
            _ensure_bridge(host, plan.bridge)
            _run(host, plan.veth)
        except NetlinkError as error:
            raise _failed(error) from error
        try:
            _run_all(host, plan.host)
            _run_all(pod, plan.pod)
            return str(plan.veth.args["mac"]) or host.link(plan.link).mac
        except BaseException as error:
            unwire(plan.link)
            raise (_failed(error) if isinstance(error, NetlinkError) else error) from error


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
        routes = [route for family in families for route in netlink.routes(family) if route.dev == found.index]
        return Side(found, netlink.addresses(found.index), routes)


def ensure_forwarding(leases: list[Lease]) -> None:
    """Let this network namespace forward packets of the families in use, as the ptp and bridge plugins do."""
    for version in {lease.ip.version for lease in leases}:
        ensure_sysctl(FORWARDING[version], 1)


def _open_pod(netns: str) -> Netlink:
    try:
        return Netlink(netns)
    except OSError as error:
        raise CniError(UNKNOWN_CONTAINER, f"cannot enter the pod's network namespace {netns}", str(error)) from error


def _run(netlink: Netlink, op: Op) -> None:
    getattr(netlink, op.verb)(**op.args)


def _run_all(netlink: Netlink, ops: tuple[Op, ...]) -> None:
    with netlink.batch():
        for op in ops:
            _run(netlink, op)


def _ensure_bridge(host: Netlink, ops: tuple[Op, ...]) -> None:
    """Each on its own, since others make and address the same bridge at the same time: what is there is as wanted."""
    for op in ops:
        try:
            _run(host, op)
        except NetlinkError as error:
            if error.errno != errno.EEXIST:
                raise


def _failed(error: NetlinkError) -> CniError:
    if error.errno == errno.EEXIST and error.asked.startswith("add veth"):
        return CniError(DUPLICATE_ATTACHMENT, str(error), "an interface of this name is there already; call DEL first")
    return CniError(WIRING_FAILED, str(error))
