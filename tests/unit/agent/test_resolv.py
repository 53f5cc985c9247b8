from __future__ import annotations

import pytest

from netsim.agent.hosts import HostnameTooLong, kernel_hostname, pod_hostname, pod_hosts
from netsim.agent.resolv import Resolv, parse_resolv, pod_resolv

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


def test_without_config_the_nodes_file_is_kept_as_it_is(pod):
    doubled = Resolv(("192.0.2.53", "192.0.2.53"), ("a", "a"))
    assert pod_resolv(pod(dnsPolicy="Default"), doubled, DNS, "cluster.local") == (doubled, [])


def test_too_many_nameservers_and_domains_are_told_in_kubelets_words(pod):
    config = {"nameservers": ["1.1.1.1", "2.2.2.2", "3.3.3.3"], "searches": [f"s{i}" for i in range(40)]}
    found, said = pod_resolv(pod(dnsConfig=config), NODE, DNS, "cluster.local")
    assert found.nameservers == ("10.96.0.10", "1.1.1.1", "2.2.2.2") and len(found.searches) == 32
    assert said == [
        (
            "DNSConfigForming",
            "Nameserver limits were exceeded, some nameservers have been omitted,"
            " the applied nameserver line is: 10.96.0.10 1.1.1.1 2.2.2.2",
        ),
        (
            "DNSConfigForming",
            "Search Line limits were exceeded, some search paths have been omitted,"
            f" the applied search line is: {' '.join(found.searches)}",
        ),
    ]


@pytest.mark.parametrize(
    ("searches", "kept"),
    [
        ([f"{i}.{'x' * 60}" for i in range(31)], 31),
        ([f"{i:02}.{'x' * 200}" for i in range(12)], 10),  # 10 * 203 + 9 blanks = 2039 of 2048 characters
        (["a", "b" * 254, "c" * 253], 2),
    ],
)
def test_the_search_line_has_limits(pod, searches, kept):
    config = {"nameservers": ["9.9.9.9"], "searches": searches}
    found, said = pod_resolv(pod(dnsPolicy="None", dnsConfig=config), NODE, DNS, "cluster.local")
    assert len(found.searches) == kept and set(found.searches) <= set(searches)
    assert len(said) == (kept < len(searches))


def test_no_cluster_dns_falls_back(pod):
    found, (warning,) = pod_resolv(pod(), NODE, (), "cluster.local")
    assert found == NODE
    assert warning == (
        "MissingClusterDNS",
        'pod: "web_shop(u1)". kubelet does not have ClusterDNS IP configured and cannot create Pod using'
        ' "ClusterFirst" policy. Falling back to "Default" policy.',
    )


def test_dots_and_underscores_in_searches_are_taken(pod):
    """Kubernetes 1.34 (KEP-4427) and its conformance tests: `.` and `_` labels."""
    config = {"searches": [".", "_srv.example"]}
    assert "corp.example . _srv.example\n" in render(pod(dnsConfig=config))


def test_parse_takes_the_last_search():
    text = "# x\n#nameserver 9.9.9.9\nnameserver 1.2.3.4\nsearch a\nsearch b c. .\noptions ndots:3\noptions rotate\n"
    assert parse_resolv(text) == Resolv(("1.2.3.4",), ("b", "c", "."), (("ndots", "3"), ("rotate", "")))
    assert parse_resolv("") == Resolv()


def test_hosts(pod):
    wanted = pod(hostname="h", subdomain="sub", hostAliases=[{"ip": "1.2.3.4", "hostnames": ["a", "b"]}])
    text = pod_hosts(wanted, ["10.244.1.7", "fd00::7"], "cluster.local")
    assert text.startswith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
    assert "10.244.1.7\th.sub.shop.svc.cluster.local\th\nfd00::7\th.sub.shop.svc.cluster.local\th\n" in text
    assert text.endswith("\n\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n")
    assert pod_hosts(pod(), ["10.244.1.7"], "cluster.local").endswith("\n10.244.1.7\tweb\n")


def test_hosts_of_the_nodes_network_are_the_nodes(pod):
    wanted = pod(hostNetwork=True, nodeName="node-1", hostAliases=[{"ip": "1.2.3.4", "hostnames": ["a"]}])
    text = pod_hosts(wanted, ["172.30.0.11"], "cluster.local", "127.0.0.1 localhost\n")
    expected = "# Kubernetes-managed hosts file (host network).\n127.0.0.1 localhost\n172.30.0.11\tnode-1\n"
    assert text == expected + "\n# Entries added by HostAliases.\n1.2.3.4\ta\n"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, "web"),
        ({"hostname": "h", "setHostnameAsFQDN": True}, "h"),
        ({"hostname": "h", "subdomain": "sub"}, "h"),
        ({"hostname": "h", "subdomain": "sub", "setHostnameAsFQDN": True}, "h.sub.shop.svc.cluster.local"),
        ({"hostname": "h", "hostNetwork": True}, "node-1"),
    ],
)
def test_what_hostname_says(pod, spec, expected):
    assert kernel_hostname(pod(**spec), "cluster.local", "node-1") == expected


def test_a_name_that_the_kernel_cannot_hold_is_refused(pod):
    wanted = pod(hostname="h" * 40, subdomain="sub", setHostnameAsFQDN=True)
    with pytest.raises(HostnameTooLong, match=r"too long \(64 characters is the max, 67 characters requested\)"):
        kernel_hostname(wanted, "cluster.local", "node-1")


def test_a_long_name_is_cut_to_a_label(pod):
    wanted = pod()
    wanted["metadata"]["name"] = "x" * 62 + "-abcde"
    assert pod_hostname(wanted) == "x" * 62
