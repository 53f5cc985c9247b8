import ipaddress
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from netsim.lab.topology import LabSpec, TopologyError, parse_lab_file, plan_lab, plan_server, spec_from_json


def test_a_lab_of_three_has_kubernetes_usual_addresses():
    spec = plan_lab("demo", 3)
    assert [(n.name, n.address) for n in spec.nodes] == [
        ("node-1", "172.30.0.11"),
        ("node-2", "172.30.0.12"),
        ("node-3", "172.30.0.13"),
    ]
    assert (spec.control_plane_address, spec.client_address) == ("172.30.0.2", "172.30.0.3")
    assert (spec.kubernetes_service_ip, spec.dns_ip) == ("10.96.0.1", "10.96.0.10")


@given(st.integers(1, 200))
def test_every_machine_has_an_address_of_its_own_on_the_fabric(count: int):
    spec = plan_lab("many", count)
    addresses = [spec.control_plane_address, spec.client_address, *(n.address for n in spec.nodes)]
    assert len(set(addresses)) == count + 2
    assert all(ipaddress.ip_address(a) in ipaddress.ip_network(spec.fabric_cidr) for a in addresses)


@pytest.mark.parametrize(
    ("fabric", "nodes", "pool"),
    [
        ("172.30.0.0/24", 3, "172.30.0.240-172.30.0.254"),
        ("172.30.0.0/24", 200, "172.30.0.240-172.30.0.254"),
        ("172.30.0.0/28", 1, "172.30.0.12-172.30.0.14"),
        ("172.30.0.0/28", 4, ""),
    ],
)
def test_load_balancers_get_the_end_of_the_fabric(fabric: str, nodes: int, pool: str):
    assert plan_lab("lb", nodes, fabric_cidr=fabric).lb_pool == pool


def test_a_server_alone_has_a_pool_only_where_one_is_given():
    def plan(pool: str) -> str:
        cidrs = {"pod_cidr": "10.244.0.0/16", "service_cidr": "10.96.0.0/16"}
        return plan_server("vm", "192.168.56.10", 6443, **cidrs, lb_pool=pool).lb_pool

    assert plan("") == ""
    assert plan("192.168.56.200-192.168.56.210") == "192.168.56.200-192.168.56.210"
    with pytest.raises(TopologyError, match="--lb-pool: 'some' is no pool"):
        plan("some")


def test_a_server_alone_may_have_both_families():
    cidrs = {"pod_cidr": "10.244.0.0/16", "service_cidr": "10.96.0.0/16"}
    spec = plan_server("vm", "192.168.56.10", 6443, **cidrs, ip_family="dual")
    assert len(spec.pod_cidrs) == len(spec.service_cidrs) == 2 and spec.control_plane_address == "192.168.56.10"
    with pytest.raises(TopologyError, match="--ip-family: a lab of IPv6 alone cannot be built"):
        plan_server("vm", "192.168.56.10", 6443, **cidrs, ip_family="ipv6")


def test_the_pool_of_load_balancers_may_be_chosen_or_left_out():
    assert plan_lab("lb", 1, lb_pool="172.30.0.100/30").lb_pool == "172.30.0.100/30"
    assert plan_lab("lb", 1, lb_pool="none").lb_pool == ""


def test_a_dual_stack_lab_has_a_second_network_of_each_kind():
    spec = parse_lab_file({"nodes": 1, "ipFamily": "dual"})
    assert spec.pod_cidrs == ("10.244.0.0/16", "fd00:10:244::/56")
    assert spec.dns_ips == ("10.96.0.10", "fd00:10:96::a")
    assert spec.lb_pool == "172.30.0.240-172.30.0.254,fd00:172:30::fff0-fd00:172:30::fffe"
    assert spec_from_json(spec.to_json()) == spec


def test_a_lab_file_names_nodes_and_labels_them():
    document = {"name": "zones", "nodes": ["a", {"name": "b", "labels": {"zone": "x"}}], "podCIDR": "10.9.0.0/16"}
    spec = parse_lab_file(document)
    assert [(n.name, n.labels) for n in spec.nodes] == [("a", {}), ("b", {"zone": "x"})]
    assert (spec.name, spec.pod_cidr) == ("zones", "10.9.0.0/16")
    assert parse_lab_file(document, "other").name == "other"


def test_a_description_survives_being_written_and_read():
    spec = parse_lab_file({"nodes": [{"name": "b", "labels": {"zone": "x"}}]})
    assert spec_from_json(spec.to_json()) == spec


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ([], "expected a mapping"),
        ({"node": 3}, "unknown field `node`"),
        ({"nodes": 0}, "out of range"),
        ({"nodes": True}, "expected a number or a list"),
        ({"nodes": ["a", "a"]}, "`a` is used twice"),
        ({"nodes": ["client"]}, "`client` is reserved"),
        ({"nodes": ["Not_A_Name"]}, "lower-case letters"),
        ({"nodes": [{"name": "a", "labels": {"x": 1}}]}, "put numbers in quotes"),
        ({"network": "token-ring"}, "choose one of: host-gw"),
        ({"proxyMode": "ipvs"}, "choose one of: iptables, nftables"),
        ({"ipFamily": "ipv6"}, "ipFamily: a lab of IPv6 alone cannot be built; choose `dual`"),
        ({"ipFamily": "both"}, "ipFamily: 'both' is not known; choose one of: ipv4, dual"),
        ({"ipFamily": "dual", "lbPool": "fd00:9::/120"}, "is not on the fabric 172.30.0.0/24 or fd00:172:30::/112"),
        ({"ipFamily": "dual", "lbPool": "fd00:172:30::b-fd00:172:30::f"}, "has fd00:172:30::b, which is taken"),
        ({"podCIDR": "10.244.0.0/23"}, "no room for a /24"),
        ({"podCIDR": "10.96.0.0/16"}, "overlap"),
        ({"podCIDR": "10.244.0.1/16"}, "not an IPv4 network"),
        ({"fabricCIDR": "172.30.0.0/29"}, "no room for 3 nodes"),
        ({"lbPool": "10.0.0.0/28"}, "lbPool: 10.0.0.1-10.0.0.14 is not on the fabric 172.30.0.0/24"),
        ({"lbPool": "172.30.0.10-172.30.0.20"}, "has 172.30.0.11, which is taken"),
        ({"lbPool": "172.30.0.250-172.30.0.255"}, "has 172.30.0.255, which is taken"),
        ({"lbPool": "a few"}, "lbPool: 'a few' is no pool"),
        ({"apiPort": 70000}, "not a port"),
        ({"name": "../../etc"}, "lab name"),
    ],
)
def test_a_wrong_lab_file_is_refused_with_the_field_and_the_mend(document: object, says: str):
    with pytest.raises(TopologyError, match=says):
        parse_lab_file(document)


def test_a_lone_server_is_reached_at_its_own_address():
    spec = plan_server("vm", "192.168.56.10", 6443, pod_cidr="10.244.0.0/16", service_cidr="10.96.0.0/16")
    assert (spec.control_plane_address, spec.fabric_port) == ("192.168.56.10", 6443)
    assert LabSpec("x", ()).fabric_port == 6443


def test_the_example_is_a_lab_file_that_names_every_field():
    path = Path(__file__).parents[3] / "docs" / "examples" / "lab.yaml"
    document = yaml.safe_load(path.read_text())
    assert [n.name for n in parse_lab_file(document).nodes] == ["east-1", "east-2", "west-1"]
    with pytest.raises(TopologyError) as caught:
        parse_lab_file({**document, "unknown": 1})
    assert str(caught.value).endswith(", ".join(sorted(document)))
