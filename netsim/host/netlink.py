"""Links, addresses, routes and neighbours of a network namespace through one rtnetlink socket.

Every change is acknowledged by the kernel; inside `with netlink.batch():` changes are collected and sent in one
sendmsg, each still with its own acknowledgement. A name is looked up once and remembered.
"""

from __future__ import annotations

import contextlib
import errno as errno_
import os
import socket
from collections.abc import Callable, Iterator
from ipaddress import ip_interface, ip_network
from types import TracebackType
from typing import Any, Self, TypeVar

from netsim.host import netns as netns_
from netsim.host._messages import HEADER, Attrs, Fields, encode
from netsim.host._rtnl import (
    Address,
    Link,
    Neighbour,
    Route,
    messages,
    parse_address,
    parse_error,
    parse_link,
    parse_neighbour,
    parse_route,
)

__all__ = ["Address", "Link", "Neighbour", "Netlink", "NetlinkError", "Route"]

_T = TypeVar("_T")
Dev = str | int
_Request = tuple[int, bytes, str]  # sequence number, whole message, what it asks for

NEWLINK, DELLINK, GETLINK = 16, 17, 18
NEWADDR, DELADDR, GETADDR = 20, 21, 22
NEWROUTE, DELROUTE, GETROUTE = 24, 25, 26
NEWNEIGH, DELNEIGH, GETNEIGH = 28, 29, 30
NEWLINKPROP = 108

REQUEST, ACK, DUMP = 0x1, 0x4, 0x300
REPLACE, EXCL, CREATE, APPEND = 0x100, 0x200, 0x400, 0x800
DUMP_INTR = 0x10
ERROR, DONE = 2, 3

SOL_NETLINK = 270
NETLINK_CAP_ACK, NETLINK_EXT_ACK = 10, 11

IFF_UP = 0x1
IFF_PROMISC = 0x100
IFA_F_NODAD = 0x2
NUD_REACHABLE, NUD_PERMANENT = 0x2, 0x80
RTNH_F_ONLINK = 4
RT_TABLE_MAIN = 254
RTPROT_STATIC = 4
SCOPE_NUMBERS = {"global": 0, "site": 200, "link": 253, "host": 254}
TYPE_NUMBERS = {"unicast": 1, "local": 2, "blackhole": 6, "unreachable": 7}
ADDR_GEN_NONE: Attrs = (("AF_INET6", (("IFLA_INET6_ADDR_GEN_MODE", 1),)),)

TIMEOUT_SECONDS = 30.0
DUMP_ATTEMPTS = 5
BUFFER = 1 << 15
MAX_IN_FLIGHT = 64  # acknowledgements that surely fit into the socket's receive buffer


class NetlinkError(OSError):
    """The kernel refused a request: `errno`, `asked` (what was asked for) and `detail` (the kernel's words or "")."""

    def __init__(self, errno: int, asked: str, detail: str = "") -> None:
        super().__init__(errno, os.strerror(errno))
        self.asked = asked
        self.detail = detail

    def __str__(self) -> str:
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.asked}: {self.strerror}{detail}"


