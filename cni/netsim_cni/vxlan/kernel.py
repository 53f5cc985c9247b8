"""The VTEP in the kernel, in the calling thread's network namespace."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from ipaddress import ip_interface
from typing import Any

from netsim.host.netlink import Link, Netlink, NetlinkError
from netsim_cni.node_routes import PROTOCOL
from netsim_cni.routes import FAMILIES
from netsim_cni.vxlan.annotations import Peer
from netsim_cni.vxlan.plan import OVERHEAD, Changes, Seen, Vtep, plan_changes

ALTNAME = "flannel.1"
GONE = (errno.ESRCH, errno.ENOENT, errno.ENODEV)


def ensure_vxlan(vtep: Vtep, peers: Iterable[Peer]) -> None:
    """Have the VTEP, and at it what leads to the peers' pods; what is right already is not touched.

    NetlinkError names the change that the kernel refused; OSError (EADDRNOTAVAIL) when no interface has the address.
    """
    with Netlink() as netlink:
        index = _ensure_vtep(netlink, vtep)
        seen = Seen(
            index,
            [route for family in FAMILIES for route in netlink.routes(family)],
            [entry for family in FAMILIES for entry in netlink.neighbours(family) if entry.index == index],
            netlink.forwarding(index),
        )
        _apply(netlink, plan_changes(peers, seen), index)


def remove_vtep(name: str) -> None:
    """Remove a VTEP, and with it its routes; none of that name is no error."""
    with Netlink() as netlink, _unless(errno.ENODEV):
        netlink.delete_link(name)


def pod_mtu(address: str) -> int:
    """MTU of pods whose packets a VTEP at this address is to carry; OSError (EADDRNOTAVAIL) as `ensure_vxlan`."""
    with Netlink() as netlink:
        return _underlay(netlink, address).mtu - OVERHEAD[ip_interface(address).version]


def _underlay(netlink: Netlink, address: str) -> Link:
    """The interface that has an address."""
    for found in netlink.addresses():
        if found.address.partition("/")[0] == address:
            return netlink.link(found.index)
    raise OSError(errno.EADDRNOTAVAIL, f"no interface has this node's address {address}; give another --address")


def _ensure_vtep(netlink: Netlink, vtep: Vtep) -> int:
    """Index of the VTEP. One with other properties is replaced: most of them cannot be changed."""
    underlay = _underlay(netlink, vtep.local)
    mtu = underlay.mtu - OVERHEAD[ip_interface(vtep.local).version]
    try:
        link: Link | None = netlink.link(vtep.name)
    except NetlinkError:
        link = None
    if link is not None and not _is_as_wanted(netlink, link, vtep, underlay):
        netlink.delete_link(vtep.name)
        link = None
    if link is None:
        link = _make_vtep(netlink, vtep, underlay.index, mtu)
    if not link.up or link.mtu != mtu:
        netlink.set_link(link.index, up=True, mtu=mtu)
    _ensure_addresses(netlink, link.index, vtep.addresses)
    return link.index


def _make_vtep(netlink: Netlink, vtep: Vtep, underlay: int, mtu: int) -> Link:
    netlink.add_vxlan(vtep.name, vtep.vni, local=vtep.local, dev=underlay, port=vtep.port, mtu=mtu, mac=vtep.mac)
    netlink.set_link(vtep.name, ipv6=False)
    with _unless(errno.EEXIST):
        netlink.add_altname(vtep.name, ALTNAME)
    return netlink.link(vtep.name)


def _is_as_wanted(netlink: Netlink, link: Link, vtep: Vtep, underlay: Link) -> bool:
    found = netlink.vxlan(link.index)
    return (
        found is not None
        and (found.vni, found.port, found.learning) == (vtep.vni, vtep.port, False)
        and (found.local, found.lower, link.mac) == (vtep.local, underlay.index, vtep.mac)
    )


def _ensure_addresses(netlink: Netlink, index: int, wanted: tuple[str, ...]) -> None:
    present = {found.address for found in netlink.addresses(index) if found.scope == "global"}
    for address in wanted:
        if address not in present:
            netlink.add_address(index, address)
    for address in present.difference(wanted):
        netlink.del_address(index, address)


def _apply(netlink: Netlink, changes: Changes, index: int) -> None:
    with netlink.batch():
        for ip, mac in changes.neighbours:
            netlink.add_neighbour(ip, mac, index)
        for mac, remote in changes.forwarding:
            netlink.add_forwarding(mac, remote, index)
        for route in changes.routes:
            netlink.replace_route(route.dst, via=route.via, dev=index, onlink=True, protocol=PROTOCOL)
    _forget(netlink.del_route, ((route.dst, {"via": route.via}) for route in changes.forget_routes))
    _forget(netlink.del_neighbour, ((ip, {"dev": index}) for ip, _ in changes.forget_neighbours))
    _forget(
        netlink.del_forwarding, ((mac, {"remote": remote, "dev": index}) for mac, remote in changes.forget_forwarding)
    )


def _forget(delete: Callable[..., None], items: Iterable[tuple[str, dict[str, Any]]]) -> None:
    for key, more in items:
        with _unless(*GONE):
            delete(key, **more)


@contextmanager
def _unless(*codes: int) -> Iterator[None]:
    """Let errors of the kernel that say that it is so already pass."""
    try:
        yield
    except NetlinkError as error:
        if error.errno not in codes:
            raise
