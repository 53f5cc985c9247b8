"""Answers of the kernel, built by hand from the field layouts of rtnetlink(7)."""

from __future__ import annotations

import socket
import struct

from hypothesis import given
from hypothesis import strategies as st

from netsim.host._messages import HEADER
from netsim.host._rtnl import (
    Address,
    Forwarding,
    Neighbour,
    Vxlan,
    attributes,
    messages,
    parse_address,
    parse_error,
    parse_forwarding,
    parse_link,
    parse_neighbour,
    parse_route,
    parse_vxlan,
)

from .netlink_messages import encode_by_pyroute2


def test_link() -> None:
    body = encode_by_pyroute2(
        "ifinfmsg",
        (("index", 7), ("flags", 0x10001)),
        (
            ("IFLA_IFNAME", "web-1-ab12c"),
            ("IFLA_MTU", 1400),
            ("IFLA_ADDRESS", "ee:ee:ee:ee:ee:ee"),
            ("IFLA_LINK", 2),
            ("IFLA_MASTER", 3),
            ("IFLA_GROUP", 77),
            ("IFLA_IFALIAS", "shop/web-1"),
            ("IFLA_LINKINFO", (("IFLA_INFO_KIND", "veth"),)),
            ("IFLA_PROP_LIST", (("IFLA_ALT_IFNAME", "one"), ("IFLA_ALT_IFNAME", "two"))),
        ),
    )
    link = parse_link(body)
    assert (link.index, link.name, link.kind, link.up, link.carrier) == (7, "web-1-ab12c", "veth", True, True)
    assert (link.mtu, link.mac, link.link, link.master) == (1400, "ee:ee:ee:ee:ee:ee", 2, 3)
    assert (link.group, link.alias, link.altnames, link.link_netnsid) == (77, "shop/web-1", ("one", "two"), None)


def test_address_and_neighbour() -> None:
    body = encode_by_pyroute2(
        "ifaddrmsg",
        (("family", 2), ("prefixlen", 24), ("index", 4), ("scope", 0)),
        (("IFA_ADDRESS", "10.0.0.9"), ("IFA_LOCAL", "10.0.0.1"), ("IFA_LABEL", "eth0")),
    )
    assert parse_address(body) == Address(4, socket.AF_INET, "10.0.0.1/24", "global", "eth0")
    body = encode_by_pyroute2(
        "ndmsg",
        (("family", 10), ("ifindex", 4), ("state", 0x80)),
        (("NDA_DST", "fd00::1"), ("NDA_LLADDR", "0a:58:00:00:00:01")),
    )
    assert parse_neighbour(body) == Neighbour(4, "fd00::1", "0a:58:00:00:00:01", 0x80)


def test_routes() -> None:
    fields = (("family", 2), ("dst_len", 24), ("table", 254), ("proto", 96), ("scope", 253), ("type", 1))
    route = parse_route(
        encode_by_pyroute2("rtmsg", fields, (("RTA_DST", "10.1.0.0"), ("RTA_OIF", 5), ("RTA_PREFSRC", "10.1.0.1")))
    )
    assert (route.dst, route.via, route.dev, route.scope, route.src) == ("10.1.0.0/24", "", 5, "link", "10.1.0.1")
    assert (route.table, route.protocol, route.type) == (254, 96, "unicast")
    default = parse_route(encode_by_pyroute2("rtmsg", (("family", 10), ("type", 7)), (("RTA_TABLE", 1000),)))
    assert (default.dst, default.table, default.type) == ("::/0", 1000, "unreachable")


def test_error_with_and_without_the_kernels_words() -> None:
    header = HEADER.pack(32, 16, 5, 1, 0)
    assert parse_error(struct.pack("=i", -17) + header, 0) == (17, "")
    assert parse_error(struct.pack("=i", 0) + header, 0x100) == (0, "")
    words = b"Address already assigned\0"
    tlv = struct.pack("=HH", 4 + len(words), 1) + words
    assert parse_error(struct.pack("=i", -17) + header + tlv, 0x300) == (17, "Address already assigned")
    assert parse_error(struct.pack("=i", -17) + header + b"\1" * 16 + tlv, 0x200) == (17, "Address already assigned")


@given(st.binary(max_size=200))
def test_garbage_ends_and_never_raises(data: bytes) -> None:
    assert len(list(messages(data))) <= len(data) // HEADER.size
    assert len(attributes(data).values) <= len(data) // 4


def test_vxlan_and_what_is_none() -> None:
    data = (
        ("IFLA_VXLAN_ID", 1), ("IFLA_VXLAN_LINK", 2), ("IFLA_VXLAN_LOCAL", "172.30.0.11"),
        ("IFLA_VXLAN_PORT", 8472), ("IFLA_VXLAN_LEARNING", 0),
    )  # fmt: skip
    info = ("IFLA_LINKINFO", (("IFLA_INFO_KIND", "vxlan"), ("IFLA_INFO_DATA", data)))
    body = encode_by_pyroute2("ifinfmsg", (("index", 5),), (("IFLA_IFNAME", "vx-node-1"), info))
    assert parse_vxlan(body) == Vxlan(1, 8472, "172.30.0.11", 2, False)
    other = (("IFLA_IFNAME", "veth0"), ("IFLA_LINKINFO", (("IFLA_INFO_KIND", "veth"),)))
    assert parse_vxlan(encode_by_pyroute2("ifinfmsg", (), other)) is None


def test_forwarding_to_a_machine_of_either_family() -> None:
    for remote in ("172.30.0.12", "fd00::12"):
        fields = (("family", socket.AF_BRIDGE), ("ifindex", 5))
        body = encode_by_pyroute2("ndmsg", fields, (("NDA_LLADDR", "0e:11:22:33:44:55"), ("NDA_DST", remote)))
        assert parse_forwarding(body) == Forwarding(5, "0e:11:22:33:44:55", remote)
