"""EndpointSlices and Endpoints on values: what they say, and how little they change."""

from __future__ import annotations

from typing import Any

import pytest

from netsim.api.kinds import ENDPOINT_SLICES, ENDPOINTS, NODES, PODS, SERVICES, Obj
from netsim.controllers import endpoints, endpointslice
from netsim.controllers.writes import Update


def service(name: str = "web", **spec: Any) -> Obj:
    ports = [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}]
    core = {"selector": {"app": "web"}, "ports": ports, "clusterIP": "10.96.0.7", **spec}
    return {"metadata": {"name": name, "namespace": "ns", "labels": {"team": "a"}}, "spec": core}


def add_pod(cluster: Any, name: str, ip: str, *, ready: bool = True, node: str = "node-1", **spec: Any) -> Obj:
    head = {"name": name, "namespace": "ns", "labels": {"app": "web"}}
    if (NODES.resource, node) not in cluster.objects:
        cluster.create(NODES, {"metadata": {"name": node}})
    made = cluster.create(PODS, {"metadata": head, "spec": {"containers": [], **spec}})
    cluster.set_pod(made, ready=ready, node=node, ip=ip)
    return made


def settle(cluster: Any, module: Any = endpointslice, key: str = "ns/web") -> int:
    """Reconcile until nothing is to be done; how many rounds wrote."""
    for count in range(10):
        cluster.sync()
        writes = module.reconcile(key, cluster.view())
        if not writes:
            return count
        assert not cluster.apply(writes)
    raise AssertionError("not stable after 10 rounds")


def endpoints_in(cluster: Any) -> dict[str, dict[str, bool]]:
    return {
        endpoint["addresses"][0]: endpoint["conditions"]
        for item in cluster.all(ENDPOINT_SLICES)
        for endpoint in item["endpoints"]
    }


