"""Rules of custom objects: what they see, what they say, when they are held against an object, and which are none."""

from __future__ import annotations

import time
from typing import Any

import pytest

from netsim.api.defaults import set_defaults
from netsim.api.kinds import CUSTOM_RESOURCE_DEFINITIONS
from netsim.api.objects import copy_json
from netsim.api.structural import RULES
from netsim.api.structural_cel import compile_rules, field_path
from netsim.api.structural_cel_judge import rule_errors
from netsim.api.structural_rules import schema_errors
from netsim.api.structural_types import declared, escaped
from netsim.api.validation import validate_update
from support.crontabs import definition, in_spec

Schema = dict[str, Any]


def ruled(schema: Schema, *rules: Any) -> Schema:
    """The schema with rules, each a text or a whole rule."""
    return {**schema, RULES: [rule if isinstance(rule, dict) else {"rule": rule} for rule in rules]}


def of(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties}


STRING, INT, NUMBER = {"type": "string"}, {"type": "integer"}, {"type": "number"}
STRINGS = {"type": "array", "items": STRING}


def errors(schema: Schema, new: Any, old: Any = None) -> list[str]:
    """ "field: message" of each, the schema being that of spec."""
    rules = compile_rules(of(spec=schema))
    wrapped = None if old is None else {"spec": old}
    return [f"{cause.field}: {cause.message}" for cause in rule_errors(rules, {"spec": new}, wrapped)]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (ruled(of(n=NUMBER), "self.n > 0.5"), {"n": 1}),
        (ruled(of(n=INT), "self.n / 2 == 1"), {"n": 3.0}),
        (ruled(of(d={"type": "string", "format": "duration"}), "self.d < duration('2h')"), {"d": "1h30m"}),
        (ruled(of(d={"type": "string", "format": "duration"}), "self.d == duration('51h')"), {"d": "2 days 3 hours"}),
        (ruled(of(d={"type": "string", "format": "date"}), "self.d.getFullYear() == 2024"), {"d": "2024-02-01"}),
        (
            ruled(of(d={"type": "string", "format": "date-time"}), "self.d.getHours() == 5"),
            {"d": "2024-02-01T05:00:00Z"},
        ),
        (ruled(of(b={"type": "string", "format": "byte"}), "self.b == b'abc'"), {"b": "YWJj"}),
        (
            ruled(of(p={"x-kubernetes-int-or-string": True}), "type(self.p) == int ? self.p == 5 : self.p == '5%'"),
            {"p": "5%"},
        ),
        (
            ruled(of(p={"x-kubernetes-int-or-string": True}), "type(self.p) == int ? self.p == 5 : self.p == '5%'"),
            {"p": 5},
        ),
        (
            ruled(of(m={"type": "object", "additionalProperties": INT}), "self.m.all(k, self.m[k] > 0)"),
            {"m": {"a.b": 1}},
        ),
        (
            ruled(
                of(**{"a-b.c/d__e": INT, "namespace": INT}),
                "self.a__dash__b__dot__c__slash__d__underscores__e == self.__namespace__",
            ),
            {"a-b.c/d__e": 1, "namespace": 1},
        ),
        (ruled(of(x={**STRING, "nullable": True}), "!has(self.x)"), {"x": None}),
        (ruled({"type": "array", "items": {**STRING, "nullable": True}}, "type(self[0]) == null_type"), [None]),
        (ruled(of(s={**STRINGS, "x-kubernetes-list-type": "set"}), "self.s == ['b', 'a']"), {"s": ["a", "b"]}),
        (
            ruled(of(s={**STRINGS, "x-kubernetes-list-type": "set"}), "(self.s + ['b', 'c']).size() == 3"),
            {"s": ["a", "b"]},
        ),
        (
            ruled(
                of(
                    e={
                        "type": "object",
                        "x-kubernetes-embedded-resource": True,
                        "x-kubernetes-preserve-unknown-fields": True,
                    }
                ),
                "self.e.kind == 'Pod' && self.e.metadata.name == 'p'",
            ),
            {"e": {"kind": "Pod", "metadata": {"name": "p"}}},
        ),
        (ruled(of(), "self == self"), {"unknown": 1}),
    ],
)
def test_values_are_what_their_schema_says(schema: Schema, value: Any) -> None:
    assert schema_errors(of(spec=schema), "s") == []
    assert errors(schema, value) == []


