"""Endpoints written by hand, mirrored into slices."""

from __future__ import annotations

from typing import Any

from netsim.api.kinds import ENDPOINT_SLICES, ENDPOINTS, SERVICES, Obj
from netsim.controllers import slice_mirroring

MANAGED = {
    "kubernetes.io/service-name": "db",
    "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
}


def make(cluster: Any, subsets: list[Obj], **head: Any) -> None:
    cluster.create(SERVICES, {"metadata": {"name": "db", "namespace": "ns"}, "spec": {"ports": []}})
    cluster.create(ENDPOINTS, {"metadata": {"name": "db", "namespace": "ns", **head}, "subsets": subsets})


def settle(cluster: Any) -> int:
    for count in range(5):
        cluster.sync()
        writes = slice_mirroring.reconcile("ns/db", cluster.view())
        if not writes:
            return count
        assert not cluster.apply(writes)
    raise AssertionError("not stable after 5 rounds")


def subset(*ips: str, port: int = 5432, **more: Any) -> Obj:
    return {"addresses": [{"ip": ip} for ip in ips], "ports": [{"port": port, "protocol": "TCP"}], **more}


def test_each_family_and_set_of_ports_has_its_slice(cluster: Any) -> None:
    subsets = [subset("192.0.2.1", "2001:db8::1", notReadyAddresses=[{"ip": "192.0.2.2"}]), subset("192.0.2.3", port=1)]
    make(
        cluster,
        subsets,
        labels={"team": "a"},
        annotations={"note": "x", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
    )
    assert settle(cluster) == 1
    found = cluster.all(ENDPOINT_SLICES)
    assert {(i["addressType"], i["ports"][0]["port"]) for i in found} == {("IPv4", 5432), ("IPv6", 5432), ("IPv4", 1)}
    (item,) = [i for i in found if i["addressType"] == "IPv4" and i["ports"][0]["port"] == 5432]
    assert item["metadata"]["labels"] == {"team": "a", **MANAGED}
    assert item["metadata"]["annotations"] == {"note": "x"}
    owner = item["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("Endpoints", "db", True)
    ready = {e["addresses"][0]: e["conditions"] for e in item["endpoints"]}
    assert ready == {"192.0.2.1": {"ready": True}, "192.0.2.2": {"ready": False}}


def test_changes_follow_and_slices_go_with_their_endpoints(cluster: Any) -> None:
    make(cluster, [subset("192.0.2.1")])
    settle(cluster)
    cluster.patch(ENDPOINTS, "db", "ns", {"subsets": [subset("192.0.2.9")]})
    assert settle(cluster) == 1
    (item,) = cluster.all(ENDPOINT_SLICES)
    assert item["endpoints"][0]["addresses"] == ["192.0.2.9"]
    cluster.delete(ENDPOINTS, "db", "ns")
    settle(cluster)
    assert not cluster.all(ENDPOINT_SLICES)


def test_what_is_not_mirrored(cluster: Any) -> None:
    make(cluster, [subset("192.0.2.1")], labels={"endpointslice.kubernetes.io/skip-mirror": "true"})
    assert settle(cluster) == 0
    cluster.patch(ENDPOINTS, "db", "ns", {"metadata": {"labels": None}})
    assert (settle(cluster), len(cluster.all(ENDPOINT_SLICES))) == (1, 1)
    cluster.patch(SERVICES, "db", "ns", {"spec": {"selector": {"app": "db"}}})
    settle(cluster)
    assert not cluster.all(ENDPOINT_SLICES)


def test_more_than_a_thousand_addresses_are_cut(cluster: Any) -> None:
    make(cluster, [subset(*(f"10.0.{n // 250}.{n % 250 + 1}" for n in range(1003)))])
    settle(cluster)
    assert sorted(len(i["endpoints"]) for i in cluster.all(ENDPOINT_SLICES)) == [100] * 10
    assert [(n.type, n.reason) for n in cluster.notes] == [("Warning", "TooManyAddressesToMirror")]
    assert "3 addresses were skipped" in cluster.notes[0].message
