"""The expression language by its specification: values, errors, types, and nothing but its own errors."""

from __future__ import annotations

import operator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from netsim.cel.errors import CompileError, CostExceeded, EvaluationError
from netsim.cel.parser import parse
from netsim.cel.program import compile_program
from netsim.cel.types import DYN, INT, STRING, Type, fits, list_of, map_of, object_of, parse_type
from netsim.cel.values import Duration, Timestamp, UInt, equal

STEPS = 10_000
SELF = object_of(
    {
        "name": STRING,
        "count": INT,
        "tags": list_of(STRING),
        "labels": map_of(STRING, STRING),
        "any": DYN,
        "ports": list_of(object_of({"name": STRING, "port": INT})),
        "absent": STRING,
    }
)
VALUE = {
    "name": "web",
    "count": 3,
    "tags": ["a", "b"],
    "labels": {"x": "1"},
    "any": "5%",
    "ports": [{"name": "http", "port": 80}, {"name": "https", "port": 443}],
}


def value(text: str) -> Any:
    return compile_program(text, {"self": SELF}).value({"self": VALUE}, STEPS)[0]


@pytest.mark.parametrize(
    "text",
    [
        # arithmetic, literals
        "1 + 2 * 3 == 7",
        "(1 + 2) * 3 == 9",
        "-7 / 2 == -3",
        "-7 % 3 == -1",
        "7u - 2u == 5u",
        "0x1F == 31",
        "1.5e3 == 1500.0",
        "1.0 / 0.0 > 1e308",
        "-9223372036854775808 < 0",
        "3 - -2 == 5",
        "!!true",
        "- -1 == 1",
        "'a' + \"b\" == r'ab'",
        r"'\u00e9\x41\101\n' == 'éAA' + '\n'",
        "b'\\xff' == b'\\377'",
        "'''a'b''' == 'a\\'b'",
        "b'a' + b'b' == bytes('ab')",
        "null == null",
        "[1, 2,] == [1] + [2]",
        "{'a': 1,}['a'] == 1",
        # comparison
        "1 < 2.5",
        "2u > 1",
        "'a' < 'b'",
        "dyn(1) == 1.0",
        "dyn(1) != '1'",
        "dyn(true) != dyn(1)",
        "[dyn(1)] == [dyn(1.0)]",
        "{'a': [1]} == {'a': [1]}",
        "duration('1h') > duration('59m')",
        "type(1) == int",
        "type(self.any) == string",
        # logic: the side that decides is enough
        "true || 1 / 0 > 0",
        "1 / 0 > 0 || true",
        "!(false && 1 / 0 > 0)",
        "!(1 / 0 > 0 && false)",
        "false ? 1/0 == 1 : true",
        # fields
        "self.name == 'web'",
        "self.labels['x'] == '1'",
        "self.labels.x == '1'",
        "has(self.name) && !has(self.absent)",
        "'x' in self.labels && !('y' in self.labels)",
        "2 in [1, 2]",
        "self.tags[1] == 'b'",
        "size(self.tags) == 2 && self.name.size() == 3 && size({}) == 0",
        # macros
        "self.ports.all(p, p.port > 0)",
        "self.ports.exists(p, p.port == 80)",
        "self.ports.exists_one(p, p.name == 'http')",
        "self.ports.map(p, p.port) == [80, 443]",
        "self.ports.map(p, p.port > 100, p.name) == ['https']",
        "self.ports.filter(p, p.port < 100).size() == 1",
        "self.labels.all(k, k == 'x')",
        "[].all(x, x > 0)",
        "[0, 2].exists(x, 4 / x == 2)",
        "![0, 2].all(x, 4 / x == 3)",
        "self.tags.all(i, t, self.tags[i] == t)",
        "self.tags.transformList(i, t, t + string(i)) == ['a0', 'b1']",
        "self.labels.exists(k, v, v == '1')",
        "{'a': 1, 'b': 2}.transformMap(k, v, v > 1, v * 2) == {'b': 4}",
        "{'a': 'x'}.transformMapEntry(k, v, {v: k}) == {'x': 'a'}",
        "[3, 1, 2].sortBy(x, -x) == [3, 2, 1]",
        "[1, 2].map(x, [3].map(x, x)[0] + x) == [4, 5]",
        # optional values
        "self.?name.hasValue()",
        "self.?absent.orValue('q') == 'q'",
        "!optional.none().hasValue()",
        "self.labels[?'y'].or(optional.of('z')).value() == 'z'",
        "self.tags[?7].orValue('none') == 'none'",
        "optional.of(2).optMap(x, x * 2).value() == 4",
        "[1, ?self.tags.size() > 5 ? optional.of(2) : optional.none()] == [1]",
        "{?'a': optional.none()} == {}",
        "optional.ofNonZeroValue('') == optional.none()",
        # conversions
        "int('42') == 42",
        "int(3.9) == 3",
        "uint(3) == 3u",
        "double('1.5') == 1.5",
        "string(1.0) == '1'",
        "string(true) == 'true'",
        "bool('true')",
        "string(b'abc') == 'abc'",
        "string(duration('90m')) == '5400s'",
        "string(timestamp('2020-02-29T12:00:00.5+01:00')) == '2020-02-29T11:00:00.5Z'",
        "int(timestamp('1970-01-01T00:01:00Z')) == 60",
        # strings
        "'hello'.charAt(1) == 'e' && 'hello'.charAt(5) == ''",
        "'tacocat'.indexOf('ac') == 1",
        "'tacocat'.lastIndexOf('a') == 5",
        "'Ab'.lowerAscii() + 'Ab'.upperAscii() == 'abAB'",
        "'a-b-c'.replace('-', '', 1) == 'ab-c'",
        "'a,b,c'.split(',', 2) == ['a', 'b,c']",
        "'hello'.substring(1, 3) == 'el'",
        "' x\\t'.trim() == 'x'",
        "['a', 'b'].join('-') == 'a-b'",
        "'abc'.contains('b') && 'abc'.startsWith('ab') && 'abc'.endsWith('c')",
        "'%s is %s'.format(['a', 'b']) == 'a is b'",
        "'%d%% %.2f %x'.format([dyn(5), dyn(1.0), dyn(255)]) == '5% 1.00 ff'",
        "'%s %d'.format(['a', 1]) == 'a 1'",
        "'%.1f %e'.format([1234.5, 3.14]) == '1,234.5 3.140000×10⁰⁰'",
        "'%s'.format([[{'b': 1, 'a': 2}]]) == '[{\"a\":2, \"b\":1}]'",
        "strings.quote('a\"b') == '\"a\\\\\"b\"'",
        "'abc123'.matches('[0-9]+$')",
        "!'abc\\n'.matches('^abc$')",
        "'abc 123 45'.find('[0-9]+') == '123'",
        "'1 2 3'.findAll('[0-9]', 2) == ['1', '2']",
        # lists and sets
        "[1, 2, 2].isSorted() && ![2, 1].isSorted()",
        "[1, 3, 2].max() == 3 && [2.5, 1.0].min() == 1.0",
        "[1, 2, 3].sum() == 6",
        "[1, 2, 1].indexOf(1) == 0 && [1, 2, 1].lastIndexOf(1) == 2",
        "[1, 2, 3].slice(1, 3) == [2, 3]",
        "[[1], [2, 3]].flatten() == [1, 2, 3]",
        "[1, 2, 1].distinct() == [1, 2]",
        "[1, 2].reverse() == [2, 1]",
        "[3, 1].sort() == [1, 3]",
        "lists.range(3) == [0, 1, 2]",
        "sets.contains([1, 2], [2])",
        "sets.equivalent([1, 1, 2], [2, 1])",
        "sets.intersects([1], [1, 2]) && !sets.intersects([1], [2])",
        # times
        "timestamp('2024-02-29T23:59:59Z').getFullYear() == 2024",
        "timestamp('2024-02-29T23:59:59Z').getDayOfYear() == 59",
        "timestamp('2024-02-29T23:59:59Z').getHours('+02:00') == 1",
        "timestamp('2024-03-03T00:00:00Z').getDayOfWeek() == 0",
        "duration('1h30m').getMinutes() == 90",
        "timestamp('2020-01-01T00:00:00Z') + duration('24h') == timestamp('2020-01-02T00:00:00Z')",
        "timestamp('2020-01-02T00:00:00Z') - timestamp('2020-01-01T00:00:00Z') == duration('24h')",
        "1 // a comment\n == 1",
    ],
)
def test_what_holds(text: str) -> None:
    assert value(text) is True


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1 / (self.count - 3)", "division by zero"),
        ("5 % (self.count - 3)", "modulus by zero"),
        ("9223372036854775807 + self.count", "integer overflow"),
        ("0u - 1u", "unsigned integer overflow"),
        ("-(-9223372036854775807 - 1)", "integer overflow"),
        ("self.absent", "no such key: absent"),
        ("self.labels['y']", "no such key: y"),
        ("self.tags[2]", "index out of bounds: 2"),
        ("self.any > 4", "no such overload"),
        ("self.any && true", "no such overload"),
        ("int(self.name)", 'cannot convert "web" to int'),
        ("self.name.substring(9)", "index out of range: 9"),
        ("[1].filter(x, x > 5).max()", "max called on empty list"),
        ("self.name.matches(self.name + '(')", "error parsing regexp"),
        ("optional.none().value()", "optional.none() dereference"),
        ("{'a': 1, self.tags[0]: 2}", "Failed with repeated key a"),
        ("duration(self.name)", 'invalid duration "web"'),
        ("self.tags[dyn(0.0 / 0.0)]", "unsupported index value: nan"),
        ("self.tags[dyn(null)]", "no such overload"),
        ("dyn(self.name)[0]", "no such overload"),
        ("dyn(self.labels)[[1]]", "no such key"),
        ("[lists.range(500).map(i, 'abcdefghij').join()].map(x, x.replace('', x)) == []", "is too long"),
        ("'%.5000f'.format([1.0])", "is too long"),
        ("timestamp('9999-12-31T23:59:59Z') + duration('1s')", "timestamp overflow"),
    ],
)
def test_what_cannot_be_computed(text: str, problem: str) -> None:
    with pytest.raises(EvaluationError, match=r".*") as found:
        value(text)
    assert problem in str(found.value)


