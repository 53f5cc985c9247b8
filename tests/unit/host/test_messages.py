"""What our table gives is, byte for byte, what pyroute2 gives."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.host._messages import encode, encode_address, encode_ip, encode_neighbour, encode_u32, join, read_prefix

from .netlink_messages import encode_by_pyroute2

names = st.from_regex(r"[a-z0-9.:-]{1,15}", fullmatch=True)
macs = st.binary(min_size=6, max_size=6).map(lambda raw: raw.hex(":"))
indexes = st.integers(1, 2**31 - 1)
numbers = st.integers(0, 2**32 - 1)
bytes_ = st.integers(0, 255)


def attrs(**values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Attributes with values of these sorts: some of them, in any order."""
    pairs = [st.tuples(st.just(name), value) for name, value in values.items()]
    return st.permutations(pairs).flatmap(lambda order: st.tuples(*order)).map(tuple)


def fields(**values: st.SearchStrategy[int]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({}, optional=values).map(lambda chosen: tuple(chosen.items()))


link_attrs = {"IFLA_IFNAME": names, "IFLA_MTU": numbers, "IFLA_GROUP": numbers, "IFLA_ADDRESS": macs}
link_attrs |= {f"IFLA_NUM_{way}_QUEUES": numbers for way in ("TX", "RX")}
link_attrs |= {f"IFLA_{name}": indexes for name in ("LINK", "MASTER", "NET_NS_FD", "EXT_MASK")}
families = {"IFLA_AF_SPEC": attrs(AF_INET6=attrs(IFLA_INET6_ADDR_GEN_MODE=bytes_))}
altnames = {"IFLA_PROP_LIST": attrs(IFLA_ALT_IFNAME=names), "IFLA_IFALIAS": names}


def info(kind: str, **data: st.SearchStrategy[Any]) -> dict[str, st.SearchStrategy[Any]]:
    """What is particular to a kind of link, which comes after the kind."""
    inner = attrs(**data)
    return {"IFLA_LINKINFO": st.tuples(st.just(("IFLA_INFO_KIND", kind)), st.tuples(st.just("IFLA_INFO_DATA"), inner))}


@st.composite
def addressed(draw: st.DrawFn, kind: str, index: str, given: dict[str, Any], *ips: str) -> tuple[str, Any, Any]:
    """A message with IP addresses of one family, which its fixed part names."""
    version = draw(st.sampled_from((4, 6)))
    ip = st.ip_addresses(v=version).map(str)
    fixed = (("family", 2 if version == 4 else 10), (index, draw(bytes_)))
    return kind, fixed, draw(attrs(**dict.fromkeys(ips, ip), **given))


vxlan = info(
    "vxlan",
    IFLA_VXLAN_ID=st.integers(0, 2**24 - 1),
    IFLA_VXLAN_LINK=indexes,
    IFLA_VXLAN_LOCAL=st.ip_addresses(v=4).map(str),
    IFLA_VXLAN_LOCAL6=st.ip_addresses(v=6).map(str),
    IFLA_VXLAN_PORT=st.integers(0, 2**16 - 1),
    IFLA_VXLAN_LEARNING=bytes_,
)
port = attrs(IFLA_BRPORT_MODE=bytes_, IFLA_BRPORT_ISOLATED=bytes_)
slave = st.tuples(st.just(("IFLA_INFO_SLAVE_KIND", "bridge")), st.tuples(st.just("IFLA_INFO_SLAVE_DATA"), port))
links = fields(index=indexes, flags=numbers, change=numbers)
metrics = attrs(RTAX_MTU=numbers, RTAX_ADVMSS=numbers)
messages = st.one_of(
    st.tuples(st.just("ifinfmsg"), links, attrs(**link_attrs, **families, **altnames)),
    st.tuples(st.just("ifinfmsg"), links, attrs(**link_attrs, **vxlan)),
    st.tuples(st.just("ifinfmsg"), links, attrs(IFLA_LINKINFO=slave)),
    addressed("ifaddrmsg", "index", {}, "IFA_LOCAL", "IFA_ADDRESS"),
    addressed(
        "rtmsg", "dst_len", {"RTA_OIF": indexes, "RTA_PRIORITY": numbers, "RTA_TABLE": numbers, "RTA_METRICS": metrics},
        "RTA_DST", "RTA_GATEWAY", "RTA_PREFSRC",
    ),
    addressed("ndmsg", "ifindex", {"NDA_LLADDR": macs}, "NDA_DST"),
)  # fmt: skip


@given(messages)
def test_encode_equals_pyroute2(message: tuple[str, Any, Any]) -> None:
    assert encode(*message) == encode_by_pyroute2(*message)


@given(names, indexes, attrs(**link_attrs))
def test_a_peer_is_a_message_of_its_own(name: str, index: int, peer: Any) -> None:
    def veth(inner: Any) -> Any:
        data = ("IFLA_INFO_DATA", (("VETH_INFO_PEER", inner),))
        return (("IFLA_IFNAME", name), ("IFLA_LINKINFO", (("IFLA_INFO_KIND", "veth"), data)))

    ours = encode("ifinfmsg", (), veth(encode("ifinfmsg", (("index", index),), peer)))
    assert ours == encode_by_pyroute2("ifinfmsg", (), veth((("index", index), *peer)))


@given(st.ip_addresses(), st.integers(0, 32), bytes_, bytes_, indexes)
def test_an_address_in_one_step_equals_its_attributes(ip: Any, length: int, flags: int, scope: int, index: int) -> None:
    family = 2 if ip.version == 4 else 10
    fixed = (("family", family), ("prefixlen", length), ("flags", flags), ("scope", scope), ("index", index))
    generic = encode("ifaddrmsg", fixed, (("IFA_LOCAL", str(ip)), ("IFA_ADDRESS", str(ip))))
    assert encode_address(f"{ip}/{length}", flags, scope, index) == generic


@given(st.ip_addresses(), macs, indexes, bytes_)
def test_a_neighbour_in_one_step_equals_its_attributes(ip: Any, mac: str, index: int, state: int) -> None:
    fixed = (("family", 2 if ip.version == 4 else 10), ("ifindex", index), ("state", state))
    generic = encode("ndmsg", fixed, (("NDA_DST", str(ip)), ("NDA_LLADDR", mac)))
    assert encode_neighbour(str(ip), mac, index, state) == generic


@given(st.ip_addresses(), numbers)
def test_an_attribute_in_one_step_equals_that_of_the_table(ip: Any, number: int) -> None:
    assert encode_ip(5, read_prefix(str(ip))[1]) == join((("RTA_GATEWAY", str(ip)),))
    assert encode_u32(6, number) == join((("RTA_PRIORITY", number),))


def test_a_prefix_is_whole_unless_it_says_its_length() -> None:
    assert read_prefix("10.0.0.0/8") == (2, bytes([10, 0, 0, 0]), 8)
    assert read_prefix("10.0.0.1") == (2, bytes([10, 0, 0, 1]), 32)
    assert read_prefix("::1") == (10, bytes(15) + b"\1", 128)
    with pytest.raises(OSError, match="illegal IP"):
        read_prefix("10.0.0/8")


def test_what_is_in_no_table_or_no_address_is_an_error() -> None:
    with pytest.raises(KeyError, match="IFLA_FOO"):
        encode("ifinfmsg", (), (("IFLA_FOO", 1),))
    with pytest.raises(Exception, match="expected"):
        encode("ifinfmsg", (("indx", 1),), ())
    with pytest.raises(OSError, match="illegal IP"):
        encode("ifaddrmsg", (), (("IFA_LOCAL", "10.0.0"),))
