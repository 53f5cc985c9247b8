"""The nodes of a parsed expression. `at` is the character to which errors point."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Literal:
    """`kind` is the name of a type: "int", "uint", "double", "string", "bytes", "bool" or "null"."""

    at: int
    kind: str
    value: Any


@dataclass(slots=True)
class Name:
    at: int
    name: str


@dataclass(slots=True)
class Select:
    """operand.field, operand.?field, or has(operand.field) with `test`."""

    at: int
    operand: Node
    field: str
    optional: bool = False
    test: bool = False


@dataclass(slots=True)
class Call:
    """A function, operator (`_+_`, `@in`) or, with a target, a method. `chosen` is left by the checker: the overloads
    that may apply, and whether the arguments' types are sure."""

    at: int
    function: str
    target: Node | None
    arguments: list[Node]
    chosen: tuple[Any, ...] = ()
    sure: bool = False


@dataclass(slots=True)
class ListNode:
    """`optional` are the indices of elements written as `?x`."""

    at: int
    items: list[Node]
    optional: frozenset[int] = frozenset()


@dataclass(slots=True)
class MapNode:
    at: int
    entries: list[tuple[Node, Node]]
    optional: frozenset[int] = frozenset()


@dataclass(slots=True)
class Macro:
    """A comprehension over `range`, or optMap and optFlatMap of it: `name` says which; `variables` are bound in
    `bodies`."""

    at: int
    name: str
    range: Node
    variables: tuple[str, ...]
    bodies: list[Node] = field(default_factory=list)


Node = Literal | Name | Select | Call | ListNode | MapNode | Macro


def children(node: Node) -> list[Node]:
    """The nodes right below one."""
    match node:
        case Select():
            return [node.operand]
        case Call():
            return [*([node.target] if node.target is not None else []), *node.arguments]
        case ListNode():
            return node.items
        case MapNode():
            return [part for entry in node.entries for part in entry]
        case Macro():
            return [node.range, *node.bodies]
    return []