def test_lists_of_type_map_are_merged_by_their_keys() -> None:
    ports = {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
        "items": {**of(name=STRING, port=INT), "required": ["name"]},
    }
    schema = ruled(of(a=ports, b=ports), "(self.a + self.b).map(p, p.port) == [1, 3, 4]", "self.a != self.b")
    first = [{"name": "x", "port": 1}, {"name": "y", "port": 2}]
    second = [{"name": "y", "port": 3}, {"name": "z", "port": 4}]
    assert errors(schema, {"a": first, "b": second}) == []
    equal = ruled(of(a=ports, b=ports), "self.a == self.b")
    assert errors(equal, {"a": first, "b": first[::-1]}) == []


def test_the_root_shows_its_name_and_no_more_of_its_metadata() -> None:
    schema = ruled(of(spec=of(n=INT)), "self.metadata.name.startsWith('a') && self.kind == 'X'")
    obj = {"kind": "X", "metadata": {"name": "b", "labels": {}}, "spec": {"n": 1}}
    (cause,) = rule_errors(compile_rules(schema), obj)
    assert (cause.field, cause.message) == ("<nil>", f"Invalid value: failed rule: {schema[RULES][0]['rule']}")
    (problem,) = schema_errors(ruled(of(spec=of(n=INT)), "has(self.metadata.labels)"), "s")
    assert "undefined field 'labels'" in problem.message


@pytest.mark.parametrize(
    ("rule", "value", "told"),
    [
        ({"rule": "self.n > 5"}, {"n": 1}, "spec: Invalid value: failed rule: self.n > 5"),
        ({"rule": "self.n > 5", "message": " too few "}, {"n": 1}, "spec: Invalid value: too few"),
        (
            {"rule": "self.n > 5", "messageExpression": "'not ' + string(self.n)"},
            {"n": 1},
            "spec: Invalid value: not 1",
        ),
        (
            {"rule": "self.n > 5", "messageExpression": "string(1 / (self.n - 1))", "message": "m"},
            {"n": 1},
            "spec: Invalid value: m",
        ),
        ({"rule": "self.n > 5", "messageExpression": "'a\\nb'", "message": "m"}, {"n": 1}, "spec: Invalid value: m"),
        ({"rule": "self.n > 5", "messageExpression": "' '", "message": "m"}, {"n": 1}, "spec: Invalid value: m"),
        ({"rule": "self.n > 5", "reason": "FieldValueForbidden", "message": "m"}, {"n": 1}, "spec: Forbidden: m"),
        ({"rule": "self.n > 5", "reason": "FieldValueRequired", "message": "m"}, {"n": 1}, "spec: Required value: m"),
        ({"rule": "self.n > 5", "reason": "FieldValueDuplicate", "message": "m"}, {"n": 1}, "spec: Duplicate value"),
        ({"rule": "self.n > 5", "fieldPath": ".n", "message": "m"}, {"n": 1}, "spec.n: Invalid value: m"),
        ({"rule": "self.n > 5", "fieldPath": ".m['a.b']", "message": "m"}, {"n": 1}, "spec.m[a.b]: Invalid value: m"),
        (
            {"rule": "self.n > 5", "message": "m"},
            {},
            'spec: Invalid value: "object": no such key: n evaluating rule: m',
        ),
        (
            {"rule": "self.any > 5"},
            {"any": "x"},
            "spec: Invalid value: \"object\": 'no such overload': call arguments did not match a supported operator, "
            "function or macro signature for rule: self.any > 5",
        ),
    ],
)
def test_what_is_told(rule: Any, value: Any, told: str) -> None:
    labels = {"type": "object", "additionalProperties": STRING}
    assert errors(ruled(of(n=INT, m=labels, any={"x-kubernetes-int-or-string": True}), rule), value) == [told]


def test_simple_values_are_shown_and_every_place_is_named() -> None:
    item = ruled(STRING, {"rule": "self != 'bad'", "message": "m"})
    schema = of(
        list={"type": "array", "items": item},
        map={"type": "object", "additionalProperties": item},
        number=ruled(INT, {"rule": "self > 3", "message": "m"}),
    )
    assert errors(schema, {"list": ["good", "bad"], "map": {"a.b": "bad"}, "number": 2}) == [
        'spec.list[1]: Invalid value: "bad": m',
        'spec.map[a.b]: Invalid value: "bad": m',
        "spec.number: Invalid value: 2: m",
    ]
    assert errors(ruled(STRING, {"rule": "false", "reason": "FieldValueDuplicate"}), "x") == [
        'spec: Duplicate value: "x"'
    ]


