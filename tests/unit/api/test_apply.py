"""Server-side apply on values: ownership, removal, conflicts, list order, and the laws they obey."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsim.api import kinds
from netsim.api.apply import Applied, Applier
from netsim.api.configure import merge, misfits, remove
from netsim.api.defaults import set_defaults
from netsim.api.empty_objects import empty_object
from netsim.api.fieldtypes import FieldType, built_in_type, custom_type
from netsim.api.fieldwalk import compare, named_fields
from netsim.api.kinds import Kind
from netsim.api.managed import Entry, Writer, recorded

Obj = dict[str, Any]
NOW = "2026-01-01T00:00:00Z"


def type_of(kind: Kind) -> FieldType:
    return built_in_type((kind.group, kind.version, kind.kind))


def apply(
    live: Obj | None, config: Obj, entries: list[Entry], manager: str = "m", kind: Kind = kinds.CONFIG_MAPS
) -> Applied:
    whole = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": "o"}, **config}
    writer = Writer(manager, kind.api_version, "Apply")
    return Applier(type_of(kind), empty_object(kind), writer, lambda fields: fields, NOW).apply(live, whole, entries)


def owned(applied: Applied) -> dict[str, Any]:
    return {entry["manager"]: entry["fieldsV1"] for entry in applied.entries}


def data(**values: str) -> Obj:
    return {"data": values}


# --- facts recorded from a real API server -------------------------------------------------------------------------


def test_the_recorded_story_of_two_managers() -> None:
    first = apply(None, data(a="1", b="2"), [], "m1")
    assert owned(first) == {"m1": {"f:data": {"f:a": {}, "f:b": {}}}}
    assert apply(first.obj, data(a="1", b="2"), first.entries, "m1") == first
    forced = apply(first.obj, data(a="X"), first.entries, "m2")
    assert [(c.entry["manager"], c.fields) for c in forced.conflicts] == [("m1", {"f:data": {"f:a": {}}})]
    assert owned(forced) == {"m1": {"f:data": {"f:b": {}}}, "m2": {"f:data": {"f:a": {}}}}
    assert forced.obj["data"] == {"a": "X", "b": "2"}
    emptied = apply(forced.obj, {"data": {}}, forced.entries, "m1")
    assert not emptied.conflicts and emptied.obj["data"] == {"a": "X"}
    assert owned(emptied) == {"m1": {"f:data": {}}, "m2": {"f:data": {"f:a": {}}}}


def test_the_recorded_service_port() -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s1"}}
    spec = {"selector": {"a": "b"}, "ports": [{"port": 81}]}
    live = set_defaults(kinds.SERVICES, {**service, "spec": spec})
    live["spec"] = {key: value for key, value in live["spec"].items() if not key.startswith("ipFam")}
    changed, removed = compare(type_of(kinds.SERVICES), {}, recorded(live), empty_object(kinds.SERVICES))
    port = 'k:{"port":81,"protocol":"TCP"}'
    of_port = {".": {}, "f:port": {}, "f:protocol": {}, "f:targetPort": {}}
    plain = {f"f:{name}": {} for name in ("internalTrafficPolicy", "selector", "sessionAffinity", "type")}
    assert (changed, removed) == ({"f:spec": {**plain, "f:ports": {".": {}, port: of_port}}}, None)
    entries = [Writer("curl", "v1").entry(changed or {}, NOW)]
    config = {"spec": {"ports": [{"port": 81, "name": "zz", "protocol": "TCP"}]}}
    applied = apply(live, config, entries, "m5", kinds.SERVICES)
    named = {".": {}, "f:name": {}, "f:port": {}, "f:protocol": {}}
    assert owned(applied) == {"m5": {"f:spec": {"f:ports": {port: named}}}, "curl": changed}
    assert applied.obj["spec"]["ports"] == [{"port": 81, "protocol": "TCP", "targetPort": 81, "name": "zz"}]


def test_a_new_deployment_is_recorded_as_the_documentation_shows() -> None:
    container = {"name": "nginx", "image": "nginx", "resources": {"limits": {"cpu": "1"}}}
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [container], "volumes": [{"name": "v"}]}}
    spec = {"selector": {"matchLabels": {"app": "x"}}, "template": template}
    new = {"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": "d", "uid": "u"}, "spec": spec}
    changed, _ = compare(type_of(kinds.DEPLOYMENTS), {}, recorded(new), empty_object(kinds.DEPLOYMENTS))
    of_container = {
        ".": {}, "f:name": {}, "f:image": {}, "f:resources": {".": {}, "f:limits": {".": {}, "f:cpu": {}}},
    }  # fmt: skip
    volumes = {".": {}, 'k:{"name":"v"}': {".": {}, "f:name": {}}}
    below = {"f:containers": {'k:{"name":"nginx"}': of_container}, "f:volumes": volumes}
    labels = {"f:labels": {".": {}, "f:app": {}}}
    assert changed == {"f:spec": {"f:selector": {}, "f:template": {"f:metadata": labels, "f:spec": below}}}


# --- merging lists -------------------------------------------------------------------------------------------------


def names(obj: Obj) -> list[str]:
    return [c["name"] for c in obj["spec"]["containers"]]


def pod(*containers: str) -> Obj:
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": c, "image": f"{c}:1"} for c in containers]}}


@pytest.mark.parametrize(
    ("live", "applied", "merged"),
    [
        ("abc", "", "abc"),
        ("", "ab", "ab"),
        ("abc", "b", "abc"),
        ("abc", "xb", "axbc"),
        ("abc", "bx", "abcx"),
        ("abc", "ca", "bca"),
        ("abcd", "dba", "cdba"),
        ("ab", "xy", "abxy"),
    ],
)
def test_order_of_a_merged_list(live: str, applied: str, merged: str) -> None:
    """The configuration's order holds among its own; the others stay as near to their place as that allows."""
    found = merge(type_of(kinds.PODS), pod(*live), pod(*applied))
    assert "".join(names(found)) == merged


