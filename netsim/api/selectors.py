"""Label and field selectors: the query syntax and the selector objects of specs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from netsim.api.kinds import Obj
from netsim.api.names import is_label_value, is_qualified_name

Operator = Literal["=", "!=", "in", "notin", "exists", "!", "gt", "lt"]
_SYMBOLS = {"gt": ">", "lt": "<"}


class SelectorError(ValueError):
    """The text or object is no selector; the message is what the API answers with 400."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label. `!=` and `notin` also hold for an absent label, as in Kubernetes."""

    key: str
    op: Operator
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        if self.op == "!":
            return self.key not in labels
        value = labels.get(self.key)
        if value is None:
            return self.op in ("!=", "notin")
        if self.op in ("gt", "lt"):
            return _compare(value, self.op, self.values[0])
        return self.op == "exists" or (value in self.values) == (self.op in ("=", "in"))

    def __str__(self) -> str:
        if self.op == "exists":
            return self.key
        if self.op == "!":
            return f"!{self.key}"
        if self.op in ("in", "notin"):
            return f"{self.key} {self.op} ({','.join(sorted(self.values))})"
        return f"{self.key}{_SYMBOLS.get(self.op, self.op)}{self.values[0]}"


def _compare(value: str, op: str, bound: str) -> bool:
    if not re.fullmatch(r"[+-]?\d+", value):
        return False
    return int(value) > int(bound) if op == "gt" else int(value) < int(bound)


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All requirements must hold; none at all match everything, unless `nothing` (an absent selector object)."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    def matches(self, labels: Mapping[str, str]) -> bool:
        return not self.nothing and all(r.matches(labels) for r in self.requirements)

    @property
    def empty(self) -> bool:
        return not self.requirements and not self.nothing

    def __str__(self) -> str:
        return ",".join(str(r) for r in sorted(self.requirements, key=lambda r: r.key))


_TOKEN = re.compile(r"\s*(==|!=|[=!<>(),]|[^\s=!<>(),]+)")
_SPECIAL = frozenset(("==", "!=", "=", "!", "<", ">", "(", ")", ","))
_OPERATORS: dict[str, Operator] = {
    "=": "=",
    "==": "=",
    "!=": "!=",
    ">": "gt",
    "<": "lt",
    "in": "in",
    "notin": "notin",
}


class _Tokens:
    """The tokens of a label selector, read one by one; "" is the end."""

    def __init__(self, text: str) -> None:
        self._tokens = _TOKEN.findall(text)
        self._at = 0

    def peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self._at += 1
        return token


def _unexpected(found: str, expected: str) -> SelectorError:
    return SelectorError(f"unable to parse requirement: found '{found}', expected: {expected}")


def _misplaced(found: str, expected: str) -> SelectorError:
    """What stands between requirements and does not belong there."""
    return SelectorError(f"found '{found}', expected: {expected}")


def parse_label_selector(text: str) -> LabelSelector:
    """The query parameter's syntax: `a=b,c!=d,e in (f,g),h,!i,j>1`. Raises SelectorError."""
    tokens = _Tokens(text)
    requirements: list[Requirement] = []
    while tokens.peek():
        requirements.append(_requirement(tokens))
        separator = tokens.take()
        if separator not in ("", ","):
            raise _misplaced(separator, "',' or 'end of string'")
        if separator and not tokens.peek():
            raise _misplaced("", "identifier after ','")
    return LabelSelector(tuple(requirements))


def _requirement(tokens: _Tokens) -> Requirement:
    if tokens.peek() in _SPECIAL - {"!"}:
        raise _misplaced(tokens.peek(), "!, identifier, or 'end of string'")
    if tokens.peek() == "!":
        tokens.take()
        return Requirement(_key(tokens), "!")
    key = _key(tokens)
    if tokens.peek() in ("", ","):
        return Requirement(key, "exists")
    symbol = tokens.take()
    op = _OPERATORS.get(symbol)
    if op is None:
        raise _unexpected(symbol, "in, notin, =, ==, !=, gt, lt")
    values = _value_set(tokens) if op in ("in", "notin") else (_value(tokens),)
    return _checked(Requirement(key, op, values))


def _key(tokens: _Tokens) -> str:
    key = tokens.take()
    if not key or key in _SPECIAL:
        raise _unexpected(key, "identifier")
    if not is_qualified_name(key):
        why = MANY_PARTS if key.count("/") > 1 else KEY_MESSAGE
        raise SelectorError(f'unable to parse requirement: <nil>: Invalid value: "{key}": {why}')
    return key


def _value(tokens: _Tokens) -> str:
    if tokens.peek() in ("", ","):
        return ""
    value = tokens.take()
    if value in _SPECIAL:
        raise _unexpected(value, "identifier")
    return value


