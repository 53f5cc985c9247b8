"""Patterns as RE2 reads them, the errors as Go words them, and what a hostile one may take."""

from __future__ import annotations

import subprocess
import sys
import time
from itertools import islice

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from netsim.cel.errors import EvaluationError
from netsim.cel.program import compile_program
from netsim.cel.regex import LONGEST, compiled
from netsim.cel.types import DYN

SECONDS = 1.0


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("^(?i)ab$", "AB", True),
        ("^ab$", "ab\n", False),
        ("(?m)^a$", "a\nb", True),
        ("a(?i)b|c", "C", True),
        ("a(?i)b|c", "Ab", False),
        ("(a(?i)b)c", "aBc", True),
        ("(a(?i)b)c", "aBC", False),
        ("[[:alpha:]_]+", "é", False),
        (r"^[^\]]$", "]", False),
        ("^[]a]$", "]", True),
        (r"\Qa.b\E$", "axb", False),
        (r"\Qa.b\E$", "a.b", True),
        (r"^\Q\C{9999999999}\E$", r"\C{9999999999}", True),
        (r"^\\C[[:alpha:]{9999999999}]$", r"\C9", True),
        ("(?P<x>a)(?<y>b)", "ab", True),
        (r"\d", "٣", False),
        ("[a-z$]", "$", True),
        (r"a\z", "a\n", False),
        (r"^\p{L}+$", "größe", True),
        (r"^[^\p{Lu}]$", "É", False),
        ("^.$", "é", True),
        (r"^\x{e9}$", "é", True),
        ("(?U)^a+$", "aa", True),
        ("b", "abc", True),
        ("", "", True),
    ],
)
def test_patterns_are_read_as_re2_reads_them(pattern: str, text: str, found: bool) -> None:
    assert compiled(pattern).found_in(text) is found


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("(a", "missing closing ): `(a`"),
        ("a)", "unexpected ): `a)`"),
        ("b[a-", "missing closing ]: `[a-`"),
        ("*a", "missing argument to repetition operator: `*`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("a++", "invalid nested repetition operator: `++`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("(a{100}){100}", "invalid repeat count: `{100}`"),
        ("a{2,1}", "invalid repeat count: `{2,1}`"),
        ("a{9999999999}", "invalid repeat count: `{9999999999}`"),
        ("a{1,9999999999}", "invalid repeat count: `{1,9999999999}`"),
        ("a\\", "trailing backslash at end of expression: ``"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        ("(?!a)", "invalid or unsupported Perl syntax: `(?!`"),
        ("(?z)a", "invalid or unsupported Perl syntax: `(?z`"),
        ("(?P<n-1>a)", "invalid named capture: `(?P<n-1>`"),
        (r"(a)\1", r"invalid escape sequence: `\1`"),
        (r"a\Z", r"invalid escape sequence: `\Z`"),
        (r"[x]\C", r"invalid escape sequence: `\C`"),
        ("[z-a]", "invalid character class range: `z-a`"),
        ("[[:x:]]", "invalid character class range: `[:x:]`"),
        (r"\p{Foo}", r"invalid character class range: `\p{Foo}`"),
        (r"(\p{L}{1,30}){1,30}", r"expression too large: `(\p{L}{1,30}){1,30}`"),
        ("é" * LONGEST + "a", f"expression too large: `{'é' * 100}...`"),
    ],
)
def test_errors_are_worded_as_go_words_them(pattern: str, problem: str) -> None:
    with pytest.raises(EvaluationError) as found:
        compiled(pattern)
    assert str(found.value) == f"error parsing regexp: {problem}"


def test_looking_behind_is_refused() -> None:
    with pytest.raises(EvaluationError, match="error parsing regexp"):
        compiled("(?<=a)b")


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("a*", "baaau", ["", "aaa", ""]),
        ("x*", "éé", ["", "", ""]),
        ("(a)|b", "abc", ["a", "b"]),
        ("é", "aé", ["é"]),
        ("x", "a", []),
    ],
)
def test_matches_are_told_from_left_to_right(pattern: str, text: str, found: list[str]) -> None:
    assert list(compiled(pattern).each(text)) == found
    assert compiled(pattern).first(text) == next(iter(found), "")
    assert list(islice(compiled(pattern).each(text), 1)) == found[:1]


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("^(a+)+$", "a" * 33 + "!"),
        ("^(a+)+$", "a" * 1_000_000 + "!"),
        ("(x+x+)+y", "x" * 100_000),
        ("(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)z", "a" * 100_000),
        ("(?:a?){500}a{500}", "a" * 499 + "b"),
        ("(a|aa)+$", "a" * 100_000 + "b"),
    ],
)
def test_a_hostile_pattern_ends_quickly(pattern: str, text: str) -> None:
    before = time.process_time()
    assert not compiled(pattern).found_in(text)
    assert time.process_time() - before < SECONDS


@pytest.mark.parametrize(
    "pattern", ["(" * 5000, "(" * 5000 + ")" * 5000, "(?:" * 2400 + "a" + ")*" * 1200, "[" * LONGEST]
)
def test_deep_nesting_ends_quickly(pattern: str) -> None:
    before = time.process_time()
    try:
        assert compiled(pattern).found_in("a")
    except EvaluationError as error:
        assert "missing closing" in str(error)
    assert time.process_time() - before < SECONDS


def test_a_rule_that_matches_a_hostile_pattern_ends_quickly() -> None:
    program = compile_program("self.matches('^(a+)+$')", {"self": DYN})
    before = time.process_time()
    assert program.value({"self": "a" * 33 + "!"}, 10_000)[0] is False
    assert time.process_time() - before < SECONDS


@given(st.text(alphabet=r"ab()[]{}*+?|^$.\\QECpLx0129,:-<>P=i&é", max_size=40), st.text(max_size=20))
@example(r"\Q", "")
def test_junk_is_a_pattern_or_an_error(pattern: str, text: str) -> None:
    try:
        read = compiled(pattern)
    except EvaluationError as error:
        assert str(error).startswith("error parsing regexp: ")
        return
    assert read.found_in(text) is (next(read.each(text), None) is not None)


def test_the_engine_is_loaded_with_the_first_pattern_and_writes_nothing() -> None:
    script = (
        "import sys, netsim.cel.regex as regex\n"
        "assert 're2' not in sys.modules\n"
        "try: regex.compiled('(')\n"
        "except regex.EvaluationError: pass\n"
        "assert 're2' in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
