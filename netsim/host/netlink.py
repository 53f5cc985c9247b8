"""Links, addresses, routes and neighbours of a network namespace through one rtnetlink socket.

Every change is acknowledged by the kernel; inside `with netlink.batch():` changes are collected and sent in one
sendmsg, each still with its own acknowledgement. A name is looked up once and remembered.
"""

from __future__ import annotations

import socket
from typing import Any

from netsim.host._links import Dev, Links
from netsim.host._messages import (
    ROUTE,
    Attrs,
    Fields,
    encode,
    encode_address,
    encode_ip,
    encode_neighbour,
    encode_u32,
    join,
    read_prefix,
)
from netsim.host._rtnl import (
    Address,
    Forwarding,
    Link,
    Neighbour,
    Route,
    Vxlan,
    parse_address,
    parse_forwarding,
    parse_neighbour,
    parse_route,
)
from netsim.host._transport import APPEND, CREATE, EXCL, REPLACE, NetlinkError

__all__ = ["Address", "Forwarding", "Link", "Neighbour", "Netlink", "NetlinkError", "Route", "Vxlan"]

NEWADDR, DELADDR, GETADDR = 20, 21, 22
NEWROUTE, DELROUTE, GETROUTE = 24, 25, 26
NEWNEIGH, DELNEIGH, GETNEIGH = 28, 29, 30

IFA_F_NODAD = 0x2
NUD_REACHABLE, NUD_PERMANENT = 0x2, 0x80
NTF_SELF = 0x2
RTNH_F_ONLINK = 4
RT_TABLE_UNSPEC, RT_TABLE_MAIN = 0, 254
RTPROT_STATIC = 4
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_PREFSRC = 1, 4, 5, 6, 7
SCOPE_NOWHERE = 255
SCOPE_NUMBERS = {"global": 0, "site": 200, "link": 253, "host": 254}
TYPE_NUMBERS = {"unicast": 1, "local": 2, "blackhole": 6, "unreachable": 7}


