"""Which interfaces a capture's target stands for."""

from __future__ import annotations

from typing import Any

import pytest

from netsim.lab.capture_plan import (
    CaptureFacts,
    NodeFact,
    PodFact,
    lesson_filter,
    plan_capture,
    plan_captures,
    pods_behind,
)
from netsim.lab.places import NoSuchPlace

NODES = {
    "node-1": NodeFact("/ns/node-1", {"lo": "", "eth0": "", "web-a-12345": "default/web-a", "db-0-00000": "prod/db-0"}),
    "node-2": NodeFact("/ns/node-2", {"lo": "", "eth0": "", "web-b-54321": "default/web-b"}),
}
PODS = {
    (ns, name): PodFact(ns, name, node, f"/ns/pod-{name}", host)
    for ns, name, node, host in [
        ("default", "web-a", "node-1", False),
        ("default", "web-b", "node-2", False),
        ("prod", "db-0", "node-1", False),
        ("prod", "web-a", "node-9", False),
        ("kube-system", "agent", "node-2", True),
        ("a", "twin", "node-1", False),
        ("b", "twin", "node-1", False),
    ]
}
SERVICES = {
    ("default", "web"): (("default", "web-a"), ("default", "web-b")),
    ("default", "web-a"): (),
    ("prod", "db"): (),
}
FACTS = CaptureFacts("/ns/client", NODES, PODS, SERVICES)


def labels(target: str) -> list[str]:
    return [point.label for point in plan_capture(target, FACTS)]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("client", ["client/eth0"]),
        ("node-2", ["node-2/lo", "node-2/eth0", "node-2/web-b-54321"]),
        ("node/node-2", ["node-2/lo", "node-2/eth0", "node-2/web-b-54321"]),
        ("web-a", ["web-a/eth0", "node-1/web-a-12345"]),
        ("default/web-a", ["web-a/eth0", "node-1/web-a-12345"]),
        ("pod/web-a", ["web-a/eth0", "node-1/web-a-12345"]),
        ("db-0", ["db-0/eth0", "node-1/db-0-00000"]),
        ("prod/web-a", ["web-a/eth0"]),
        ("agent", ["node-2/eth0"]),
        ("svc/web-a", ["node-1/eth0", "node-2/eth0"]),
        (
            "web",
            [
                "web-a/eth0",
                "node-1/web-a-12345",
                "web-b/eth0",
                "node-2/web-b-54321",
                "node-1/eth0",
                "node-2/eth0",
            ],
        ),
        ("svc/prod/db", ["node-1/eth0", "node-2/eth0"]),
    ],
)
def test_targets(target: str, expected: list[str]) -> None:
    assert labels(target) == expected


def test_several_targets_share_a_place_only_once() -> None:
    assert [p.label for p in plan_captures("web-a, node-2,agent", FACTS)] == [
        *labels("web-a"),
        *labels("node-2"),
    ]


def test_a_pod_is_captured_in_its_own_namespace_and_its_nodes() -> None:
    inside, outside = plan_capture("web-a", FACTS)
    assert (inside.netns, inside.interface, inside.description) == ("/ns/pod-web-a", "eth0", "pod default/web-a")
    assert (outside.netns, outside.interface, outside.description) == ("/ns/node-1", "web-a-12345", "default/web-a")


@pytest.mark.parametrize(
    ("targets", "quiet"),
    [
        ("web", True),
        ("svc/web,web", True),
        ("web,client", False),
        ("web-a", False),  # a pod of that name comes first
        ("svc/web-a", False),  # nothing is behind it: what is there to see is all on the nodes
        ("node-1", False),
        ("nosuch", False),
    ],
)
def test_only_captures_of_services_leave_the_control_plane_out(targets: str, quiet: bool) -> None:
    expected = "not (host 172.30.0.2 and tcp port 6443) and not tcp port 10250" if quiet else ""
    assert lesson_filter(targets, FACTS, "172.30.0.2", 6443) == expected


def test_several_of_one_name_must_be_told_apart() -> None:
    with pytest.raises(NoSuchPlace, match="say which: a/twin, b/twin"):
        plan_capture("twin", FACTS)


@pytest.mark.parametrize(
    ("target", "proposed"),
    [("pod/web", "svc/default/web"), ("node/web-a", "default/web-a"), ("prod/web-b", "prod/web-a")],
)
def test_names_like_the_unknown_one_are_proposed(target: str, proposed: str) -> None:
    with pytest.raises(NoSuchPlace, match=rf"did you mean .*`{proposed}`"):
        plan_capture(target, FACTS)


@pytest.mark.parametrize("target", ["nosuch", "svc/nosuch", ""])
def test_unknown_targets_list_what_there_is(target: str) -> None:
    with pytest.raises(NoSuchPlace, match=r"there are client, node-1, node-2, .* more"):
        plan_capture(target, FACTS)


def test_pods_behind_a_service_are_those_its_slices_refer_to() -> None:
    def named(name: str) -> dict[str, Any]:
        return {"metadata": {"namespace": "default", "name": name}}

    reference = {"kind": "Pod", "name": "web-a", "namespace": "default"}
    endpoints = [{"targetRef": reference}, {"targetRef": reference}, {}, {"targetRef": {"kind": "Node", "name": "n"}}]
    view = {
        "metadata": {"namespace": "default", "labels": {"kubernetes.io/service-name": "web"}},
        "endpoints": endpoints,
    }
    orphan = {"metadata": {"namespace": "default", "labels": {}}, "endpoints": endpoints}
    assert pods_behind([named("web"), named("db")], [view, orphan]) == {
        ("default", "web"): (("default", "web-a"),),
        ("default", "db"): (),
    }
