"""Patches: the RFCs' rules, strategic merge as Kubernetes orders and merges lists."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.api import kinds
from netsim.api.patch import PatchError, json_patch, merge_patch, strategic_merge_patch
from netsim.api.schema import type_of_kind

SERVICE, POD, DEPLOYMENT, NODE, CONFIG_MAP = map(
    type_of_kind, (kinds.SERVICES, kinds.PODS, kinds.DEPLOYMENTS, kinds.NODES, kinds.CONFIG_MAPS)
)


def containers(*names: str) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": n, "image": f"{n}:1"} for n in names]}}


def names(pod: dict[str, Any]) -> list[str]:
    return [c["name"] for c in pod["spec"]["containers"]]


def test_new_elements_come_first_and_changed_ones_stay() -> None:
    patch = {"spec": {"containers": [{"name": "new"}, {"name": "b", "image": "b:2"}]}}
    merged = strategic_merge_patch(containers("a", "b", "c"), patch, POD)
    assert names(merged) == ["new", "a", "b", "c"]
    assert merged["spec"]["containers"][2] == {"name": "b", "image": "b:2"}


def test_set_element_order_wins() -> None:
    order = [{"name": n} for n in ("c", "new", "a")]
    patch = {"spec": {"$setElementOrder/containers": order, "containers": [{"name": "new"}]}}
    merged = strategic_merge_patch(containers("a", "b", "c"), patch, POD)
    assert [n for n in names(merged) if n != "b"] == ["c", "new", "a"]
    assert set(names(merged)) == {"a", "b", "c", "new"}


def test_set_element_order_alone_reorders() -> None:
    patch = {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}}
    assert names(strategic_merge_patch(containers("a", "b"), patch, POD)) == ["b", "a"]


def test_delete_directive_removes_an_element() -> None:
    patch = {"spec": {"containers": [{"name": "a", "$patch": "delete"}]}}
    assert names(strategic_merge_patch(containers("a", "b"), patch, POD)) == ["b"]


def test_replace_directive_in_a_list_replaces_it() -> None:
    patch = {"spec": {"containers": [{"name": "z"}, {"$patch": "replace"}]}}
    assert names(strategic_merge_patch(containers("a", "b"), patch, POD)) == ["z"]


def test_replace_and_delete_directives_in_maps() -> None:
    doc = {"metadata": {"labels": {"a": "1"}, "annotations": {"b": "2"}}}
    patch = {"metadata": {"labels": {"$patch": "replace", "c": "3"}, "annotations": {"$patch": "delete"}}}
    assert strategic_merge_patch(doc, patch, POD)["metadata"] == {"labels": {"c": "3"}, "annotations": {}}


def test_null_deletes_key_list_and_element_field() -> None:
    doc = {"spec": {"nodeName": "n", "tolerations": [{"key": "x"}], **containers("a")["spec"]}}
    patch = {"spec": {"nodeName": None, "tolerations": None, "containers": [{"name": "a", "image": None}]}}
    assert strategic_merge_patch(doc, patch, POD) == {"spec": {"containers": [{"name": "a"}]}}


def test_atomic_lists_are_replaced() -> None:
    doc = {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}
    patch = {"spec": {"taints": [{"key": "b", "effect": "NoExecute"}]}}
    assert strategic_merge_patch(doc, patch, NODE) == patch


def test_finalizers_are_a_set() -> None:
    doc = {"metadata": {"finalizers": ["a/b", "c/d"]}}
    merged = strategic_merge_patch(doc, {"metadata": {"finalizers": ["c/d", "e/f"]}}, POD)
    assert sorted(merged["metadata"]["finalizers"]) == ["a/b", "c/d", "e/f"]
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/b"]}}
    assert strategic_merge_patch(doc, patch, POD)["metadata"]["finalizers"] == ["c/d"]


def test_retain_keys_switches_the_deployment_strategy() -> None:
    doc = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic_merge_patch(doc, patch, DEPLOYMENT)["spec"]["strategy"] == {"type": "Recreate"}


def test_new_element_keeps_ports_that_share_a_number() -> None:
    ports = [{"containerPort": 53, "protocol": "UDP"}, {"containerPort": 53, "protocol": "TCP"}]
    patch = {"spec": {"containers": [{"name": "dns", "ports": ports}]}}
    assert strategic_merge_patch(containers("a"), patch, POD)["spec"]["containers"][0]["ports"] == ports


def test_service_ports_merge_by_port() -> None:
    doc = {"spec": {"ports": [{"port": 80, "nodePort": 30080}, {"port": 81}]}}
    merged = strategic_merge_patch(doc, {"spec": {"ports": [{"port": 80, "targetPort": 8080}]}}, SERVICE)
    assert merged["spec"]["ports"] == [{"port": 80, "nodePort": 30080, "targetPort": 8080}, {"port": 81}]


def test_element_without_its_merge_key_is_refused() -> None:
    with pytest.raises(PatchError, match="does not contain declared merge key: name") as refusal:
        strategic_merge_patch(containers("a"), {"spec": {"containers": [{"image": "x"}]}}, POD)
    assert refusal.value.code == 500


@pytest.mark.parametrize(
    ("patch", "code"),
    [
        ([], 400),
        ({"metadata": {"$patch": "no"}}, 400),
        ({"metadata": {"$retainKeys": "labels", "labels": {}}}, 400),
        ({"metadata": {"$retainKeys": ["a"], "labels": {}}}, 400),
    ],
)
def test_malformed_strategic_patches_are_refused(patch: Any, code: int) -> None:
    with pytest.raises(PatchError) as refusal:
        strategic_merge_patch({"metadata": {"name": "a"}}, patch, POD)
    assert refusal.value.code == code


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab/~", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab/~-", max_size=2), inner, max_size=3),
    max_leaves=12,
)


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    return value


def merge_diff(old: Any, new: Any) -> Any:
    """The merge patch that turns `old` into `new` (RFC 7386 section 2, read backwards)."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    gone = {key: None for key in old.keys() - new.keys()}
    return gone | {k: merge_diff(old.get(k), v) for k, v in new.items() if k not in old or old[k] != v}


