"""Filters, scores and the choice, on values."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsim.api.kinds import Obj
from netsim.scheduler.choose import ENOUGH, choose_node, place
from netsim.scheduler.model import Cluster
from netsim.scheduler.needs import needs_of

READY = {"conditions": [{"type": "Ready", "status": "True"}]}


def node(name: str = "n1", labels: dict[str, str] | None = None, **spec: Any) -> Obj:
    amounts = spec.pop("allocatable", {"cpu": "4", "memory": "8Gi", "pods": "110"})
    status = spec.pop("status", READY) | {"allocatable": amounts}
    return {"metadata": {"name": name, "labels": labels or {}}, "spec": spec, "status": status}


def pod(name: str = "p", owner: str = "", labels: dict[str, str] | None = None, **spec: Any) -> Obj:
    references = [{"uid": owner, "controller": True, "kind": "ReplicaSet", "name": owner}] if owner else []
    head = {"name": name, "namespace": "ns", "uid": f"uid-{name}", "labels": labels or {}}
    containers = spec.pop("containers", [{"name": "c"}])
    return {"metadata": {**head, "ownerReferences": references}, "spec": {"containers": containers, **spec}}


def asking(cpu: str = "", memory: str = "", **more: str) -> list[Obj]:
    requests = {name: text for name, text in {"cpu": cpu, "memory": memory, **more}.items() if text}
    return [{"name": "c", "resources": {"requests": requests}}]


def affinity(*terms: Obj) -> Obj:
    required = {"nodeSelectorTerms": list(terms)}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}


def expression(key: str, operator: str, *values: str) -> Obj:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


HOST_PORT = [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 8080, "protocol": "TCP"}]}]
TAINT = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}
NOT_MATCHED = "node(s) didn't match Pod's node affinity/selector"


@pytest.mark.parametrize(
    ("wanted", "where", "reasons"),
    [
        (pod(), node(), []),
        (pod(), node(unschedulable=True), ["node(s) were unschedulable"]),
        (pod(), node(status={}), ["node(s) had untolerated taint(s)"]),
        (
            pod(),
            node(status={"conditions": [{"type": "Ready", "status": "Unknown"}]}),
            ["node(s) had untolerated taint(s)"],
        ),
        (pod(), node(taints=[TAINT]), ["node(s) had untolerated taint(s)"]),
        (pod(tolerations=[{"key": "dedicated", "value": "db"}]), node(taints=[TAINT]), []),
        (
            pod(tolerations=[{"key": "dedicated", "value": "web"}]),
            node(taints=[TAINT]),
            ["node(s) had untolerated taint(s)"],
        ),
        (pod(tolerations=[{"operator": "Exists"}]), node(taints=[TAINT], unschedulable=True), []),
        (pod(), node(taints=[{**TAINT, "effect": "PreferNoSchedule"}]), []),
        (pod(nodeSelector={"disk": "ssd"}), node(), [NOT_MATCHED]),
        (pod(nodeSelector={"disk": "ssd"}), node(labels={"disk": "ssd"}), []),
        (pod(affinity=affinity(expression("zone", "In", "a", "b"))), node(labels={"zone": "b"}), []),
        (pod(affinity=affinity(expression("zone", "NotIn", "b"))), node(labels={"zone": "b"}), [NOT_MATCHED]),
        (pod(affinity=affinity(expression("zone", "Exists"))), node(), [NOT_MATCHED]),
        (pod(affinity=affinity(expression("size", "Gt", "3"))), node(labels={"size": "4"}), []),
        (
            pod(affinity=affinity(expression("x", "Exists"), expression("zone", "In", "b"))),
            node(labels={"zone": "b"}),
            [],
        ),
        (pod(affinity=affinity({})), node(), [NOT_MATCHED]),
        (
            pod(affinity=affinity({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]})),
            node(),
            [],
        ),
        (pod(containers=asking("4")), node(), []),
        (pod(containers=asking("4001m")), node(), ["Insufficient cpu"]),
        (pod(containers=asking("5", "9Gi")), node(), ["Insufficient cpu", "Insufficient memory"]),
        (pod(containers=asking(**{"example.com/gpu": "1"})), node(), ["Insufficient example.com/gpu"]),
        (pod(), node(allocatable={"pods": "0"}), ["Too many pods"]),
        (pod(containers=[{"name": "c", "resources": {"limits": {"cpu": "5"}}}]), node(), ["Insufficient cpu"]),
        (pod(initContainers=asking("5")), node(), ["Insufficient cpu"]),
        (pod(containers=asking("3"), overhead={"cpu": "2"}), node(), ["Insufficient cpu"]),
    ],
)
def test_filters(wanted: Obj, where: Obj, reasons: list[str]) -> None:
    refused = choose_node(wanted, [where], []).refused
    assert [reason for refusal in refused.values() for reason in refusal.reasons] == reasons


@pytest.mark.parametrize(
    ("other", "clash"),
    [
        ({"hostPort": 8080}, True),
        ({"hostPort": 8080, "protocol": "UDP"}, False),
        ({"hostPort": 8080, "hostIP": "127.0.0.1"}, True),
        ({"hostPort": 8081}, False),
    ],
)
def test_host_ports(other: Obj, clash: bool) -> None:
    taken = pod("taken", nodeName="n1", containers=[{"name": "c", "ports": [{"containerPort": 1, **other}]}])
    decision = choose_node(pod(containers=HOST_PORT), [node()], [taken])
    assert (decision.node == "") == clash


def test_the_message_counts_reasons() -> None:
    nodes = [node("a", taints=[TAINT]), node("b"), node("c")]
    decision = choose_node(pod(containers=asking("9")), nodes, [])
    text = "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu."
    assert decision.message == text
    assert choose_node(pod(), [], []).message == "no nodes available to schedule pods"


def test_replicas_spread_over_nodes() -> None:
    cluster = Cluster([node(f"n{i}") for i in range(3)], [pod("other", nodeName="n0", owner="x")])
    chosen = []
    for index in range(6):
        needs = needs_of(pod(f"p{index}", owner="rs"))
        chosen.append(place(needs, cluster).node)
        cluster.assume(needs, chosen[-1])
    assert sorted(chosen) == ["n0", "n0", "n1", "n1", "n2", "n2"]
    assert set(chosen[:3]) == {"n0", "n1", "n2"}


def test_the_emptier_node_is_taken() -> None:
    full = [pod(f"f{i}", nodeName="n0", containers=asking("1")) for i in range(3)]
    assert choose_node(pod(labels={"a": "b"}), [node("n0"), node("n1")], full).node == "n1"


def test_a_node_that_returns_has_its_pods_still() -> None:
    cluster = Cluster([node()], [pod("p", nodeName="n1", containers=asking("3"))])
    cluster.remove_node("n1")
    assert place(needs_of(pod("q")), cluster).total == 0
    cluster.set_node(node())
    assert place(needs_of(pod("q", containers=asking("2"))), cluster).node == ""


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_ended_pods_take_no_room(phase: str) -> None:
    ended = pod("e", nodeName="n1", containers=asking("4")) | {"status": {"phase": phase}}
    assert choose_node(pod(containers=asking("4")), [node()], [ended]).node == "n1"


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 11), st.integers(0, 3), st.integers(1, 9)), max_size=60))
def test_incremental_state_equals_a_fresh_one(steps: list[tuple[int, int, int, int]]) -> None:
    """After any sequence of changes, the state is the one built from what is there."""
    cluster, nodes, pods = Cluster(), {}, {}
    for action, which, where, size in steps:
        name, place = f"p{which}", f"n{where}"
        if action == 0:
            nodes[place] = node(place, labels={"size": str(size)})
            cluster.set_node(nodes[place])
        elif action == 1:
            nodes.pop(place, None)
            cluster.remove_node(place)
        elif action == 2 and name not in pods:
            pods[name] = pod(name, owner=f"o{size % 3}", nodeName=place, containers=asking(f"{size}00m"))
            cluster.set_pod(pods[name])
        elif action == 3 and pods.pop(name, None) is not None:
            cluster.remove_pod(f"uid-{name}")
    fresh = Cluster(nodes.values(), pods.values())
    assert [state.name for state in cluster.nodes()] == [state.name for state in fresh.nodes()]
    for one, other in zip(cluster.nodes(), fresh.nodes(), strict=True):
        assert (+one.used, one.weight, one.owners, set(one.pods)) == (
            +other.used,
            other.weight,
            other.owners,
            set(other.pods),
        )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=60), st.integers(1, 4))
def test_no_node_is_overfilled_and_nothing_that_fits_is_refused(sizes: list[int], count: int) -> None:
    cluster = Cluster([node(f"n{i}") for i in range(count)])
    for index, size in enumerate(sizes):
        needs = needs_of(pod(f"p{index}", owner="rs", containers=asking(f"{size}00m")))
        free = [4000 - state.used["cpu"] for state in cluster.nodes()]
        chosen = place(needs, cluster).node
        assert bool(chosen) == (max(free) >= size * 100)
        if chosen:
            cluster.assume(needs, chosen)
    assert all(state.used["cpu"] <= 4000 for state in cluster.nodes())


def test_a_thousand_pods_are_placed_in_a_second_and_a_large_cluster_is_sampled() -> None:
    cluster = Cluster([node(f"n{i:04d}") for i in range(1000)])
    start, began = 0, time.process_time()
    for index in range(1000):
        needs = needs_of(pod(f"p{index}", owner="rs", containers=asking("100m")))
        decision = place(needs, cluster, start)
        assert decision.looked_at == ENOUGH
        start = (start + decision.looked_at) % len(cluster)
        cluster.assume(needs, decision.node)
    assert time.process_time() - began < 3
    assert max(len(state.pods) for state in cluster.nodes()) == 1
