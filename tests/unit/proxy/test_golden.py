"""The recorded objects compile to what the real kube-proxy 1.30 programmed."""

from typing import Any

import pytest

from netsim_proxy.config import Family, ProxyConfig
from netsim_proxy.diff import SHARED_CHAINS
from netsim_proxy.iptables import parse_save
from netsim_proxy.render import render_objects

CIDRS = ("10.180.0.0/16", "fd00:10::/48")
ADDRESSES = ("127.0.0.1/8", "192.168.0.2/24", "10.180.0.1/24", "::1/128", "fd00:1::2/64")
VARIANTS: dict[str, tuple[str, Family, dict[str, Any]]] = {
    "base.iptables-save.txt": ("base.json", 4, {"cluster_cidr": CIDRS}),
    "base.ip6tables-save.txt": ("base.json", 6, {"cluster_cidr": CIDRS}),
    "small.v1.iptables-save.txt": ("small.json", 4, {}),
    "small.v2.iptables-save.txt": ("small.json", 4, {"cluster_cidr": CIDRS, "masquerade_all": True}),
    "small.v3.iptables-save.txt": (
        "small.json",
        4,
        {"cluster_cidr": CIDRS, "nodeport_addresses": ("192.168.0.0/24",)},
    ),
    "small.v4.iptables-save.txt": ("small.json", 4, {"nodeport_addresses": ("127.0.0.0/8", "192.168.0.0/24")}),
}


@pytest.mark.parametrize("recording", VARIANTS)
def test_equals_recording(golden: Any, recording: str) -> None:
    objects, family, flags = VARIANTS[recording]
    compiled = parse_save(render_objects(golden(objects), ProxyConfig("node1", **flags), ADDRESSES, family))
    recorded = parse_save(golden(recording))
    assert compiled.keys() == recorded.keys()
    for place, rules in recorded.items():
        if place[1] in SHARED_CHAINS:
            assert sorted(compiled[place]) == sorted(rules), place
        else:
            assert compiled[place] == rules, place


@pytest.mark.parametrize("recording", VARIANTS)
def test_nodeport_jumps_are_last(golden: Any, recording: str) -> None:
    objects, family, flags = VARIANTS[recording]
    state = parse_save(render_objects(golden(objects), ProxyConfig("node1", **flags), ADDRESSES, family))
    recorded = parse_save(golden(recording))
    tail = [rule for rule in recorded["nat", "KUBE-SERVICES"] if rule.endswith("-j KUBE-NODEPORTS")]
    assert list(state["nat", "KUBE-SERVICES"][-len(tail) :]) == tail


def test_chain_lines_are_sorted_as_iptables_save_prints_them(golden: Any) -> None:
    text = render_objects(golden("base.json"), ProxyConfig("node1", cluster_cidr=CIDRS), ADDRESSES)
    ours = [line for line in text.splitlines() if line.startswith((":", "*"))]
    recorded = [line for line in golden("base.iptables-save.txt").splitlines() if line.startswith((":", "*"))]
    assert ours == recorded


def test_an_ipv6_address_keeps_its_writing_in_names_and_comments_only(make: Any) -> None:
    service = make.service(clusterIP="fd00::9")
    part = make.slice(make.endpoint("FD00:0:0::A"), addressType="IPv6")
    text = render_objects([service, part], ProxyConfig("node1"), ADDRESSES, 6)
    assert '"ns/web:http -> [FD00:0:0::A]:8080"' in text
    assert "-s fd00::a/128 " in text and "--to-destination [fd00::a]:8080" in text