objects = st.dictionaries(st.text("abc", max_size=2), json_values, max_size=4).map(without_nulls)


@given(objects, objects)
def test_merge_of_a_diff_gives_the_target(old: Any, new: Any) -> None:
    before = copy.deepcopy(old)
    assert merge_patch(old, merge_diff(old, new)) == new
    assert old == before


pods = st.lists(st.sampled_from("abcdef"), unique=True, max_size=5).map(lambda chosen: containers(*chosen))
images = st.lists(
    st.builds(lambda n, i: {"name": n, "image": i}, st.sampled_from("abcxyz"), st.sampled_from(["1", "2"])),
    max_size=4,
    unique_by=lambda c: c["name"],
)


@given(pods, images)
def test_strategic_apply_is_idempotent_and_loses_nothing(pod: Any, changes: Any) -> None:
    patch = {"spec": {"containers": changes}}
    before = copy.deepcopy(pod)
    once = strategic_merge_patch(pod, patch, POD)
    assert strategic_merge_patch(once, patch, POD) == once
    assert set(names(once)) == set(names(pod)) | {c["name"] for c in changes}
    assert all(c in once["spec"]["containers"] for c in changes)
    assert pod == before


def strategic_diff(old: list[Any], new: list[Any]) -> dict[str, Any]:
    """The patch that kubectl apply would send to turn one list of containers into another."""
    had, want = {c["name"]: c for c in old}, {c["name"]: c for c in new}
    changed = [c for name, c in want.items() if had.get(name) != c]
    gone = [{"name": name, "$patch": "delete"} for name in had if name not in want]
    order = [{"name": c["name"]} for c in new]
    return {"spec": {"$setElementOrder/containers": order, "containers": [*changed, *gone]}}


@given(images, images)
def test_strategic_merge_of_a_list_diff_gives_the_target_in_its_order(old: Any, new: Any) -> None:
    merged = strategic_merge_patch({"spec": {"containers": old}}, strategic_diff(old, new), POD)
    assert merged["spec"]["containers"] == new


labels = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("123"), max_size=4)


@given(labels, labels)
def test_strategic_merge_of_a_diff_gives_the_target(old: dict[str, str], new: dict[str, str]) -> None:
    doc = {"metadata": {"labels": old}, "data": old}
    patch = merge_diff(doc, {"metadata": {"labels": new}, "data": new})
    assert strategic_merge_patch(doc, patch, CONFIG_MAP) == {"metadata": {"labels": new}, "data": new}


def test_json_patch_operations() -> None:
    doc = {"a": {"b": [1, 2]}, "c/d": 1, "e~f": 2}
    ops = [
        {"op": "add", "path": "/a/b/-", "value": 3},
        {"op": "add", "path": "/a/b/0", "value": 0},
        {"op": "remove", "path": "/c~1d"},
        {"op": "replace", "path": "/e~0f", "value": None},
        {"op": "copy", "from": "/a/b", "path": "/g"},
        {"op": "move", "from": "/a/b/1", "path": "/h"},
        {"op": "test", "path": "/h", "value": 1},
    ]
    before = copy.deepcopy(doc)
    assert json_patch(doc, ops) == {"a": {"b": [0, 2, 3]}, "e~f": None, "g": [0, 1, 2, 3], "h": 1}
    assert doc == before


@pytest.mark.parametrize(
    "op",
    [
        {"op": "test", "path": "/a", "value": True},
        {"op": "remove", "path": "/nope"},
        {"op": "replace", "path": "/nope/deep", "value": 1},
        {"op": "replace", "path": "/l/1", "value": 1},
        {"op": "add", "path": "/l/2", "value": 1},
        {"op": "add", "path": "/l/01", "value": 1},
        {"op": "remove", "path": "/l/-"},
        {"op": "add", "path": "/a/b", "value": 1},
        {"op": "move", "from": "/l", "path": "/l/0"},
        {"op": "no", "path": "/a"},
    ],
)
def test_json_patch_that_does_not_fit(op: dict[str, Any]) -> None:
    with pytest.raises(PatchError) as refusal:
        json_patch({"a": 1, "l": [1]}, [op])
    assert refusal.value.code == 422


@pytest.mark.parametrize(
    ("ops", "code"),
    [({}, 400), ([1], 422), ([{}], 422), ([{"op": 1, "path": "/a"}], 422), ([{"op": "remove", "path": "a"}], 422)],
)
def test_malformed_json_patch(ops: Any, code: int) -> None:
    with pytest.raises(PatchError) as refusal:
        json_patch({"a": 1}, ops)
    assert refusal.value.code == code


def test_json_patch_sets_what_is_not_there_and_null_where_it_gives_no_value() -> None:
    assert json_patch({}, [{"op": "replace", "path": "/a", "value": 1}]) == {"a": 1}
    assert json_patch({}, [{"op": "add", "path": "/a"}]) == {"a": None}


@given(json_values, json_values)
def test_json_patch_replaces_the_whole_document(old: Any, new: Any) -> None:
    assert json_patch(old, [{"op": "replace", "path": "", "value": new}]) == new