@pytest.mark.parametrize(
    ("text", "at", "problem"),
    [
        ("self.foo", 4, "undefined field 'foo'"),
        ("self.name == 'a' && has(self.nope)", 23, "undefined field 'nope'"),
        ("nope", 0, "undeclared reference to 'nope' (in container '')"),
        ("nope(1)", 4, "undeclared reference to 'nope' (in container '')"),
        ("self.name + 1", 10, "found no matching overload for '_+_' applied to '(string, int)'"),
        ("self.name.size(1)", 14, "found no matching overload for 'size' applied to 'string.(int)'"),
        ("1 == 1.0", 2, "found no matching overload for '_==_' applied to '(int, double)'"),
        (
            "self.count.all(x, true)",
            4,
            "expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)",
        ),
        ("[1].all(x, x)", 11, "expected type 'bool' but found 'int'"),
        ("[1, 'a']", 4, "expected type 'int' but found 'string'"),
        ("self.count.x", 10, "type 'int' does not support field selection"),
        ("'a'.matches('[')", 12, "invalid matches argument"),
        ("duration('x')", 9, "invalid duration argument"),
        ("has(self)", 3, "invalid argument to has() macro"),
        ("1 +", 3, "Syntax error: mismatched input '<EOF>'"),
        ("(1", 2, "Syntax error: mismatched input '<EOF>' expecting ')'"),
        ("1 2", 2, "Syntax error: mismatched input '2'"),
        ("'a", 0, "Syntax error: token recognition error at: '''"),
        ("9223372036854775808", 0, "invalid int literal"),
        ("namespace", 0, "reserved identifier: namespace"),
        ("[1].map(1, 2)", 8, "argument must be a simple name"),
        ("[1].exists(i, i, true)", 14, "duplicate iteration variable"),
    ],
)
def test_what_does_not_compile(text: str, at: int, problem: str) -> None:
    with pytest.raises(CompileError) as found:
        value(text)
    assert [(issue.at, issue.message) for issue in found.value.issues] == [(at, problem)]