def test_a_slice_of_ready_and_unready_pods(cluster: Any) -> None:
    cluster.create(SERVICES, service())
    add_pod(cluster, "a", "10.244.1.2")
    add_pod(cluster, "b", "10.244.2.2", ready=False, node="node-2")
    assert settle(cluster) == 1
    (item,) = cluster.all(ENDPOINT_SLICES)
    assert item["metadata"]["name"].startswith("web-")
    assert item["metadata"]["labels"] == {
        "team": "a",
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    assert item["metadata"]["ownerReferences"][0]["kind"] == "Service"
    assert (item["addressType"], item["ports"]) == ("IPv4", [{"name": "http", "port": 8080, "protocol": "TCP"}])
    first = item["endpoints"][0]
    assert first["conditions"] == {"ready": True, "serving": True, "terminating": False}
    assert first["nodeName"] == "node-1"
    assert (first["targetRef"]["kind"], first["targetRef"]["name"]) == ("Pod", "a")
    assert endpoints_in(cluster)["10.244.2.2"] == {"ready": False, "serving": False, "terminating": False}


def test_leaving_pods_serve_but_are_not_ready(cluster: Any) -> None:
    cluster.create(SERVICES, service())
    made = add_pod(cluster, "a", "10.244.1.2")
    cluster.patch(PODS, "a", "ns", {"metadata": {"finalizers": ["test/hold"]}})
    cluster.delete(PODS, made["metadata"]["name"], "ns")
    settle(cluster)
    assert endpoints_in(cluster) == {"10.244.1.2": {"ready": False, "serving": True, "terminating": True}}
    settle(cluster, endpoints)
    assert "subsets" not in cluster.get(ENDPOINTS, "ns/web")


def test_a_pod_with_an_address_and_no_node_keeps_nobody_else_out(cluster: Any) -> None:
    """Somebody may write a status by hand."""
    cluster.create(SERVICES, service())
    add_pod(cluster, "a", "10.244.1.2")
    add_pod(cluster, "b", "10.244.1.3")
    cluster.patch(PODS, "b", "ns", {"spec": {"nodeName": None}})
    settle(cluster)
    assert list(endpoints_in(cluster)) == ["10.244.1.2"]


def test_publish_not_ready_addresses(cluster: Any) -> None:
    cluster.create(SERVICES, service(publishNotReadyAddresses=True))
    add_pod(cluster, "a", "10.244.1.2", ready=False)
    settle(cluster)
    settle(cluster, endpoints)
    assert endpoints_in(cluster)["10.244.1.2"] == {"ready": True, "serving": False, "terminating": False}
    assert cluster.get(ENDPOINTS, "ns/web")["subsets"][0]["addresses"][0]["ip"] == "10.244.1.2"


def test_named_ports_that_differ_make_several_slices(cluster: Any) -> None:
    cluster.create(SERVICES, service(ports=[{"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP"}]))
    for name, number in (("a", 8080), ("b", 9090)):
        ports = [{"name": "web", "containerPort": number, "protocol": "TCP"}]
        add_pod(cluster, name, f"10.244.1.{number % 100}", containers=[{"name": "c", "ports": ports}])
    settle(cluster)
    assert sorted(item["ports"][0]["port"] for item in cluster.all(ENDPOINT_SLICES)) == [8080, 9090]
    settle(cluster, endpoints)
    assert [s["ports"][0]["port"] for s in cluster.get(ENDPOINTS, "ns/web")["subsets"]] == [8080, 9090]


def test_hostname_only_under_its_own_service(cluster: Any) -> None:
    cluster.create(SERVICES, service(clusterIP="None"))
    add_pod(cluster, "a", "10.244.1.2", hostname="db-0", subdomain="web")
    add_pod(cluster, "b", "10.244.1.3", hostname="db-1", subdomain="other")
    settle(cluster)
    (item,) = cluster.all(ENDPOINT_SLICES)
    assert [endpoint.get("hostname") for endpoint in item["endpoints"]] == ["db-0", None]
    assert item["metadata"]["labels"]["service.kubernetes.io/headless"] == ""


@pytest.mark.parametrize("spec", [{"selector": None}, {"type": "ExternalName", "externalName": "x.org"}])
def test_without_selector_nothing_is_touched(cluster: Any, spec: Obj) -> None:
    cluster.create(SERVICES, service(**spec))
    labels = {"kubernetes.io/service-name": "web"}
    mine = {"metadata": {"name": "by-hand", "namespace": "ns", "labels": labels}, "endpoints": [], "ports": []}
    cluster.create(ENDPOINT_SLICES, mine)
    assert (settle(cluster), settle(cluster, endpoints)) == (0, 0)


def test_no_pods_leave_one_empty_slice(cluster: Any) -> None:
    cluster.create(SERVICES, service())
    settle(cluster)
    (item,) = cluster.all(ENDPOINT_SLICES)
    assert (item["endpoints"], item["ports"]) == ([], [])
    add_pod(cluster, "a", "10.244.1.2")
    settle(cluster)
    assert len(endpoints_in(cluster)) == 1
    assert len(cluster.all(ENDPOINT_SLICES)) == 1


def test_dual_stack_has_slices_of_both_families(cluster: Any) -> None:
    cluster.create(SERVICES, service(ipFamilies=["IPv4", "IPv6"]))
    made = add_pod(cluster, "a", "10.244.1.2")
    ips = [{"ip": "10.244.1.2"}, {"ip": "fd00:1::2"}]
    cluster.patch(PODS, made["metadata"]["name"], "ns", {"status": {"podIPs": ips}}, "status")
    settle(cluster)
    assert {item["addressType"]: item["endpoints"][0]["addresses"] for item in cluster.all(ENDPOINT_SLICES)} == {
        "IPv4": ["10.244.1.2"],
        "IPv6": ["fd00:1::2"],
    }


def test_slices_of_a_deleted_namesake_go(cluster: Any) -> None:
    cluster.create(SERVICES, service())
    settle(cluster)
    (old,) = cluster.all(ENDPOINT_SLICES)
    cluster.delete(SERVICES, "web", "ns")
    cluster.create(SERVICES, service())
    settle(cluster)
    (new,) = cluster.all(ENDPOINT_SLICES)
    assert new["metadata"]["uid"] != old["metadata"]["uid"]


def test_labels_of_the_service_follow(cluster: Any) -> None:
    cluster.create(SERVICES, service())
    add_pod(cluster, "a", "10.244.1.2")
    settle(cluster)
    cluster.patch(SERVICES, "web", "ns", {"metadata": {"labels": {"team": "b"}}})
    assert settle(cluster) == 1
    assert cluster.all(ENDPOINT_SLICES)[0]["metadata"]["labels"]["team"] == "b"


def test_250_pods_make_three_slices_and_one_change_touches_one(cluster: Any) -> None:
    cluster.create(SERVICES, service())
    for index in range(250):
        add_pod(cluster, f"p{index:03d}", f"10.244.{index // 250}.{index % 250 + 1}")
    settle(cluster)
    assert sorted(len(item["endpoints"]) for item in cluster.all(ENDPOINT_SLICES)) == [50, 100, 100]
    cluster.delete(PODS, "p007", "ns")
    cluster.sync()
    writes = endpointslice.reconcile("ns/web", cluster.view())
    assert [type(write) for write in writes] == [Update]
    assert len(writes[0].obj["endpoints"]) in (49, 99)


def test_endpoints_of_a_service(cluster: Any) -> None:
    cluster.create(SERVICES, service())
    add_pod(cluster, "b", "10.244.1.10")
    add_pod(cluster, "a", "10.244.1.9")
    add_pod(cluster, "c", "10.244.1.3", ready=False)
    settle(cluster, endpoints)
    found = cluster.get(ENDPOINTS, "ns/web")
    (subset,) = found["subsets"]
    assert [entry["ip"] for entry in subset["addresses"]] == ["10.244.1.9", "10.244.1.10"]
    assert [entry["ip"] for entry in subset["notReadyAddresses"]] == ["10.244.1.3"]
    assert subset["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    cluster.delete(SERVICES, "web", "ns")
    settle(cluster, endpoints)
    assert cluster.get(ENDPOINTS, "ns/web") is None


def test_pods_of_a_node_that_is_not_there_are_left_out_until_it_is(cluster: Any) -> None:
    cluster.create(SERVICES, service())
    cluster.create(SERVICES, service("all", publishNotReadyAddresses=True))
    add_pod(cluster, "a", "10.244.1.2")
    add_pod(cluster, "b", "10.244.2.2", node="node-2")
    cluster.delete(NODES, "node-2", "")
    for key in ("ns/web", "ns/all"):
        settle(cluster, key=key)
    assert {item["metadata"]["generateName"]: len(item["endpoints"]) for item in cluster.all(ENDPOINT_SLICES)} == {
        "web-": 1, "all-": 2,
    }  # fmt: skip
    made = cluster.create(NODES, {"metadata": {"name": "node-2"}})
    cluster.sync()
    wake = next(wake for kind, wake in endpointslice.CONTROLLER.watches if kind is NODES)
    assert set(wake(cluster.view(), None, made)) == set(wake(cluster.view(), made, None)) == {"ns/web", "ns/all"}
    assert not list(wake(cluster.view(), made, made))
    settle(cluster)
    assert len(endpoints_in(cluster)) == 2


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        (None, None),
        ("PreferClose", {"forZones": [{"name": "z1"}]}),
        ("PreferSameZone", {"forZones": [{"name": "z1"}]}),
        ("PreferSameNode", {"forZones": [{"name": "z1"}], "forNodes": [{"name": "node-1"}]}),
    ],
)
def test_hints_for_ready_endpoints(cluster: Any, distribution: str | None, expected: Obj | None) -> None:
    labels = {"topology.kubernetes.io/zone": "z1"}
    cluster.create(NODES, {"metadata": {"name": "node-1", "labels": labels}})
    cluster.create(SERVICES, service(trafficDistribution=distribution))
    add_pod(cluster, "a", "10.244.1.2")
    add_pod(cluster, "b", "10.244.1.3", ready=False)
    settle(cluster)
    (item,) = cluster.all(ENDPOINT_SLICES)
    assert [endpoint.get("hints") for endpoint in item["endpoints"]] == [expected, None]
    assert item["endpoints"][0]["zone"] == "z1"


