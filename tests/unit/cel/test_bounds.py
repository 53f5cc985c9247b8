"""Expressions that would take forever, all memory, or Python's own errors, end with the language's errors instead."""

from __future__ import annotations

import time
from typing import Any

import pytest

from netsim.cel.cost import weight
from netsim.cel.errors import CompileError, CostExceeded, EvaluationError
from netsim.cel.program import compile_program
from netsim.cel.types import DYN
from netsim.cel.values import find

STEPS, SECONDS = 200_000, 2.0
SHARED = "optional.of([1])" + ".optMap(a, [a, a])" * 30
LONG = "optional.of('aaaaaaaa')" + ".optMap(x, x + x)" * 8


def value(text: str) -> Any:
    return compile_program(text, {"self": DYN}).value({"self": {}}, STEPS)[0]


@pytest.mark.parametrize(
    "text",
    [
        f"{SHARED}.optMap(a, a == a)",
        f"{SHARED}.optMap(a, a != a)",
        f"{SHARED}.optMap(a, a in [a])",
        f"{SHARED}.optMap(a, [a].indexOf(a))",
        f"{SHARED}.optMap(a, [a].distinct())",
        f"{SHARED}.optMap(a, dyn(a).flatten(99))",
        f"{SHARED}.optMap(a, '%s'.format([a]))",
        f"{SHARED}.optMap(a, sets.equivalent(a, a))",
        "[optional.of('aaaa')" + ".optMap(x, '%s%s'.format([x, x]))" * 33 + "]",
        "sets.contains(lists.range(60000), lists.range(60000))",
        "lists.range(10).map(i, lists.range(100000)).size()",
        "lists.range(200).map(i, lists.range(700).exists(x, lists.range(700).exists(y, true)))",
        f"{LONG}.optMap(x, lists.range(100).map(i, x.replace('a', x)))",
    ],
)
def test_what_grows_without_end_is_broken_off(text: str) -> None:
    before = time.process_time()
    with pytest.raises(CostExceeded):
        value(text)
    assert time.process_time() - before < SECONDS


UNEASY = "(a.{900}b)$c"  # of a text of a and b many places are in question at once


@pytest.mark.parametrize(
    "text",
    [
        f"self.ab.matches('{UNEASY}')",
        f"self.ab.find('{UNEASY}') == ''",
        f"self.ab.findAll('{UNEASY}') == []",
        "self.ab.findAll('(?s).*c|[ab]').size() > 0",  # each match is looked for until the end
        r"lists.range(1000).exists(i, 'x'.matches('[\\pL\\pN]{150}' + string(i)))",
        r"lists.range(1000).exists(i, 'x'.matches('\\PN{1000}' + string(i)))",  # which is too large
        r"lists.range(1000).exists(i, '-'.matches(self.letters + string(i)))",
    ],
)
def test_patterns_are_charged_for_what_they_take(text: str) -> None:
    given = {"ab": "ab" * 100_000, "letters": r"\pL|" * 2000}
    program = compile_program(text, {"self": DYN})
    before = time.process_time()
    with pytest.raises(CostExceeded):
        program.value({"self": given}, STEPS)
    assert time.process_time() - before < SECONDS


def test_usual_patterns_cost_little() -> None:
    name = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
    text = (
        f"self.all(x, x.matches('^{name}([.]{name})*$') && x.find('[0-9]+') != '' && x.findAll('[a-z]+').size() == 40)"
    )
    names = [".".join(f"name-{i}" for i in range(40))] * 10
    assert compile_program(text, {"self": DYN}).value({"self": names}, STEPS)[0] is True


def test_one_expression_reads_so_many_patterns_and_no_more() -> None:
    before = time.process_time()
    with pytest.raises(CompileError, match="the patterns are too large"):
        value(" || ".join(rf"'x'.matches('[\\pL\\pN]{{150}}{number}')" for number in range(100)))
    assert time.process_time() - before < SECONDS


def test_a_map_of_many_numbers_is_made_in_time() -> None:
    before = time.process_time()
    assert value("lists.range(9000).transformMapEntry(i, v, {i: v}).size()") == 9000
    assert time.process_time() - before < SECONDS


def test_going_over_a_long_list_costs_what_is_looked_at() -> None:
    """A round over the first element of many must not prepare all of them."""
    program = compile_program("self.all(x, self.exists(y, true))", {"self": DYN})
    before = time.process_time()
    assert program.value({"self": list(range(20_000))}, STEPS)[0] is True
    assert time.process_time() - before < SECONDS


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("timestamp('0001-01-01T00:00:00Z').getHours('-01:00')", "timestamp overflow"),
        ("timestamp('9999-12-31T23:59:59Z').getFullYear('+23:59')", "timestamp overflow"),
        ("timestamp('2020-01-01T00:00:00Z').getHours('99:99')", "unknown time zone 99:99"),
        ("'a'.matches('a{99999999999999}' + '')", "invalid repeat count"),
        ("'a'.matches('((((((((((' + '')", "error parsing regexp"),
        ("'a'.matches('(((((((((('.replace('(', '((((((((((').replace('(', '(((((((((('))", r"missing closing \)"),
        ("'a'.matches('a++' + '')", "invalid nested repetition operator"),
        ("int('\u0663')", "cannot convert"),
    ],
)
def test_what_python_cannot_do_is_an_error_of_the_language(text: str, problem: str) -> None:
    with pytest.raises(EvaluationError, match=problem):
        value(text)


@pytest.mark.parametrize("text", ["1" * 5000, "1" * 5000 + "u", "0x" + "f" * 5000])
def test_numbers_of_thousands_of_digits_do_not_compile(text: str) -> None:
    with pytest.raises(CompileError, match=r"invalid u?int literal"):
        value(text)


def test_signs_of_repetition_that_are_meant_as_signs() -> None:
    assert value(r"'+'.matches(r'^[*+]$') && '++'.matches(r'^\++$') && 'aa'.matches('^a+?$')") is True


def test_optional_values_of_lists_are_told_apart() -> None:
    assert len(value("[optional.of([1]), optional.of([1]), optional.of([2])].distinct()")) == 2


def test_a_walk_ends_soon_after_its_limit() -> None:
    assert weight(["a" * 100, {"k": [1, 2]}], 1000) == 1 + 11 + 1 + 1 + 2
    assert weight(list(range(1000)), 10) < 20


def test_numbers_and_booleans_are_other_keys() -> None:
    assert [find({True: "yes"}, 1), find({1: "one"}, 1.0), find({2: "two"}, 2.0)][1:] == ["one", "two"]
    assert find({True: "yes"}, 1) is find({}, 0)
