"""What the templates give is, byte for byte, what pyroute2 gives."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from netsim.host._messages import encode, encode_whole

names = st.from_regex(r"[a-z0-9.:-]{1,15}", fullmatch=True)
macs = st.binary(min_size=6, max_size=6).map(lambda raw: raw.hex(":"))
v4 = st.ip_addresses(v=4).map(str)
v6 = st.ip_addresses(v=6).map(str)
indexes = st.integers(1, 2**31 - 1)


@st.composite
def messages(draw: st.DrawFn) -> tuple[str, Any, Any]:  # noqa: PLR0911
    kind = draw(st.sampled_from(("veth", "set", "address", "route", "neighbour", "vxlan", "altname")))
    ip = draw(v4 | v6)
    family = 10 if ":" in ip else 2
    if kind == "veth":
        peer = (("index", draw(indexes)), ("IFLA_IFNAME", draw(names)), ("IFLA_NET_NS_FD", draw(indexes)))
        data = (("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_DATA", (("VETH_INFO_PEER", peer),)))
        return "ifinfmsg", (("flags", 1),), (("IFLA_IFNAME", draw(names)), ("IFLA_LINKINFO", data))
    if kind == "vxlan":
        local = ("IFLA_VXLAN_LOCAL6" if family == 10 else "IFLA_VXLAN_LOCAL", ip)
        inner = (
            ("IFLA_VXLAN_ID", draw(st.integers(0, 2**24 - 1))),
            local,
            ("IFLA_VXLAN_PORT", draw(st.sampled_from((0x2121, 8472, 1)))),
        )
        return "ifinfmsg", (), (("IFLA_LINKINFO", (("IFLA_INFO_KIND", "vxlan"), ("IFLA_INFO_DATA", inner))),)
    if kind == "set":
        gen = (("AF_INET6", (("IFLA_INET6_ADDR_GEN_MODE", draw(st.integers(0, 2))),)),)
        attrs = (("IFLA_IFALIAS", draw(names)), ("IFLA_ADDRESS", draw(macs)), ("IFLA_MTU", 1500), ("IFLA_AF_SPEC", gen))
        return "ifinfmsg", (("index", draw(indexes)), ("change", 1)), attrs
    if kind == "altname":
        return "ifinfmsg", (), (("IFLA_PROP_LIST", (("IFLA_ALT_IFNAME", draw(names)),)),)
    if kind == "address":
        return "ifaddrmsg", (("family", family), ("index", draw(indexes))), (("IFA_LOCAL", ip), ("IFA_ADDRESS", ip))
    if kind == "route":
        attrs = (("RTA_DST", ip), ("RTA_GATEWAY", ip), ("RTA_OIF", draw(indexes)), ("RTA_PRIORITY", draw(indexes)))
        return "rtmsg", (("family", family), ("dst_len", 32), ("table", 254)), attrs
    return "ndmsg", (("family", family), ("ifindex", draw(indexes))), (("NDA_DST", ip), ("NDA_LLADDR", draw(macs)))


@given(messages(), messages())
def test_encode_equals_pyroute2(first: tuple[str, Any, Any], second: tuple[str, Any, Any]) -> None:
    for message in (first, second):
        assert encode(*message) == encode_whole(*message)


def test_a_name_that_looks_like_an_address_is_still_a_name() -> None:
    for name in ("10.0.0.1", "10.0.0.100", "a::b", "fd00::1"):
        message = ("ifinfmsg", (("index", 1),), (("IFLA_IFNAME", name),))
        assert encode(*message) == encode_whole(*message)


def test_import_leaves_pyroute2_out_and_importable() -> None:
    """The package's own __init__ takes four times as long as what we need, and must still work for others."""
    code = "import sys, netsim.host.netlink; assert 'pyroute2' not in sys.modules; import pyroute2; pyroute2.IPRoute"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60)