class Netlink:
    """An rtnetlink socket in the namespace at path `netns`, or in the calling thread's; for one thread at a time.

    Wherever a device is wanted, its name or its index may be given. All changes raise NetlinkError.
    """

    def __init__(self, netns: str | None = None) -> None:
        args = (socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._sock = netns_.open_socket(netns, *args) if netns else socket.socket(*args)
        self._sock.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
        self._sock.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        self._sock.settimeout(TIMEOUT_SECONDS)
        self._sequence = 0
        self._indexes: dict[str, int] = {}
        self._queue: list[_Request] | None = None
        self._held: list[int] = []

    def close(self) -> None:
        self._sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    # --- requests ---------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """Send the changes made inside to the kernel in one system call when the block ends.

        All are tried, also after one has failed; the first error is raised. Nothing is sent if the block raises.
        A link made inside can be named inside only when it was given an index.
        """
        if self._queue is not None:
            raise RuntimeError("batches do not nest")
        self._queue = []
        try:
            yield
            queue, self._queue = self._queue, None
            self._send(queue)
        finally:
            self._queue = None
            self._release()

    def _change(self, kind: int, flags: int, body: bytes, asked: str) -> None:
        self._sequence += 1
        header = HEADER.pack(HEADER.size + len(body), kind, REQUEST | ACK | flags, self._sequence, 0)
        padding = b"\0" * (-len(body) % 4)
        request = (self._sequence, header + body + padding, asked)
        if self._queue is not None:
            self._queue.append(request)
            return
        try:
            self._send([request])
        finally:
            self._release()

    def _release(self) -> None:
        """Close the descriptors that the requests sent had named."""
        while self._held:
            os.close(self._held.pop())

    def _send(self, queue: list[_Request]) -> None:
        """Send requests and read their acknowledgements; raises the first error once all are read."""
        errors: list[NetlinkError] = []
        for start in range(0, len(queue), MAX_IN_FLIGHT):
            errors += self._exchange(queue[start : start + MAX_IN_FLIGHT])
        if errors:
            raise errors[0]

    def _exchange(self, queue: list[_Request]) -> list[NetlinkError]:
        asked = {sequence: text for sequence, _, text in queue}
        errors = []
        self._sock.send(b"".join(data for _, data, _ in queue))
        while asked:
            for kind, flags, sequence, body in messages(self._sock.recv(BUFFER)):
                if kind == ERROR and (text := asked.pop(sequence, None)) is not None:
                    code, detail = parse_error(body, flags)
                    if code:
                        errors.append(NetlinkError(code, text, detail))
        return errors

    def _dump(self, kind: int, body: bytes, answer: int, parse: Callable[[bytes], _T], asked: str) -> list[_T]:
        for _ in range(DUMP_ATTEMPTS):
            self._sequence += 1
            header = HEADER.pack(HEADER.size + len(body), kind, REQUEST | DUMP, self._sequence, 0)
            self._sock.send(header + body)
            bodies, interrupted = self._read_dump(answer, asked)
            if not interrupted:
                break
        # A dump that other changes kept interrupting is still the best there is: each entry was true when read.
        return [parse(body) for body in bodies]

    def _read_dump(self, answer: int, asked: str) -> tuple[list[bytes], bool]:
        bodies: list[bytes] = []
        interrupted = False
        while True:
            for kind, flags, sequence, body in messages(self._sock.recv(BUFFER)):
                if sequence != self._sequence:
                    continue
                interrupted |= bool(flags & DUMP_INTR)
                if kind == ERROR:
                    raise NetlinkError(parse_error(body, flags)[0], asked)
                if kind == DONE:
                    return bodies, interrupted
                if kind == answer:
                    bodies.append(body)

    # --- links ------------------------------------------------------------------------------------------------

    def index(self, dev: Dev) -> int:
        """Index of a device; NetlinkError (ENODEV) if there is none of that name. Names are asked once."""
        if isinstance(dev, int):
            return dev
        if dev not in self._indexes:
            self._indexes[dev] = self.link(dev).index
        return self._indexes[dev]

    def link(self, dev: Dev) -> Link:
        """One link by name or index, always asked of the kernel; NetlinkError (ENODEV) if there is none."""
        fields, attrs = _link_key(dev)
        asked = f"find link {dev}"
        body = encode("ifinfmsg", fields, attrs)
        self._sequence += 1
        header = HEADER.pack(HEADER.size + len(body), GETLINK, REQUEST, self._sequence, 0)
        self._sock.send(header + body)
        while True:
            for kind, flags, sequence, answer in messages(self._sock.recv(BUFFER)):
                if sequence == self._sequence and kind == ERROR:
                    raise NetlinkError(parse_error(answer, flags)[0], asked)
                if sequence == self._sequence and kind == NEWLINK:
                    return parse_link(answer)

    def links(self) -> list[Link]:
        """All links, by index."""
        # IFLA_EXT_MASK 8 (RTEXT_FILTER_SKIP_STATS): statistics are half of a dump, and nobody here reads them.
        body = encode("ifinfmsg", (), (("IFLA_EXT_MASK", 8),))
        return sorted(self._dump(GETLINK, body, NEWLINK, parse_link, "list links"), key=lambda link: link.index)

    def add_bridge(self, name: str, *, mtu: int = 0, mac: str = "", index: int = 0, up: bool = False) -> None:
        """A bridge without spanning tree."""
        attrs: Attrs = (*_link_attrs(name, mtu, 0, mac), ("IFLA_LINKINFO", (("IFLA_INFO_KIND", "bridge"),)))
        self._new_link(name, index, up, attrs, f"add bridge {name}")

    def add_vxlan(
        self,
        name: str,
        vni: int,
        *,
        local: str,
        dev: Dev,
        port: int = 8472,
        mtu: int = 0,
        mac: str = "",
        group: int = 0,
    ) -> None:
        """A VXLAN interface without learning: its neighbours and forwarding entries are given, not guessed."""
        data: Attrs = (
            ("IFLA_VXLAN_ID", vni),
            ("IFLA_VXLAN_LINK", self.index(dev)),
            ("IFLA_VXLAN_LOCAL6" if ":" in local else "IFLA_VXLAN_LOCAL", local),
            ("IFLA_VXLAN_PORT", port),
            ("IFLA_VXLAN_LEARNING", 0),
        )
        info = ("IFLA_LINKINFO", (("IFLA_INFO_KIND", "vxlan"), ("IFLA_INFO_DATA", data)))
        self._new_link(name, 0, False, (*_link_attrs(name, mtu, group, mac), info), f"add vxlan {name} id {vni}")

    def add_veth(
        self,
        name: str,
        peer: str,
        peer_netns: str | int | None = None,
        *,
        mtu: int = 0,
        group: int = 0,
        alias: str = "",
        altname: str = "",
        mac: str = "",
        peer_mac: str = "",
        index: int = 0,
        peer_index: int = 0,
        up: bool = False,
    ) -> None:
        """A veth pair; the peer is made in the namespace given by path or descriptor (None: this one), down.

        `index` and `peer_index` ask for interface indexes (0: the kernel chooses; EBUSY if taken); `group` is for both.
        """
        place: Attrs = () if peer_netns is None else (("IFLA_NET_NS_FD", self._descriptor(peer_netns)),)
        other: Attrs = (("index", peer_index), *_link_attrs(peer, mtu, group, peer_mac), *place)
        info = ("IFLA_LINKINFO", (("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_DATA", (("VETH_INFO_PEER", other),))))
        attrs = (*_link_attrs(name, mtu, group, mac), info)
        self._new_link(name, index, up, attrs, f"add veth {name} with peer {peer}")
        if alias:
            self.set_link(index or name, alias=alias)
        if altname:
            self.add_altname(index or name, altname)

    def _descriptor(self, netns: str | int) -> int:
        """Descriptor of a namespace that stays open until the request has been sent."""
        if isinstance(netns, int):
            return netns
        fd = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
        self._held.append(fd)
        return fd

    def _new_link(self, name: str, index: int, up: bool, attrs: Attrs, asked: str) -> None:
        fields: Fields = (("index", index), ("flags", int(up)), ("change", int(up)))
        self._change(NEWLINK, CREATE | EXCL, encode("ifinfmsg", fields, attrs), asked)
        self._indexes.pop(name, None)
        if index:
            self._indexes[name] = index

    def set_link(
        self,
        dev: Dev,
        *,
        up: bool | None = None,
        master: Dev | None = None,
        mtu: int = 0,
        mac: str = "",
        alias: str = "",
        group: int = 0,
        ipv6: bool = True,
        hairpin: bool | None = None,
        promiscuous: bool = False,
    ) -> None:
        """Change several properties of a link at once; what is not named stays.

        `master` "" or 0 frees it from its bridge; `ipv6=False` gives it no link-local address when it comes up (do it
        before); `hairpin` lets a bridge port send a packet back where it came from (after `master`).
        """
        fields, key = _link_key(dev)
        flags = (IFF_UP if up else 0) | (IFF_PROMISC if promiscuous else 0)
        change = (0 if up is None else IFF_UP) | (IFF_PROMISC if promiscuous else 0)
        attrs: Attrs = (*key, *_link_attrs("", mtu, group, mac))
        if alias:
            attrs += (("IFLA_IFALIAS", alias),)
        if master is not None:
            attrs += (("IFLA_MASTER", self.index(master) if master else 0),)
        if not ipv6:
            attrs += (("IFLA_AF_SPEC", ADDR_GEN_NONE),)
        body = encode("ifinfmsg", (*fields, ("flags", flags), ("change", change)), attrs)
        self._change(NEWLINK, 0, body, f"change link {dev}")
        if hairpin is not None:
            self._set_hairpin(dev, hairpin)

    def _set_hairpin(self, dev: Dev, on: bool) -> None:
        fields, key = _link_key(dev)
        data: Attrs = (("IFLA_INFO_SLAVE_KIND", "bridge"), ("IFLA_INFO_SLAVE_DATA", (("IFLA_BRPORT_MODE", int(on)),)))
        body = encode("ifinfmsg", fields, (*key, ("IFLA_LINKINFO", data)))
        self._change(NEWLINK, 0, body, f"set hairpin mode of bridge port {dev}")

    def set_up(self, dev: Dev) -> None:
        """Bring a link up."""
        self.set_link(dev, up=True)

    def set_down(self, dev: Dev) -> None:
        """Take a link down; its routes go."""
        self.set_link(dev, up=False)

    def set_master(self, dev: Dev, bridge: Dev) -> None:
        """Make a link a port of a bridge."""
        self.set_link(dev, master=bridge)

    def rename(self, dev: Dev, name: str) -> None:
        """Rename a link, which must be down on kernels before 6.2."""
        index = self.index(dev)
        body = encode("ifinfmsg", (("index", index),), (("IFLA_IFNAME", name),))
        self._change(NEWLINK, 0, body, f"rename link {dev} to {name}")
        self._indexes = {known: at for known, at in self._indexes.items() if at != index} | {name: index}

    def move(self, dev: Dev, netns: str | int) -> None:
        """Move a link into another namespace, given by path or descriptor."""
        fields, key = _link_key(dev)
        place: Attrs = (("IFLA_NET_NS_FD", self._descriptor(netns)),)
        self._change(NEWLINK, 0, encode("ifinfmsg", fields, key + place), f"move link {dev} to {netns}")
        self._forget(dev)

    def add_altname(self, dev: Dev, altname: str) -> None:
        """Give a link a further name, of up to 127 bytes, by which it can be looked up."""
        fields, key = _link_key(dev)
        attrs: Attrs = (*key, ("IFLA_PROP_LIST", (("IFLA_ALT_IFNAME", altname),)))
        body = encode("ifinfmsg", fields, attrs)
        self._change(NEWLINKPROP, CREATE | EXCL | APPEND, body, f"add alternative name {altname} to link {dev}")

    def delete_link(self, dev: Dev) -> None:
        """Remove a link (with its peer, for a veth); NetlinkError (ENODEV) if there is none."""
        fields, attrs = _link_key(dev)
        self._change(DELLINK, 0, encode("ifinfmsg", fields, attrs), f"delete link {dev}")
        self._forget(dev)

    def delete_group(self, group: int) -> None:
        """Remove all links of a group at once: 1,000 in the time of a few; none of that group is no error."""
        if group <= 0:
            raise ValueError(f"link group {group}: expected a positive number; 0 is every link's default group")
        body = encode("ifinfmsg", (), (("IFLA_GROUP", group),))
        try:
            self._change(DELLINK, 0, body, f"delete links of group {group}")
        except NetlinkError as error:
            if error.errno != errno_.ENODEV:
                raise
        self._indexes.clear()

    def _forget(self, dev: Dev) -> None:
        self._indexes = {name: index for name, index in self._indexes.items() if dev not in (name, index)}

    # --- addresses --------------------------------------------------------------------------------------------

    def addresses(self, dev: Dev | None = None) -> list[Address]:
        """Addresses of one device, or of all."""
        found = self._dump(GETADDR, encode("ifaddrmsg", (), ()), NEWADDR, parse_address, "list addresses")
        index = None if dev is None else self.index(dev)
        return [address for address in found if index in (None, address.index)]

    def add_address(self, dev: Dev, address: str, *, scope: str = "global") -> None:
        """Add "10.0.0.1/24" to a device, without duplicate address detection for IPv6; EEXIST if it is there."""
        self._change(NEWADDR, CREATE | EXCL, self._address(dev, address, scope), f"add address {address} to {dev}")

    def del_address(self, dev: Dev, address: str) -> None:
        """Remove an address; NetlinkError (EADDRNOTAVAIL) if it is not there."""
        self._change(DELADDR, 0, self._address(dev, address, "global"), f"delete address {address} from {dev}")

    def _address(self, dev: Dev, address: str, scope: str) -> bytes:
        net = ip_interface(address)
        family = _family(address)
        fields: Fields = (
            ("family", family),
            ("prefixlen", net.network.prefixlen),
            ("flags", IFA_F_NODAD if family == socket.AF_INET6 else 0),
            ("scope", SCOPE_NUMBERS[scope]),
            ("index", self.index(dev)),
        )
        attrs: Attrs = (("IFA_LOCAL", str(net.ip)), ("IFA_ADDRESS", str(net.ip)))
        return encode("ifaddrmsg", fields, attrs)

    # --- routes -----------------------------------------------------------------------------------------------

    def routes(self, family: int = socket.AF_INET, *, table: int | None = RT_TABLE_MAIN) -> list[Route]:
        """Routes of a family (AF_INET, AF_INET6, AF_UNSPEC for both) in a table (None: all)."""
        body = encode("rtmsg", (("family", family),), ())
        found = self._dump(GETROUTE, body, NEWROUTE, parse_route, "list routes")
        return [route for route in found if table in (None, route.table)]

    def add_route(
        self,
        dst: str | None,
        *,
        via: str = "",
        dev: Dev | None = None,
        scope: str = "",
        src: str = "",
        onlink: bool = False,
        metric: int = 0,
        type: str = "unicast",
        protocol: int = RTPROT_STATIC,
        replace: bool = False,
    ) -> None:
        """A route in the main table; `dst` None is the default route of the family of `via`. EEXIST if there is one.

        `scope` is "link" without `via` and "global" with it unless given; `protocol` marks whose route it is.
        """
        body = self._route(dst, via, dev, scope, src, onlink, metric, type, protocol)
        flags = CREATE | (REPLACE if replace else EXCL)
        verb = "replace" if replace else "add"
        self._change(NEWROUTE, flags, body, f"{verb} route {_describe(dst, via, dev)}")

    def replace_route(self, dst: str | None, *, via: str = "", dev: Dev | None = None, **options: Any) -> None:
        """As `add_route`, in the place of the route to the same destination with the same metric."""
        self.add_route(dst, via=via, dev=dev, replace=True, **options)

    def del_route(self, dst: str | None, *, via: str = "", dev: Dev | None = None, metric: int = 0) -> None:
        """Remove the first route that matches; NetlinkError (ESRCH) if none does."""
        fields, attrs = _route_key(dst, via)
        attrs += self._route_attrs(via, dev, "", metric)
        body = encode("rtmsg", (*fields, ("table", RT_TABLE_MAIN), ("scope", 255)), attrs)
        self._change(DELROUTE, 0, body, f"delete route {_describe(dst, via, dev)}")

    def _route(
        self,
        dst: str | None,
        via: str,
        dev: Dev | None,
        scope: str,
        src: str,
        onlink: bool,
        metric: int,
        type: str,
        protocol: int,
    ) -> bytes:
        fields, attrs = _route_key(dst, via)
        linked = type == "unicast" and not via
        fields += (
            ("table", RT_TABLE_MAIN),
            ("proto", protocol),
            ("scope", SCOPE_NUMBERS[scope or ("link" if linked else "global")]),
            ("type", TYPE_NUMBERS[type]),
            ("flags", RTNH_F_ONLINK if onlink else 0),
        )
        return encode("rtmsg", fields, attrs + self._route_attrs(via, dev, src, metric))

    def _route_attrs(self, via: str, dev: Dev | None, src: str, metric: int) -> Attrs:
        attrs: Attrs = ()
        if via:
            attrs += (("RTA_GATEWAY", via),)
        if dev is not None:
            attrs += (("RTA_OIF", self.index(dev)),)
        if src:
            attrs += (("RTA_PREFSRC", src),)
        if metric:
            attrs += (("RTA_PRIORITY", metric),)
        return attrs

    # --- neighbours -------------------------------------------------------------------------------------------

    def neighbours(self, family: int = socket.AF_INET) -> list[Neighbour]:
        """Entries of the neighbour table (ARP, NDP) of a family."""
        body = encode("ndmsg", (("family", family),), ())
        return self._dump(GETNEIGH, body, NEWNEIGH, parse_neighbour, "list neighbours")

    def add_neighbour(self, ip: str, mac: str, dev: Dev, permanent: bool = True) -> None:
        """Set the link-layer address of a neighbour; a permanent entry is never asked for and never ages."""
        state = NUD_PERMANENT if permanent else NUD_REACHABLE
        fields: Fields = (("family", _family(ip)), ("ifindex", self.index(dev)), ("state", state))
        body = encode("ndmsg", fields, (("NDA_DST", ip), ("NDA_LLADDR", mac)))
        self._change(NEWNEIGH, CREATE | REPLACE, body, f"add neighbour {ip} at {mac} on {dev}")

    def del_neighbour(self, ip: str, dev: Dev) -> None:
        """Remove an entry; NetlinkError (ENOENT) if there is none."""
        fields: Fields = (("family", _family(ip)), ("ifindex", self.index(dev)))
        self._change(DELNEIGH, 0, encode("ndmsg", fields, (("NDA_DST", ip),)), f"delete neighbour {ip} on {dev}")

    def add_forwarding(self, mac: str, remote: str, dev: Dev) -> None:
        """A forwarding entry of a VXLAN interface: frames to `mac` go to the machine `remote`."""
        flags_self = 0x2
        fields: Fields = (
            ("family", socket.AF_BRIDGE),
            ("ifindex", self.index(dev)),
            ("state", NUD_PERMANENT),
            ("flags", flags_self),
        )
        body = encode("ndmsg", fields, (("NDA_LLADDR", mac), ("NDA_DST", remote)))
        # Frames to the all-zero address go to every machine named; only another address has one machine to replace.
        flags = CREATE | (APPEND if mac == "00:00:00:00:00:00" else REPLACE)
        self._change(NEWNEIGH, flags, body, f"add forwarding of {mac} to {remote} on {dev}")


def _family(ip: str) -> int:
    return socket.AF_INET6 if ":" in ip else socket.AF_INET


def _link_key(dev: Dev) -> tuple[Fields, Attrs]:
    """How a message names an existing link."""
    if isinstance(dev, int):
        return (("index", dev),), ()
    return (), (("IFLA_IFNAME" if len(dev) < 16 else "IFLA_ALT_IFNAME", dev),)


def _link_attrs(name: str, mtu: int, group: int, mac: str) -> Attrs:
    given = (("IFLA_IFNAME", name), ("IFLA_MTU", mtu), ("IFLA_GROUP", group), ("IFLA_ADDRESS", mac))
    return tuple((key, value) for key, value in given if value)


def _route_key(dst: str | None, via: str) -> tuple[Fields, Attrs]:
    """Family and destination of a route message."""
    family = _family(dst or via)
    if dst is None or dst == "default":
        return (("family", family), ("dst_len", 0)), ()
    net = ip_network(dst)
    attrs: Attrs = (("RTA_DST", str(net.network_address)),) if net.prefixlen else ()
    return (("family", family), ("dst_len", net.prefixlen)), attrs


def _describe(dst: str | None, via: str, dev: Dev | None) -> str:
    return f"{dst or 'default'}{f' via {via}' if via else ''}{f' dev {dev}' if dev is not None else ''}"
