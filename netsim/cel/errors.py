"""What can be wrong with an expression: it does not compile, or a value cannot be computed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Issue:
    """One thing that keeps an expression from compiling; `at` counts characters from the start."""

    at: int
    message: str


class CompileError(ValueError):
    """An expression that is no expression, or not one of the types at hand. Its text shows where, as cel-go does;
    `reading` are the steps that its patterns took."""

    def __init__(self, text: str, issues: Iterable[Issue], reading: int = 0) -> None:
        self.issues, self.reading = sorted(set(issues)), reading
        super().__init__("\n".join(_render(text, issue) for issue in self.issues))


def _render(text: str, issue: Issue) -> str:
    before = text[: issue.at]
    line, column = before.count("\n"), issue.at - (before.rfind("\n") + 1)
    shown = (text.split("\n")[line : line + 1] or [""])[0].replace("\t", " ")
    return f"ERROR: <input>:{line + 1}:{column + 1}: {issue.message}\n | {shown}\n | {'.' * column}^"


class EvaluationError(Exception):
    """A value that cannot be computed: a missing key, an overflow, arguments of no overload. `&&` and `||` pass over
    it where the other side decides."""


class CostExceeded(Exception):
    """The evaluation took more steps than it may."""


def no_such_overload() -> EvaluationError:
    return EvaluationError("no such overload")
