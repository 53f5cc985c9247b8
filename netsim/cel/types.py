"""The types of expressions, how they are written, and which may stand for which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Type:
    """A type by name with its parameters. An "object" also has fields, which do not count when types are compared;
    a one-letter capital name is a parameter of a function's signature."""

    name: str
    parameters: tuple[Type, ...] = ()
    fields: Mapping[str, Type] = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        name = _WRITTEN.get(self.name, self.name)
        return f"{name}({', '.join(map(str, self.parameters))})" if self.parameters else name

    @property
    def is_parameter(self) -> bool:
        return len(self.name) == 1 and self.name.isupper()

    @property
    def is_open(self) -> bool:
        """Whether values of any type may be behind it."""
        return self.name in ("dyn", "error")


_WRITTEN = {
    "optional": "optional_type",
    "duration": "google.protobuf.Duration",
    "timestamp": "google.protobuf.Timestamp",
}
DYN, ERROR, NULL, BOOL, STRING, BYTES = map(Type, ("dyn", "error", "null", "bool", "string", "bytes"))
INT, UINT, DOUBLE, DURATION, TIMESTAMP = map(Type, ("int", "uint", "double", "duration", "timestamp"))
_NOT_NULLABLE = frozenset(("bool", "string", "bytes", "int", "uint", "double", "list", "map", "type"))

Bindings = dict[str, Type]


def list_of(item: Type) -> Type:
    return Type("list", (item,))


def map_of(key: Type, value: Type) -> Type:
    return Type("map", (key, value))


def optional_of(inner: Type) -> Type:
    return Type("optional", (inner,))


def type_of(inner: Type) -> Type:
    return Type("type", (inner,))


def object_of(fields: Mapping[str, Type], name: str = "object") -> Type:
    return Type(name, (), fields)


def fits(wanted: Type, given: Type, bound: Bindings) -> bool:
    """Whether a value of type `given` may stand where `wanted` is asked for; parameters become `bound` on the way."""
    if wanted.is_parameter:
        return _bind(wanted.name, given, bound)
    if wanted.is_open or given.is_open:
        return True
    if given.name == "null" or wanted.name == "null":
        other = wanted if given.name == "null" else given
        return other.name not in _NOT_NULLABLE
    if wanted.name != given.name or len(wanted.parameters) != len(given.parameters):
        return False
    if wanted.name == "type":
        return True
    return all(fits(one, other, bound) for one, other in zip(wanted.parameters, given.parameters, strict=True))


def _bind(name: str, given: Type, bound: Bindings) -> bool:
    held = bound.get(name)
    if held is None or held == given:
        bound[name] = given
        return True
    if held.is_open or given.is_open:
        bound[name] = DYN
        return True
    if not fits(held, given, bound):
        return False
    if held.name == "null" or _is_vague(held):
        bound[name] = given
    return True


def _is_vague(found: Type) -> bool:
    """Whether a part of it is yet to be known, as in the type of `[]`."""
    return found.is_open or found.is_parameter or any(map(_is_vague, found.parameters))


def resolved(found: Type, bound: Bindings) -> Type:
    """The type with parameters replaced by what they are bound to; dyn for what nothing is known of."""
    if found.is_parameter:
        inner = bound.get(found.name)
        return DYN if inner is None or inner == found else resolved(inner, bound)
    if not found.parameters:
        return found
    return Type(found.name, tuple(resolved(each, bound) for each in found.parameters), found.fields)


def common(one: Type, other: Type) -> Type | None:
    """A type that both fit, None if there is none."""
    bound: Bindings = {}
    if one.is_open or other.is_open:
        return DYN
    if not fits(one, other, bound):
        return None
    return other if one.name == "null" or _is_vague(one) else one


def parse_type(text: str) -> Type:
    """ "map(string, list(A))" -> its Type."""
    found, rest = _parse(text.replace(" ", ""))
    if rest:
        raise ValueError(f"{text!r} is no type: {rest!r} is too much")
    return found


def _parse(text: str) -> tuple[Type, str]:
    end = next((i for i, char in enumerate(text) if char in "(),"), len(text))
    name, rest = text[:end], text[end:]
    parameters: list[Type] = []
    if rest.startswith("("):
        while not rest.startswith(")"):
            inner, rest = _parse(rest[1:])
            parameters.append(inner)
        rest = rest[1:]
    return Type(name, tuple(parameters)), rest
