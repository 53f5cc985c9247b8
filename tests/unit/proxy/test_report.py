"""What `netsim rules` says: words, counters, what is missing, what connections meet, in both modes."""

from __future__ import annotations

from typing import Any

import pytest

from netsim.cli.fault import Fault
from netsim.cli.rules_query import find_service
from netsim_proxy.config import Family, ProxyConfig
from netsim_proxy.explain import duration
from netsim_proxy.names import service_hash
from netsim_proxy.recent import Recent
from netsim_proxy.render import cut_objects, render_objects
from netsim_proxy.report import (
    PortReport,
    Question,
    Way,
    iptables_report,
    one_port,
    plain,
    read_counters,
)
from netsim_proxy.report_nftables import nftables_report
from netsim_proxy.report_text import COLUMNS, render_port
from support.proxy_objects import ADDRESSES, every_kind

CIDRS = ("10.180.0.0/16", "fd00:10::/48")
SAVED = """*nat
:KUBE-SERVICES - [0:0]
[4:240] -A KUBE-SERVICES -d 10.96.0.10/32 -p tcp -m comment --comment "any words" -m tcp --dport 80 -j {svc}
[1:60] -A {svc} -m statistic --mode random --probability 0.50000000000 -j {one}
[9:9] -A {svc} -j RETURN
COMMIT
"""
CHAIN = "KUBE-SVC-" + service_hash("ns/web:http", "TCP")


def question(make: Any, mode: str = "iptables", **spec: Any) -> Question:
    objects = [make.service(**spec), make.slice(make.endpoint("10.180.0.1"), make.endpoint("10.180.1.1", "node2"))]
    config = ProxyConfig("node1", mode=mode, cluster_cidr=("10.180.0.0/16",))
    parts = cut_objects(objects, config, ["192.168.0.2"])
    ways = (
        Way("pod ns/a", "10.180.0.1", "clusterip", "10.96.0.10", 80, "veth0"),
        Way("client", "192.168.0.100", "clusterip", "10.96.0.10", 80, "eth0"),
    )
    return Question(parts, config, 4, {"10.180.0.1": "ns/a", "10.180.1.1": "other/b"}, ways)


def says(report: PortReport, chain: str) -> list[tuple[int | None, str]]:
    found = next(each for each in report.chains if each.chain.startswith(chain))
    return [(rule.packets, rule.says) for rule in found.rules]


def test_rules_are_told_in_words_with_the_kernels_packets(make: Any) -> None:
    asked = question(make)
    text = render_objects(
        [make.service(), make.slice(make.endpoint("10.180.0.1"), make.endpoint("10.180.1.1", "node2"))],
        asked.config,
        [],
    )
    one = next(line.rpartition(" ")[2] for line in text.splitlines() if "statistic" in line)
    report = iptables_report(asked, read_counters(SAVED.format(svc=CHAIN, one=one).splitlines()))
    assert says(report, "KUBE-SERVICES") == [(4, f"to 10.96.0.10:80/tcp: to {CHAIN}")]
    assert says(report, CHAIN) == [
        (None, "to 10.96.0.10:80/tcp, not from a pod (10.180.0.0/16): mark it, to be masqueraded"),
        (1, "1 in 2 to a"),
        (None, "to other/b"),
    ]
    assert says(report, one)[0][1] == "from the endpoint itself: mark it, to be masqueraded"
    assert report.missing == 6 and report.unexpected == (f"-A {CHAIN} -j RETURN",)
    shown = render_port(report, detailed=False)
    assert "   gone!    to other/b" in shown and "6 of these rules are not in the kernel" in shown
    assert f"beside the rules of this Service: -A {CHAIN}" in shown.replace("\n  ", " ")


@pytest.mark.parametrize("mode", ["iptables", "nftables"])
def test_what_connections_meet_is_the_same_in_both_modes(make: Any, mode: str) -> None:
    asked = question(make, mode)
    report = nftables_report(asked, None) if mode == "nftables" else iptables_report(asked, {})
    shown = render_port(report, detailed=False)
    assert "to ClusterIP 10.96.0.10:80: 1 in 2 a, which sees this node's address; 1 in 2" in shown
    assert "to ClusterIP 10.96.0.10:80: one of 2 endpoints, which sees this node's\n      address" in shown
    assert [(each.name, each.node, each.used) for each in report.endpoints] == [
        ("a", "node1", True),
        ("other/b", "node2", True),
    ]


