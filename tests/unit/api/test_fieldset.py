"""Sets of fields: the algebra against sets of paths, and what they are called."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from netsim.api import fieldset
from netsim.api.fieldset import (
    FieldSet,
    difference,
    intersection,
    is_field_set,
    only,
    paths,
    render_path,
    union,
    without,
)

Path = tuple[str, ...]
steps = st.sampled_from(("f:a", "f:b", "f:c", 'k:{"name":"x"}', 'v:"y"'))
some_paths = st.frozensets(st.lists(steps, min_size=1, max_size=4).map(tuple), max_size=8)


def build(members: frozenset[Path]) -> FieldSet:
    """The set of these paths, built by hand."""
    root: dict[str, Any] = {}
    for path in members:
        node = root
        for step in path:
            node = node.setdefault(step, {})
        node["."] = {}
    return tidy(root)


def tidy(node: dict[str, Any]) -> dict[str, Any]:
    below = {key: tidy(child) for key, child in node.items() if key != "."}
    return {**({".": {}} if "." in node else {}), **below} if below else {}


@settings(max_examples=40)
@given(some_paths)
def test_a_set_holds_its_paths(members: frozenset[Path]) -> None:
    assert frozenset(paths(build(members))) == members
    assert is_field_set(build(members))


@settings(max_examples=40)
@given(some_paths, some_paths)
def test_algebra_is_that_of_sets_of_paths(left: frozenset[Path], right: frozenset[Path]) -> None:
    a, b = build(left), build(right)
    assert union(a, b) == build(left | right)
    assert difference(a, b) == build(left - right)
    assert intersection(a, b) == build(left & right)
    assert (a, b) == (build(left), build(right)), "sets are shared and must not be changed"


@settings(max_examples=40)
@given(some_paths, some_paths)
def test_what_changes_nothing_is_the_same_object(left: frozenset[Path], right: frozenset[Path]) -> None:
    a = build(left)
    assert union(a, build(left & right)) is a
    assert difference(a, build(right - left)) is a


@settings(max_examples=40)
@given(some_paths, st.lists(steps, min_size=1, max_size=3).map(tuple))
def test_only_and_without_split_a_set(members: frozenset[Path], at: Path) -> None:
    below = frozenset(path for path in members if path[: len(at)] == at)
    assert frozenset(paths(only(build(members), *at))) == below
    assert frozenset(paths(without(build(members), *at))) == members - below


def test_paths_in_words() -> None:
    port = fieldset.item({"protocol": "TCP", "containerPort": 80})
    assert port == 'k:{"containerPort":80,"protocol":"TCP"}'
    path = ("f:spec", 'k:{"name":"c"}', "f:ports", port, "f:hostPort")
    assert render_path(path) == '.spec[name="c"].ports[containerPort=80,protocol="TCP"].hostPort'
    assert render_path(("f:finalizers", fieldset.value("a/b"))) == '.finalizers[="a/b"]'
    assert render_path(("f:list", "i:3")) == ".list[3]"


def test_what_is_no_set() -> None:
    for junk in ([], "x", {"a": {}}, {"f:a": 1}, {"k:{": {}}, {"k:1": {}}, {"i:x": {}}):
        assert not is_field_set(junk), junk
    deep: dict[str, Any] = {}
    for _ in range(200):
        deep = {"f:a": deep}
    assert not is_field_set(deep)
