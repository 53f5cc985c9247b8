"""Structural schemas as values: what custom objects and definitions are told."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from netsim.api import jsonpath
from netsim.api.defaults import set_defaults
from netsim.api.kinds import CUSTOM_RESOURCE_DEFINITIONS
from netsim.api.structural import complete, prune
from netsim.api.structural_formats import fits_format
from netsim.api.structural_values import NOWHERE, value_errors
from netsim.api.validation import validate_create, validate_update
from support.crontabs import SCHEMA, definition, in_spec, tab, version

Obj = dict[str, Any]
ROOT = "spec.validation.openAPIV3Schema"
APPROVED = "metadata.annotations[api-approved.kubernetes.io]"
NO_SCHEMA = "spec.versions[0].schema.openAPIV3Schema"
KEYS = "x-kubernetes-list-map-keys"
SPEC = f"{ROOT}.properties[spec]"
PORT_KEYS = f"{SPEC}.properties[ports].{KEYS}"


def typed(field: str, wanted: str, found: str) -> str:
    return f'Invalid value: "{found}": {field} in body must be of type {wanted}: "{found}"'


def bound(field: str, value: int, rule: str) -> str:
    return f"Invalid value: {value}: {field} in body should be {rule}"


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ({"cronSpec": None}, "spec.cronSpec", "Required value"),
        ({"cronSpec": 5}, "spec.cronSpec", typed("spec.cronSpec", "string", "integer")),
        ({"cronSpec": "x"}, "spec.cronSpec", "Invalid value: \"x\": spec.cronSpec in body should match '"),
        ({"replicas": 0}, "spec.replicas", bound("spec.replicas", 0, "greater than or equal to 1")),
        ({"replicas": 11}, "spec.replicas", bound("spec.replicas", 11, "less than or equal to 10")),
        ({"replicas": 1.5}, "spec.replicas", typed("spec.replicas", "integer", "number")),
        ({"image": "a"}, "spec.image", 'Unsupported value: "a": supported values: "busybox", "alpine"'),
        ({"port": True}, "spec.port", typed("spec.port", "integer,string", "boolean")),
        ({"tags": ["a", "b", "a"]}, "spec.tags[2]", 'Duplicate value: "a"'),
        ({"tags": [None]}, "spec.tags[0]", typed("spec.tags[0]", "string", "null")),
        ({"ports": [{"name": "a"}, {"name": "a"}]}, "spec.ports[1]", 'Duplicate value: {"name":"a"}'),
        ({"ports": [{"name": "a", "ip": "::1"}]}, "spec.ports[0].ip", typed("spec.ports[0].ip", "ipv4", "::1")),
    ],
)  # fmt: skip
def test_wrong_values_are_told_in_kubernetes_words(spec: Obj, field: str, message: str) -> None:
    [cause] = value_errors(SCHEMA, complete(SCHEMA, tab(**spec)))
    assert cause.field == field and cause.message.startswith(message)


def judged(schema: Obj, value: Any) -> list[tuple[str, str]]:
    holder = {"type": "object", "properties": {"x": schema}}
    return [(cause.field, cause.message) for cause in value_errors(holder, {"x": value})]


def test_items_are_one_when_their_json_is() -> None:
    unique: Obj = {"type": "array", "x-kubernetes-list-type": "set", "items": {}}
    assert judged(unique, [1, True, 0, False, "1", None, [1], [True], {"a": 1}, {"a": True}, []]) == []
    assert [field for field, _ in judged(unique, [1, 1.0, {"a": 1, "b": 2}, {"b": 2, "a": 1}])] == ["x[1]", "x[3]"]


def test_a_long_unique_list_is_judged_in_time_with_its_length() -> None:
    names = [{"name": f"n{number}"} for number in range(30_000)]
    obj = {"spec": {"cronSpec": "* * * * *", "tags": [each["name"] for each in names], "ports": names}}
    changed = {"spec": {**obj["spec"], "ports": [*names, {"name": "more"}]}}
    for old in ((), (obj,)):
        assert not [cause for cause in value_errors(SCHEMA, changed, *old) if cause.message.startswith("Duplicate")]


def test_a_hostile_pattern_is_judged_in_time_with_the_value() -> None:
    value = "a" * 33 + "!"
    wrong = f"Invalid value: {json.dumps(value)}: x in body should match '^(a+)+$'"
    before = time.process_time()
    assert judged({"type": "string", "pattern": "^(a+)+$"}, value) == [("x", wrong)]
    assert judged({"type": "string", "pattern": "a+!$"}, value) == []
    assert time.process_time() - before < 1.0


def test_large_patterns_are_held_against_so_much_text_of_an_object_and_no_more() -> None:
    """18,000 states: each of the texts takes 36 million steps."""
    each = {"type": "string", "pattern": "^[ab]|" + "[ab]{900}" * 20}
    found = judged({"type": "array", "items": each}, ["ab" * 1000] * 10)
    assert [field for field, _ in found] == ["x[8]", "x[9]"]
    assert all(f"is too long for '{each['pattern']}'" in message for _, message in found)
    for schema in ({"not": each}, {"oneOf": [each, {"maxLength": 9}]}):
        (*_, (_, message)) = judged({"type": "string", **schema}, "ab" * 10000)
        assert "is too long for" in message


def test_junctors_name_no_field() -> None:
    one = {"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}
    assert judged(one, {"a": 1}) == []
    none, both = judged(one, {}), judged(one, {"a": 1, "b": 1})
    text = 'Invalid value: "": "x" must validate one and only one schema (oneOf). '
    assert none == [(NOWHERE, f"{text}Found none valid"), ("x.a", "Required value")]
    assert both == [(NOWHERE, f"{text}Found 2 valid alternatives")]
    assert judged({"type": "integer", "not": {"minimum": 5}}, 6) == [
        (NOWHERE, 'Invalid value: "": "x" must not validate the schema (not)')
    ]
    assert judged({"type": "integer", "anyOf": [{"maximum": 1}, {"minimum": 5}]}, 3)[0] == (
        NOWHERE, 'Invalid value: "": "x" must validate at least one schema (anyOf)'
    )  # fmt: skip
    assert judged({"type": "integer", "allOf": [{"maximum": 1}]}, 3)[1][0] == "x"


def test_sizes() -> None:
    assert judged({"type": "array", "maxItems": 1}, [1, 2]) == [("x", "Too many: 2: must have at most 1 items")]
    assert judged({"type": "array", "minItems": 1}, []) == [
        ("x", "Invalid value: 0: x in body should have at least 1 items")
    ]
    assert judged({"type": "string", "maxLength": 1}, "ab") == [("x", "Too long: may not be more than 1 bytes")]
    assert judged({"type": "string", "minLength": 1}, "") == [
        ("x", 'Invalid value: "": x in body should be at least 1 chars long')
    ]
    assert judged({"type": "number", "multipleOf": 0.1}, 0.3) == []
    assert judged({"type": "number", "exclusiveMinimum": True, "minimum": 1}, 1)[0][1].endswith(
        "should be greater than 1"
    )


def test_what_is_unchanged_is_not_judged_again() -> None:
    old = tab(replicas=99, ports=[{"name": "a", "ip": "bad"}])
    assert len(value_errors(SCHEMA, old)) == 2
    new = tab(replicas=99, ports=[{"name": "b"}, {"name": "a", "ip": "bad"}], image="alpine")
    assert value_errors(SCHEMA, new, old) == []
    assert [cause.field for cause in value_errors(SCHEMA, tab(replicas=98), old)] == ["spec.replicas"]


def test_pruning_keeps_what_the_schema_keeps() -> None:
    inner = {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"a": {"type": "object"}}}
    embedded = {"type": "object", "x-kubernetes-embedded-resource": True, "properties": {"spec": {"type": "object"}}}
    below = {"type": "object", "additionalProperties": {"type": "object", "properties": {"k": {"type": "string"}}}}
    schema = {"type": "object", "properties": {"inner": inner, "template": embedded, "map": below}}
    given: Obj = {
        "apiVersion": "v1", "kind": "X", "metadata": {"name": "n", "odd": 1},
        "inner": {"z": {"y": 1}, "a": {"b": 1}},
        "template": {
            "apiVersion": "v1", "kind": "Y", "metadata": {"labels": {"a": "b"}, "no": 1}, "spec": {}, "more": 1,
        },
        "map": {"q": {"k": "1", "l": 2}},
    }  # fmt: skip
    kept, unknown = prune(schema, given)
    assert unknown == ["metadata.odd", "inner.a.b", "template.metadata.no", "template.more", "map.q.l"]
    assert kept["inner"] == {"z": {"y": 1}, "a": {}} and kept["map"] == {"q": {"k": "1"}}
    assert kept["template"] == {"apiVersion": "v1", "kind": "Y", "metadata": {"labels": {"a": "b"}}, "spec": {}}
    assert given["map"]["q"]["l"] == 2


def test_defaults_fill_what_is_absent_below_what_is_there() -> None:
    below = {"type": "object", "properties": {"y": {"type": "integer", "default": 3}}}
    schema = {
        "type": "object",
        "properties": {
            "a": below, "b": {**below, "default": {}}, "c": {"type": "array", "items": below},
            "d": {"type": "string", "nullable": True, "default": "x"}, "e": {"type": "string"},
        },
    }  # fmt: skip
    filled = complete(schema, {"c": [{}], "d": None, "e": None})
    assert filled == {"b": {"y": 3}, "c": [{"y": 3}], "d": None}


def bad(change: Callable[[Obj], Any]) -> dict[str, str]:
    crd = definition()
    change(crd)
    found = validate_create(CUSTOM_RESOURCE_DEFINITIONS, set_defaults(CUSTOM_RESOURCE_DEFINITIONS, crd))
    return {cause.field: cause.message for cause in found}


def with_spec(**more: Any) -> Callable[[Obj], Any]:
    return lambda crd: in_spec(crd).update({name.rstrip("_"): value for name, value in more.items()})


def with_name(name: str) -> Callable[[Obj], Any]:
    return lambda crd: crd["metadata"].update(name=name)


def with_top(**more: Any) -> Callable[[Obj], Any]:
    return lambda crd: crd["spec"].update(more)


def with_field(name: str, **more: Any) -> Callable[[Obj], Any]:
    return lambda crd: in_spec(crd)["properties"][name].update(more)


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        (with_name("x.y"), "metadata.name", 'must be spec.names.plural+"."+spec.group'),
        (lambda crd: crd["spec"]["versions"].append(version("v2")), "spec.versions", "exactly one version marked"),
        (with_top(scope="World"), "spec.scope", 'supported values: "Cluster", "Namespaced"'),
        (with_top(group="nodots"), "spec.group", "should be a domain with at least one dot"),
        (lambda crd: crd["spec"]["names"].update(listKind="CronTab"), "spec.names.listKind", "may not be the same"),
        (with_top(conversion={"strategy": "Webhook"}), "spec.conversion.strategy", "not served here"),
        (with_top(group="a.k8s.io"), APPROVED, "approval annotation"),
        (lambda crd: crd["spec"]["versions"][0].pop("schema"), NO_SCHEMA, "schemas are required"),
        (with_spec(type=""), f"{SPEC}.type", "Required value: must not be empty for specified object fields"),
        (with_spec(type="object", uniqueItems=True), f"{SPEC}.uniqueItems", "runtime complexity becomes quadratic"),
        (with_spec(additionalProperties={"type": "string"}), f"{SPEC}.additionalProperties", "are mutual exclusive"),
        (with_field("tags", items=None), f"{SPEC}.properties[tags].items", "Required value: must be specified"),
        (with_spec(anyOf=[{"type": "object"}]), f"{SPEC}.anyOf[0].type", "Forbidden: must be empty to be structural"),
        (with_spec(not_={"properties": {"ghost": {}}}), f"{SPEC}.properties[ghost]", "because it is defined in"),
        (with_field("image", default="zzz"), f"{SPEC}.properties[image].default", "Unsupported value"),
        (with_field("cronSpec", pattern="("), f"{SPEC}.properties[cronSpec].pattern", "regexp: missing closing ): `(`"),
        (with_field("ports", **{KEYS: []}), PORT_KEYS, "must not be empty"),
    ],
)  # fmt: skip
def test_bad_definitions_are_told_where(change: Callable[[Obj], Any], field: str, message: str) -> None:
    assert message in bad(change)[field]


def test_a_good_definition_passes() -> None:
    assert bad(lambda crd: None) == {}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".spec.image", "busybox"),
        ("{.spec.image}", "busybox"),
        (".spec['image']", "busybox"),
        (".spec.ports[0].name", "a"),
        (".spec.ports[-1].name", "b"),
        (".spec.ports[*].name", "a"),
        ('.spec.ports[?(@.name=="b")].ip', "1.2.3.4"),
        (".spec.nothing.there", None),
        (".metadata.labels['a.b/c']", "d"),
    ],
)
def test_json_paths(path: str, found: Any) -> None:
    ports = [{"name": "a"}, {"name": "b", "ip": "1.2.3.4"}]
    obj = {"metadata": {"labels": {"a.b/c": "d"}}, "spec": {"image": "busybox", "ports": ports}}
    assert jsonpath.find(path, obj) == found


def test_json_paths_that_cannot_be_read() -> None:
    with pytest.raises(jsonpath.PathError, match="cannot be read"):
        jsonpath.parse_path(".spec.[")
    assert jsonpath.put(".spec.a.b", {"spec": {"c": 1}}, 2) == {"spec": {"c": 1, "a": {"b": 2}}}
    assert jsonpath.dotted(".spec.a") and not jsonpath.dotted(".spec.a[0]") and not jsonpath.dotted("spec")


@pytest.mark.parametrize(
    ("form", "good", "wrong"),
    [
        ("ipv4", "10.0.0.1", "10.0.0"), ("ipv6", "::1", "1.2.3.4"), ("cidr", "10.0.0.0/8", "10.0.0.0"),
        ("mac", "aa:bb:cc:dd:ee:ff", "aa:bb"), ("uuid", "123e4567-e89b-12d3-a456-426614174000", "x"),
        ("date", "2026-01-31", "2026-02-31"), ("date-time", "2026-01-01T00:00:00Z", "today"),
        ("duration", "1h30m", "soon"), ("hostname", "a.example.com", "-a"), ("email", "a@b.c", "ab"),
        ("byte", "YQ==", "%"), ("uri", "https://a/b", "no uri"), ("hexcolor", "#fff", "#ff"),
    ],
)  # fmt: skip
def test_formats(form: str, good: str, wrong: str) -> None:
    assert fits_format(form, good) and not fits_format(form, wrong) and fits_format("other", wrong)


def changed(change: Callable[[Obj], Any], *, established: bool = True) -> list[str]:
    old = set_defaults(CUSTOM_RESOURCE_DEFINITIONS, definition(version(), {**version("v2"), "storage": False}))
    conditions = [{"type": "Established", "status": "True" if established else "False"}]
    old = {**old, "status": {"conditions": conditions, "storedVersions": ["v1"]}}
    new = copy.deepcopy(old)
    change(new)
    return [cause.field for cause in validate_update(CUSTOM_RESOURCE_DEFINITIONS, new, old)]


def test_what_a_definition_may_not_change() -> None:
    assert changed(lambda crd: crd["spec"]["versions"].pop(1)) == []
    assert changed(lambda crd: crd["spec"].update(scope="Cluster")) == ["spec.scope"]
    assert changed(lambda crd: crd["spec"].update(scope="Cluster"), established=False) == []
    assert changed(lambda crd: crd["spec"]["names"].update(kind="Other")) == ["spec.names.kind"]
    assert "spec.group" in changed(lambda crd: crd["spec"].update(group="other.example.com"))

    def forget(crd: Obj) -> None:
        crd["spec"]["versions"].pop(0)
        crd["spec"]["versions"][0]["storage"] = True

    assert changed(forget) == ["status.storedVersions[0]"]


@pytest.mark.parametrize("group", ["rbac.authorization.k8s.io", "networking.k8s.io"])
def test_a_definition_takes_no_resource_of_the_servers(group: str) -> None:
    plural = "clusterroles" if group.startswith("rbac") else "ingresses"
    crd = definition(plural=plural)
    crd["spec"]["group"] = group
    crd["metadata"] = {"name": f"{plural}.{group}", "annotations": {"api-approved.kubernetes.io": "https://x"}}
    found = validate_create(CUSTOM_RESOURCE_DEFINITIONS, set_defaults(CUSTOM_RESOURCE_DEFINITIONS, crd))
    assert [(cause.field, cause.message.partition(": is ")[2]) for cause in found] == [
        ("spec.names.plural", "a resource of this server in that group; name another")
    ]
