"""Selectors: syntax, meaning, and the API's own messages for what is none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.api import kinds
from netsim.api.fields import check_field_selector, reader, supported_fields
from netsim.api.selectors import (
    FieldSelector,
    LabelSelector,
    Requirement,
    SelectorError,
    equality_selector,
    label_selector_of,
    parse_field_selector,
    parse_label_selector,
)


@pytest.mark.parametrize(
    ("text", "yes", "no"),
    [
        ("a=b", [{"a": "b"}], [{}, {"a": "c"}]),
        ("a==b", [{"a": "b"}], [{"a": "c"}]),
        ("a!=b", [{}, {"a": "c"}], [{"a": "b"}]),
        ("a", [{"a": ""}], [{}]),
        ("!a", [{}], [{"a": ""}]),
        ("a in (x, y)", [{"a": "x"}, {"a": "y"}], [{}, {"a": "z"}]),
        ("a notin (x,y)", [{}, {"a": "z"}], [{"a": "x"}]),
        ("a=", [{"a": ""}], [{}, {"a": "b"}]),
        ("a in (,x)", [{"a": ""}, {"a": "x"}], [{"a": "y"}]),
        ("a>3", [{"a": "4"}], [{"a": "3"}, {"a": "x"}, {}]),
        ("a<3", [{"a": "2"}], [{"a": "3"}]),
        ("a=b,c", [{"a": "b", "c": ""}], [{"a": "b"}]),
        ("in in (notin)", [{"in": "notin"}], [{}]),
        (" a = b , c ", [{"a": "b", "c": "1"}], [{"c": "1"}]),
        ("", [{}, {"a": "b"}], []),
        (
            "!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name",
            [{"x": "y"}],
            [{"service.kubernetes.io/headless": ""}],
        ),
    ],
)
def test_label_selectors(text: str, yes: list[dict[str, str]], no: list[dict[str, str]]) -> None:
    selector = parse_label_selector(text)
    assert all(selector.matches(labels) for labels in yes)
    assert not any(selector.matches(labels) for labels in no)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a b c", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a in x", "unable to parse requirement: found 'x' expected: '('"),
        ("a in (", "unable to parse requirement: found '', expected: ',', ')' or identifier"),
        ("a in (x y)", "unable to parse requirement: found 'y', expected: ',' or ')'"),
        ("a,", "found '', expected: identifier after ','"),
        (",,", "found ',', expected: !, identifier, or 'end of string'"),
        ("=a", "found '=', expected: !, identifier, or 'end of string'"),
        ("a=b=c", "found '=', expected: ',' or 'end of string'"),
        ("!a=b", "found '=', expected: ',' or 'end of string'"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("a>x", "values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer"),
        ("-a", 'unable to parse requirement: <nil>: Invalid value: "-a": name part must consist of'),
        ("x/y/z", "a valid label key must consist of"),
        ("a=b$", 'values[0][a]: Invalid value: "b$": a valid label must be'),
        ("a=" + "b" * 64, "must be no more than 63 bytes"),
    ],
)
def test_bad_label_selectors(text: str, message: str) -> None:
    with pytest.raises(SelectorError) as refusal:
        parse_label_selector(text)
    assert message in str(refusal.value)


keys = st.from_regex(r"[a-z][a-z0-9]{0,4}(/[a-z]{1,3})?", fullmatch=True)
values = st.from_regex(r"([a-z0-9]{1,4})?", fullmatch=True)
requirements = st.one_of(
    st.builds(lambda k, v: Requirement(k, "=", (v,)), keys, values),
    st.builds(lambda k, v: Requirement(k, "!=", (v,)), keys, values),
    st.builds(lambda k: Requirement(k, "exists"), keys),
    st.builds(lambda k: Requirement(k, "!"), keys),
    st.builds(lambda k, v: Requirement(k, "in", tuple(v)), keys, st.lists(values, min_size=1, max_size=3)),
    st.builds(lambda k, v: Requirement(k, "notin", tuple(v)), keys, st.lists(values, min_size=1, max_size=3)),
)
selectors = st.lists(requirements, max_size=4).map(lambda found: LabelSelector(tuple(found)))
labels = st.dictionaries(keys, values, max_size=4)


@given(selectors, labels)
def test_printing_and_parsing_keeps_the_meaning(selector: LabelSelector, found: dict[str, str]) -> None:
    again = parse_label_selector(str(selector))
    assert again.matches(found) == selector.matches(found)
    assert str(again) == str(selector)


@given(labels, labels)
def test_equality_selector_is_a_subset_test(wanted: dict[str, str], found: dict[str, str]) -> None:
    assert equality_selector(wanted).matches(found) == (wanted.items() <= found.items())
    assert label_selector_of({"matchLabels": wanted}).matches(found) == (wanted.items() <= found.items())


@given(st.text(max_size=12))
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        parse_label_selector(text).matches({"a": "b"})
        parse_field_selector(text)
    except SelectorError as refusal:
        assert str(refusal)


def test_selector_objects() -> None:
    expressions = [
        {"key": "a", "operator": "In", "values": ["1"]},
        {"key": "b", "operator": "NotIn", "values": ["2"]},
        {"key": "c", "operator": "Exists"},
        {"key": "d", "operator": "DoesNotExist"},
    ]
    selector = label_selector_of({"matchLabels": {"e": "5"}, "matchExpressions": expressions})
    assert str(selector) == "a in (1),b notin (2),c,!d,e=5"
    assert selector.matches({"a": "1", "c": "", "e": "5"})
    assert not selector.matches({"a": "1", "c": "", "e": "5", "d": ""})
    assert not label_selector_of(None).matches({"a": "1"})
    assert label_selector_of({}).matches({}) and label_selector_of({}).empty
    with pytest.raises(SelectorError, match="Near"):
        label_selector_of({"matchExpressions": [{"key": "a", "operator": "Near"}]})


def test_field_selectors() -> None:
    pod: dict[str, Any] = {"metadata": {"name": "x", "namespace": "n"}, "spec": {}, "status": {"phase": "Running"}}
    read = reader(kinds.PODS)
    assert parse_field_selector("metadata.name=x,metadata.name==x").matches(pod, read)
    assert parse_field_selector("status.phase!=Succeeded,status.phase!=Failed").matches(pod, read)
    assert parse_field_selector("spec.nodeName=").matches(pod, read)
    assert parse_field_selector("spec.hostNetwork=false").matches(pod, read)
    assert not parse_field_selector("spec.nodeName!=").matches(pod, read)
    assert parse_field_selector("").matches(pod, read)
    assert parse_field_selector("metadata.name=x").exact("metadata.name") == "x"
    assert parse_field_selector("metadata.name!=x").exact("metadata.name") is None


@given(st.text(max_size=8))
def test_field_values_survive_escaping(value: str) -> None:
    selector = FieldSelector((("metadata.name", "=", value),))
    assert parse_field_selector(str(selector)) == selector


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (r"metadata.name=a\b", r"invalid field selector: invalid escape sequence: \b"),
        ("metadata.name=a\\", "invalid field selector: invalid escape sequence: \\"),
        ("metadata.name=a=b", "invalid field selector: unescaped character in value: 61"),
        ("z=1,name", "invalid selector: 'z=1,name'; can't understand 'name'"),
    ],
)
def test_values_of_fields_are_escaped_as_they_must_be(text: str, why: str) -> None:
    with pytest.raises(SelectorError) as refusal:
        parse_field_selector(text)
    assert str(refusal.value) == why


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (kinds.JOBS, r'field label "spec.a\\b" not supported for Job'),
        (kinds.RESOURCE_SLICES, r"field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: spec.a\b"),
        (kinds.NODES, r"field label not supported: spec.a\b"),
    ],
)
def test_kinds_word_in_their_own_way_what_they_do_not_support(kind: kinds.Kind, why: str) -> None:
    with pytest.raises(SelectorError) as refusal:
        check_field_selector(kind, parse_field_selector(r"spec.a\b=x"))
    assert str(refusal.value) == why


def test_unsupported_fields_are_named() -> None:
    with pytest.raises(SelectorError, match=r"^field label not supported: foo$"):
        check_field_selector(kinds.PODS, parse_field_selector("foo=bar"))
    with pytest.raises(SelectorError) as refusal:
        check_field_selector(kinds.CONFIG_MAPS, parse_field_selector("data=x"))
    expected = '"data" is not a known field selector: only "metadata.name", "metadata.namespace"'
    assert str(refusal.value) == expected
    check_field_selector(kinds.EVENTS, parse_field_selector("involvedObject.uid=,reason=x,source=y"))
    assert "spec.type" in supported_fields(kinds.SERVICES)
