"""Links over rtnetlink: bridges, veth pairs, VXLAN interfaces, and their properties."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct

from netsim.host._messages import LINK, Attrs, encode, join
from netsim.host._rtnl import Link, Vxlan, parse_link, parse_vxlan
from netsim.host._transport import APPEND, CREATE, EXCL, NetlinkError, Transport

Dev = str | int

NEWLINK, DELLINK, GETLINK = 16, 17, 18
NEWLINKPROP = 108

SIOCGIFINDEX = 0x8933
IFNAMSIZ = 16
SIOCETHTOOL, ETHTOOL_GLINK = 0x8946, 0xA
# One question for all threads: the kernel writes its answer beside it, which nobody reads.
_HAS_CARRIER = (ctypes.c_uint32 * 2)(ETHTOOL_GLINK, 0)
_HAS_CARRIER_AT = ctypes.addressof(_HAS_CARRIER)
IFREQ_POINTER = struct.Struct("@16sP16x")
IFREQ_SIZE, IFREQ_INDEX = 40, struct.Struct("=i")
IFF_UP = 0x1
IFF_PROMISC = 0x100
# A veth hands on what it is given on the same CPU. With a queue for each CPU, its default, the kernel waits for a
# grace period to take the others out of use, and makes sysfs entries for all.
ONE_QUEUE = join((("IFLA_NUM_TX_QUEUES", 1), ("IFLA_NUM_RX_QUEUES", 1)))
ADDR_GEN_NONE = join((("IFLA_AF_SPEC", (("AF_INET6", (("IFLA_INET6_ADDR_GEN_MODE", 1),)),)),))


class Links(Transport):
    """The part of `Netlink` that is about links."""

    def __init__(self, netns: str | None = None) -> None:
        super().__init__(netns)
        self._indexes: dict[str, int] = {}

    def index(self, dev: Dev) -> int:
        """Index of a device; NetlinkError (ENODEV) if there is none of that name. Names are asked once."""
        if isinstance(dev, int):
            return dev
        found = self._indexes.get(dev)
        if found is None:
            found = self._indexes[dev] = self._find(dev)
        return found

    def _find(self, name: str) -> int:
        """By ioctl (netdevice(7)): a message's answer has all of a link, which takes the kernel ten times as long."""
        raw = name.encode()
        if len(raw) >= IFNAMSIZ:
            return self.link(name).index
        try:
            answer = fcntl.ioctl(self._sock, SIOCGIFINDEX, raw.ljust(IFREQ_SIZE, b"\0"))
            return int(IFREQ_INDEX.unpack_from(answer, IFNAMSIZ)[0])
        except OSError as error:
            raise NetlinkError(error.errno or errno.ENODEV, f"find link {name}") from None

    def link(self, dev: Dev) -> Link:
        """One link by name or index, always asked of the kernel; NetlinkError (ENODEV) if there is none."""
        return self._ask(GETLINK, _about(dev), NEWLINK, parse_link, f"find link {dev}")

    def settle(self, name: str) -> None:
        """Have packets pass a link that has just got its carrier; NetlinkError (ENODEV).

        Asked for a link's carrier by ethtool's ioctl, the kernel first acts on it, which else takes it a moment.
        """
        try:
            fcntl.ioctl(self._sock, SIOCETHTOOL, IFREQ_POINTER.pack(name.encode(), _HAS_CARRIER_AT))
        except OSError as error:
            raise NetlinkError(error.errno or errno.ENODEV, f"settle link {name}") from None

    def vxlan(self, dev: Dev) -> Vxlan | None:
        """What is particular to a VXLAN interface, None for a link of another kind; NetlinkError (ENODEV)."""
        return self._ask(GETLINK, _about(dev), NEWLINK, parse_vxlan, f"find link {dev}")

    def links(self) -> list[Link]:
        """All links, by index."""
        # IFLA_EXT_MASK 8 (RTEXT_FILTER_SKIP_STATS): statistics are half of a dump, and nobody here reads them.
        body = encode("ifinfmsg", (), (("IFLA_EXT_MASK", 8),))
        return sorted(self._dump(GETLINK, body, NEWLINK, parse_link, "list links"), key=lambda link: link.index)

    def add_bridge(self, name: str, *, mtu: int = 0, mac: str = "", index: int = 0, up: bool = False) -> None:
        """A bridge without spanning tree."""
        attrs: Attrs = (*_link_attrs(name, mtu, 0, mac), ("IFLA_LINKINFO", (("IFLA_INFO_KIND", "bridge"),)))
        self._new_link(name, index, up, join(attrs), f"add bridge {name}")

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
        self._new_link(name, 0, False, join((*_link_attrs(name, mtu, group, mac), info)), f"add vxlan {name} id {vni}")

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
        other = _link_attrs(peer, mtu, group, peer_mac)
        if peer_netns is not None:
            other += (("IFLA_NET_NS_FD", self._descriptor(peer_netns)),)
        data: Attrs = (("VETH_INFO_PEER", LINK.pack(0, 0, peer_index, 0, 0) + ONE_QUEUE + join(other)),)
        info = ("IFLA_LINKINFO", (("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_DATA", data)))
        attrs = ONE_QUEUE + join((*_link_attrs(name, mtu, group, mac), info))
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

    def _new_link(self, name: str, index: int, up: bool, attrs: bytes, asked: str) -> None:
        self._change(NEWLINK, CREATE | EXCL, LINK.pack(0, 0, index, up, up) + attrs, asked)
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
        isolated: bool | None = None,
        promiscuous: bool = False,
    ) -> None:
        """Change several properties of a link at once; what is not named stays.

        `master` "" or 0 frees it from its bridge; `ipv6=False` gives it no link-local address when it comes up, now or
        later; `hairpin` lets a bridge port send a packet back where it came from (after `master`), `isolated` keeps it
        from the other isolated ports of its bridge.
        """
        if up and not ipv6:  # on its own: of one message the kernel reads the flags first
            self._change(NEWLINK, 0, _about(dev, ADDR_GEN_NONE), f"turn off the link-local address of {dev}")
        flags = (IFF_UP if up else 0) | (IFF_PROMISC if promiscuous else 0)
        change = (0 if up is None else IFF_UP) | (IFF_PROMISC if promiscuous else 0)
        attrs = _link_attrs("", mtu, group, mac)
        if alias:
            attrs += (("IFLA_IFALIAS", alias),)
        if master is not None:
            attrs += (("IFLA_MASTER", self.index(master) if master else 0),)
        more = join(attrs) + (b"" if up or ipv6 else ADDR_GEN_NONE)
        self._change(NEWLINK, 0, _about(dev, more, flags, change), f"change link {dev}")
        if hairpin is not None:
            self._set_port(dev, "IFLA_BRPORT_MODE", hairpin, "hairpin mode")
        if isolated is not None:
            self._set_port(dev, "IFLA_BRPORT_ISOLATED", isolated, "isolation")

    def _set_port(self, dev: Dev, attribute: str, on: bool, what: str) -> None:
        data: Attrs = (("IFLA_INFO_SLAVE_KIND", "bridge"), ("IFLA_INFO_SLAVE_DATA", ((attribute, int(on)),)))
        body = _about(dev, join((("IFLA_LINKINFO", data),)))
        self._change(NEWLINK, 0, body, f"set {what} of bridge port {dev}")

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
        body = _about(index, join((("IFLA_IFNAME", name),)))
        self._change(NEWLINK, 0, body, f"rename link {dev} to {name}")
        self._indexes = {known: at for known, at in self._indexes.items() if at != index} | {name: index}

    def move(self, dev: Dev, netns: str | int) -> None:
        """Move a link into another namespace, given by path or descriptor."""
        place: Attrs = (("IFLA_NET_NS_FD", self._descriptor(netns)),)
        self._change(NEWLINK, 0, _about(dev, join(place)), f"move link {dev} to {netns}")
        self._forget(dev)

    def add_altname(self, dev: Dev, altname: str) -> None:
        """Give a link a further name, of up to 127 bytes, by which it can be looked up."""
        body = _about(dev, join((("IFLA_PROP_LIST", (("IFLA_ALT_IFNAME", altname),)),)))
        self._change(NEWLINKPROP, CREATE | EXCL | APPEND, body, f"add alternative name {altname} to link {dev}")

    def delete_link(self, dev: Dev) -> None:
        """Remove a link (with its peer, for a veth); NetlinkError (ENODEV) if there is none."""
        self._change(DELLINK, 0, _about(dev), f"delete link {dev}")
        self._forget(dev)

    def delete_group(self, group: int) -> None:
        """Remove all links of a group at once: 1,000 in the time of a few; none of that group is no error."""
        if group <= 0:
            raise ValueError(f"link group {group}: expected a positive number; 0 is every link's default group")
        body = encode("ifinfmsg", (), (("IFLA_GROUP", group),))
        try:
            self._change(DELLINK, 0, body, f"delete links of group {group}")
        except NetlinkError as error:
            if error.errno != errno.ENODEV:
                raise
        self._indexes.clear()

    def _forget(self, dev: Dev) -> None:
        self._indexes = {name: index for name, index in self._indexes.items() if dev not in (name, index)}


def _about(dev: Dev, attrs: bytes = b"", flags: int = 0, change: int = 0) -> bytes:
    """Body of a message about a link that is there."""
    if isinstance(dev, int):
        return LINK.pack(0, 0, dev, flags, change) + attrs
    name = join((("IFLA_IFNAME" if len(dev) < IFNAMSIZ else "IFLA_ALT_IFNAME", dev),))
    return LINK.pack(0, 0, 0, flags, change) + name + attrs


def _link_attrs(name: str, mtu: int, group: int, mac: str) -> Attrs:
    given = (("IFLA_IFNAME", name), ("IFLA_MTU", mtu), ("IFLA_GROUP", group), ("IFLA_ADDRESS", mac))
    return tuple([pair for pair in given if pair[1]])