def _value_set(tokens: _Tokens) -> tuple[str, ...]:
    opening = tokens.take()
    if opening != "(":
        raise SelectorError(f"unable to parse requirement: found '{opening}' expected: '('")
    values: list[str] = []
    while True:
        if not tokens.peek():
            raise _unexpected("", "',', ')' or identifier")
        values.append("" if tokens.peek() in (",", ")") else _value(tokens))
        separator = tokens.take()
        if separator == ")":
            return tuple(values)
        if separator != ",":
            raise _unexpected(separator, "',' or ')'")


KEY_MESSAGE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric"
    " character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is"
    " '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
MANY_PARTS = (
    f"{KEY_MESSAGE.replace('name part must', 'a valid label key must')} with an optional DNS subdomain prefix and '/'"
    " (e.g. 'example.com/MyName')"
)
VALUE_MESSAGE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and"
    " end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is"
    " '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


def _checked(requirement: Requirement) -> Requirement:
    for value in requirement.values:
        if requirement.op in ("gt", "lt"):
            if not re.fullmatch(r"[+-]?\d+", value):
                raise SelectorError(
                    f'unable to parse requirement: values[0]: Invalid value: "{value}": '
                    "for 'Gt', 'Lt' operators, the value must be an integer"
                )
        elif not is_label_value(value):
            why = "must be no more than 63 bytes" if len(value) > 63 else VALUE_MESSAGE
            raise SelectorError(
                f'unable to parse requirement: values[0][{requirement.key}]: Invalid value: "{value}": {why}'
            )
    return requirement


_EXPRESSION_OPERATORS: dict[str, Operator] = {
    "In": "in",
    "NotIn": "notin",
    "Exists": "exists",
    "DoesNotExist": "!",
    "Gt": "gt",
    "Lt": "lt",
}


def label_selector_of(selector: Obj | None) -> LabelSelector:
    """A selector object {matchLabels, matchExpressions}; None matches nothing, {} everything. Also takes the
    Gt and Lt of node selector terms. Raises SelectorError for an unknown operator."""
    if selector is None:
        return LabelSelector(nothing=True)
    requirements = [Requirement(k, "=", (v,)) for k, v in sorted((selector.get("matchLabels") or {}).items())]
    for expression in selector.get("matchExpressions") or []:
        requirements.append(_expression(expression))
    return LabelSelector(tuple(requirements))


def _expression(expression: Obj) -> Requirement:
    name = expression.get("operator", "")
    op = _EXPRESSION_OPERATORS.get(name)
    if op is None:
        raise SelectorError(f'"{name}" is not a valid label selector operator')
    return Requirement(expression.get("key", ""), op, tuple(expression.get("values") or ()))


def equality_selector(labels: Mapping[str, str] | None) -> LabelSelector:
    """A Service's or ReplicationController's selector map: every label equal. None or {} match everything; a
    Service without selector selects nothing, which its controller must decide."""
    return LabelSelector(tuple(Requirement(k, "=", (v,)) for k, v in sorted((labels or {}).items())))


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """Conditions on fields, all of which must hold: (path, "=" or "!=", value)."""

    requirements: tuple[tuple[str, str, str], ...] = ()

    def matches(self, obj: Obj, fields: Callable[[Obj, str], str]) -> bool:
        """`fields(obj, path)` reads a field as text; see `netsim.api.fields.reader`."""
        return all((fields(obj, path) == value) == (op == "=") for path, op, value in self.requirements)

    def exact(self, path: str) -> str | None:
        """The value that `path` is required to equal, if there is such a requirement."""
        return next((value for field, op, value in self.requirements if field == path and op == "="), None)

    def __str__(self) -> str:
        return ",".join(f"{path}{op}{_escape(value)}" for path, op, value in self.requirements)


def _escape(value: str) -> str:
    return re.sub(r"([\\,=])", r"\\\1", value)


_PART = re.compile(r"((?:\\.|[^\\,])*\\?)(,|\Z)", re.DOTALL)
_COMPARISON = re.compile(r"(.*?)(!=|==|=)(.*)", re.DOTALL)
_ESCAPED = re.compile(r"\\(.?)|([,=])", re.DOTALL)


def parse_field_selector(text: str) -> FieldSelector:
    r"""`a.b=c,d!=e`, with `\,` `\=` `\\` escaped in values. Raises SelectorError."""
    parts = sorted(found[1] for found in _PART.finditer(text))
    return FieldSelector(tuple(_field_requirement(part, text) for part in parts if part))


def _field_requirement(part: str, text: str) -> tuple[str, str, str]:
    found = _COMPARISON.fullmatch(part)
    if found is None:
        raise SelectorError(f"invalid selector: '{text}'; can't understand '{part}'")
    return found[1], "!=" if found[2] == "!=" else "=", _ESCAPED.sub(_unescaped, found[3])


def _unescaped(found: re.Match[str]) -> str:
    if found[2]:
        raise SelectorError(f"invalid field selector: unescaped character in value: {ord(found[2])}")
    if found[1] not in ("\\", ",", "="):
        raise SelectorError(f"invalid field selector: invalid escape sequence: {found[0]}")
    return found[1]
