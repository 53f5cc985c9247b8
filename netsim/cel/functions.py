"""Functions by name, each with overloads: a signature and what computes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from netsim.cel.errors import no_such_overload
from netsim.cel.types import Type, parse_type
from netsim.cel.values import type_name

Implementation = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Overload:
    """One way to call a function. `member`: the first argument stands before the dot."""

    name: str
    arguments: tuple[Type, ...]
    result: Type
    member: bool
    compute: Implementation

    def takes(self, values: Sequence[Any]) -> bool:
        """Whether these very values are of its arguments' types."""
        return len(values) == len(self.arguments) and all(map(_is_of, self.arguments, values))


def _is_of(wanted: Type, value: Any) -> bool:
    if wanted.is_parameter or wanted.is_open:
        return True
    if type_name(value) != wanted.name:
        return False
    return wanted.name != "list" or not value or _is_of(wanted.parameters[0], value[0])


class Library:
    """Overloads by function name, and the names that stand for types."""

    def __init__(self, functions: Mapping[str, tuple[Overload, ...]], type_names: Mapping[str, Type]) -> None:
        self.functions, self.type_names = functions, type_names

    def overloads(self, name: str, *, member: bool) -> list[Overload]:
        return [each for each in self.functions.get(name, ()) if each.member == member]

    def __or__(self, other: Library) -> Library:
        functions = dict(self.functions)
        for name, overloads in other.functions.items():
            functions[name] = (*functions.get(name, ()), *overloads)
        return Library(functions, {**self.type_names, **other.type_names})


def library(*parts: Mapping[str, Implementation], types: Iterable[str] = ()) -> Library:
    """A library of functions by signature: "size(string) int", or "string::size() int" for a method; the result is
    written without spaces. `types` are names of opaque types."""
    functions: dict[str, tuple[Overload, ...]] = {}
    for part in parts:
        for signature, compute in part.items():
            made = _overload(signature, compute)
            functions[made.name] = (*functions.get(made.name, ()), made)
    return Library(functions, {name: Type(name) for name in types})


def _overload(signature: str, compute: Implementation) -> Overload:
    head, _, result = signature.rpartition(" ")
    target, method, call = head.rpartition("::")
    name, _, arguments = call.partition("(")
    listed = parse_type(f"x({arguments}") if arguments != ")" else Type("x")
    before = (parse_type(target),) if method else ()
    return Overload(name, (*before, *listed.parameters), parse_type(result), bool(method), compute)


def call(overloads: Sequence[Overload], values: Sequence[Any]) -> Any:
    """The value of the first overload that takes these values."""
    for each in overloads:
        if each.takes(values):
            return each.compute(*values)
    raise no_such_overload()
