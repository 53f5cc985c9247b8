"""What is decided once says the same as deciding anew: rights, times, random draws, write options, owned fields."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.api import fieldset, kinds
from netsim.api.defaults import set_defaults
from netsim.api.errors import StatusError
from netsim.api.fieldtypes import KEYED, FieldType
from netsim.api.fieldwalk import item_key
from netsim.api.managed import UPDATE, Writer, after_update
from netsim.api.validation import validate_create
from netsim.http.types import Request
from netsim.server import managed
from netsim.server.authz import Authorizer
from netsim.server.codec import Decoder
from netsim.server.pod_specs import PodSpecs
from netsim.server.rbac import Attributes, User, compile_policy
from netsim.server.requests import parse_write_options
from netsim.server.serve import Random

NAMES = st.sampled_from(["", "a", "b"])
RULES = st.fixed_dictionaries(
    {"verbs": st.sampled_from([["get"], ["*"]]), "apiGroups": st.just([""])},
    optional={
        "resources": st.sampled_from([["pods"], ["pods/log"], ["*"]]), "resourceNames": st.lists(NAMES, max_size=2),
        "nonResourceURLs": st.sampled_from([["/a"], ["/*"]]),
    },
)  # fmt: skip
ASKED = st.builds(
    Attributes, st.sampled_from(["get", "list"]), st.just(""), st.sampled_from(["pods", "nodes", ""]),
    st.sampled_from(["", "log"]), NAMES, NAMES, st.sampled_from(["/a", "/b"]),
)  # fmt: skip
USERS = (User("x"), User("y", ("g",)), User("z", ("system:masters",)))


def binding(scope: str, subject: dict[str, str]) -> dict[str, Any]:
    return {"metadata": {"namespace": scope}, "roleRef": {"kind": "ClusterRole", "name": "r"}, "subjects": [subject]}


@given(st.lists(RULES, max_size=3), NAMES, st.lists(st.tuples(st.sampled_from(USERS), ASKED), max_size=20))
def test_remembered_rights_are_those_of_the_rules(
    rules: list[Any], scope: str, asked: list[tuple[User, Attributes]]
) -> None:
    subjects = [{"kind": "User", "name": "x"}, {"kind": "Group", "name": "g"}]
    policy = compile_policy(
        [{"metadata": {"name": "r"}, "rules": rules}], [], [], [binding(scope, subject) for subject in subjects]
    )
    authorizer = Authorizer(cast(Any, None), Decoder())
    authorizer._policy = policy

    async def decide() -> list[bool]:
        return [await authorizer.allows(user, attributes) for user, attributes in asked]

    assert asyncio.run(decide()) == [policy.allows(user, attributes) for user, attributes in asked]


async def test_a_second_is_told_until_it_is_over(api: Any) -> None:
    core, clock = api.app.core, api.clock
    start = clock.now
    for step, text in ((0.0, "00"), (0.999999, "00"), (1.0, "01"), (59.5, "59"), (0.5, "00"), (-1.0, "59")):
        clock.now = start + timedelta(seconds=step)
        assert core.now()[-3:-1] == text, step


def test_draws_are_even_and_in_range() -> None:
    draw = Random()
    seen = Counter(draw(5) for _ in range(20_000))
    assert set(seen) == set(range(5)) and min(seen.values()) > 3_500
    assert draw(1) == 0 and {draw(1 << 128).bit_length() <= 128 for _ in range(2_000)} == {True}
    assert len({draw(1 << 64) for _ in range(5_000)}) == 5_000


def test_options_without_a_query_are_those_of_an_empty_one() -> None:
    for agent in ("", "kubectl/v1.37", "x" * 300, "a\tb"):
        headers = [("user-agent", agent)]
        plain = parse_write_options(Request("POST", "/", [], headers), "CreateOptions")
        assert plain == parse_write_options(Request("POST", "/", [("pretty", "")], headers), "CreateOptions")


VALUES = st.recursive(
    st.sampled_from(["x", "y", 1]), lambda below: st.dictionaries(st.sampled_from(["a", "type"]), below), max_leaves=5
)
CONDITIONS = st.lists(
    st.fixed_dictionaries({"type": st.sampled_from(["Ready", "x"]), "status": st.sampled_from(["True", "False"])}),
    max_size=3, unique_by=lambda each: each["type"],
)  # fmt: skip
STATUS = st.one_of(
    st.none(),
    st.fixed_dictionaries({}, optional={"phase": st.sampled_from(["a", "b"]), "conditions": CONDITIONS, "x": VALUES}),
)


def with_status(status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "n", "labels": {"a": "b"}}, "spec": {"a": 1}} | (
        {} if status is None else {"status": status}
    )


@given(st.sampled_from([kinds.PODS, kinds.NODES, kinds.DEPLOYMENTS, kinds.NAMESPACES]), STATUS, STATUS)
def test_a_status_alone_has_the_fields_it_has_in_its_object(kind: kinds.Kind, old: Any, new: Any) -> None:
    before, after = with_status(old), with_status(new)
    live = [Writer("a", kind.api_version).entry({"f:status": {"f:phase": {}}, "f:spec": {}}, "t")]
    manager = managed.Manager("m")
    found = managed.after_change(kind, live, None, before, after, manager, "status", "now")
    write = managed.applier(kind, manager, "status", UPDATE, "now")
    changed, removed = write.changes(before, after)
    assert found == (after_update(live, write.writer, changed, removed, "now") if changed or removed else live)


EMPTY_OR_NOT = st.sampled_from(["", "x", "y", 0, 1, False, True, None, {}, {"a": ""}, [], ["x"], ["y"]])
IN_A_ROW = st.fixed_dictionaries(
    {},
    optional={
        "reportingComponent": st.sampled_from(["", "x", "y"]), "count": st.sampled_from([0, 1, 2]),
        "source": st.dictionaries(st.sampled_from(["component", "host"]), EMPTY_OR_NOT, max_size=2),
        "spec": st.fixed_dictionaries({}, optional={"ports": CONDITIONS, "x": VALUES, "y": EMPTY_OR_NOT}),
    },
)  # fmt: skip


@given(st.sampled_from([kinds.EVENTS, kinds.DEPLOYMENTS, kinds.SERVICES]), st.lists(IN_A_ROW, min_size=2, max_size=5))
def test_new_objects_in_a_row_have_the_fields_of_each(kind: kinds.Kind, found: list[Any]) -> None:
    write = managed.applier(kind, managed.SERVER, "", UPDATE, "now")
    for obj in found:
        assert managed._lasting_fields(kind, write, obj) == write.changes({}, obj)[0]


METADATA = st.fixed_dictionaries(
    {"name": st.sampled_from(["a", "A_", ""])},
    optional={
        "labels": st.dictionaries(st.sampled_from(["a", "b/c", "-"]), st.sampled_from(["", "x", "?"]), max_size=2),
        "annotations": st.dictionaries(st.sampled_from(["a", "B", "-"]), st.sampled_from(["", "x" * 3000]), max_size=2),
        "generateName": st.sampled_from(["g-", "G"]), "finalizers": st.sampled_from([["a"], ["a.b/c"]]),
        "ownerReferences": st.sampled_from([[], [{"uid": "u", "kind": "k", "name": "n", "apiVersion": "v1"}], [{}]]),
        "namespace": st.just("n"), "uid": st.sampled_from(["1", "2"]),
    },
)  # fmt: skip


@given(st.lists(METADATA, max_size=6))
def test_remembered_metadata_is_judged_and_owned_as_anew(found: list[Any]) -> None:
    specs, spec = PodSpecs(), set_defaults(kinds.PODS, {"spec": {"containers": [{"name": "c", "image": "i"}]}})["spec"]
    specs.remember(spec)
    for metadata in found:
        pod = {"metadata": metadata, "spec": spec}
        assert specs.problems(pod) == validate_create(kinds.PODS, pod)
        write = managed.applier(kinds.PODS, managed.SERVER, "", UPDATE, "now")
        assert managed._metadata_fields(kinds.PODS, write, pod) == write.changes({}, {"metadata": metadata})[0]


@given(
    st.lists(st.sampled_from(["type", "name"]), min_size=1, max_size=2, unique=True),
    st.dictionaries(st.sampled_from(["type", "name"]), st.sampled_from(["", "x", '"', "é" * 200, 1, 1.0, True, None])),
)
def test_an_item_is_named_by_its_keys(keys: list[str], item: dict[str, Any]) -> None:
    kind = FieldType(KEYED)
    kind.keys = tuple(keys)
    assert item_key(kind, item) == fieldset.item({key: item[key] for key in keys if item.get(key) is not None})


def test_an_empty_dry_run_is_none_of_its_values() -> None:
    with pytest.raises(StatusError) as refusal:
        parse_write_options(Request("POST", "/", [("dryRun", "")]), "CreateOptions")
    assert refusal.value.message.endswith('dryRun: Unsupported value: [""]: supported values: "All"')