class Netlink(Links):
    """An rtnetlink socket in the namespace at path `netns`, or in the calling thread's; for one thread at a time.

    Wherever a device is wanted, its name or its index may be given. All changes raise NetlinkError.
    """

    # --- addresses --------------------------------------------------------------------------------------------

    def addresses(self, dev: Dev | None = None) -> list[Address]:
        """Addresses of one device, or of all."""
        found = self._dump(GETADDR, encode("ifaddrmsg", (), ()), NEWADDR, parse_address, "list addresses")
        index = None if dev is None else self.index(dev)
        return [address for address in found if index in (None, address.index)]

    def add_address(self, dev: Dev, address: str, *, scope: str = "global", dad: bool = False) -> None:
        """Add "10.0.0.1/24" to a device; EEXIST if it is there.

        With `dad`, an IPv6 address is tentative until duplicate address detection has found no other owner.
        """
        flags = IFA_F_NODAD if ":" in address and not dad else 0
        body = encode_address(address, flags, SCOPE_NUMBERS[scope], self.index(dev))
        self._change(NEWADDR, CREATE | EXCL, body, f"add address {address} to {dev}")

    def del_address(self, dev: Dev, address: str) -> None:
        """Remove an address; NetlinkError (EADDRNOTAVAIL) if it is not there."""
        body = encode_address(address, 0, SCOPE_NUMBERS["global"], self.index(dev))
        self._change(DELADDR, 0, body, f"delete address {address} from {dev}")

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
        scope: str | int = "",
        src: str = "",
        onlink: bool = False,
        metric: int = 0,
        table: int = RT_TABLE_MAIN,
        mtu: int = 0,
        advmss: int = 0,
        type: str = "unicast",
        protocol: int = RTPROT_STATIC,
        replace: bool = False,
    ) -> None:
        """A route; `dst` None is the default route of the family of `via`. EEXIST if there is one.

        `scope` is "link" without `via` and "global" with it unless given; `protocol` marks whose route it is; `mtu`
        and `advmss` (bytes) are those of what goes by it, 0 for the link's.
        """
        family, length, to = _route_key(dst, via)
        linked = type == "unicast" and not via
        named = scope if isinstance(scope, int) else SCOPE_NUMBERS[scope or ("link" if linked else "global")]
        number, flags = table if table < 256 else RT_TABLE_UNSPEC, RTNH_F_ONLINK if onlink else 0
        body = ROUTE.pack(family, length, 0, 0, number, protocol, named, TYPE_NUMBERS[type], flags)
        body += to + self._route_attrs(via, dev, src, metric)
        if table >= 256 or mtu or advmss:
            body += join(_route_metrics(table, mtu, advmss))
        way, verb = (REPLACE, "replace") if replace else (EXCL, "add")
        self._change(NEWROUTE, CREATE | way, body, f"{verb} route {_describe(dst, via, dev)}")

    def replace_route(self, dst: str | None, *, via: str = "", dev: Dev | None = None, **options: Any) -> None:
        """As `add_route`, in the place of the route to the same destination with the same metric."""
        self.add_route(dst, via=via, dev=dev, replace=True, **options)

    def del_route(self, dst: str | None, *, via: str = "", dev: Dev | None = None, metric: int = 0) -> None:
        """Remove the first route that matches; NetlinkError (ESRCH) if none does."""
        family, length, to = _route_key(dst, via)
        body = ROUTE.pack(family, length, 0, 0, RT_TABLE_MAIN, 0, SCOPE_NOWHERE, 0, 0)
        body += to + self._route_attrs(via, dev, "", metric)
        self._change(DELROUTE, 0, body, f"delete route {_describe(dst, via, dev)}")

    def _route_attrs(self, via: str, dev: Dev | None, src: str, metric: int) -> bytes:
        attrs = encode_ip(RTA_GATEWAY, read_prefix(via)[1]) if via else b""
        if dev is not None:
            attrs += encode_u32(RTA_OIF, self.index(dev))
        if src:
            attrs += encode_ip(RTA_PREFSRC, read_prefix(src)[1])
        if metric:
            attrs += encode_u32(RTA_PRIORITY, metric)
        return attrs

    # --- neighbours -------------------------------------------------------------------------------------------

    def neighbours(self, family: int = socket.AF_INET) -> list[Neighbour]:
        """Entries of the neighbour table (ARP, NDP) of a family."""
        body = encode("ndmsg", (("family", family),), ())
        return self._dump(GETNEIGH, body, NEWNEIGH, parse_neighbour, "list neighbours")

    def add_neighbour(self, ip: str, mac: str, dev: Dev, permanent: bool = True) -> None:
        """Set the link-layer address of a neighbour; a permanent entry is never asked for and never ages."""
        state = NUD_PERMANENT if permanent else NUD_REACHABLE
        body = encode_neighbour(ip, mac, self.index(dev), state)
        self._change(NEWNEIGH, CREATE | REPLACE, body, f"add neighbour {ip} at {mac} on {dev}")

    def del_neighbour(self, ip: str, dev: Dev) -> None:
        """Remove an entry; NetlinkError (ENOENT) if there is none."""
        fields: Fields = (("family", _family(ip)), ("ifindex", self.index(dev)))
        self._change(DELNEIGH, 0, encode("ndmsg", fields, (("NDA_DST", ip),)), f"delete neighbour {ip} on {dev}")

    def forwarding(self, dev: Dev) -> list[Forwarding]:
        """Forwarding entries of a VXLAN interface."""
        index = self.index(dev)
        body = encode("ndmsg", (("family", socket.AF_BRIDGE),), ())
        found = self._dump(GETNEIGH, body, NEWNEIGH, parse_forwarding, f"list forwarding of {dev}")
        return [entry for entry in found if entry.index == index]

    def add_forwarding(self, mac: str, remote: str, dev: Dev) -> None:
        """A forwarding entry of a VXLAN interface: frames to `mac` go to the machine `remote`."""
        # Frames to the all-zero address go to every machine named; only another address has one machine to replace.
        flags = CREATE | (APPEND if mac == "00:00:00:00:00:00" else REPLACE)
        body = self._forwarding_key(mac, remote, dev)
        self._change(NEWNEIGH, flags, body, f"add forwarding of {mac} to {remote} on {dev}")

    def del_forwarding(self, mac: str, remote: str, dev: Dev) -> None:
        """Remove a forwarding entry; NetlinkError (ENOENT) if there is none."""
        body = self._forwarding_key(mac, remote, dev)
        self._change(DELNEIGH, 0, body, f"delete forwarding of {mac} to {remote} on {dev}")

    def _forwarding_key(self, mac: str, remote: str, dev: Dev) -> bytes:
        fields: Fields = (
            ("family", socket.AF_BRIDGE),
            ("ifindex", self.index(dev)),
            ("state", NUD_PERMANENT),
            ("flags", NTF_SELF),
        )
        return encode("ndmsg", fields, (("NDA_LLADDR", mac), ("NDA_DST", remote)))


def _family(ip: str) -> int:
    return socket.AF_INET6 if ":" in ip else socket.AF_INET


def _route_key(dst: str | None, via: str) -> tuple[int, int, bytes]:
    """Family, length and attribute of a route's destination."""
    if dst is None or dst == "default":
        return _family(via), 0, b""
    family, packed, length = read_prefix(dst)
    return family, length, encode_ip(RTA_DST, packed) if length else b""


def _route_metrics(table: int, mtu: int, advmss: int) -> Attrs:
    """A table whose number needs more than the message's byte, and what a route says of packets' sizes."""
    metrics = tuple((key, value) for key, value in (("RTAX_MTU", mtu), ("RTAX_ADVMSS", advmss)) if value)
    number: Attrs = (("RTA_TABLE", table),) if table >= 256 else ()
    return number + ((("RTA_METRICS", metrics),) if metrics else ())


def _describe(dst: str | None, via: str, dev: Dev | None) -> str:
    return f"{dst or 'default'}{f' via {via}' if via else ''}{f' dev {dev}' if dev is not None else ''}"