def test_transition_rules_need_something_to_compare_with() -> None:
    schema = ruled(of(n=INT), {"rule": "self.n >= oldSelf.n", "message": "m"})
    assert errors(schema, {"n": 1}) == []
    assert errors(schema, {"n": 1}, {"n": 2}) == ["spec: Invalid value: m"]
    assert errors(schema, {"n": 3}, {"n": 2}) == []
    nested = of(n=ruled(INT, {"rule": "self == oldSelf", "message": "immutable"}))
    assert errors(nested, {"n": 1}, {}) == []
    assert errors(nested, {"n": 1}, {"n": 2}) == ["spec.n: Invalid value: 1: immutable"]


def test_an_optional_old_self_sees_creation_too() -> None:
    rule = {"rule": "oldSelf.hasValue() || self.n == 0", "message": "starts at 0", "optionalOldSelf": True}
    schema = ruled(of(n=INT), rule)
    assert errors(schema, {"n": 1}) == ["spec: Invalid value: starts at 0"]
    assert errors(schema, {"n": 1}, {"n": 0}) == []


def test_items_are_compared_where_they_can_be_told() -> None:
    item = {**ruled(of(k=STRING, v=INT), {"rule": "self.v >= oldSelf.v", "message": "m"}), "required": ["k"]}
    keyed = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": item}
    new, old = [{"k": "b", "v": 1}, {"k": "a", "v": 1}], [{"k": "a", "v": 2}, {"k": "b", "v": 1}]
    assert schema_errors(of(spec=keyed), "s") == []
    assert errors(keyed, new, old) == ["spec[1]: Invalid value: m"]
    atomic = {"type": "array", "items": item}
    assert errors(atomic, new, old) == []
    (problem,) = schema_errors(of(spec=atomic), "s")
    why = "oldSelf cannot be used on the uncorrelatable portion of the schema within s.properties[spec]"
    assert problem.message.endswith(why)


def test_what_is_left_as_it_was_is_not_judged_again() -> None:
    schema = of(a=ruled(of(n=INT), {"rule": "self.n > 5", "message": "m"}), b=INT)
    assert errors(schema, {"a": {"n": 1}, "b": 2}, {"a": {"n": 1}, "b": 1}) == []
    assert errors(schema, {"a": {"n": 2}, "b": 1}, {"a": {"n": 1}, "b": 1}) == ["spec.a: Invalid value: m"]
    items = of(list={"type": "array", "items": ruled(INT, {"rule": "self > 5", "message": "m"})}, b=INT)
    assert errors(items, {"list": [1], "b": 2}, {"list": [1], "b": 1}) == []
    assert errors(items, {"list": [1, 9]}, {"list": [1]}) == ["spec.list[0]: Invalid value: 1: m"]


def test_rules_that_take_too_long_are_stopped() -> None:
    rule = "self.all(a, self.all(b, a + b != ''))"
    one = compile_rules(of(spec=ruled(STRINGS, rule)))
    (told,) = rule_errors(one, {"spec": ["x"] * 50}, per_rule=1000)
    assert told.message == (
        "Invalid value: \"array\": 'operation cancelled: actual cost limit exceeded': no further validation rules "
        f"will be run due to call cost exceeds limit for rule: {rule}"
    )
    many = compile_rules(of(spec={"type": "array", "items": ruled(STRINGS, rule)}))
    (told,) = rule_errors(many, {"spec": [["x"] * 10] * 60}, budget=3000)
    why = "validation failed due to running out of cost budget, no further validation rules will be run"
    assert told.message == f'Invalid value: "array": {why}'
    assert rule_errors(many, {"spec": [["x"] * 10] * 60}) == []