def test_the_trigger_time_is_that_of_the_change(cluster: Any) -> None:
    cluster.create(SERVICES, service())
    cluster.pass_time(5)
    add_pod(cluster, "a", "10.244.1.2")
    settle(cluster)
    settle(cluster, endpoints)
    marks = "endpoints.kubernetes.io/last-change-trigger-time"

    def times() -> list[str | None]:
        found = [*cluster.all(ENDPOINT_SLICES), cluster.get(ENDPOINTS, "ns/web")]
        return [(item["metadata"].get("annotations") or {}).get(marks) for item in found]

    assert times() == ["2026-01-01T00:00:00Z"] * 2
    cluster.pass_time(60)
    made = add_pod(cluster, "b", "10.244.1.3")
    settle(cluster)
    settle(cluster, endpoints)
    assert times() == ["2026-01-01T00:01:05Z"] * 2
    cluster.delete(PODS, made["metadata"]["name"], "ns")
    settle(cluster)
    settle(cluster, endpoints)
    assert times() == [None] * 2


def test_endpoints_of_many_pods_are_truncated() -> None:
    ready = [{"ip": str(n)} for n in range(600)]
    waiting = [{"ip": str(n)} for n in range(300)]
    subsets = [{"addresses": ready, "ports": []}, {"addresses": ready[:300], "notReadyAddresses": waiting}]
    cut = endpoints.truncate(subsets)
    assert [(len(s["addresses"]), len(s.get("notReadyAddresses", []))) for s in cut] == [(600, 0), (300, 100)]
    only = endpoints.truncate([{"addresses": ready * 2}, {"addresses": ready}])
    assert [len(s["addresses"]) for s in only] == [667, 333]
    assert endpoints.truncate(subsets[:1]) == subsets[:1]