def test_an_error_shows_its_place() -> None:
    with pytest.raises(CompileError) as found:
        value("self.name == 'a' &&\n  self.foo")
    assert str(found.value) == "ERROR: <input>:2:7: undefined field 'foo'\n |   self.foo\n | ......^"


def test_the_variables_an_expression_uses() -> None:
    types = {"self": SELF, "oldSelf": SELF}
    assert compile_program("self.tags.all(oldSelf, oldSelf != '')", types).uses == {"self"}
    assert compile_program("self == oldSelf", types).uses == {"self", "oldSelf"}


def test_steps_are_counted() -> None:
    program = compile_program("[1, 2, 3].all(x, [1, 2, 3].all(y, x + y > 0))", {})
    _, left = program.value({}, STEPS)
    assert 30 < STEPS - left < 100
    with pytest.raises(CostExceeded):
        program.value({}, 30)
    with pytest.raises(CostExceeded):
        compile_program("true || [1, 2, 3, 4].all(x, x > 0)", {}).value({}, -1)


def test_types_are_written_and_read() -> None:
    for text in ("map(string, list(int))", "optional_type(dyn)", "google.protobuf.Duration"):
        names = text.replace("optional_type", "optional").replace("google.protobuf.Duration", "duration")
        assert str(parse_type(names)) == text
    assert fits(parse_type("list(A)"), parse_type("list(int)"), found := {}) and found == {"A": INT}
    assert not fits(parse_type("map(A,A)"), parse_type("map(int,string)"), {})


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1.0, True),
        (UInt(1), 1, True),
        (True, 1, False),
        (None, 0, False),
        ("1", 1, False),
        ([1], [1.0], True),
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": 1}, {"b": 1}, False),
        (Duration(1), Timestamp(1), False),
        (b"a", "a", False),
    ],
)
def test_equality(one: Any, other: Any, same: bool) -> None:
    assert equal(one, other) is same and equal(other, one) is same


