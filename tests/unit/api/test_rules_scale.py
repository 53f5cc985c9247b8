"""What the paths of a custom resource's scale subresource may lead to."""

from __future__ import annotations

from typing import Any

import pytest

from netsim.api.errors import DUPLICATE
from netsim.api.go_text import printed
from netsim.api.kind import Custom, Kind
from netsim.api.validate_scale import scale_errors
from netsim.api.validation import validate_create, validate_update

PATHS = {
    "specReplicasPath": ".spec.replicas",
    "statusReplicasPath": ".status.replicas",
    "labelSelectorPath": ".status.selector",
}
OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
TAGS = {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}
SCHEMA = {"type": "object", "properties": {"spec": {**OPEN, "properties": {"tags": TAGS}}, "status": OPEN}}
KIND = Kind("a.io", "v1", "Thing", "things", "thing", custom=Custom(SCHEMA, {}, "a.io/v1", scale=PATHS))


@pytest.mark.parametrize(
    ("obj", "field", "message"),
    [
        (
            {"spec": {"replicas": "q"}},
            ".spec.replicas",
            "Invalid value: 0: .spec.replicas accessor error: q is of the type string, expected int64",
        ),
        (
            {"spec": {"replicas": True}},
            ".spec.replicas",
            "Invalid value: 0: .spec.replicas accessor error: true is of the type bool, expected int64",
        ),
        (
            {"spec": [1]},
            ".spec.replicas",
            "Invalid value: 0: .spec.replicas accessor error: [1] is of the type []interface {}, "
            "expected map[string]interface{}",
        ),
        ({"spec": {"replicas": -1}}, ".spec.replicas", "Invalid value: -1: should be a non-negative integer"),
        (
            {"status": {"replicas": 2**31}},
            ".status.replicas",
            "Invalid value: 2147483648: should be less than or equal to 2147483647",
        ),
        (
            {"status": {"selector": 1.5}},
            ".status.selector",
            'Invalid value: "": .status.selector accessor error: 1.5 is of the type float64, expected string',
        ),
    ],
)
def test_what_is_no_count_or_selector_is_named(obj: dict[str, Any], field: str, message: str) -> None:
    (cause,) = scale_errors(PATHS, obj, spec=True)
    assert (cause.field, cause.message) == (field, message)


@pytest.mark.parametrize("obj", [{}, {"spec": None}, {"spec": {"replicas": 0}, "status": {"selector": ""}}])
def test_what_is_absent_or_fits_is_not(obj: dict[str, Any]) -> None:
    assert not list(scale_errors(PATHS, obj, spec=True))
    assert not list(scale_errors(None, {"spec": {"replicas": "q"}}, spec=True))


def test_it_is_told_before_what_a_list_has_twice_and_not_of_a_status() -> None:
    metadata = {"name": "t", "namespace": "n", "uid": "u", "resourceVersion": "1"}
    obj = {"metadata": metadata, "spec": {"replicas": -1, "tags": ["a", "a"]}}
    first, second = validate_create(KIND, obj)
    assert first.field == ".spec.replicas" and second.reason == DUPLICATE
    assert not validate_update(KIND, {**obj, "status": {"replicas": 1}}, obj)
    (cause,) = validate_update(KIND, {**obj, "status": {"replicas": -2}}, obj)
    assert cause.field == ".status.replicas"
    (cause,) = validate_update(KIND, {**obj, "spec": {"replicas": -3}}, obj)
    assert cause.field == ".spec.replicas"


def test_values_are_printed_as_go_does() -> None:
    value = {"b": [1, "x", None], "a": {"c": False, "d": 2.0, "e": 1e22}}
    assert printed(value) == "map[a:map[c:false d:2 e:1e+22] b:[1 x <nil>]]"
