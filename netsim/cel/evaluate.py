"""A checked tree becomes a function of a frame: each node a closure over those below it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from netsim.cel.access import at, has, maybe
from netsim.cel.ast import Call, ListNode, Literal, Macro, MapNode, Name, Node, Select, children
from netsim.cel.checker import dotted
from netsim.cel.cost import charge_of, shallow
from netsim.cel.errors import CostExceeded, EvaluationError, no_such_overload
from netsim.cel.functions import Library, Overload, call
from netsim.cel.macros import MACROS
from netsim.cel.types import DYN, Type, list_of, map_of, optional_of
from netsim.cel.values import Optional, UInt, find, is_missing, type_name


@dataclass(slots=True)
class Frame:
    """What an evaluation knows: its variables, and the steps it may still take."""

    variables: dict[str, Any]
    left: int

    def spend(self, steps: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise CostExceeded


Step = Callable[[Frame], Any]


def compiled(node: Node, library: Library, bound: frozenset[str]) -> Step:
    """The function that computes a node; `bound` are the names of variables."""
    return _BY_NODE[type(node)](node, library, bound)


def _literal(node: Literal, library: Library, bound: frozenset[str]) -> Step:
    value = UInt(node.value) if node.kind == "uint" else node.value
    return lambda frame: value


# --- names and fields ----------------------------------------------------------------------------------------------


def _name(node: Name, library: Library, bound: frozenset[str]) -> Step:
    name = node.name
    if name not in bound:
        value = _type_value(name, library)
        return lambda frame: value

    def read(frame: Frame) -> Any:
        frame.spend(1)
        return frame.variables[name]

    return read


def _type_value(name: str, library: Library) -> Type:
    known = {
        "null_type": Type("null"),
        "list": list_of(DYN),
        "map": map_of(DYN, DYN),
        "optional_type": optional_of(DYN),
    }
    return known.get(name) or library.type_names.get(name) or Type(name)


def _select(node: Select, library: Library, bound: frozenset[str]) -> Step:
    path = dotted(node)
    if path is not None and path.partition(".")[0] not in bound and path in library.type_names:
        named = library.type_names[path]
        return lambda frame: named
    operand, field = compiled(node.operand, library, bound), node.field
    if node.test:
        return lambda frame: has(operand(frame), field)
    if node.optional:
        return lambda frame: maybe(operand(frame), field)

    def select(frame: Frame) -> Any:
        frame.spend(1)
        owner = operand(frame)
        if isinstance(owner, dict):
            if field in owner:
                return owner[field]
            raise EvaluationError(f"no such key: {field}")
        if isinstance(owner, Optional):
            return maybe(owner, field)
        raise no_such_overload()

    return select


# --- calls ---------------------------------------------------------------------------------------------------------


def _call(node: Call, library: Library, bound: frozenset[str]) -> Step:
    steps = [compiled(each, library, bound) for each in children(node)]
    special = _SPECIAL.get(node.function)
    if special is not None:
        return special(*steps)
    charge = charge_of(node.function, [isinstance(each, Literal) for each in children(node)])
    compute = _direct(node.chosen[0]) if node.sure and len(node.chosen) == 1 else partial(call, node.chosen)

    def run(frame: Frame) -> Any:
        values = [step(frame) for step in steps]
        frame.spend(1 + shallow(values))
        if charge is not None:
            frame.spend(charge(values, frame.left))
        made = compute(values)
        frame.spend(shallow((made,)))
        return made

    return run


def _direct(overload: Overload) -> Callable[[Sequence[Any]], Any]:
    compute = overload.compute

    def run(values: Sequence[Any]) -> Any:
        try:
            return compute(*values)
        except (TypeError, AttributeError):
            if overload.takes(values):
                raise
            raise no_such_overload() from None  # a null where the type says otherwise

    return run


def _and(left: Step, right: Step) -> Step:
    return _junction(left, right, False)


def _or(left: Step, right: Step) -> Step:
    return _junction(left, right, True)


def _junction(left: Step, right: Step, decisive: bool) -> Step:
    """&& and ||: one side that decides is enough, even if the other cannot be computed."""

    def run(frame: Frame) -> bool:
        frame.spend(1)
        try:
            first = _boolean(left(frame))
        except EvaluationError:
            if _boolean(right(frame)) is decisive:
                return decisive
            raise
        return decisive if first is decisive else _boolean(right(frame))

    return run


def _boolean(value: Any) -> bool:
    if value is True or value is False:
        return bool(value)
    raise no_such_overload()


def _choice(condition: Step, then: Step, other: Step) -> Step:
    def run(frame: Frame) -> Any:
        frame.spend(1)
        return then(frame) if _boolean(condition(frame)) else other(frame)

    return run


def _index(owner: Step, key: Step) -> Step:
    def run(frame: Frame) -> Any:
        frame.spend(1)
        return at(owner(frame), key(frame))

    return run


def _optional_index(owner: Step, key: Step) -> Step:
    return lambda frame: maybe(owner(frame), key(frame))


def _or_value(target: Step, *other: Step) -> Step:
    """The alternative is computed only where it is needed."""

    def run(frame: Frame) -> Any:
        found = target(frame)
        if not isinstance(found, Optional):
            raise no_such_overload()
        return other[0](frame) if found.empty else found.value

    return run


def _or_optional(target: Step, *other: Step) -> Step:
    def run(frame: Frame) -> Any:
        found = target(frame)
        if not isinstance(found, Optional):
            raise no_such_overload()
        return other[0](frame) if found.empty else found

    return run


_SPECIAL: dict[str, Callable[..., Step]] = {
    "_&&_": _and, "_||_": _or, "_?_:_": _choice, "_[_]": _index, "_[?_]": _optional_index, "orValue": _or_value,
    "or": _or_optional,
}  # fmt: skip


# --- lists and maps ------------------------------------------------------------------------------------------------


def _list(node: ListNode, library: Library, bound: frozenset[str]) -> Step:
    steps = [(compiled(each, library, bound), i in node.optional) for i, each in enumerate(node.items)]

    def build(frame: Frame) -> list[Any]:
        frame.spend(1 + len(steps))
        return [item for step, optional in steps for item in _present(step(frame), optional)]

    return build


def _present(value: Any, optional: bool) -> Iterator[Any]:
    if not optional:
        yield value
    elif not isinstance(value, Optional):
        raise no_such_overload()
    elif not value.empty:
        yield value.value


def _map(node: MapNode, library: Library, bound: frozenset[str]) -> Step:
    steps = [
        (compiled(key, library, bound), compiled(value, library, bound), index in node.optional)
        for index, (key, value) in enumerate(node.entries)
    ]

    def build(frame: Frame) -> dict[Any, Any]:
        frame.spend(1 + len(steps))
        made: dict[Any, Any] = {}
        for key, value, optional in steps:
            name = key(frame)
            if type_name(name) not in ("bool", "int", "uint", "string"):
                raise EvaluationError("unsupported key type")
            if not is_missing(find(made, name)):
                raise EvaluationError(f"Failed with repeated key {name}")
            for item in _present(value(frame), optional):
                made[name] = item
        return made

    return build


# --- macros --------------------------------------------------------------------------------------------------------


def _macro(node: Macro, library: Library, bound: frozenset[str]) -> Step:
    source = compiled(node.range, library, bound)
    bodies = [compiled(body, library, bound | set(node.variables)) for body in node.bodies]
    run, names = MACROS[node.name], node.variables

    def over(frame: Frame) -> Any:
        frame.spend(1)
        outer = frame.variables
        frame.variables = dict(outer)
        try:
            return run(frame, source(frame), names, bodies)
        finally:
            frame.variables = outer

    return over


_BY_NODE: dict[type, Callable[..., Step]] = {
    Literal: _literal, Name: _name, Select: _select, Call: _call, ListNode: _list, MapNode: _map, Macro: _macro,
}  # fmt: skip