def test_the_way_is_told_rule_by_rule(make: Any) -> None:
    shown = render_port(iptables_report(question(make), {}), detailed=True)
    way = shown.partition("client (192.168.0.100)")[2].splitlines()
    assert way[1:5] == [
        "    1 in 2: a, which sees this node's address",
        "        nat PREROUTING: to KUBE-SERVICES",
        f"        nat KUBE-SERVICES: to 10.96.0.10:80/tcp: to {CHAIN}",
        f"        nat {CHAIN}: to 10.96.0.10:80/tcp, not from a pod",
    ]
    assert "    1 in 2: other/b, which sees this node's address, as above but" in way


def test_the_way_through_maps_is_told_in_words_without_a_table_in_the_kernel(make: Any) -> None:
    report = nftables_report(question(make, "nftables"), None)
    shown = render_port(report, detailed=True)
    way = shown.partition("client (192.168.0.100)")[2].splitlines()
    assert way[1:6] == [
        "    1 in 2: a, which sees this node's address",
        "        kube-proxy nat-prerouting: to services",
        "        kube-proxy services: not from a pod (10.180.0.0/16), to a ClusterIP:",
        "          mark it, to be masqueraded",
        "        kube-proxy services: to a ClusterIP: to choose",
    ]
    assert "choice 2 of 2 is 10.180.1.1:" in shown
    assert report.missing == sum(len(chain.rules) for chain in report.chains) > 0
    assert "The kernel has none of these rules" in shown


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("mode", ["iptables", "nftables"])
def test_every_kind_of_service_fits_80_columns(mode: str, family: Family) -> None:
    config = ProxyConfig("node1", mode=mode, cluster_cidr=CIDRS)
    parts = cut_objects(every_kind(), config, ADDRESSES, family)
    for port in parts.services:
        targets = [("clusterip", port.cluster_ip, port.port), ("nodeport", parts.node.address(family), port.node_port)]
        targets += [("lb", address, port.port) for address in port.vips]
        ways = tuple(
            Way("client", source, *target, interface)
            for target in targets
            for source, interface in ((parts.node.address(family), ""), (port.cluster_ip, "eth0"))
        )
        asked = Question(one_port(parts, port), config, family, {}, ways)
        report = nftables_report(asked, None) if mode == "nftables" else iptables_report(asked, {})
        shown = render_port(report, detailed=True)
        assert max(map(len, shown.splitlines())) <= COLUMNS, port.service
        assert all(rule.says for chain in report.chains for rule in chain.rules)


def test_comments_do_not_tell_rules_apart() -> None:
    assert plain('-p tcp -m comment --comment "a \\" b" -m tcp -j X') == "-p tcp -m tcp -j X"
    assert plain("-m comment --comment bare -j X") == "-j X"


def test_durations() -> None:
    assert [duration(seconds) for seconds in (10800, 120, 61)] == ["3 h", "2 min", "61 s"]


def test_a_service_is_found_by_any_of_its_names(make: Any) -> None:
    web, dns = make.service(), make.service("dns")
    dns["metadata"]["namespace"] = "kube-system"
    services = [web, dns]
    assert find_service("ns/web", "", services) == find_service("svc/web", "ns", services) == web
    assert find_service("web", "", services) == web, "the only one of that name"
    assert find_service("dns", "kube-system", services) == dns
    with pytest.raises(Fault, match="no Service `wep` in namespace ns; there are kube-system/dns, ns/web"):
        find_service("wep", "ns", services)


@pytest.mark.parametrize("rate", [100, 250, 300, 1000])
def test_entries_of_the_kernels_lists_are_as_old_as_its_ticks_say(rate: int) -> None:
    now = 2**32 + (5000 - 300) * rate
    lists = {
        "KUBE-SEP-A": f"src=10.0.0.1 ttl: 64 last_seen: {now - 9 * rate} oldest_pkt: 1 {now - 20 * rate}\n",
        "KUBE-SEP-B": f"src=fd00:0000:0000:0000:0000:0000:0000:0001 ttl: 64 last_seen: {now} oldest_pkt: 1 {now}\n",
    }
    recent = Recent(lists, now, 5000.2)
    assert recent.lists_with("10.0.0.1", 10) == {"KUBE-SEP-A"}
    assert recent.lists_with("10.0.0.1", 8) == recent.lists_with("10.0.0.10", 10) == set()
    assert recent.lists_with("fd00::1", 1) == {"KUBE-SEP-B"}
