"""Regular expressions as Kubernetes has them: RE2, which never goes back: time grows in proportion to the text.

The engine is C++'s; what Go's, which Kubernetes uses, refuses besides is refused here, in Go's words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from netsim.cel.errors import EvaluationError

LONGEST = 10_000
"""Characters of a pattern. A class of all letters in so many can cost 0.1 s to read."""
_MEMORY = 4 << 20  # bytes of one pattern, its automaton included
_KEPT = 256  # with _MEMORY: 1 GiB of patterns at worst, a few MiB in practice
_TOO_LARGE = "pattern too large - compile failed"
_IN_GO = {
    "missing )": "missing closing )",
    "missing ]": "missing closing ]",
    "trailing \\": "trailing backslash at end of expression",
    "no argument for repetition operator": "missing argument to repetition operator",
    "bad repetition operator": "invalid nested repetition operator",
    "invalid repetition size": "invalid repeat count",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid named capture group": "invalid named capture",
}
"""Problems that the two engines name differently; of the others the words are the same."""
_REFUSED_BY_GO = re.compile(
    r"\\Q.*?(?:\\E|\Z)|(?P<byte>\\C)|\\.|\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\]"
    r"|(?P<count>\{(?:\d+,)?[1-9]\d{9,}(?:,\d*)?\})",
    re.DOTALL,
)
"""A single byte, and counts that C++'s engine takes for plain text since they are so large."""


MOST_READING = 1_000_000
"""Steps for reading the patterns of one expression, and of one definition: a second or so."""
_MOST_TO_READ = 100_000
"""Steps charged for a pattern that takes too much memory, besides those for its length."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """`states` are how many places of the pattern a search may be at, at once; `size` is that of its program."""

    _engine: Any
    states: int
    size: int

    def found_in(self, text: str) -> bool:
        return self._engine.search(text) is not None

    def first(self, text: str) -> str:
        """The leftmost match, "" if there is none."""
        found = self._engine.search(text)
        return found[0] if found else ""

    def each(self, text: str) -> Iterator[str]:
        """All matches from left to right; an empty one right behind another is none, as in Go."""
        end = -1
        for found in self._engine.finditer(text):
            if found.end() != end:
                yield found[0]
            end = found.end()


def compiled(pattern: str) -> Pattern:
    """The pattern ready to search with; EvaluationError, worded as by Go's regexp.Compile, for what is none in RE2's
    syntax (https://github.com/google/re2/wiki/Syntax) or takes too much memory."""
    found = _read(pattern)
    if isinstance(found, EvaluationError):
        raise found.with_traceback(None)
    return found


def reading_steps(pattern: str) -> int:
    """What it takes to compile a pattern: about a microsecond for each of the steps."""
    found = _read(pattern)
    if isinstance(found, EvaluationError):
        return 10 * len(pattern) + (_MOST_TO_READ if "expression too large" in str(found) else 0)
    return 10 * len(pattern) + found.size


@lru_cache(maxsize=_KEPT)
def _read(pattern: str) -> Pattern | EvaluationError:
    if len(pattern) > LONGEST:
        return _wrong("expression too large", f"{pattern[:100]}...")
    import re2

    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = _MEMORY
    try:
        engine = re2.compile(pattern, options)
        _refuse_what_go_refuses(pattern)
        # Without UTF-8, in which one class of characters may be hundreds of states of which a few are in use.
        options.encoding = re2.Options.Encoding.LATIN1
        states = re2.compile(pattern.encode(), options).programsize
    except re2.error as error:
        return _in_go(error.args[0].decode("utf-8", "replace"), pattern)
    except EvaluationError as error:
        return error
    return Pattern(engine, states, engine.programsize)


def _in_go(problem: str, pattern: str) -> EvaluationError:
    """From "missing ): (a"."""
    if problem == _TOO_LARGE:
        return _wrong("expression too large", pattern)
    why, _, where = problem.partition(": ")
    return _wrong(_IN_GO.get(why, why), where)


def _refuse_what_go_refuses(pattern: str) -> None:
    for found in _REFUSED_BY_GO.finditer(pattern):
        if found["byte"] is not None:
            raise _wrong("invalid escape sequence", found["byte"])
        if found["count"] is not None:
            raise _wrong("invalid repeat count", found["count"])


def _wrong(why: str, where: str) -> EvaluationError:
    return EvaluationError(f"error parsing regexp: {why}: `{where}`")
