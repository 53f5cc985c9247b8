"""The incremental filters against a model that counts everything anew for every node, straight from the API objects."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from netsim.scheduler.choose import decide, place
from netsim.scheduler.filters import refusal_of
from netsim.scheduler.model import Cluster
from netsim.scheduler.needs import needs_of
from netsim.scheduler.preempt import Victims, plan_preemption, victims_on
from netsim.scheduler.situation import situation_of

Obj = dict[str, Any]
ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
APPS = ("a", "b")


def node(index: int, zone: int, tainted: bool) -> Obj:
    name = f"n{index}"
    labels = {HOST: name} | ({ZONE: f"z{zone}"} if zone else {})
    taints = [{"key": "k", "value": "v", "effect": "NoSchedule"}] if tainted else []
    status = {"allocatable": {"cpu": "4", "pods": "9"}, "conditions": [{"type": "Ready", "status": "True"}]}
    return {"metadata": {"name": name, "labels": labels}, "spec": {"taints": taints}, "status": status}


def selector(app: str) -> Obj:
    return {"matchLabels": {"app": app}}


SCOPES: tuple[Obj, ...] = ({}, {"namespaceSelector": {}}, {"namespaces": ["other"]})
terms = st.builds(
    lambda app, key, namespaces: {"labelSelector": selector(app), "topologyKey": key, **namespaces},
    st.sampled_from(APPS), st.sampled_from((ZONE, HOST)), st.sampled_from(SCOPES),
)  # fmt: skip
spreads = st.builds(
    lambda app, key, skew, least, affinity, taints: {
        "labelSelector": selector(app), "topologyKey": key, "maxSkew": skew, "whenUnsatisfiable": "DoNotSchedule",
        "minDomains": least, "nodeAffinityPolicy": affinity, "nodeTaintsPolicy": taints,
    },
    st.sampled_from(APPS), st.sampled_from((ZONE, HOST)), st.integers(1, 2), st.integers(1, 3),
    st.sampled_from(("Honor", "Ignore")), st.sampled_from(("Honor", "Ignore")),
)  # fmt: skip
shapes = st.fixed_dictionaries(
    {
        "app": st.sampled_from(APPS),
        "namespace": st.sampled_from(("ns", "other")),
        "near": st.lists(terms, max_size=1),
        "apart": st.lists(terms, max_size=1),
        "spread": st.lists(spreads, max_size=2),
        "zone": st.sampled_from(("", "", "z1")),
        "tolerates": st.booleans(),
        "going": st.booleans(),
        "priority": st.integers(0, 2),
        "cpu": st.sampled_from(("", "1", "2")),
    }
)


def pod(name: str, shape: Obj, where: str = "") -> Obj:
    affinity = {"podAffinity": {REQUIRED: shape["near"]}, "podAntiAffinity": {REQUIRED: shape["apart"]}}
    spec: Obj = {"containers": [{"name": "c"}], "affinity": affinity, "priority": shape["priority"]}
    if shape["cpu"]:
        spec["containers"][0]["resources"] = {"requests": {"cpu": shape["cpu"]}}
    spec["topologySpreadConstraints"] = shape["spread"]
    if shape["zone"]:
        spec["nodeSelector"] = {ZONE: shape["zone"]}
    if shape["tolerates"]:
        spec["tolerations"] = [{"operator": "Exists"}]
    head: Obj = {"name": name, "namespace": shape["namespace"], "uid": name, "labels": {"app": shape["app"]}}
    if where:
        spec["nodeName"] = where
        head |= {"deletionTimestamp": "2026-01-01T00:00:00Z"} if shape["going"] else {}
    return {"metadata": head, "spec": spec, "status": {}}


# --- the model


def labels_of(obj: Obj) -> Obj:
    return obj["metadata"]["labels"]


def covers(term: Obj, owner: Obj, other: Obj) -> bool:
    """Whether a term of `owner` speaks of `other`."""
    namespaces = term.get("namespaces") or ([] if "namespaceSelector" in term else [owner["metadata"]["namespace"]])
    inside = other["metadata"]["namespace"] in namespaces or term.get("namespaceSelector") == {}
    return inside and labels_of(other)["app"] == term["labelSelector"]["matchLabels"]["app"]


def tolerated(one: Obj, place: Obj) -> bool:
    return not place["spec"]["taints"] or bool(one["spec"].get("tolerations"))


def selected(one: Obj, place: Obj) -> bool:
    return all(labels_of(place).get(k) == v for k, v in one["spec"].get("nodeSelector", {}).items())


def rules(one: Obj, kind: str) -> list[Obj]:
    return one["spec"]["affinity"][kind][REQUIRED]


def same_part(place: Obj, other: Obj, key: str) -> bool:
    return key in labels_of(place) and labels_of(place)[key] == labels_of(other).get(key)


def fits(one: Obj, place: Obj, nodes: list[Obj], pods: list[Obj]) -> bool:
    by_name = {each["metadata"]["name"]: each for each in nodes}
    home = {each["metadata"]["name"]: by_name[each["spec"]["nodeName"]] for each in pods}
    there = [each for each in pods if each["spec"]["nodeName"] == place["metadata"]["name"]]
    return (
        tolerated(one, place) and selected(one, place) and has_room(one, there)
        and all(spread_ok(one, place, c, nodes, pods, home) for c in one["spec"]["topologySpreadConstraints"])
        and near_ok(one, place, pods, home)
        and not any(covers(t, one, p) and same_part(place, home[p["metadata"]["name"]], t["topologyKey"])
                    for t in rules(one, "podAntiAffinity") for p in pods)
        and not any(covers(t, p, one) and same_part(place, home[p["metadata"]["name"]], t["topologyKey"])
                    for p in pods for t in rules(p, "podAntiAffinity"))
    )  # fmt: skip


def cpu_of(one: Obj) -> int:
    return int(one["spec"]["containers"][0].get("resources", {}).get("requests", {}).get("cpu", 0))


def has_room(one: Obj, there: list[Obj]) -> bool:
    cpu = cpu_of(one)
    return len(there) < 9 and (not cpu or cpu + sum(map(cpu_of, there)) <= 4)


def near_ok(one: Obj, place: Obj, pods: list[Obj], home: Obj) -> bool:
    wanted = rules(one, "podAffinity")
    if any(term["topologyKey"] not in labels_of(place) for term in wanted):
        return False
    matching = [p for p in pods if all(covers(t, one, p) for t in wanted)]
    if all(any(same_part(place, home[p["metadata"]["name"]], t["topologyKey"]) for p in matching) for t in wanted):
        return True
    known = any(t["topologyKey"] in labels_of(home[p["metadata"]["name"]]) for t in wanted for p in matching)
    return not known and all(covers(t, one, one) for t in wanted)


def spread_ok(one: Obj, place: Obj, rule: Obj, nodes: list[Obj], pods: list[Obj], home: Obj) -> bool:
    key, app = rule["topologyKey"], rule["labelSelector"]["matchLabels"]["app"]
    if key not in labels_of(place):
        return False
    keys = {each["topologyKey"] for each in one["spec"]["topologySpreadConstraints"]}

    def counts_for(other: Obj) -> bool:
        return (
            keys <= set(labels_of(other))
            and (rule["nodeAffinityPolicy"] == "Ignore" or selected(one, other))
            and (rule["nodeTaintsPolicy"] == "Ignore" or tolerated(one, other))
        )

    eligible = [each for each in nodes if counts_for(each)]
    counts = {labels_of(each)[key]: 0 for each in eligible}
    for each in pods:
        where = home[each["metadata"]["name"]]
        alike = each["metadata"]["namespace"] == one["metadata"]["namespace"] and labels_of(each)["app"] == app
        if alike and where in eligible and "deletionTimestamp" not in each["metadata"]:
            counts[labels_of(where)[key]] += 1
    least = min(counts.values(), default=0) if len(counts) >= rule["minDomains"] else 0
    own = int(labels_of(one)["app"] == app)
    return counts.get(labels_of(place)[key], 0) + own - least <= rule["maxSkew"]


worlds = st.tuples(
    st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=4),
    st.lists(st.tuples(shapes, st.integers(0, 3), st.booleans()), max_size=8),
    st.lists(shapes, min_size=1, max_size=3),
)


def build(world: Any) -> tuple[list[Obj], list[Obj], list[Obj], Cluster]:
    """Nodes, standing pods, new pods, and the Cluster, whose pods came one by one, some of them twice."""
    places, standing, fresh = world
    nodes = [node(index, zone, tainted) for index, (zone, tainted) in enumerate(places)]
    pods = [pod(f"s{i}", shape, f"n{where % len(nodes)}") for i, (shape, where, _) in enumerate(standing)]
    cluster = Cluster(nodes)
    wanted = [pod(f"f{i}", shape) for i, shape in enumerate(fresh)]
    for each, (_, _, again) in zip(pods, standing, strict=True):
        cluster.set_pod(each)
        for one in wanted:  # so that all counts exist already while pods still come and go
            situation_of(needs_of(one), cluster)
        if again:
            cluster.remove_pod(each["metadata"]["uid"])
            cluster.set_pod(each)
    return nodes, pods, wanted, cluster


@settings(max_examples=150)
@given(worlds)
def test_filters_are_those_of_the_model(world: Any) -> None:
    nodes, pods, wanted, cluster = build(world)
    for one in wanted:
        situation = situation_of(needs_of(one), cluster)
        possible = {state.name for state in cluster.nodes() if refusal_of(situation, state, cluster) is None}
        assert possible == {each["metadata"]["name"] for each in nodes if fits(one, each, nodes, pods)}
        chosen = decide(situation, cluster).node
        assert chosen in possible if possible else chosen == ""


@settings(max_examples=150)
@given(worlds)
def test_preemption_frees_a_node_by_as_few_as_possible_and_leaves_no_trace(world: Any) -> None:
    nodes, pods, wanted, cluster = build(world)
    one = {**wanted[0], "spec": {**wanted[0]["spec"], "priority": 9}}
    needs = needs_of(one)
    before = [(state.name, set(state.pods), +state.used) for state in cluster.nodes()]
    decision = place(needs, cluster)
    for state in cluster.nodes():
        tried = victims_on(needs, state, cluster, [])
        lower = [p for p in pods if p["spec"]["nodeName"] == state.name]
        place_of = nodes[int(state.name[1:])]
        could = fits(one, place_of, nodes, [p for p in pods if p not in lower])
        assert isinstance(tried, Victims) == (could and bool(lower))
        if isinstance(tried, Victims):
            gone = {each.uid for each in tried.pods}
            left = [p for p in pods if p["metadata"]["uid"] not in gone]
            assert fits(one, place_of, nodes, left)
    plan_preemption(needs, decision, cluster, [])
    assert [(state.name, set(state.pods), +state.used) for state in cluster.nodes()] == before
    assert place(needs, cluster).node == decision.node