def test_items_are_found_by_keys_with_their_defaults() -> None:
    ports = [{"containerPort": 53, "protocol": "TCP"}, {"containerPort": 53, "protocol": "UDP"}]
    live = {"spec": {"containers": [{"name": "c", "ports": ports}]}}
    config = {"spec": {"containers": [{"name": "c", "ports": [{"containerPort": 53, "name": "dns"}]}]}}
    merged = merge(type_of(kinds.PODS), live, config)
    assert merged["spec"]["containers"][0]["ports"] == [{**ports[0], "name": "dns"}, ports[1]]


def test_sets_are_joined_and_atomic_values_replaced() -> None:
    live = {"metadata": {"finalizers": ["a", "b"]}, "spec": {"nodeSelector": {"x": "1"}, "tolerations": [{"key": "a"}]}}
    config = {"metadata": {"finalizers": ["c", "b"]}, "spec": {"nodeSelector": {"y": "2"}, "tolerations": []}}
    merged = merge(type_of(kinds.PODS), live, config)
    assert sorted(merged["metadata"]["finalizers"]) == ["a", "b", "c"]
    assert merged["spec"] == {"nodeSelector": {"y": "2"}, "tolerations": []}


def test_a_removed_item_goes_unless_somebody_else_has_it() -> None:
    first = apply(None, pod("a", "b"), [], "m1", kinds.PODS)
    second = apply(
        first.obj, {"spec": {"containers": [{"name": "b", "image": "b:1"}]}}, first.entries, "m2", kinds.PODS
    )
    assert not second.conflicts, "the same value is owned together"
    third = apply(second.obj, {"spec": {}}, second.entries, "m1", kinds.PODS)
    assert names(third.obj) == ["b"] and set(owned(third)) == {"m1", "m2"}
    fourth = apply(third.obj, {}, third.entries, "m2", kinds.PODS)
    assert "containers" not in fourth.obj.get("spec", {}) and "m2" not in owned(fourth)


def test_applying_to_an_untracked_object_records_who_was_before() -> None:
    live = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "o"}, "data": {"a": "1"}}
    applied = apply(live, data(a="2"), [], "m")
    assert [c.entry["manager"] for c in applied.conflicts] == ["before-first-apply"]
    assert owned(applied) == {"m": {"f:data": {"f:a": {}}}, "before-first-apply": {"f:data": {}}}


# --- types ---------------------------------------------------------------------------------------------------------


