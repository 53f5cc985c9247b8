"""Where packets go in mode nftables: the packet matrix, and the same answers as mode iptables but where it says so."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsim_proxy.config import Family, ProxyConfig
from netsim_proxy.nftables import walk as nftables
from netsim_proxy.nftables.language import Nftables
from netsim_proxy.render import compile_objects, compile_table, cut_objects
from netsim_proxy.rule import Ruleset
from netsim_proxy.walk import Fate, Packet, Verdict, walk
from support.proxy_objects import ADDRESSES, KINDS, every_kind

CIDRS = ("10.180.0.0/16", "fd00:10::/48")
# All node addresses answer NodePorts, so that the modes agree; that fewer do by default has tests of its own.
CONFIG = ProxyConfig("node1", cluster_cidr=CIDRS, nodeport_addresses=("0.0.0.0/0", "::/0"), localhost_nodeports=False)
CONFIGS = [
    CONFIG,
    ProxyConfig("node1", nodeport_addresses=("192.168.0.0/24", "fd00:1::/64"), localhost_nodeports=False),
    ProxyConfig("node1", cluster_cidr=CIDRS, masquerade_all=True, nodeport_addresses=("0.0.0.0/0", "::/0")),
    ProxyConfig("node1", detect_local_mode="InterfaceNamePrefix", interface_name_prefix="veth"),
]

_NUMBER = list(KINDS).index("ranges-none") + 1
WITHOUT_ENDPOINTS = (f"203.0.113.{_NUMBER}", f"203.0.113.{100 + _NUMBER}", f"2001:db8::{_NUMBER:x}")
"""Load-balancer addresses with source ranges and without endpoints."""
ALLOWED = ("203.0.113.7", "192.168.0.100", "2001:db8::7")
"""Outside clients in those ranges."""


@cache
def compiled(config: ProxyConfig, family: Family) -> tuple[Ruleset, Nftables]:
    objects = every_kind()
    return compile_objects(objects, config, ADDRESSES, family), compile_table(objects, config, ADDRESSES, family)


@cache
def destinations(family: Family) -> list[tuple[str, int, str]]:
    """Every way to every Service, some that lead nowhere, and ports that no Service has."""
    found: set[tuple[str, int, str]] = set()
    for port in cut_objects(every_kind(), CONFIG, ADDRESSES, family).services:
        protocol = port.protocol.lower()
        for address in (port.cluster_ip, *port.external_ips, *port.vips):
            found |= {(address, port.port, protocol), (address, 81, protocol)}
        for address in ADDRESSES:
            if (":" in address) == (family == 6):
                found |= {(address, port.node_port or 22, protocol)}
    return sorted(found)


@cache
def senders(family: Family) -> list[tuple[str, str]]:
    """Source addresses with the interface that they come in through: the node itself, its pods, others."""
    parts = cut_objects(every_kind(), CONFIG, ADDRESSES, family)
    pods = [entry.address for part in parts.slices for entry in part.endpoints if entry.node == "node1"]
    own = [ip for ip in ADDRESSES if (":" in ip) == (family == 6) and ip not in ("127.0.0.1", "::1")]
    others = ["192.168.0.100", "203.0.113.7", "198.51.100.5"] if family == 4 else ["2001:db8::7", "2001:db9::1"]
    others.append("10.180.9.9" if family == 4 else "fd00:10::ffff")
    return [*((ip, "") for ip in own), *((ip, "veth1") for ip in pods), *((ip, "eth0") for ip in others)]


def differing_fate(packet: Packet, rules: Ruleset, config: ProxyConfig) -> Fate | None:
    """What happens in mode nftables alone, as in kube-proxy's (checklist, column nftables); None where modes agree.

    Loopback, and addresses of the node that answer no NodePorts, are left alone (P-10, P-27). A ClusterIP's other ports
    are refused (P-37, P-38). Source ranges count for a Service without endpoints too. What the node sends meets the
    filter before its destination is replaced, so it is treated there as an outside client is (P-18, P-26).
    """
    limited = "0.0.0.0/0" not in config.nodeport_addresses
    if packet.destination in ("127.0.0.1", "::1") or (limited and packet.destination in ("10.180.0.1", "fd00:10::1")):
        return "passed"
    if packet.port == 81:
        return "refused" if packet.destination.startswith(("10.96.", "fd00:96:")) else None
    if packet.interface and packet.destination in WITHOUT_ENDPOINTS and packet.source not in ALLOWED:
        return "dropped"
    if not packet.interface and packet.destination not in ADDRESSES:
        source = "203.0.113.7" if "." in packet.source else "2001:db8::7"
        [fate, *others] = walk(rules, replace(packet, source=source, interface="eth0")).fates
        return fate if fate in ("refused", "dropped") and not others else None
    return None


def same(one: Verdict, other: Verdict) -> bool:
    return (one.fates, one.endpoints, one.masqueraded) == (other.fates, other.endpoints, other.masqueraded)


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_modes_agree_on_packets(data: st.DataObject) -> None:
    family: Family = data.draw(st.sampled_from([4, 6]))
    config = data.draw(st.sampled_from(CONFIGS))
    destination, port, protocol = data.draw(st.sampled_from(destinations(family)))
    source, interface = data.draw(st.sampled_from(senders(family)))
    packet = Packet(source, destination, port, protocol, interface)
    rules, table = compiled(config, family)
    answer, expected = nftables.walk(table, packet), walk(rules, packet)
    assert sum(outcome.probability for outcome in answer.outcomes) == 1
    fate = differing_fate(packet, rules, config)
    if fate is None:
        assert same(answer, expected), (packet, answer, expected)
    else:
        assert answer.fates == {fate}, (packet, answer, expected)


def test_clients_keep_their_endpoint_on_every_way_to_a_service() -> None:
    table = compile_table(every_kind(), CONFIG, ADDRESSES)
    kept = next(name for name in table.sets if name.startswith("affinity-") and "__10.180.7.2/8080" in name)
    for destination, port, masqueraded in (("10.96.1.7", 80, False), ("192.168.0.2", 30007, True)):
        packet = Packet("10.180.0.99", destination, port, interface="veth1")
        assert set(nftables.walk(table, packet).endpoints.values()) == {Fraction(1, 3)}
        verdict = nftables.walk(table, replace(packet, sticky=frozenset((kept,))))
        assert verdict.endpoints == {"10.180.7.2:8080": 1}
        assert verdict.masqueraded == {masqueraded}


def test_trail_names_the_service_and_the_element() -> None:
    table = compile_table(every_kind(), CONFIG, ADDRESSES)
    verdict = nftables.walk(table, Packet("192.168.0.100", "192.168.0.2", 30014))  # both-local, endpoint elsewhere
    assert verdict.fates == {"dropped"}
    chain, text = verdict.outcomes[0].trail[-1][1:]
    assert chain == "nodeport-endpoints-check"
    assert text.endswith('# tcp . 30014 comment "all/both-local:p" : drop')


def test_first_service_by_name_has_a_destination_that_two_want() -> None:
    objects = [obj for obj in every_kind() if obj["metadata"]["name"].startswith(("plain", "three", "node1"))]
    for obj in objects:
        if obj["kind"] == "Service":
            obj["spec"]["externalIPs"] = ["192.168.99.9"]
    packet = Packet("192.168.0.100", "192.168.99.9", 80)
    assert nftables.walk(compile_table(objects, CONFIG, ADDRESSES), packet).endpoints.keys() == {
        "10.180.1.1:8080",
        "10.180.1.2:8080",
    }
    objects = [obj for obj in objects if not obj["metadata"]["name"].startswith("plain")]
    assert len(nftables.walk(compile_table(objects, CONFIG, ADDRESSES), packet).endpoints) == 3


@pytest.mark.parametrize("count", [1, 2, 3, 7, 16, 100, 1025])
def test_every_endpoint_has_exactly_the_same_chance(make: Any, count: int) -> None:
    endpoints = [make.endpoint(f"10.180.{index // 250}.{index % 250 + 1}") for index in range(count)]
    service = make.service(ports=[{"name": "http", "port": 80, "protocol": "TCP"}])
    table = compile_table([service, make.slice(*endpoints)], CONFIG, ADDRESSES)
    chances = nftables.walk(table, Packet("10.180.9.9", service["spec"]["clusterIP"], 80)).endpoints
    assert len(chances) == count
    assert set(chances.values()) == {Fraction(1, count)}


def test_by_default_node_ports_answer_on_the_primary_address_alone() -> None:
    table = compile_table(every_kind(), ProxyConfig("node1", cluster_cidr=CIDRS), ADDRESSES)
    for destination, fate in (("192.168.0.2", "endpoint"), ("10.180.0.1", "passed"), ("127.0.0.1", "passed")):
        assert nftables.walk(table, Packet("192.168.0.2", destination, 30007, interface="")).fates == {fate}
