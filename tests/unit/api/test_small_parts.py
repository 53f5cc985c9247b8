"""Names, times, quantities and readers of objects."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.api import names, objects, quantity, times
from netsim.api.json_text import parse_json


@pytest.mark.parametrize(
    ("text", "label", "label_1035", "subdomain"),
    [
        ("a", True, True, True),
        ("1a", True, False, True),
        ("a-b", True, True, True),
        ("a.b", False, False, True),
        ("-a", False, False, False),
        ("a-", False, False, False),
        ("A", False, False, False),
        ("a..b", False, False, False),
        ("", False, False, False),
        ("a\n", False, False, False),
        ("a" * 63, True, True, True),
        ("a" * 64, False, False, True),
        ("a" * 254, False, False, False),
    ],
)
def test_dns_names(text: str, label: bool, label_1035: bool, subdomain: bool) -> None:
    assert names.is_dns1123_label(text) is label
    assert names.is_dns1035_label(text) is label_1035
    assert names.is_dns1123_subdomain(text) is subdomain


def test_label_keys_and_values() -> None:
    assert all(map(names.is_qualified_name, ("app", "a.b/c_D", "x" * 63)))
    assert not any(map(names.is_qualified_name, ("", "a/", "/a", "A_/b", "x" * 64, "a/b/c", "-a")))
    assert names.is_label_value("") and names.is_label_value("1.2_x") and not names.is_label_value("-")


@given(st.text("abc-", max_size=70))
def test_generated_names(prefix: str) -> None:
    name = names.generate_name(prefix, lambda n: names.SUFFIX_ALPHABET[:n])
    assert name == prefix[:58] + "bcdfg" and len(name) <= 63


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-2, "<invalid>"),
        (-1, "0s"),
        (0.9, "0s"),
        (95, "95s"),
        (119, "119s"),
        (120, "2m"),
        (165, "2m45s"),
        (600, "10m"),
        (160 * 60, "160m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 300, "3h5m"),
        (20 * 3600, "20h"),
        (48 * 3600, "2d"),
        (51 * 3600, "2d3h"),
        (325 * 86400, "325d"),
        (729 * 86400, "729d"),
        (3 * 365 * 86400 + 20 * 86400, "3y20d"),
        (9 * 365 * 86400, "9y"),
    ],
)
def test_short_durations(seconds: float, text: str) -> None:
    assert times.short_duration(seconds) == text


@given(st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1)))
def test_times_survive_the_wire(when: datetime) -> None:
    aware = when.replace(tzinfo=UTC)
    assert times.parse_time(times.format_micro_time(aware)) == aware
    assert times.parse_time(times.format_time(aware)) == aware.replace(microsecond=0)


def test_times() -> None:
    offset = datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    assert times.format_time(offset) == "2026-01-01T00:00:00Z"
    assert times.seconds_between("2026-01-01T00:00:00Z", offset + timedelta(seconds=3)) == 3
    for text in ("", "yesterday", "2026-01-01T00:00:00"):
        with pytest.raises(ValueError, match="2026"):
            times.parse_time(text)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("100m", Fraction(1, 10)),
        ("1.5Gi", 3 << 29),
        ("2e3", 2000),
        ("1E", 10**18),
        (".5", Fraction(1, 2)),
        ("-1k", -1000),
        (3, 3),
        ("1E-2", Fraction(1, 100)),
    ],
)
def test_quantities(text: str | int, number: Fraction | int) -> None:
    assert quantity.parse_quantity(text) == number


@pytest.mark.parametrize("text", ["", "x", "1 Gi", "1gi", "--1", "1e", "1e9999"])
def test_no_quantities(text: str) -> None:
    assert quantity.quantity_problem(text)
    with pytest.raises(ValueError, match="no quantity"):
        quantity.parse_quantity(text)


@given(st.integers(0, 10**9))
def test_quantity_rounding_and_printing(number: int) -> None:
    assert quantity.milli(quantity.format_milli(number)) == number
    assert quantity.whole(quantity.format_binary(number)) == number
    assert quantity.whole(f"{number}m") == -(-number // 1000)


POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "p",
        "namespace": "n",
        "uid": "u",
        "ownerReferences": [{"uid": "a"}, {"uid": "b", "controller": True}],
    },
    "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
}


def test_readers() -> None:
    assert objects.key_of(POD) == "n/p"
    assert objects.key_of({"metadata": {"name": "x"}}) == "x"
    assert objects.controller_of(POD) == {"uid": "b", "controller": True}
    assert objects.is_pod_ready(POD) and not objects.is_pod_ready({})
    assert objects.pod_phase(POD) == "Running" and objects.deletion_timestamp(POD) is None
    assert objects.object_reference(POD) == {
        "kind": "Pod",
        "namespace": "n",
        "name": "p",
        "uid": "u",
        "apiVersion": "v1",
    }
    assert objects.dig(POD, "status", "phase") == "Running" and objects.dig(POD, "x", "y") is None


def test_set_condition_keeps_the_time_of_the_last_change() -> None:
    first = objects.set_condition([], {"type": "Ready", "status": "False"}, "t1")
    same = objects.set_condition(first, {"type": "Ready", "status": "False", "reason": "R"}, "t2")
    changed = objects.set_condition(same, {"type": "Ready", "status": "True"}, "t3")
    assert [c[0]["lastTransitionTime"] for c in (first, same, changed)] == ["t1", "t1", "t3"]
    assert same[0]["reason"] == "R" and len(changed) == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "unexpected end of JSON input"),
        ('{"a":', "unexpected end of JSON input"),
        ('{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        ("{'a':1}", r"invalid character '\'' looking for beginning of object key string"),
        ('{"a":1} x', "invalid character 'x' after top-level value"),
        ('{"m":[1,]}', "invalid character ']' looking for beginning of value"),
        ('{"m":[1,{"x":2} 3]}', "invalid character '3' after array element"),
        ('{"a" 1}', "invalid character '1' after object key"),
        ('{"a":"b" "c"}', "invalid character '\"' after object key:value pair"),
        ('{"a":"\x01"}', r"invalid character '\x01' in string literal"),
        ('{"a":tru}', "invalid character '}' in literal true (expecting 'e')"),
        ('{"a":{"b":1}]', "invalid character ']' after object key:value pair"),
        (r'{"a\q":1}', "invalid character 'q' in string escape code"),
    ],
)
def test_what_is_no_json_is_told_in_the_words_of_go(text: str, problem: str) -> None:
    with pytest.raises(ValueError) as refusal:
        parse_json(text.encode())
    assert str(refusal.value) == problem


@given(st.text('{}[]":,1at\\\n ', max_size=12))
def test_what_is_no_json_is_always_told(text: str) -> None:
    try:
        parse_json(text.encode())
    except ValueError as error:
        assert str(error).startswith(("invalid character", "unexpected end"))
