"""Junk schemas are refused, never stumbled over; what passes judges any object."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsim.api.decoder import decode_error
from netsim.api.defaults import set_defaults
from netsim.api.kinds import CUSTOM_RESOURCE_DEFINITIONS, Kind
from netsim.api.schema import prune as keep
from netsim.api.structural import complete, prune, published
from netsim.api.structural_cel import compile_rules
from netsim.api.structural_cel_judge import rule_errors
from netsim.api.structural_formats import fits_format
from netsim.api.structural_types import converter
from netsim.api.structural_values import value_errors
from netsim.api.validation import validate_create
from netsim.cel.errors import EvaluationError
from support.crontabs import definition

Obj = dict[str, Any]
NAMES = st.sampled_from(["spec", "status", "metadata", "a", "kind", "x.y"])
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.floats(-2, 2), st.sampled_from(["", "a", "1h", "::1"])
)
VALUES = st.recursive(
    SCALARS,
    lambda below: st.one_of(st.lists(below, max_size=3), st.dictionaries(NAMES, below, max_size=3)),
    max_leaves=8,
)
KIND = Kind("stable.example.com", "v1", "CronTab", "crontabs", "crontab")


EXPRESSIONS = st.sampled_from(
    [
        "true",
        "self == oldSelf",
        "self != self",
        "has(self.a)",
        "self.a == self.spec",
        "self.all(x, x == x)",
        "size(self) > 0",
        "self.exists(x, x.startsWith('a'))",
        "self > 1",
        "self[0] == self[1]",
        "self.matches('a')",
        "string(self) == 'a'",
        "oldSelf.hasValue()",
        "self.?a.orValue('x') == 'a'",
        "type(self) == int",
        "self +",
        "self.getHours() > 1",
        "'a' in self",
    ]
)
RULES = st.fixed_dictionaries(
    {"rule": EXPRESSIONS},
    optional={
        "message": st.sampled_from(["", "a", "a\nb"]),
        "messageExpression": st.sampled_from(["'a'", "self", "string(self)"]),
        "reason": st.sampled_from(["FieldValueDuplicate", "FieldValueRequired", "odd"]),
        "fieldPath": st.sampled_from([".a", ".a.spec", "['x.y']", "a"]), "optionalOldSelf": st.booleans(),
    },
)  # fmt: skip


def with_parts(below: Any) -> Any:
    """A schema with any of the keywords, mostly well-formed."""
    keywords: dict[str, Any] = {
        "type": st.sampled_from(["object", "array", "string", "integer", "number", "boolean", "null", ""]),
        "format": st.sampled_from(["ipv4", "date-time", "int32", "byte", "other"]),
        "properties": st.dictionaries(NAMES, below, max_size=2),
        "items": st.one_of(below, VALUES),
        "additionalProperties": st.one_of(below, st.booleans(), VALUES),
        "required": st.lists(NAMES, max_size=2),
        "enum": st.lists(VALUES, max_size=2),
        "default": VALUES,
        "nullable": st.booleans(),
        "pattern": st.sampled_from(["", "^a$", "(", "[a-z]+"]),
        "minimum": st.integers(-2, 2),
        "maxLength": st.integers(0, 2),
        "minItems": st.integers(0, 2),
        "multipleOf": st.integers(0, 2),
        "anyOf": st.lists(below, max_size=2),
        "allOf": st.lists(below, max_size=2),
        "oneOf": st.lists(below, max_size=2),
        "not": below,
        "x-kubernetes-preserve-unknown-fields": st.booleans(),
        "x-kubernetes-embedded-resource": st.booleans(),
        "x-kubernetes-int-or-string": st.booleans(),
        "x-kubernetes-list-type": st.sampled_from(["set", "map", "atomic", "odd"]),
        "x-kubernetes-list-map-keys": st.lists(NAMES, max_size=2),
        "x-kubernetes-validations": st.lists(RULES, max_size=2),
        "x-kubernetes-map-type": st.sampled_from(["granular", "atomic", "odd"]),
    }
    return st.fixed_dictionaries({}, optional=keywords)


SCHEMAS = st.recursive(st.just({"type": "string"}), with_parts, max_leaves=6)


def crd_with(schema: Any) -> Obj:
    crd = definition()
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = schema
    return keep(CUSTOM_RESOURCE_DEFINITIONS, crd)


@settings(max_examples=60, deadline=None)
@given(SCHEMAS)
def test_any_schema_is_judged(schema: Obj) -> None:
    crd = crd_with(schema)
    if not decode_error(CUSTOM_RESOURCE_DEFINITIONS, crd):
        validate_create(CUSTOM_RESOURCE_DEFINITIONS, set_defaults(CUSTOM_RESOURCE_DEFINITIONS, crd))


@settings(max_examples=60, deadline=None)
@given(SCHEMAS, VALUES, VALUES)
def test_what_passes_judges_any_object(schema: Obj, spec: Any, before: Any) -> None:
    root = {"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}
    root["properties"]["a"] = schema
    crd = set_defaults(CUSTOM_RESOURCE_DEFINITIONS, crd_with(root))
    if decode_error(CUSTOM_RESOURCE_DEFINITIONS, crd) or validate_create(CUSTOM_RESOURCE_DEFINITIONS, crd):
        return
    kept = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    obj, _ = prune(kept, {"metadata": {"name": "x"}, "a": spec})
    filled = complete(kept, obj)
    assert complete(kept, filled) == filled and prune(kept, filled)[0] == filled
    value_errors(kept, filled, {"a": before})
    rules = compile_rules(kept)
    for new in (filled, {"a": spec}):
        rule_errors(rules, new, {"a": before})
    assert published(kept, KIND)["properties"]["metadata"]["$ref"]


PLACES: list[Obj] = [
    *({"type": kind} for kind in ("string", "integer", "number", "boolean")),
    *({"type": "string", "format": form} for form in ("byte", "date", "date-time", "duration")),
    {"x-kubernetes-int-or-string": True},
    {"type": "object", "properties": {"a": {"type": "string", "nullable": True}, "spec": {"type": "string"}}},
    {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True},
]
HOLDERS: list[Any] = [
    lambda inner: inner,
    lambda inner: {"type": "array", "items": inner},
    lambda inner: {"type": "array", "items": inner, "x-kubernetes-list-type": "set"},
    lambda inner: {"type": "object", "additionalProperties": inner},
]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(PLACES), st.sampled_from(HOLDERS), RULES, RULES, VALUES, VALUES)
def test_rules_judge_whatever_is_there(place: Obj, holder: Any, inner: Obj, outer: Obj, new: Any, old: Any) -> None:
    """Also what an older schema has let through."""
    schema = holder({**place, "x-kubernetes-validations": [inner]}) | {"x-kubernetes-validations": [outer, inner]}
    rules = compile_rules({"type": "object", "properties": {"a": schema}})
    for value in (new, [new, None], {"x": new, "y": None}):
        for before in (None, {"a": old}, {"a": [old]}, {"a": {"x": old}}):
            for cause in rule_errors(rules, {"a": value}, before):
                assert cause.field.startswith("a") and cause.message


@pytest.mark.parametrize("value", ["1xyz", "1m2q", "1 fortnight", "µ", "é", "", 1, 1.5, True, [], {}, "9" * 40 + "d"])
@pytest.mark.parametrize("form", ["byte", "duration", "date", "date-time"])
def test_texts_of_no_such_format_are_an_error_of_rules(form: str, value: Any) -> None:
    """An update may leave what an older schema allowed."""
    convert = converter({"type": "string", "format": form})
    with contextlib.suppress(EvaluationError):
        convert(value)


def test_a_hostname_is_judged_at_once() -> None:
    before = time.process_time()
    assert not fits_format("hostname", "a" * 60 + "!")
    assert not fits_format("hostname", "a" * 64)
    assert fits_format("hostname", "a" * 63 + ".example.")
    assert time.process_time() - before < 1


def test_numbers_beyond_doubles_are_judged() -> None:
    assert value_errors({"type": "number", "multipleOf": 0.001}, 1e308) == []
    assert value_errors({"type": "integer"}, 10**400) == []
