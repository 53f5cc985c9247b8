"""Nodes on values: pod CIDRs, lost agents, taints, evictions, pods of Nodes that are gone."""

from __future__ import annotations

import copy
import ipaddress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsim.api.kinds import LEASES, NODES, PODS, Obj
from netsim.api.objects import condition, is_pod_ready
from netsim.api.times import format_micro_time, format_time
from netsim.controllers import node_ipam, node_lifecycle, node_ttl, podgc, taint_eviction
from netsim.controllers.node_zones import Zones
from netsim.controllers.writes import Note, Patch, Requeue


def add_node(cluster: Any, name: str = "node-1", **spec: Any) -> Obj:
    ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": format_time(cluster.now)}
    made: Obj = cluster.create(NODES, {"metadata": {"name": name}, "spec": spec, "status": {"conditions": [ready]}})
    return made


def renew(cluster: Any, name: str = "node-1") -> None:
    renewed = {"spec": {"renewTime": format_micro_time(cluster.now)}}
    if cluster.get(LEASES, f"kube-node-lease/{name}") is None:
        cluster.create(LEASES, {"metadata": {"name": name, "namespace": "kube-node-lease"}, **renewed})
    else:
        cluster.patch(LEASES, name, "kube-node-lease", renewed)


def add_pod(cluster: Any, name: str = "p", **spec: Any) -> Obj:
    made: Obj = cluster.create(PODS, {"metadata": {"name": name, "namespace": "ns"}, "spec": spec})
    cluster.set_pod(made)
    return made


class Lifecycle:
    def __init__(self, cluster: Any) -> None:
        self.cluster, self.controller = cluster, node_lifecycle.controller(40.0)

    def run(self, rounds: int = 6) -> None:
        for _ in range(rounds):
            self.cluster.sync()
            writes = self.controller.reconcile("node-1", self.cluster.view())
            assert not self.cluster.apply(writes)
            if all(isinstance(write, Requeue) for write in writes):
                return
        raise AssertionError("the node controller does not come to rest")


def taint_keys(cluster: Any) -> set[tuple[str, str]]:
    node = cluster.get(NODES, "node-1")
    return {(taint["key"], taint["effect"]) for taint in node["spec"].get("taints") or []}


def test_a_silent_node_is_unknown_tainted_and_its_pods_leave_and_it_may_return(cluster: Any) -> None:
    add_node(cluster, "node-2")
    add_node(cluster, taints=[{"key": "own", "effect": "NoSchedule"}])
    renew(cluster)
    add_pod(cluster)
    lifecycle = Lifecycle(cluster)
    lifecycle.run()
    assert taint_keys(cluster) == {("own", "NoSchedule")}
    assert 40 <= cluster.requeues[-1] <= 40.1
    cluster.pass_time(39)
    lifecycle.run()
    assert condition(cluster.get(NODES, "node-1"), "Ready")["status"] == "True"
    cluster.pass_time(1.1)
    lifecycle.run()
    ready = condition(cluster.get(NODES, "node-1"), "Ready")
    assert (ready["status"], ready["reason"]) == ("Unknown", "NodeStatusUnknown")
    assert taint_keys(cluster) == {
        ("own", "NoSchedule"),
        ("node.kubernetes.io/unreachable", "NoSchedule"),
        ("node.kubernetes.io/unreachable", "NoExecute"),
    }
    assert not is_pod_ready(cluster.get(PODS, "ns/p"))
    cluster.pass_time(5)
    renew(cluster)
    back = {"type": "Ready", "status": "True", "lastHeartbeatTime": format_time(cluster.now)}
    cluster.patch(NODES, "node-1", "", {"status": {"conditions": [back]}}, "status")
    lifecycle.run()
    assert taint_keys(cluster) == {("own", "NoSchedule")}


def test_a_clock_that_differs_does_not_matter(cluster: Any) -> None:
    add_node(cluster)
    lifecycle = Lifecycle(cluster)
    for _ in range(10):
        cluster.now -= timedelta(days=1)
        renew(cluster)
        cluster.now += timedelta(days=1, seconds=10)
        lifecycle.run()
    assert taint_keys(cluster) == set()


def lose(cluster: Any, name: str = "node-1") -> None:
    cluster.patch(NODES, name, "", {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}, "status")


@pytest.mark.parametrize("others", [0, 1])
def test_not_ready_is_tainted_as_such_and_pods_leave_if_another_node_is_left(cluster: Any, others: int) -> None:
    add_node(cluster)
    for index in range(others):
        add_node(cluster, f"other-{index}")
    lose(cluster)
    Lifecycle(cluster).run()
    key = "node.kubernetes.io/not-ready"
    assert taint_keys(cluster) == {(key, "NoSchedule")} | ({(key, "NoExecute")} if others else set())


