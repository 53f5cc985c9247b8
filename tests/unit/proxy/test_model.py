"""Cutting API objects (I-*)."""

from __future__ import annotations

from typing import Any

import pytest

from netsim_proxy.cut import cut_node, cut_service, cut_slice


@pytest.mark.parametrize(
    "spec",
    [
        {"clusterIP": "None"},
        {"clusterIP": ""},
        {"clusterIP": "", "clusterIPs": ["10.96.0.10"], "ipFamilies": ["IPv4"]},
        {"type": "ExternalName"},
        {"clusterIP": "fd00::1"},
    ],
)
def test_skipped_services(make: Any, spec: dict[str, Any]) -> None:
    assert cut_service(make.service(**spec), 4) == ()


def test_foreign_proxy_label_hides_a_service(make: Any) -> None:
    obj = make.service()
    obj["metadata"]["labels"] = {"service.kubernetes.io/service-proxy-name": "x"}
    assert cut_service(obj, 4) == ()


def test_cluster_ip_of_the_family(make: Any) -> None:
    obj = make.service(clusterIP="fd00::1", clusterIPs=["fd00::1", "10.96.0.7"], ipFamilies=["IPv6", "IPv4"])
    assert [port.cluster_ip for port in cut_service(obj, 4)] == ["10.96.0.7"]
    assert [port.cluster_ip for port in cut_service(obj, 6)] == ["fd00::1"]


def test_single_stack_service_with_external_ip_of_the_other_family(make: Any) -> None:
    obj = make.service(externalIPs=["fd00::5"], clusterIPs=["10.96.0.10"], ipFamilies=["IPv4"])
    assert cut_service(obj, 6) == ()
    assert cut_service(obj, 4)[0].external_ips == ()


def test_bad_addresses_and_ranges_are_left_out(make: Any) -> None:
    obj = make.service(
        type="LoadBalancer",
        externalIPs=["bogus", "", "fd00::5", "192.0.2.1"],
        loadBalancerSourceRanges=[" 203.0.113.9/25 ", "nonsense", "fd00::/8", "1.2.3.4", "1.2.0.0/255.255.0.0"],
        ingress=[{"ip": "1.2.3.4"}, {"hostname": "x"}, {"ip": "1.2.3.5", "ipMode": "Proxy"}],
    )
    (port,) = cut_service(obj, 4)
    assert (port.external_ips, port.source_ranges, port.vips) == (("192.0.2.1",), ("203.0.113.0/25",), ("1.2.3.4",))


def test_external_policy_counts_only_where_there_is_an_outside(make: Any) -> None:
    assert not cut_service(make.service(externalTrafficPolicy="Local"), 4)[0].external_local
    assert cut_service(make.service(externalTrafficPolicy="Local", externalIPs=["192.0.2.1"]), 4)[0].external_local


def test_health_check_port_needs_a_local_load_balancer(make: Any) -> None:
    given = {"healthCheckNodePort": 30500, "externalTrafficPolicy": "Local"}
    assert cut_service(make.service(type="LoadBalancer", **given), 4)[0].health_check_node_port == 30500
    assert cut_service(make.service(type="NodePort", **given), 4)[0].health_check_node_port == 0


def test_affinity_timeout(make: Any) -> None:
    config = {"clientIP": {"timeoutSeconds": 60}}
    (port,) = cut_service(make.service(sessionAffinity="ClientIP", sessionAffinityConfig=config), 4)
    assert port.affinity_seconds == 60
    assert cut_service(make.service(sessionAffinity="ClientIP"), 4)[0].affinity_seconds == 10800


def test_irrelevant_metadata_cuts_to_equal_values(make: Any) -> None:
    assert cut_service(make.service(annotations={"a": "b"}), 4) == cut_service(make.service(), 4)


@pytest.mark.parametrize(("value", "enabled"), [("Auto", True), ("other", True), ("disabled", False), ("", False)])
def test_hints_annotation(make: Any, value: str, enabled: bool) -> None:
    obj = make.service(annotations={"service.kubernetes.io/topology-mode": value})
    assert cut_service(obj, 4)[0].hints_enabled is enabled


def test_traffic_distribution_lets_hints_count(make: Any) -> None:
    assert cut_service(make.service(trafficDistribution="PreferSameNode"), 4)[0].traffic_distribution
    assert not cut_service(make.service(), 4)[0].traffic_distribution


def test_slice_ports_and_conditions(make: Any) -> None:
    ports = [{"name": "a", "port": 0}, {"port": 80}, {"name": "", "port": 81, "protocol": "UDP"}]
    two_addresses = {"addresses": ["10.0.0.1", "10.0.0.2"]}
    part = cut_slice(make.slice({"addresses": []}, two_addresses, ports=ports))
    assert part is not None
    assert part.ports == (("", "UDP", 81),)
    (endpoint,) = part.endpoints
    assert (endpoint.address, endpoint.ready, endpoint.serving, endpoint.terminating) == ("10.0.0.1", True, True, False)


def test_slice_of_no_service_or_family(make: Any) -> None:
    orphan = make.slice()
    orphan["metadata"]["labels"] = {}
    assert cut_slice(orphan) is None
    assert cut_slice(make.slice(addressType="FQDN")) is None


def test_address_of_the_wrong_family_is_rejected(make: Any) -> None:
    part = cut_slice(make.slice(make.endpoint("fd00::1"), make.endpoint("10.0.0.1")))
    assert part is not None
    assert part.rejected == ("fd00::1",)
    assert [endpoint.address for endpoint in part.endpoints] == ["10.0.0.1"]


def test_node_addresses() -> None:
    node = cut_node(
        {
            "metadata": {"name": "n", "labels": {"topology.kubernetes.io/zone": "z"}},
            "spec": {"podCIDR": "10.244.1.0/24"},
            "status": {
                "addresses": [
                    {"type": "ExternalIP", "address": "1.1.1.1"},
                    {"type": "InternalIP", "address": "10.0.0.9"},
                ]
            },
        }
    )
    assert (node.zone, node.address(4), node.address(6), node.pod_cidrs) == ("z", "10.0.0.9", "::1", ("10.244.1.0/24",))
