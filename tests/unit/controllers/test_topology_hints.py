"""Hints of topology mode Auto: zones get endpoints by their CPUs, and little changes when little has changed."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.api.kinds import ENDPOINT_SLICES, NODES, PODS, SERVICES, Obj
from netsim.controllers import endpointslice
from netsim.controllers.slices import SliceDiff
from netsim.controllers.topology_hints import allocations_of, cpu_shares, with_auto_hints
from netsim.controllers.writes import Note

AUTO = {"service.kubernetes.io/topology-mode": "Auto"}


def node(name: str, zone: str, cpu: str = "4", ready: str = "True", **labels: str) -> Obj:
    zones = {"topology.kubernetes.io/zone": zone} if zone else {}
    status = {"allocatable": {"cpu": cpu}, "conditions": [{"type": "Ready", "status": ready}]}
    return {"metadata": {"name": name, "labels": zones | labels}, "status": status}


def add_service(cluster: Any, annotations: dict[str, str] = AUTO, **spec: Any) -> None:
    ports = [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}]
    head = {"name": "web", "namespace": "ns", "annotations": annotations}
    cluster.create(SERVICES, {"metadata": head, "spec": {"selector": {"app": "web"}, "ports": ports, **spec}})


def add_pods(cluster: Any, where: str, count: int, start: int = 1, *, ready: bool = True) -> None:
    for number in range(start, start + count):
        head = {"name": f"p{number}", "namespace": "ns", "labels": {"app": "web"}}
        made = cluster.create(PODS, {"metadata": head, "spec": {"containers": []}})
        cluster.set_pod(made, ready=ready, node=where, ip=f"10.244.0.{number}")


def settle(cluster: Any) -> list[Note]:
    """Reconcile until only Events are left to be written; all the Events of the way."""
    notes: list[Note] = []
    for _ in range(10):
        cluster.sync()
        writes = endpointslice.reconcile("ns/web", cluster.view())
        notes += [write for write in writes if isinstance(write, Note)]
        acts = [write for write in writes if not isinstance(write, Note)]
        if not acts:
            return notes
        assert not cluster.apply(acts)
    raise AssertionError("not stable after 10 rounds")


def hints(cluster: Any) -> dict[str, str | None]:
    return {
        endpoint["addresses"][0]: (endpoint.get("hints") or {"forZones": [{"name": None}]})["forZones"][0]["name"]
        for item in cluster.all(ENDPOINT_SLICES)
        for endpoint in item["endpoints"]
    }


def test_zones_share_by_their_cpus(cluster: Any) -> None:
    for made in (node("a1", "a"), node("a2", "a"), node("b1", "b")):
        cluster.create(NODES, made)
    add_service(cluster)
    add_pods(cluster, "b1", 6)
    notes = settle(cluster)
    assert Counter(hints(cluster).values()) == {"a": 4, "b": 2}
    assert [(note.type, note.reason, note.message) for note in notes] == [
        ("Normal", "TopologyAwareHintsEnabled", "Topology Aware Hints has been enabled, addressType: IPv4")
    ]
    assert notes[0].about["kind"] == "Service"


def test_unready_endpoints_have_none_and_do_not_count(cluster: Any) -> None:
    cluster.create(NODES, node("a1", "a"))
    cluster.create(NODES, node("b1", "b"))
    add_service(cluster)
    add_pods(cluster, "a1", 2)
    add_pods(cluster, "b1", 1, 3, ready=False)
    settle(cluster)
    assert hints(cluster)["10.244.0.3"] is None
    assert Counter(hints(cluster).values()) == {"a": 1, "b": 1, None: 1}


@pytest.mark.parametrize(
    ("nodes", "pods", "text"),
    [
        ([node("a1", "a"), node("b1", "b")], 1, "Insufficient number of endpoints (1 endpoints, 2 zones)"),
        (
            [node("a1", "a"), node("b1", "")],
            4,
            "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes",
        ),
        (
            [node("a1", "a"), node("b1", "b", ready="False")],
            4,
            "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes",
        ),
        (
            [node("a1", "a", "10"), node("b1", "b", "1")],
            2,
            "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold"
            " (2 endpoints, 2 zones)",
        ),
    ],
)
def test_why_there_are_no_hints(cluster: Any, nodes: list[Obj], pods: int, text: str) -> None:
    for made in nodes:
        cluster.create(NODES, made)
    add_service(cluster)
    add_pods(cluster, "a1", pods)
    told = {(note.type, note.reason, note.message) for note in settle(cluster)}
    assert told == {("Warning", "TopologyAwareHintsDisabled", f"{text}, addressType: IPv4")}
    assert set(hints(cluster).values()) == {None}


def test_a_node_without_zone_takes_all_hints_away_and_its_leaving_brings_them_back(cluster: Any) -> None:
    for made in (node("a1", "a"), node("b1", "b")):
        cluster.create(NODES, made)
    add_service(cluster)
    add_pods(cluster, "a1", 2)
    settle(cluster)
    before = hints(cluster)
    stray = cluster.create(NODES, node("c1", ""))
    cluster.sync()
    wake = dict((kind.resource, wake) for kind, wake in endpointslice.CONTROLLER.watches)["nodes"]
    assert list(wake(cluster.view(), None, stray)) == ["ns/web"]
    assert list(wake(cluster.view(), stray, stray | {"spec": {"unschedulable": True}})) == []
    assert settle(cluster)[-1].reason == "TopologyAwareHintsDisabled"
    assert set(hints(cluster).values()) == {None}
    cluster.delete(NODES, "c1", "")
    settle(cluster)
    assert hints(cluster) == before


def test_a_further_endpoint_leaves_full_slices_alone(cluster: Any) -> None:
    for made in (node("a1", "a"), node("b1", "b")):
        cluster.create(NODES, made)
    add_service(cluster)
    add_pods(cluster, "a1", 100)
    settle(cluster)
    (full,) = cluster.all(ENDPOINT_SLICES)
    add_pods(cluster, "b1", 1, 101)
    settle(cluster)
    same = cluster.get(ENDPOINT_SLICES, f"ns/{full['metadata']['name']}")
    assert same["metadata"]["resourceVersion"] == full["metadata"]["resourceVersion"]
    assert hints(cluster)["10.244.0.101"] == "b"


def test_the_annotation_goes_before_traffic_distribution_and_its_end_is_told(cluster: Any) -> None:
    for made in (node("a1", "a"), node("b1", "b")):
        cluster.create(NODES, made)
    add_service(cluster, trafficDistribution="PreferSameZone")
    add_pods(cluster, "a1", 4)
    settle(cluster)
    assert Counter(hints(cluster).values()) == {"a": 2, "b": 2}
    cluster.patch(SERVICES, "web", "ns", {"metadata": {"annotations": None}, "spec": {"trafficDistribution": None}})
    notes = settle(cluster)
    assert set(hints(cluster).values()) == {None}
    assert [note.message for note in notes] == ["Topology Aware Hints has been disabled, addressType: IPv4"]


def test_the_end_of_hints_in_both_families_is_told_once(cluster: Any) -> None:
    for made in (node("a1", "a"), node("b1", "b")):
        cluster.create(NODES, made)
    add_service(cluster, ipFamilies=["IPv4", "IPv6"])
    add_pods(cluster, "a1", 2)
    settle(cluster)
    cluster.patch(SERVICES, "web", "ns", {"metadata": {"annotations": None}})
    cluster.sync()
    told = [write.message for write in endpointslice.reconcile("ns/web", cluster.view()) if isinstance(write, Note)]
    assert told == ["Topology Aware Hints has been disabled, addressType: IPv4"]


def test_the_older_annotation_counts_first(cluster: Any) -> None:
    for made in (node("a1", "a"), node("b1", "b")):
        cluster.create(NODES, made)
    add_service(cluster, AUTO | {"service.kubernetes.io/topology-aware-hints": "disabled"})
    add_pods(cluster, "a1", 4)
    assert settle(cluster) == []
    assert set(hints(cluster).values()) == {None}


def test_nodes_that_do_not_count() -> None:
    control_plane = node("m", "c", "64", **{"node-role.kubernetes.io/control-plane": ""})
    assert cpu_shares([node("a", "a", "3"), node("b", "b", "1"), control_plane]) == {"a": 0.75, "b": 0.25}


zones_of_cpus = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 64), min_size=2)


@given(zones_of_cpus, st.lists(st.sampled_from("abcd"), min_size=1, max_size=60))
def test_zones_come_near_their_share(cpus: dict[str, int], where: list[str]) -> None:
    """Every ready endpoint has a hint or none has; zones have too many or too few only as far as nobody could give or
    take a whole one. Halves stay, as in Kubernetes: a zone may end with none, and its clients go everywhere."""
    shares = {zone: cpu / sum(cpus.values()) for zone, cpu in cpus.items()}
    ready = {"ready": True}
    endpoints = [{"addresses": [str(n)], "zone": zone, "conditions": ready} for n, zone in enumerate(where)]
    made = with_auto_hints(SliceDiff(created=[{"endpoints": endpoints}]), [], shares)
    (item,) = made.change.created
    zones = Counter(e["hints"]["forZones"][0]["name"] for e in item["endpoints"] if "hints" in e)
    allocations = allocations_of(shares, len(where))
    assert zones.total() == (len(where) if isinstance(allocations, dict) else 0)
    assert made.refusal == (allocations if isinstance(allocations, str) else "")
    if isinstance(allocations, dict):
        excess = [zones[zone] - allocation.desired for zone, allocation in allocations.items()]
        assert min(max(excess), -min(excess)) < 1