def test_pods_leave_lost_nodes_one_in_ten_seconds_and_not_when_most_are_lost() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    zones = Zones()
    for index in range(8):
        zones.note(f"n{index}", "", index > 1)
    assert (zones.wait("n0", now), zones.wait("n0", now), zones.wait("n1", now)) == (0.0, 0.0, 10.0)
    assert zones.wait("n1", now + timedelta(seconds=10)) == 0.0
    for index in range(5):
        zones.note(f"n{index}", "", False)
    assert zones.wait("n3", now + timedelta(seconds=60)) is None
    zones.note("n0", "", True)
    zones.note("far", "other", False)
    assert zones.wait("far", now) == 0.0
    zones.forget("n1")
    assert zones.wait("n3", now + timedelta(seconds=60)) == 0.0


def test_pods_of_a_node_out_of_service_go_at_once(cluster: Any) -> None:
    taint = {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"}
    add_node(cluster, taints=[taint])
    add_pod(cluster)
    add_pod(cluster, "going")
    going = copy.deepcopy(cluster.get(PODS, "ns/going"))
    going["metadata"]["deletionTimestamp"] = format_time(cluster.now)
    going["metadata"]["finalizers"] = ["x"]
    controller = podgc.controller(0)
    cluster.put(PODS, going)
    cluster.sync()
    assert controller.reconcile("node-1", cluster.view()) == []
    lose(cluster)
    cluster.sync()
    writes = controller.reconcile("node-1", cluster.view())
    assert [write.name for write in writes if isinstance(write, Patch)] == ["going"]
    assert dict(controller.watches)[PODS](cluster.view(), None, cluster.get(PODS, "ns/going")) == ("node-1",)


def test_cordon_is_a_taint(cluster: Any) -> None:
    add_node(cluster, unschedulable=True)
    Lifecycle(cluster).run()
    assert taint_keys(cluster) == {("node.kubernetes.io/unschedulable", "NoSchedule")}
    cluster.patch(NODES, "node-1", "", {"spec": {"unschedulable": None}})
    Lifecycle(cluster).run()
    assert taint_keys(cluster) == set()


def toleration(seconds: int | None = None, key: str = "k") -> Obj:
    base: Obj = {"key": key, "operator": "Exists", "effect": "NoExecute"}
    return base | ({"tolerationSeconds": seconds} if seconds is not None else {})


@pytest.mark.parametrize(
    ("tolerations", "passed", "gone", "requeue"),
    [
        ([], 0, True, None),
        ([toleration()], 10_000, False, None),
        ([toleration(300)], 0, False, 300.0),
        ([toleration(300)], 299, False, 1.0),
        ([toleration(300)], 300, True, None),
        ([toleration(300, "other")], 0, True, None),
        ([toleration(300), toleration(10)], 11, True, None),
        ([{"operator": "Exists"}], 10_000, False, None),
    ],
)
def test_eviction(cluster: Any, tolerations: list[Obj], passed: float, gone: bool, requeue: float | None) -> None:
    """The time counts from when the pod is seen with the taint: `kubectl taint` writes none, and the pod may come later
    than a taint that has one."""
    add_node(cluster, taints=[{"key": "k", "effect": "NoExecute"}])
    add_pod(cluster, tolerations=tolerations)
    reconcile = taint_eviction.controller().reconcile
    cluster.sync()
    reconcile("ns/p", cluster.view())
    cluster.pass_time(passed)
    cluster.apply(reconcile("ns/p", cluster.view()))
    assert cluster.requeues == ([requeue] if requeue is not None else [])
    why = condition(cluster.get(PODS, "ns/p"), "DisruptionTarget") or {}
    assert why.get("reason") == ("DeletionByTaintManager" if gone else None)
    cluster.sync()
    cluster.apply(reconcile("ns/p", cluster.view()))
    assert (cluster.get(PODS, "ns/p") is None) == gone


def test_pods_that_have_ended_leave_too(cluster: Any) -> None:
    add_node(cluster, taints=[{"key": "k", "effect": "NoExecute"}])
    add_pod(cluster)
    cluster.patch(PODS, "p", "ns", {"status": {"phase": "Succeeded"}}, sub="status")
    cluster.sync()
    reconcile = taint_eviction.controller().reconcile
    for _ in range(2):  # first the reason, then the deletion
        cluster.apply(reconcile("ns/p", cluster.view()))
        cluster.sync()
    assert cluster.get(PODS, "ns/p") is None


def test_a_pod_that_comes_after_the_taint_has_its_whole_time(cluster: Any) -> None:
    add_node(cluster, taints=[{"key": "k", "effect": "NoExecute", "timeAdded": format_time(cluster.now)}])
    cluster.pass_time(1000)
    add_pod(cluster, tolerations=[toleration(300)])
    cluster.sync()
    controller = taint_eviction.controller()
    cluster.apply(controller.reconcile("ns/p", cluster.view()))
    pod = cluster.get(PODS, "ns/p")
    cluster.delete(PODS, "p", "ns", pod["metadata"]["uid"])
    cluster.pass_time(200)
    add_pod(cluster, tolerations=[toleration(300)])
    cluster.sync()
    cluster.apply(controller.reconcile("ns/p", cluster.view()))
    assert cluster.requeues == [300.0, 300.0]


def node(name: str, cidr: str = "") -> Obj:
    spec = {"podCIDR": cidr, "podCIDRs": [cidr]} if cidr else {}
    return {"metadata": {"name": name, "resourceVersion": "1"}, "spec": spec}


def pool(text: str = "10.244.0.0/16", mask: int = 24) -> list[Any]:
    return [(ipaddress.ip_network(text), mask)]


def test_first_nodes_get_the_first_parts() -> None:
    writes = node_ipam.plan_cidrs(pool(), [node("node-2"), node("node-1"), node("node-3", "10.244.7.0/24")])
    assert {w.name: w.patch["spec"]["podCIDR"] for w in writes if isinstance(w, Patch)} == {
        "node-1": "10.244.1.0/24",
        "node-2": "10.244.2.0/24",
    }
    assert all(w.patch["metadata"] == {"resourceVersion": "1"} for w in writes if isinstance(w, Patch))


def test_dual_stack_gives_both_families() -> None:
    pools = [*pool(), *pool("fd00:10:244::/48", 64)]
    (write,) = node_ipam.plan_cidrs(pools, [node("node-1")])
    assert write.patch["spec"]["podCIDRs"] == ["10.244.1.0/24", "fd00:10:244:1::/64"]


def test_a_mask_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit the cluster CIDR"):
        node_ipam.controller(["10.244.0.0/16"], [8])


@settings(max_examples=80)
@given(st.lists(st.sampled_from(["", "odd", "taken"]), max_size=24), st.integers(0, 2**16))
def test_no_cidr_twice(kinds: list[str], seed: int) -> None:
    """Whatever Nodes hold already, also ranges of other sizes; what does not fit any more is said in an Event."""
    nodes = []
    for index, kind in enumerate(kinds):
        given_cidr = {
            "": "",
            "odd": f"10.0.{(seed + index) % 16}.128/25",
            "taken": f"10.0.{(seed * 3 + index) % 16}.0/24",
        }
        nodes.append(node(f"n{index:02d}", given_cidr[kind]))
    writes = node_ipam.plan_cidrs(pool("10.0.0.0/20"), nodes)
    given_out = [ipaddress.ip_network(w.patch["spec"]["podCIDR"]) for w in writes if isinstance(w, Patch)]
    held = [network for n in nodes for network in node_ipam.cidrs_of(n)]
    for index, network in enumerate(given_out):
        assert not any(network.overlaps(other) for other in [*held, *given_out[:index]])
        assert network.subnet_of(ipaddress.ip_network("10.0.0.0/20"))
    wanting = sum(1 for n in nodes if not n["spec"])
    assert len(given_out) + sum(isinstance(w, Note) for w in writes) == wanting
    if len(given_out) < wanting:
        everything = [*held, *given_out]
        parts = ipaddress.ip_network("10.0.0.0/20").subnets(new_prefix=24)
        assert all(any(part.overlaps(other) for other in everything) for part in parts)


def test_pods_of_a_vanished_node_fail_and_go(cluster: Any) -> None:
    add_node(cluster)
    add_pod(cluster)
    controller = podgc.controller(40.0)

    def run(**facts: Any) -> None:
        cluster.sync()
        cluster.apply(controller.reconcile("node-1", cluster.view(**facts)))

    run()
    cluster.delete(NODES, "node-1")
    run(present=True)
    assert cluster.requeues == []
    run()
    assert cluster.requeues == [40.0]
    cluster.pass_time(41)
    run()
    assert cluster.get(PODS, "ns/p")["status"]["phase"] == "Failed"
    run()
    assert cluster.all(PODS) == []


def test_nodes_have_their_labels_under_old_names_too(cluster: Any) -> None:
    """As kube-controller-manager 1.36 has it: os and arch, whatever somebody wrote there."""
    labels = {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", "beta.kubernetes.io/os": "plan9"}
    add_node(cluster)
    cluster.patch(NODES, "node-1", "", {"metadata": {"labels": labels}})
    Lifecycle(cluster).run()
    found = cluster.get(NODES, "node-1")["metadata"]["labels"]
    assert found == labels | {"beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": "amd64"}
    assert node_lifecycle.missing_labels({"zone": "a"}) == {}


def test_a_node_is_told_how_long_to_go_by_secrets(cluster: Any) -> None:
    add_node(cluster)
    cluster.sync()
    controller = node_ttl.controller()
    (write,) = controller.reconcile("node-1", cluster.view())
    assert write.patch == {"metadata": {"annotations": {"node.alpha.kubernetes.io/ttl": "0"}}}
    cluster.apply([write])
    cluster.sync()
    assert controller.reconcile("node-1", cluster.view()) == []
    assert controller.reconcile("node-2", cluster.view()) == []


@pytest.mark.parametrize(
    ("step", "nodes", "then"),
    [(0, 100, 0), (0, 101, 1), (1, 90, 1), (1, 89, 0), (1, 501, 2), (0, 5000, 4), (4, 1800, 4), (4, 9, 0)],
)
def test_the_time_grows_with_the_cluster_and_shrinks_later(step: int, nodes: int, then: int) -> None:
    assert node_ttl.next_step(step, nodes) == then