def test_custom_resources_merge_as_their_schema_says() -> None:
    items = {"type": "object", "properties": {"id": {"type": "integer", "default": 7}, "v": {"type": "string"}}}
    lists = {"type": "array", "items": items, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"]}
    spec = {"type": "object", "properties": {"rows": lists, "free": {"x-kubernetes-preserve-unknown-fields": True}}}
    kind = custom_type({"type": "object", "properties": {"spec": spec}})
    live = {"spec": {"rows": [{"id": 7, "v": "a"}, {"id": 8}], "free": {"l": [1], "m": {"x": 1}}}}
    config = {"spec": {"rows": [{"v": "b"}], "free": {"l": [2], "m": {"y": 2}}}}
    merged = merge(kind, live, config)
    assert merged["spec"]["free"] == {"l": [2], "m": {"x": 1, "y": 2}}, "unknown maps are granular, lists atomic"
    assert merged["spec"]["rows"] == [{"id": 7, "v": "b"}, {"id": 8}]
    assert named_fields(kind, config)["f:spec"]["f:rows"] == {'k:{"id":7}': {".": {}, "f:v": {}}}


@pytest.mark.parametrize(
    ("kind", "config", "problem"),
    [
        (kinds.CONFIG_MAPS, {"foo": 1}, ".foo: field not declared in schema"),
        (kinds.CONFIG_MAPS, {"data": {"a": 1}}, ".data.a: expected string, got &value.valueUnstructured{Value:1}"),
        (kinds.CONFIG_MAPS, {"data": []}, ".data: expected map, got list"),
        (kinds.PODS, {"spec": {"containers": {}}}, ".spec.containers: expected list, got map"),
        (kinds.PODS, {"spec": {"priority": True}}, ".spec.priority: expected numeric (int or float), got boolean"),
        (kinds.PODS, pod("a", "a"), '.spec.containers: duplicate entries for key [name="a"]'),
        (
            kinds.PODS,
            {"spec": {"containers": [{"image": "x"}]}},
            '.spec.containers: element 0: associative list with keys has an element that omits all key fields "name"',
        ),
        (kinds.PODS, {**pod("a"), "status": None}, None),
    ],
)
def test_what_is_no_configuration(kind: Kind, config: Obj, problem: str | None) -> None:
    assert next(misfits(type_of(kind), config), None) == problem


# --- laws ----------------------------------------------------------------------------------------------------------

letters = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("12"), max_size=4)
containers = st.lists(st.sampled_from("abcd"), unique=True, max_size=4)
configs = st.builds(
    lambda labels, listed, finalizers: {
        "metadata": {"name": "o", "labels": labels, "finalizers": finalizers},
        "spec": {"containers": [{"name": c, "image": f"{c}:{labels.get(c, '')}"} for c in listed]},
    },
    letters, containers, st.lists(st.sampled_from("xyz"), unique=True),
)  # fmt: skip


@settings(max_examples=40)
@given(configs)
def test_applying_twice_is_applying_once(config: Obj) -> None:
    once = apply(None, config, [], kind=kinds.PODS)
    assert apply(once.obj, config, once.entries, kind=kinds.PODS) == once


@settings(max_examples=40)
@given(configs, configs)
def test_forced_apply_holds_what_it_says(first: Obj, second: Obj) -> None:
    one = apply(None, first, [], "m1", kinds.PODS)
    two = apply(one.obj, second, one.entries, "m2", kinds.PODS)
    again = apply(two.obj, second, two.entries, "m2", kinds.PODS)
    assert again.obj == two.obj and not again.conflicts
    assert merge(type_of(kinds.PODS), two.obj, second) == two.obj


@settings(max_examples=40)
@given(configs, configs)
def test_what_one_applied_and_gives_up_is_gone(first: Obj, second: Obj) -> None:
    """Applying nothing after applying something leaves what was there before."""
    kind = kinds.PODS
    base = apply(None, first, [], "m1", kind)
    more = apply(base.obj, second, base.entries, "m2", kind)
    if more.conflicts:
        return
    less = apply(more.obj, {}, more.entries, "m2", kind)
    before = named_fields(type_of(kind), base.obj)
    assert named_fields(type_of(kind), less.obj).get("f:spec") == before.get("f:spec")
    assert owned(less).get("m1") == owned(base).get("m1")


@settings(max_examples=40)
@given(letters, letters)
def test_disjoint_configurations_commute(left: dict[str, str], right: dict[str, str]) -> None:
    a, b = data(**left), data(**{key.upper(): value for key, value in right.items()})
    ab, ba = [apply(None, first, [], one) for first, one in ((a, "a"), (b, "b"))]
    ab, ba = apply(ab.obj, b, ab.entries, "b"), apply(ba.obj, a, ba.entries, "a")
    assert not ab.conflicts and not ba.conflicts
    assert ab.obj["data"] == ba.obj["data"] and owned(ab) == owned(ba)


@settings(max_examples=40)
@given(configs)
def test_removing_all_that_is_named_leaves_nothing(config: Obj) -> None:
    kind = type_of(kinds.PODS)
    left = remove(kind, config, named_fields(kind, config)) or {}
    assert not named_fields(kind, left) or set(named_fields(kind, left)) <= {"f:metadata", "f:spec"}
    assert not left.get("metadata", {}).get("name")
