"""The rules of a structural schema held against objects, in Kubernetes' words. Like value validation they do not judge
again what an update leaves as it was (KEP-4008)."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Any

from netsim.api import causes
from netsim.api.errors import DUPLICATE, FORBIDDEN, INVALID, REQUIRED, Cause
from netsim.api.structural import LIST_MAP_KEYS, LIST_TYPE, Schema
from netsim.api.structural_cel import Node, Rule
from netsim.api.structural_values import NOWHERE
from netsim.cel.errors import CostExceeded, EvaluationError
from netsim.cel.program import Program
from netsim.cel.values import NONE, Optional

PER_RULE, BUDGET = 200_000, 500_000
"""Steps that one rule, and all rules of one write together, may take. Kubernetes allows twenty times as many, but a
step is as much slower here: nobody is to wait for another's write longer than a second or two."""
_LONGEST_MESSAGE = 5 * 1024
_NO_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"
_OVER_LIMIT = "operation cancelled: actual cost limit exceeded"


class _Exhausted(Exception):
    """The budget is used up; no rule is looked at any more."""


@dataclass(slots=True)
class _Judge:
    """One object before the rules: the steps that are left, in all and for each rule, and what is wrong with it."""

    left: int
    per_rule: int
    found: list[Cause] = field(default_factory=list)

    def node(self, node: Node, path: str, value: Any, old: Any, same: bool) -> None:
        """`old` is what the value was, None if there was none; `same`: it, or what it is part of, has not changed."""
        if value is None:
            return
        if node.rules:
            self._rules(node, path, value, old, same)
        if isinstance(value, list) and node.items is not None:
            before = _counterparts(node.schema, value, old)
            for index, item in enumerate(value):
                self._below(node.items, f"{path}[{index}]", item, before[index], same)
        elif isinstance(value, dict):
            self._fields(node, path, value, old if isinstance(old, dict) else {}, same)

    def _fields(self, node: Node, path: str, value: dict[str, Any], old: dict[str, Any], same: bool) -> None:
        for name, item in value.items():
            if node.values is not None:
                self._below(node.values, f"{path}[{name}]", item, old.get(name), same)
            elif name in node.properties:
                self._below(node.properties[name], f"{path}.{name}" if path else name, item, old.get(name), same)

    def _below(self, node: Node, path: str, value: Any, old: Any, same: bool) -> None:
        self.node(node, path, value, old, old == value if old is not None else same)

    def _rules(self, node: Node, path: str, value: Any, old: Any, same: bool) -> None:
        kind, where = str(node.schema.get("type") or ""), path or NOWHERE
        due = [rule for rule in node.rules if _is_due(rule, old, same)]
        if not due:
            return
        try:
            now = node.convert(value)
            before = node.convert(old) if old is not None and any(rule.uses_old for rule in due) else None
        except EvaluationError as error:
            self.found.append(causes.invalid(where, kind, str(error)))
            return
        for rule in due:
            known = _optional(before) if rule.optional_old else before
            self._rule(rule, node, path, value, {"self": now, "oldSelf": known})

    def _rule(self, rule: Rule, node: Node, path: str, value: Any, variables: dict[str, Any]) -> None:
        kind, where = str(node.schema.get("type") or ""), path or NOWHERE
        if rule.program is None:
            self.found.append(causes.invalid(where, kind, f"rule compile error: {rule.problem}"))
            return
        try:
            if self._value(rule.program, variables) is True:
                return
            detail = self._detail(rule, variables)
        except EvaluationError as error:
            self.found.append(causes.invalid(where, kind, _failure(rule, str(error))))
            return
        except CostExceeded:
            self._stop(where, kind, rule)
        field_of_rule = f"{path}.{rule.field}".lstrip(".") if rule.field else where
        self.found.append(_cause(rule, field_of_rule, _simple(kind, value), detail))

    def _value(self, program: Program, variables: dict[str, Any]) -> Any:
        limit = min(self.per_rule, self.left)
        frame = program.frame(variables, limit)
        try:
            return program.step(frame)
        finally:  # what cannot be computed has taken its steps, too
            self.left -= limit - max(frame.left, -1)

    def _stop(self, where: str, kind: str, rule: Rule) -> None:
        text = f"'{_OVER_LIMIT}': no further validation rules will be run due to call cost exceeds limit for rule: "
        self.found.append(causes.invalid(where, kind, _NO_BUDGET if self.left < 0 else text + rule.name))
        raise _Exhausted

    def _detail(self, rule: Rule, variables: dict[str, Any]) -> str:
        """What is told: the messageExpression's text, if it gives a proper one, or the message."""
        if rule.message is not None:
            try:
                text = str(self._value(rule.message, variables)).strip()
            except EvaluationError:
                text = ""
            if text and "\n" not in text and len(text) <= _LONGEST_MESSAGE:
                return text
        given = str(rule.given.get("message") or "").strip()
        return given or f"failed rule: {rule.name}"


def _is_due(rule: Rule, old: Any, same: bool) -> bool:
    """Transition rules need what was; other rules do not judge what has not changed."""
    if rule.uses_old:
        return old is not None or rule.optional_old
    return not same


def _optional(old: Any) -> Optional:
    return NONE if old is None else Optional(old)


def _failure(rule: Rule, error: str) -> str:
    if error.startswith("no such overload"):
        why = "call arguments did not match a supported operator, function or macro signature for rule"
        return f"'{error}': {why}: {rule.name}"
    return f"{error} evaluating rule: {rule.name}"


def _simple(kind: str, value: Any) -> str:
    """ ": " and the value as errors show it; "" for objects and lists, which are not shown."""
    return "" if kind in ("object", "array") else f": {causes.shown(value)}"


def _cause(rule: Rule, where: str, value: str, detail: str) -> Cause:
    reason = rule.given.get("reason") or INVALID
    texts = {
        FORBIDDEN: f"Forbidden: {detail}", REQUIRED: f"Required value: {detail}", DUPLICATE: f"Duplicate value{value}",
    }  # fmt: skip
    return Cause(str(reason), texts.get(str(reason), f"Invalid value{value}: {detail}"), where)


def _counterparts(schema: Schema, value: list[Any], old: Any) -> list[Any]:
    """What each item was: told only for lists of type map."""
    if schema.get(LIST_TYPE) != "map" or not isinstance(old, list):
        return [None] * len(value)
    keys = schema.get(LIST_MAP_KEYS) or ()
    known = {_key(item, keys): item for item in reversed(old)}
    return [known.get(_key(item, keys)) for item in value]


def _key(item: Any, keys: Any) -> str:
    return causes.shown([item.get(key) for key in keys] if isinstance(item, dict) else item)


def rule_errors(
    node: Node | None, value: Any, old: Any = None, *, budget: int = BUDGET, per_rule: int = PER_RULE
) -> list[Cause]:
    """What the rules find wrong with an object; `old` is what it was, for updates."""
    judge = _Judge(budget, per_rule)
    if node is not None:
        with contextlib.suppress(_Exhausted):
            judge.node(node, "", value, old, old is not None and value == old)
    return judge.found