numbers = st.integers(-(2**63), 2**63 - 1)


@given(numbers, numbers, st.sampled_from("+-*"))
def test_integers_are_exact_or_overflow(one: int, other: int, sign: str) -> None:
    expected = {"+": operator.add, "-": operator.sub, "*": operator.mul}[sign](one, other)
    program = compile_program(f"a {sign} b", {"a": INT, "b": INT})
    if -(2**63) <= expected < 2**63:
        assert program.value({"a": one, "b": other}, STEPS)[0] == expected
    else:
        with pytest.raises(EvaluationError, match="overflow"):
            program.value({"a": one, "b": other}, STEPS)


@given(numbers, numbers.filter(bool))
def test_division_goes_towards_zero(one: int, other: int) -> None:
    names = {"a": INT, "b": INT}
    program = compile_program("(a / b) * b + a % b == a && (a % b == 0 || (a % b < 0) == (a < 0))", names)
    if (one, other) != (-(2**63), -1):
        assert program.value({"a": one, "b": other}, STEPS)[0] is True


WORDS = [
    "self",
    "name",
    "in",
    "'a'",
    "1",
    "2u",
    "1.5",
    "true",
    "null",
    "has",
    "all",
    "x",
    "exists",
    "map",
    "size",
    "b'",
]
MARKS = [".", "[", "]", "(", ")", "{", "}", ",", ":", "?", "!", "-", "+", "*", "/", "%", "<", "==", "&&", "||", "r'"]


@given(st.lists(st.sampled_from([*WORDS, *MARKS]), max_size=12).map(" ".join) | st.text(max_size=30))
@example("(" * 300)
@example("-" * 5000 + "1")
@example("[" * 3000)
@example("1" + "+1" * 5000)
@example("self" + ".name" * 5000)
@example("true" + "&&true" * 3000)
@example("'a'" + ".trim()" * 500)
def test_junk_gives_compile_errors_only(text: str) -> None:
    try:
        program = compile_program(text, {"self": SELF})
    except CompileError:
        return
    assert isinstance(program.type, Type) and parse(text) is not None
    try:
        program.value({"self": VALUE}, STEPS)
    except (EvaluationError, CostExceeded):
        return
