"""Fake nodes, on values."""

from __future__ import annotations

from typing import Any

import pytest

from netsim.agent.fake_plan import (
    Addresses,
    FakePlan,
    ended_status,
    heartbeat,
    next_step,
    node_view,
    pod_view,
    render_fake_node,
    running_status,
)
from netsim.api.objects import FAKE_NODE, is_true

Obj = dict[str, Any]
NOW = "2026-01-01T00:00:00Z"


def pod(phase: str = "Pending", owner: str = "", **metadata: Any) -> Obj:
    references = [{"kind": owner, "controller": True}] if owner else []
    head = {"name": "p", "uid": "u", "ownerReferences": references, **metadata}
    return {"metadata": head, "spec": {"containers": [{"name": "c", "image": "i"}]}, "status": {"phase": phase}}


def test_nodes_are_ready_marked_and_by_default_tainted() -> None:
    node = render_fake_node(FakePlan(3), 2, NOW)
    assert node["metadata"]["name"] == "fake-2" == FakePlan(3).names()[2]
    assert node["metadata"]["annotations"] == {FAKE_NODE: "fake"}
    assert node["spec"]["taints"] == [{"key": FAKE_NODE, "value": "fake", "effect": "NoSchedule"}]
    assert next(c for c in node["status"]["conditions"] if c["type"] == "Ready")["status"] == "True"
    assert node["status"]["addresses"][0] == {"type": "InternalIP", "address": "198.18.0.3"}
    assert render_fake_node(FakePlan(1, tainted=False), 0, NOW)["spec"] == {}
    assert all("lastTransitionTime" not in each for each in heartbeat(FakePlan(1), 0, NOW)["conditions"])


@pytest.mark.parametrize(
    ("given", "step"),
    [
        (pod(), "run"),
        (pod("Running"), ""),
        (pod("Running", "Job"), "end"),
        (pod("Succeeded", "Job"), ""),
        (pod("Running", deletionTimestamp=NOW), "delete"),
    ],
)
def test_steps(given: Obj, step: str) -> None:
    assert next_step(given) == step


def test_a_running_pod_is_ready_and_one_of_a_job_ends() -> None:
    status = running_status(pod(), "10.244.1.2", "198.18.0.1", NOW)
    assert (status["phase"], status["podIP"], status["hostIP"]) == ("Running", "10.244.1.2", "198.18.0.1")
    assert {c["type"]: c["status"] for c in status["conditions"]}["Ready"] == "True"
    assert status["containerStatuses"][0]["ready"] is True
    host = pod() | {"spec": {"hostNetwork": True, "containers": []}}
    assert running_status(host, "10.244.1.2", "198.18.0.1", NOW)["podIP"] == "198.18.0.1"
    ended = ended_status(pod("Running"), NOW)
    assert ended["phase"] == "Succeeded"
    assert ended["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 0


def test_addresses_are_unique_stable_and_used_again() -> None:
    addresses = Addresses()
    first = [addresses.take(f"u{i}", "10.0.0.0/29") for i in range(5)]
    assert first == ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"]
    assert addresses.take("u0", "10.0.0.0/29") == "10.0.0.2"
    assert addresses.take("more", "10.0.0.0/29") == "100.64.0.2"
    assert addresses.take("none", "") == "100.64.0.3"
    addresses.release("u3")
    assert addresses.take("next", "10.0.0.0/29") == "10.0.0.5"


@pytest.mark.parametrize(
    "given",
    [pod(), pod("Running"), pod("Running", "Job"), pod("Succeeded", "Job"), pod("Running", deletionTimestamp=NOW)],
)
def test_what_is_kept_of_a_pod_says_what_is_to_be_done_with_it(given: Obj) -> None:
    given["spec"]["nodeName"] = "fake-1"
    kept = pod_view(given)
    assert next_step(kept) == next_step(given)
    assert (kept["metadata"]["uid"], kept["spec"]["nodeName"]) == ("u", "fake-1")
    assert kept is given or "containers" not in kept["spec"]


def test_what_is_kept_of_a_node_says_whether_it_is_ready_and_its_pod_cidr() -> None:
    node = render_fake_node(FakePlan(1), 0, NOW)
    assert is_true(node_view(node), "Ready")
    node["spec"]["podCIDR"] = "10.244.7.0/24"
    for each in node["status"]["conditions"]:
        each["status"] = "Unknown"
    assert not is_true(node_view(node), "Ready")
    assert node_view(node)["spec"] == {"podCIDR": "10.244.7.0/24"}