@pytest.mark.parametrize(
    ("rule", "field", "told"),
    [
        ({"rule": " "}, "rule", "Required value: rule is not specified"),
        ({"rule": "true", "message": " "}, "message", 'Invalid value: " ": must be non-empty if specified'),
        ({"rule": "true", "message": "a\nb"}, "message", 'Invalid value: "a\\nb": must not contain line breaks'),
        (
            {"rule": "true &&\ntrue"},
            "message",
            "Required value: message must be specified if rule contains line breaks",
        ),
        (
            {"rule": "true", "messageExpression": " "},
            "messageExpression",
            "Required value: must be non-empty if specified",
        ),
        (
            {"rule": "true", "reason": "Odd"},
            "reason",
            'Unsupported value: "Odd": supported values: "FieldValueDuplicate", "FieldValueForbidden", '
            '"FieldValueInvalid", "FieldValueRequired"',
        ),
        ({"rule": "true", "fieldPath": ".nope"}, "fieldPath", 'Invalid value: ".nope": must be a valid path'),
        ({"rule": "self.n"}, "rule", "cel expression must evaluate to a bool"),
        (
            {"rule": "true", "messageExpression": "1"},
            "messageExpression",
            "messageExpression must evaluate to a string",
        ),
        (
            {"rule": "true", "messageExpression": "x"},
            "messageExpression",
            "messageExpression compilation failed: ERROR: ",
        ),
        ({"rule": "self.n >"}, "rule", "compilation failed: ERROR: <input>:1:9: Syntax error"),
        (
            {"rule": "true", "optionalOldSelf": True},
            "optionalOldSelf",
            "Invalid value: true: may not be set if oldSelf is not used in rule",
        ),
        ({"rule": "oldSelf.n > 0", "optionalOldSelf": True}, "rule", "found no matching overload for '_>_'"),
    ],
)
def test_rules_that_are_refused(rule: Any, field: str, told: str) -> None:
    (problem,) = schema_errors(of(spec=ruled(of(n=INT), rule)), "s")
    assert problem.field == f"s.properties[spec].{RULES}[0].{field}"
    assert told in problem.message


def test_a_definition_whose_patterns_take_too_long_to_read_is_refused() -> None:
    """Of a few kilobytes of them each takes a tenth of a second."""
    letters = [rf"[\pL\pN]{{150}}{number}" for number in range(1000)]
    before = time.process_time()
    (problem,) = schema_errors(of(**{f"f{n}": {"type": "string", "pattern": p} for n, p in enumerate(letters)}), "s")
    assert problem.message == "Forbidden: the patterns of this schema are too large together"
    assert problem.field.startswith("s.properties.f") and problem.field.endswith(".pattern")
    asked = ruled(of(), *({"rule": f"'x'.matches(r'{p}')"} for p in letters))
    (problem,) = schema_errors(of(spec=asked), "s")
    assert "the patterns of all rules are too large together" in problem.message
    assert time.process_time() - before < 10


def test_rules_that_cannot_be_computed_use_up_the_budget_too() -> None:
    schema = of(n=ruled(INT, *["[1, 2].all(x, [3].all(y, self / (x - x) > 0))"] * 30))
    node = compile_rules(schema)
    stopped = rule_errors(node, {"n": 1}, budget=100)
    assert 0 < len(stopped) < 30 and "cost budget" in stopped[-1].message


def test_expressions_wait_for_a_good_schema() -> None:
    schema = of(spec=ruled(of(n=INT), "self.nope"), bad={"type": "odd"})
    assert [cause.field for cause in schema_errors(schema, "s")] == ["s.properties[bad].type"]


def test_a_definition_is_judged_again_only_when_it_changes() -> None:
    """One that was taken before there were rules keeps its status going."""
    crd = set_defaults(CUSTOM_RESOURCE_DEFINITIONS, definition())
    crd["metadata"] |= {"resourceVersion": "1", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}
    in_spec(crd)[RULES] = [{"rule": "self.nope"}]
    assert validate_update(CUSTOM_RESOURCE_DEFINITIONS, {**crd, "status": {"storedVersions": ["v1"]}}, crd) == []
    other = copy_json(crd)
    other["spec"]["names"]["shortNames"] = ["ct"]
    (problem,) = validate_update(CUSTOM_RESOURCE_DEFINITIONS, other, crd)
    assert "undefined field 'nope'" in problem.message


def test_what_rules_cannot_see() -> None:
    blind = {"x-kubernetes-preserve-unknown-fields": True}
    assert declared(blind) is None
    (problem,) = schema_errors(of(spec=ruled(blind, "true")), "s")
    assert problem.reason == "InternalError" and "unable to convert structural schema to CEL" in problem.message


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("a", "a"),
        ("_b9", "_b9"),
        ("in", "__in__"),
        ("a__b", "a__underscores__b"),
        ("a.b-c/d", "a__dot__b__dash__c__slash__d"),
        ("9a", None),
        ("a b", None),
        ("é", None),
        ("", None),
    ],
)
def test_names_are_escaped(name: str, written: str | None) -> None:
    assert escaped(name) == written


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (".a", "a"),
        (".a.b", "a.b"),
        (".a['b']", "a.b"),
        (".m['x.y']", "m[x.y]"),
        (".m.x", "m[x]"),
        (".a.c", None),
        ("a", None),
        (".a[0]", None),
        (".a..b", None),
    ],
)
def test_field_paths(path: str, shown: str | None) -> None:
    schema = of(a=of(b=INT), m={"type": "object", "additionalProperties": INT})
    assert field_path(schema, path) == shown
