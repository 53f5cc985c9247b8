"""Scores, preemption, likeness, volumes and the queue, on values."""

from __future__ import annotations

from typing import Any

import pytest

from netsim.scheduler.alike import Alike
from netsim.scheduler.choose import choose_node, decide, place
from netsim.scheduler.model import Cluster
from netsim.scheduler.needs import needs_of
from netsim.scheduler.preempt import NEVER, NO_VICTIMS, WAITING, plan_preemption
from netsim.scheduler.queue import SchedulingQueue
from netsim.scheduler.situation import situation_of
from netsim.scheduler.texts import disruption, failure_message, unscheduled
from netsim.scheduler.volumes import (
    BIND_CONFLICT,
    NODE_CONFLICT,
    UNBOUND,
    Storage,
    plan_claims,
    volume_reasons,
    volumes_of,
)

Obj = dict[str, Any]
ZONE = "topology.kubernetes.io/zone"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
X = {"app": "x"}


def preferring(term: Obj, kind: str = "podAffinity", weight: int = 50) -> Obj:
    if kind == "nodeAffinity":
        return {kind: {PREFERRED: [{"weight": weight, "preference": term}]}}
    return {kind: {PREFERRED: [{"weight": weight, "podAffinityTerm": term}]}}


def test_preferences_decide_between_equal_nodes(make: Any) -> None:
    nodes = [make.node("a"), make.node("b", {"disk": "ssd"}), make.node("c")]
    ssd = {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}
    assert choose_node(make.pod("p", affinity=preferring(ssd, "nodeAffinity")), nodes, []).node == "b"
    other = make.pod("o", X, nodeName="c")
    term = {"labelSelector": {"matchLabels": X}, "topologyKey": "kubernetes.io/hostname"}
    assert choose_node(make.pod("p", affinity=preferring(term)), nodes, [other]).node == "c"
    lonely = [make.pod(f"o{n}", X, nodeName=n) for n in ("a", "b")]
    assert choose_node(make.pod("p", affinity=preferring(term, "podAntiAffinity")), nodes, lonely).node == "c"
    # What pods that stand prefer counts as well.
    keen = make.pod("keen", nodeName="b", affinity=preferring(term))
    assert choose_node(make.pod("p", X), nodes, [keen]).node == "b"


def test_nodes_that_prefer_no_pods_come_last(make: Any) -> None:
    soft = {"key": "k", "value": "v", "effect": "PreferNoSchedule"}
    nodes = [make.node("a", taints=[soft]), make.node("b")]
    busy = [make.pod(f"o{i}", nodeName="b", cpu="500m") for i in range(3)]
    assert choose_node(make.pod("p"), nodes, busy).node == "b"


def test_ephemeral_storage_is_honoured(make: Any) -> None:
    node = make.node("a")
    node["status"]["allocatable"]["ephemeral-storage"] = "1Gi"

    def pod(name: str, size: str, **spec: Any) -> Obj:
        made: Obj = make.pod(name, **spec)
        made["spec"]["containers"][0]["resources"] = {"requests": {"ephemeral-storage": size}}
        return made

    standing = pod("s", "600Mi", nodeName="a")
    assert choose_node(pod("p", "400Mi"), [node], [standing]).node == "a"
    refused = choose_node(pod("p", "500Mi"), [node], [standing])
    assert not refused.node and refused.refused["a"].reasons == ("Insufficient ephemeral-storage",)
    other = choose_node(pod("p", "1Mi"), [make.node("b")], [])  # which says what it has, and nothing of this
    assert not other.node and other.refused["b"].reasons == ("Insufficient ephemeral-storage",)


def test_conditions_say_which_generation_they_are_of(make: Any) -> None:
    pod = make.pod("p")
    pod["metadata"]["generation"] = 3
    assert unscheduled(pod, "why", "2026-01-01T00:00:00Z")["observedGeneration"] == 3
    assert disruption(pod, "2026-01-01T00:00:00Z")["observedGeneration"] == 3


