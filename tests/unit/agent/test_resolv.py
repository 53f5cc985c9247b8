from __future__ import annotations

import pytest

from netsim.agent.resolv import Resolv, parse_resolv, pod_hostname, pod_hosts, pod_resolv

NODE = Resolv(("192.0.2.53",), ("corp.example",), (("rotate", ""),))
DNS = ("10.96.0.10",)


def render(pod, node=NODE, dns=DNS):
    return pod_resolv(pod, node, dns, "cluster.local")[0].render()


def test_cluster_first(pod):
    search = "shop.svc.cluster.local svc.cluster.local cluster.local corp.example"
    assert render(pod()) == f"nameserver 10.96.0.10\nsearch {search}\noptions ndots:5\n"


@pytest.mark.parametrize(
    "spec", [{"dnsPolicy": "Default"}, {"hostNetwork": True}, {"hostNetwork": True, "dnsPolicy": "ClusterFirst"}]
)
def test_the_nodes_own(pod, spec):
    assert render(pod(**spec)) == "nameserver 192.0.2.53\nsearch corp.example\noptions rotate\n"


def test_host_network_with_cluster_dns(pod):
    assert render(pod(hostNetwork=True, dnsPolicy="ClusterFirstWithHostNet")).startswith("nameserver 10.96.0.10\n")


def test_config_is_merged(pod):
    options = [{"name": "ndots", "value": "2"}, {"name": "edns0"}]
    config = {"nameservers": ["10.96.0.10", "1.1.1.1"], "searches": ["x.y"], "options": options}
    text = render(pod(dnsConfig=config))
    assert text.startswith("nameserver 10.96.0.10\nnameserver 1.1.1.1\nsearch shop.svc")
    assert text.endswith("corp.example x.y\noptions ndots:2 edns0\n")


def test_none_is_only_what_the_pod_says(pod):
    assert render(pod(dnsPolicy="None", dnsConfig={"nameservers": ["9.9.9.9"]})) == "nameserver 9.9.9.9\n"


def test_limits_warn(pod):
    config = {"nameservers": ["1.1.1.1", "2.2.2.2", "3.3.3.3"], "searches": [f"s{i}.{'x' * 60}" for i in range(40)]}
    found, (warning,) = pod_resolv(pod(dnsConfig=config), NODE, DNS, "cluster.local")
    assert len(found.nameservers) == 3 and len(found.searches) <= 32 and len(" ".join(found.searches)) <= 2048
    assert "some were left out" in warning


def test_no_cluster_dns_falls_back(pod):
    found, (warning,) = pod_resolv(pod(), NODE, (), "cluster.local")
    assert found == NODE and "falls back to Default" in warning


def test_parse_takes_the_last_search():
    text = "# x\nnameserver 1.2.3.4\nsearch a\nsearch b c\noptions ndots:3\noptions rotate\n"
    assert parse_resolv(text) == Resolv(("1.2.3.4",), ("b", "c"), (("ndots", "3"), ("rotate", "")))


def test_hosts(pod):
    wanted = pod(hostname="h", subdomain="sub", hostAliases=[{"ip": "1.2.3.4", "hostnames": ["a", "b"]}])
    text = pod_hosts(wanted, ["10.244.1.7"], "cluster.local")
    assert "10.244.1.7\th.sub.shop.svc.cluster.local\th\n" in text and text.endswith("1.2.3.4\ta\tb\n")
    assert "10.244.1.7\tweb\n" in pod_hosts(pod(), ["10.244.1.7"], "cluster.local")


def test_a_long_name_is_cut_to_a_label(pod):
    wanted = pod()
    wanted["metadata"]["name"] = "x" * 62 + "-abcde"
    assert pod_hostname(wanted) == "x" * 62
