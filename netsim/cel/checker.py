"""Whether the types of an expression agree, and which overloads its calls mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from netsim.cel.ast import Call, ListNode, Literal, Macro, MapNode, Name, Node, Select, children
from netsim.cel.errors import CompileError, EvaluationError, Issue
from netsim.cel.functions import Library, Overload
from netsim.cel.regex import MOST_READING, compiled, reading_steps
from netsim.cel.times import parse_duration, parse_timestamp
from netsim.cel.types import (
    BOOL,
    DYN,
    ERROR,
    INT,
    STRING,
    Bindings,
    Type,
    common,
    fits,
    list_of,
    map_of,
    optional_of,
    resolved,
    type_of,
)

_READERS: dict[str, Callable[[str], object]] = {
    "matches": compiled, "duration": parse_duration, "timestamp": parse_timestamp,
}  # fmt: skip
_BASIC = ("bool", "int", "uint", "double", "string", "bytes")


def check(text: str, node: Node, library: Library, variables: Mapping[str, Type]) -> tuple[Type, set[str], int]:
    """(the type of the expression, the variables it uses, the steps that reading its patterns took); raises
    CompileError with everything that is wrong."""
    checker = _Checker(library, variables)
    found = resolved(checker.type_of(node, dict(variables)), {})
    if checker.issues:
        raise CompileError(text, checker.issues, checker.reading)
    return found, checker.used, checker.reading


class _Checker:
    def __init__(self, library: Library, variables: Mapping[str, Type]) -> None:
        self._library = library
        self._outer = variables
        self._mixing = 0
        self.issues: list[Issue] = []
        self.used: set[str] = set()
        self.reading = 0

    def _wrong(self, at: int, message: str) -> Type:
        self.issues.append(Issue(at, message))
        return ERROR

    def type_of(self, node: Node, scope: Mapping[str, Type]) -> Type:
        if isinstance(node, Literal):
            return Type(node.kind)
        return self._BY_NODE[type(node)](self, node, scope)

    # --- names and fields

    def _name(self, node: Name, scope: Mapping[str, Type]) -> Type:
        if node.name in scope:
            if scope[node.name] is self._outer.get(node.name):
                self.used.add(node.name)
            return scope[node.name]
        named = self._type_named(node.name)
        return named or self._wrong(node.at, f"undeclared reference to '{node.name}' (in container '')")

    def _type_named(self, name: str) -> Type | None:
        if name in _BASIC or name in ("type", "null_type", "dyn"):
            return type_of(Type("null" if name == "null_type" else name))
        if name in ("list", "map", "optional_type"):
            inner = {"list": list_of(DYN), "map": map_of(DYN, DYN), "optional_type": optional_of(DYN)}[name]
            return type_of(inner)
        return type_of(self._library.type_names[name]) if name in self._library.type_names else None

    def _select(self, node: Select, scope: Mapping[str, Type]) -> Type:
        path = dotted(node)
        if path is not None and path.partition(".")[0] not in scope:
            named = self._type_named(path)
            if named is not None:
                return named
        found = self._field(node, self.type_of(node.operand, scope))
        return BOOL if node.test else found

    def _field(self, node: Select, operand: Type) -> Type:
        if operand.name == "optional":
            inner = self._field(node, operand.parameters[0])
            return inner if inner.name == "optional" or inner is ERROR else optional_of(inner)
        found = self._plain_field(node, operand)
        return optional_of(found) if node.optional and found is not ERROR else found

    def _plain_field(self, node: Select, operand: Type) -> Type:
        if operand.is_open:
            return DYN
        if operand.name == "map":
            if not fits(operand.parameters[0], STRING, {}):
                return self._wrong(node.at, f"type '{operand}' does not support field selection")
            return operand.parameters[1]
        if operand.fields or operand.name == "object":
            if node.field not in operand.fields:
                return self._wrong(node.at, f"undefined field '{node.field}'")
            return operand.fields[node.field]
        return self._wrong(node.at, f"type '{operand}' does not support field selection")

    # --- calls

    def _call(self, node: Call, scope: Mapping[str, Type]) -> Type:
        path = self._qualified(node, scope)
        if path:
            node.function, node.target = path, None
        self._mixing += node.function == "format"
        given = [self.type_of(each, scope) for each in children(node)]
        self._mixing -= node.function == "format"
        overloads = self._library.overloads(node.function, member=node.target is not None)
        if not self._library.functions.get(node.function):
            return self._wrong(node.at, f"undeclared reference to '{node.function}' (in container '')")
        if any(each is ERROR for each in given):
            return ERROR
        chosen = [each for each in overloads if _accepts(each, given) is not None]
        if not chosen:
            return self._wrong(
                node.at, f"found no matching overload for '{node.function}' applied to '{_applied(node, given)}'"
            )
        self._check_literal(node)
        node.chosen, node.sure = tuple(chosen), not any(each.is_open for each in given)
        return self._result(chosen, given)

    def _check_literal(self, node: Call) -> None:
        """A pattern or time that is written out is looked at once, and not only when it is needed."""
        read, argument = _READERS.get(node.function), node.arguments[-1] if node.arguments else None
        if read is None or not isinstance(argument, Literal) or argument.kind != "string":
            return
        if read is compiled:
            if self.reading > MOST_READING:
                return
            self.reading += reading_steps(argument.value)
            if self.reading > MOST_READING:
                self._wrong(argument.at, "the patterns are too large")
        try:
            read(argument.value)
        except EvaluationError:
            self._wrong(argument.at, f"invalid {node.function} argument")

    def _qualified(self, node: Call, scope: Mapping[str, Type]) -> str:
        """The name of a function whose dots look like fields: `sets.contains`."""
        path = dotted(node.target) if node.target is not None else None
        if path is None or path.partition(".")[0] in scope:
            return ""
        name = f"{path}.{node.function}"
        return name if name in self._library.functions else ""

    def _result(self, chosen: list[Overload], given: list[Type]) -> Type:
        results: list[Type] = []
        for each in chosen:
            bound = _accepts(each, given)
            results.append(resolved(each.result, bound or {}))
        same = all(each == results[0] for each in results)
        return results[0] if same else DYN

    # --- lists and maps

    def _list(self, node: ListNode, scope: Mapping[str, Type]) -> Type:
        found = [(each.at, self._element(each, index in node.optional, scope)) for index, each in enumerate(node.items)]
        return list_of(self._joined(found))

    def _element(self, node: Node, optional: bool, scope: Mapping[str, Type]) -> Type:
        found = self.type_of(node, scope)
        if not optional or found.is_open:
            return found
        if found.name != "optional":
            return self._wrong(node.at, f"expected type 'optional_type({found})' but found '{found}'")
        return found.parameters[0]

    def _joined(self, found: list[tuple[int, Type]]) -> Type:
        """The one type that elements have: what differs is an error, as Kubernetes asks for, but in the
        arguments of format."""
        joined: Type | None = None
        for at, each in found:
            both = each if joined is None else common(joined, each)
            if both is None and self._mixing:
                joined = DYN
            elif both is None:
                self._wrong(at, f"expected type '{joined}' but found '{each}'")
            else:
                joined = both
        return DYN if joined is None else joined

    def _map(self, node: MapNode, scope: Mapping[str, Type]) -> Type:
        keys = [(key.at, self.type_of(key, scope)) for key, _ in node.entries]
        pairs = enumerate(node.entries)
        values = [(value.at, self._element(value, index in node.optional, scope)) for index, (_, value) in pairs]
        return map_of(self._joined(keys), self._joined(values))

    # --- macros

    def _macro(self, node: Macro, scope: Mapping[str, Type]) -> Type:
        given = self.type_of(node.range, scope)
        if node.name in ("optMap", "optFlatMap"):
            return self._on_optional(node, given, scope)
        if given.name not in ("list", "map") and not given.is_open:
            why = f"expression of type '{given}' cannot be range of a comprehension (must be list, map, or dynamic)"
            self._wrong(node.range.at, why)
            given = ERROR
        inner = {**scope, **dict(zip(node.variables, _items(given, len(node.variables)), strict=True))}
        bodies = [self.type_of(body, inner) for body in node.bodies]
        return self._of_macro(node, given, bodies)

    def _on_optional(self, node: Macro, given: Type, scope: Mapping[str, Type]) -> Type:
        if given.name != "optional" and not given.is_open:
            return self._wrong(node.at, f"found no matching overload for 'hasValue' applied to '{given}.()'")
        inner = given.parameters[0] if given.parameters else DYN
        body = self.type_of(node.bodies[0], {**scope, node.variables[0]: inner})
        return optional_of(body) if node.name == "optMap" else body

    def _of_macro(self, node: Macro, given: Type, bodies: list[Type]) -> Type:
        if node.name in ("all", "exists", "exists_one"):
            self._must_be_bool(node.bodies[0], bodies[0])
            return BOOL
        item = _items(given, 1)[0]
        if node.name == "filter":
            self._must_be_bool(node.bodies[0], bodies[0])
            return list_of(item)
        if node.name == "sortBy":
            return list_of(item)
        if len(bodies) == 2:
            self._must_be_bool(node.bodies[0], bodies[0])
        if node.name in ("map", "transformList"):
            return list_of(bodies[-1])
        if node.name == "transformMapEntry":
            return bodies[-1]
        return map_of(_items(given, 2)[0], bodies[-1])

    def _must_be_bool(self, node: Node, found: Type) -> None:
        if found.name != "bool" and not found.is_open:
            self._wrong(node.at, f"expected type 'bool' but found '{found}'")

    _BY_NODE: ClassVar[dict[type, Callable[..., Type]]] = {
        Name: _name, Select: _select, Call: _call, ListNode: _list, MapNode: _map, Macro: _macro,
    }  # fmt: skip


def _items(given: Type, count: int) -> tuple[Type, ...]:
    """The types of the variables that go over a range."""
    if given.name == "list":
        return (given.parameters[0],) if count == 1 else (INT, given.parameters[0])
    if given.name == "map":
        return given.parameters[:count]
    return (DYN,) * count


def _accepts(overload: Overload, given: list[Type]) -> Bindings | None:
    """What the overload's parameters are if it takes these arguments."""
    if len(overload.arguments) != len(given):
        return None
    bound: Bindings = {}
    return (
        bound
        if all(fits(wanted, each, bound) for wanted, each in zip(overload.arguments, given, strict=True))
        else None
    )


def _applied(node: Call, given: list[Type]) -> str:
    shown = [str(resolved(each, {})) for each in given]
    if node.target is None:
        return f"({', '.join(shown)})"
    return f"{shown[0]}.({', '.join(shown[1:])})"


def dotted(node: Node | None) -> str | None:
    """ "a.b" for the selection of b from the name a; None for what is no chain of names."""
    if isinstance(node, Name):
        return node.name
    if isinstance(node, Select) and not node.test and not node.optional:
        before = dotted(node.operand)
        return f"{before}.{node.field}" if before is not None else None
    return None