def test_soft_spread_and_the_pods_of_a_service_go_apart(make: Any) -> None:
    nodes = [make.node("a", {ZONE: "1"}), make.node("b", {ZONE: "1"}), make.node("c", {ZONE: "2"})]
    rule = {
        "topologyKey": ZONE,
        "maxSkew": 1,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": X},
    }
    standing = [make.pod("s", X, nodeName="a")]
    assert choose_node(make.pod("p", X, topologySpreadConstraints=[rule]), nodes, standing).node == "c"
    cluster = Cluster(nodes, standing)
    cluster.set_service("ns/web", {"spec": {"selector": X}})
    assert place(needs_of(make.pod("p", X)), cluster).node == "c"


def test_a_message_names_every_reason_and_what_preemption_found(make: Any) -> None:
    nodes = [make.node("a", taints=[{"key": "k", "effect": "NoSchedule"}]), make.node("b", cpu="1"), make.node("c")]
    standing = [make.pod("s", nodeName="c", cpu="3")]
    cluster = Cluster(nodes, standing)
    needs = needs_of(make.pod("p", cpu="2"))
    decision = place(needs, cluster)
    preemption = plan_preemption(needs, decision, cluster, [])
    assert failure_message(decision, preemption) == (
        "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu. "
        "no new claims to deallocate, preemption: 0/3 nodes are available: "
        f"1 {NO_VICTIMS}, 2 Preemption is not helpful for scheduling."
    )


def full(make: Any, *priorities: int) -> tuple[Cluster, list[Obj]]:
    """One node a pod of 4 CPUs each, all full."""
    nodes = [make.node(f"n{i}") for i in range(len(priorities))]
    pods = [make.pod(f"v{i}", X, "4", nodeName=f"n{i}", priority=p) for i, p in enumerate(priorities)]
    return Cluster(nodes, pods), pods


def preempt(make: Any, cluster: Cluster, budgets: list[Obj] | None = None, **spec: Any) -> Any:
    needs = needs_of(make.pod("p", cpu="2", priority=100, **spec))
    return plan_preemption(needs, place(needs, cluster), cluster, budgets or [])


def test_the_least_important_go_and_budgets_are_spared(make: Any) -> None:
    cluster, _ = full(make, 50, 10, 200)
    assert preempt(make, cluster).victims.node == "n1"
    budget = {
        "metadata": {"name": "b", "namespace": "ns"},
        "spec": {"selector": {"matchLabels": {"app": "y"}}},
        "status": {"disruptionsAllowed": 0},
    }
    guarded = Cluster(
        [make.node("n0"), make.node("n1")],
        [
            make.pod("a", {"app": "y"}, "4", nodeName="n0", priority=1),
            make.pod("b", X, "4", nodeName="n1", priority=5),
        ],
    )
    assert preempt(make, guarded, [budget]).victims.node == "n1"
    assert preempt(make, cluster, preemptionPolicy="Never").message == NEVER


def test_only_as_many_as_needed_and_the_most_important_stay(make: Any) -> None:
    pods = [make.pod(f"v{i}", X, "1", nodeName="n", priority=i) for i in range(4)]
    victims = preempt(make, Cluster([make.node("n")], pods)).victims
    assert [each.key for each in victims.pods] == ["ns/v1", "ns/v0"]


def test_who_waits_for_victims_takes_no_more_and_keeps_its_room(make: Any) -> None:
    cluster, _ = full(make, 1, 1)
    needs = needs_of(make.pod("p", cpu="2", priority=100))
    cluster.nominate(needs, "n0")
    cluster.leaving.add("uid-v0")
    assert plan_preemption(needs, place(needs, cluster), cluster, []).message == WAITING
    cluster.remove_pod("uid-v0")
    assert place(needs_of(make.pod("late", cpu="3", priority=50)), cluster).node == ""
    assert place(needs_of(make.pod("small", cpu="2", priority=50)), cluster).node == "n0"
    assert decide(situation_of(needs, cluster), cluster, first="n0").node == "n0"


def test_pods_alike_get_what_each_would_get_alone(make: Any) -> None:
    def run(alike: Alike | None) -> list[str]:
        cluster, found = Cluster([make.node(f"n{i:02d}") for i in range(12)]), []
        for index in range(30):
            needs = needs_of(make.pod(f"p{index}", X, "100m"))
            decision = (alike.decide(needs, cluster) if alike else None) or place(needs, cluster)
            if alike:
                alike.learn(needs, decision, cluster)
            cluster.assume(needs, decision.node)
            found.append(decision.node)
        return found

    assert sorted(run(Alike())) == sorted(run(None))