def test_the_annotation_of_truncated_endpoints(cluster: Any) -> None:
    cluster.create(SERVICES, service())
    for n in range(1001):
        add_pod(cluster, f"p{n}", f"10.244.{n // 250}.{n % 250 + 1}")
    settle(cluster, endpoints)
    found = cluster.get(ENDPOINTS, "ns/web")
    assert found["metadata"]["annotations"]["endpoints.kubernetes.io/over-capacity"] == "truncated"
    assert len(found["subsets"][0]["addresses"]) == 1000
    cluster.delete(PODS, "p7", "ns")
    settle(cluster, endpoints)
    found = cluster.get(ENDPOINTS, "ns/web")
    assert "endpoints.kubernetes.io/over-capacity" not in found["metadata"].get("annotations", {})
    assert len(found["subsets"][0]["addresses"]) == 1000


def test_a_dual_stack_service_has_slices_of_each_family(cluster: Any) -> None:
    cluster.create(SERVICES, service(ipFamilies=["IPv6", "IPv4"]))
    made = add_pod(cluster, "a", "10.244.1.2")
    both = [{"ip": "10.244.1.2"}, {"ip": "fd00::2"}]
    cluster.patch(PODS, made["metadata"]["name"], "ns", {"status": {"podIPs": both}}, "status")
    settle(cluster)
    settle(cluster, endpoints)
    found = {i["addressType"]: i["endpoints"][0]["addresses"] for i in cluster.all(ENDPOINT_SLICES)}
    assert found == {"IPv4": ["10.244.1.2"], "IPv6": ["fd00::2"]}
    assert cluster.get(ENDPOINTS, "ns/web")["subsets"][0]["addresses"][0]["ip"] == "fd00::2"
    cluster.patch(SERVICES, "web", "ns", {"spec": {"ipFamilies": ["IPv4"]}})
    settle(cluster)
    assert [i["addressType"] for i in cluster.all(ENDPOINT_SLICES)] == ["IPv4"]
