"""Choice of endpoints: duplicates, order, terminating ones, topology hints."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netsim_proxy.endpoints import endpoints_of, select_endpoints
from netsim_proxy.model import Endpoint, ServicePort, Slice, SliceEndpoint

PORT = ServicePort("ns", "web", "http", "TCP", "10.96.0.1", 80, hints_enabled=True)
LOCAL_PORT = replace(PORT, node_port=30080, external_local=True)


def part(name: str, *endpoints: SliceEndpoint) -> Slice:
    return Slice("ns", name, "web", 4, (("http", "TCP", 8080), ("dns", "UDP", 53)), endpoints)


def raw(address: str, node: str = "") -> SliceEndpoint:
    return SliceEndpoint(address, node, True, True, False, ())


def endpoint(number: int, state: str = "ready", local: bool = False, zones: tuple[str, ...] = ()) -> Endpoint:
    ready, serving, terminating = {
        "ready": (True, True, False),
        "draining": (False, True, True),
        "gone": (False, False, True),
        "starting": (False, False, False),
    }[state]
    return Endpoint(f"10.0.0.{number}", 80, local, ready, serving, terminating, zones)


def test_sorted_as_text_and_matched_by_name_and_protocol() -> None:
    found = endpoints_of([part("a", raw("10.0.0.9"), raw("10.0.0.10"))], "http", "TCP", "n")
    assert [entry.text for entry in found] == ["10.0.0.10:8080", "10.0.0.9:8080"]
    assert endpoints_of([part("a", raw("10.0.0.9"))], "http", "UDP", "n") == ()


@pytest.mark.parametrize("order", [1, -1])
def test_local_copy_of_a_duplicate_wins(order: int) -> None:
    slices = [part("a", raw("10.0.0.1")), part("b", raw("10.0.0.1", "n"))][::order]
    (found,) = endpoints_of(slices, "http", "TCP", "n")
    assert found.local


def test_endpoint_without_node_is_never_local() -> None:
    assert not endpoints_of([part("a", raw("10.0.0.1"))], "http", "TCP", "")[0].local


@pytest.mark.parametrize(
    ("states", "chosen"),
    [
        (("ready", "draining"), [1]),
        (("draining", "gone"), [1]),
        (("draining", "draining"), [1, 2]),
        (("gone", "starting"), []),
    ],
)
def test_terminating_fallback(states: tuple[str, ...], chosen: list[int]) -> None:
    selection = select_endpoints(PORT, [endpoint(number, state) for number, state in enumerate(states, 1)], "")
    assert [entry.address for entry in selection.cluster] == [f"10.0.0.{number}" for number in chosen]
    assert selection.exists == bool(chosen)


def test_local_fallback_is_independent_of_the_cluster() -> None:
    draining, remote = endpoint(1, "draining", local=True), endpoint(2)
    selection = select_endpoints(LOCAL_PORT, [draining, remote], "")
    assert (selection.cluster, selection.local) == ((remote,), (draining,))
    assert selection.reachable == (draining, remote)


@pytest.mark.parametrize(
    ("zone", "hints", "expected"),
    [
        ("a", [("a",), ("b",)], [1]),
        ("", [("a",), ("b",)], [1, 2]),
        ("a", [("a",), ()], [1, 2]),
        ("c", [("a",), ("b",)], [1, 2]),
    ],
)
def test_topology_hints(zone: str, hints: list[tuple[str, ...]], expected: list[int]) -> None:
    found = [endpoint(number, zones=zones) for number, zones in enumerate(hints, 1)]
    chosen = select_endpoints(PORT, found, zone).cluster
    assert [entry.address for entry in chosen] == [f"10.0.0.{number}" for number in expected]


def test_hints_need_the_annotation_or_a_distribution_or_the_gate() -> None:
    plain, found = replace(PORT, hints_enabled=False), [endpoint(1, zones=("a",)), endpoint(2, zones=("b",))]
    assert len(select_endpoints(plain, found, "a").cluster) == 2
    assert len(select_endpoints(replace(plain, traffic_distribution=True), found, "a").cluster) == 1
    assert len(select_endpoints(plain, found, "a", hints=True).cluster) == 1


def test_hints_for_the_node_come_before_those_for_its_zone() -> None:
    near, far = (replace(endpoint(n, zones=("a",)), nodes=(f"n{n}",)) for n in (1, 2))
    assert select_endpoints(PORT, [near, far], "a", "n1", hints=True).cluster == (near,)
    assert select_endpoints(PORT, [near, far], "a", "n3", hints=True).cluster == (near, far)
    assert select_endpoints(PORT, [near, replace(far, nodes=())], "a", "n1", hints=True).cluster[1:]
    assert select_endpoints(PORT, [near, far], "a", "n1").cluster == (near, far), "kube-proxy 1.30 knows zones only"


def test_internal_local_without_outside_needs_no_cluster_endpoints() -> None:
    inside = replace(PORT, internal_local=True)
    selection = select_endpoints(inside, [endpoint(1), endpoint(2, local=True)], "")
    assert selection.cluster == ()
    assert [entry.address for entry in selection.local] == ["10.0.0.2"]
