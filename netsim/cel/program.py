"""The way in: a text is compiled once against the types of its variables, then computed as often as needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from netsim.cel import lists, standard, strings, times
from netsim.cel.checker import check
from netsim.cel.evaluate import Frame, Step, compiled
from netsim.cel.functions import Library, library
from netsim.cel.parser import parse
from netsim.cel.types import Type

STANDARD = library(standard.FUNCTIONS, times.FUNCTIONS, strings.FUNCTIONS, lists.FUNCTIONS)
"""The language's own functions with cel-go's extensions of strings, lists and sets."""
_NAMED_TIMES = {"google.protobuf.Timestamp": Type("timestamp"), "google.protobuf.Duration": Type("duration")}
STANDARD = STANDARD | Library({}, _NAMED_TIMES)


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled expression: its type, the variables it uses, how it is computed, and the steps that reading its
    patterns took."""

    text: str
    type: Type
    uses: frozenset[str]
    step: Step
    reading: int = 0

    def value(self, variables: Mapping[str, Any], steps: int) -> tuple[Any, int]:
        """(the value, the steps left of `steps`); raises EvaluationError or CostExceeded."""
        frame = self.frame(variables, steps)
        return self.step(frame), frame.left

    def frame(self, variables: Mapping[str, Any], steps: int) -> Frame:
        """What `step` computes with."""
        return Frame(dict(variables), steps)


def compile_program(text: str, variables: Mapping[str, Type], functions: Library = STANDARD) -> Program:
    """The program of an expression; raises CompileError."""
    tree = parse(text)
    found, used, reading = check(text, tree, functions, variables)
    return Program(text, found, frozenset(used), compiled(tree, functions, frozenset(variables)), reading)