def claim(name: str = "c", **spec: Any) -> Obj:
    wanted = {
        "storageClassName": "late",
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "2Gi"}},
    }
    return {"metadata": {"name": name, "namespace": "ns", "uid": f"u-{name}"}, "spec": wanted | spec, "status": {}}


def volume(name: str, size: str, node: str, **spec: Any) -> Obj:
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}
    given = {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": "late"}
    affinity = {"nodeAffinity": {"required": {"nodeSelectorTerms": [term]}}}
    return {"metadata": {"name": name}, "spec": given | affinity | spec, "status": {"phase": "Available"}}


def storage(*claims: Obj, volumes: tuple[Obj, ...] = (), provisioner: str = "kubernetes.io/no-provisioner") -> Storage:
    known = {f"ns/{each['metadata']['name']}": each for each in claims}
    late = {"provisioner": provisioner, "volumeBindingMode": "WaitForFirstConsumer"}
    classes = {"late": late, "now": {"provisioner": "p", "volumeBindingMode": "Immediate"}}
    by_name = {each["metadata"]["name"]: each for each in volumes}
    return Storage(known.get, by_name.get, classes.get, by_name.values)


@pytest.mark.parametrize(
    ("claims", "problem"),
    [
        ((), 'persistentvolumeclaim "c" not found'),
        ((claim(storageClassName="now"),), UNBOUND),
        ((claim(storageClassName=""),), UNBOUND),
        ((claim(),), ""),
    ],
)
def test_claims_that_keep_a_pod_back(make: Any, claims: tuple[Obj, ...], problem: str) -> None:
    pod = make.pod("p", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}])
    assert volumes_of(pod, "ns", storage(*claims)).problem == problem


def test_volumes_decide_where_a_pod_can_go(make: Any) -> None:
    pod = make.pod("p", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}])
    cluster = Cluster([make.node("a"), make.node("b")])
    a, b = cluster.nodes()
    free = storage(claim(), volumes=(volume("big", "9Gi", "b"), volume("fit", "2Gi", "b"), volume("small", "1Gi", "a")))
    waiting = volumes_of(pod, "ns", free)
    assert volume_reasons(waiting, free, a) == (BIND_CONFLICT,)
    assert [(c["metadata"]["name"], v and v["metadata"]["name"]) for c, v in plan_claims(waiting, free, b) or []] == [
        ("c", "fit")
    ]
    made = storage(claim(), provisioner="netsim.io/local-path")
    assert plan_claims(volumes_of(pod, "ns", made), made, a) == [(claim(), None)]
    bound = storage(claim(volumeName="v") | {"status": {"phase": "Bound"}}, volumes=(volume("v", "2Gi", "b"),))
    there = volumes_of(pod, "ns", bound)
    assert volume_reasons(there, bound, a) == (NODE_CONFLICT,)
    assert volume_reasons(there, bound, b) == ()
    decision = decide(situation_of(needs_of(pod), cluster, lambda n: volume_reasons(there, bound, n)), cluster)
    assert decision.node == "b"


def test_the_queue_takes_the_important_first_and_lets_failures_wait(make: Any) -> None:
    queue = SchedulingQueue()
    for name, priority in (("low", 1), ("high", 9), ("mid", 5)):
        queue.add(name, priority, 0.0)
    assert [queue.take() for _ in range(4)] == ["high", "mid", "low", None]
    failed = needs_of(make.pod("f"))
    queue.fail(failed, frozenset(("Insufficient cpu",)), 10.0)
    queue.add(failed.key, 9, 10.2)
    queue.add("fresh", 0, 10.2)
    assert [queue.take(), queue.take()] == ["fresh", failed.key]
    queue.fail(failed, frozenset(), 11.0)
    queue.add(failed.key, 9, 11.0)
    queue.add("other", 0, 11.0)
    queue.ripen(13.5)
    assert queue.take() == failed.key
    queue.drop("other")
    assert not queue
    queue.fail(failed, frozenset(), 20.0)
    assert queue.overdue(319.0) == [] and queue.overdue(320.0) == [failed.key]
