"""The rules of a structural schema (`x-kubernetes-validations`), compiled once."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from netsim.api.cel_library import KUBERNETES
from netsim.api.structural import EMBEDDED, RULES, Schema
from netsim.api.structural_types import Convert, converter, declared
from netsim.cel.errors import CompileError
from netsim.cel.program import Program, compile_program
from netsim.cel.types import BOOL, STRING, Type, optional_of


class RuleError(ValueError):
    """Why a rule or its messageExpression is none; `reading` is what its patterns took."""

    def __init__(self, why: str, reading: int) -> None:
        super().__init__(why)
        self.reading = reading


@dataclass(frozen=True, slots=True)
class Rule:
    """A compiled rule. `field` is its fieldPath as errors show it; `problem` why it could not be compiled."""

    given: dict[str, Any]
    program: Program | None
    message: Program | None = None
    field: str = ""
    problem: str = ""

    @property
    def uses_old(self) -> bool:
        return self.program is not None and "oldSelf" in self.program.uses

    @property
    def optional_old(self) -> bool:
        return bool(self.given.get("optionalOldSelf"))

    @property
    def name(self) -> str:
        """How errors call it."""
        return str(self.given.get("message") or self.given.get("rule") or "").strip()


@dataclass(slots=True)
class Node:
    """A place of the schema at or below which there are rules."""

    schema: Schema
    convert: Convert
    rules: list[Rule]
    properties: dict[str, Node] = field(default_factory=dict)
    items: Node | None = None
    values: Node | None = None

    @property
    def is_empty(self) -> bool:
        return not (self.rules or self.properties or self.items or self.values)


def compile_rule(schema: Schema, given: dict[str, Any], here: Type) -> Rule:
    """A rule at a schema of type `here`; raises RuleError."""
    text = str(given.get("rule") or "")
    old = optional_of(here) if given.get("optionalOldSelf") else here
    variables = {"self": here, "oldSelf": old}
    try:
        program = compile_program(text, variables, KUBERNETES)
    except CompileError as error:
        raise RuleError(f"compilation failed: {error}", error.reading) from None
    if program.type != BOOL:
        raise RuleError("cel expression must evaluate to a bool", program.reading)
    message = compile_message(given, variables) if given.get("messageExpression") else None
    path = field_path(schema, given["fieldPath"]) if given.get("fieldPath") else ""
    return Rule(given, program, message, path or "")


def compile_message(given: dict[str, Any], variables: dict[str, Type]) -> Program:
    """The rule's messageExpression; raises RuleError."""
    try:
        program = compile_program(str(given["messageExpression"]), variables, KUBERNETES)
    except CompileError as error:
        raise RuleError(f"messageExpression compilation failed: {error}", error.reading) from None
    if program.type != STRING:
        raise RuleError("messageExpression must evaluate to a string", program.reading)
    return program


def _compiled(schema: Schema, given: dict[str, Any], here: Type) -> Rule:
    try:
        return compile_rule(schema, given, here)
    except RuleError as error:
        return Rule(given, None, problem=str(error))


def compile_rules(schema: Schema, resource: bool = True) -> Node | None:
    """The rules of a schema and all below it, None if there are none."""
    here = declared(schema, resource)
    if here is None:
        return None
    rules = [_compiled(schema, given, here) for given in schema.get(RULES) or ()]
    node = Node(schema, converter(schema, resource) if rules else _unused, rules)
    for name, facts in (schema.get("properties") or {}).items():
        below = compile_rules(facts, bool(facts.get(EMBEDDED)))
        if below is not None:
            node.properties[name] = below
    for attribute, key in (("items", "items"), ("values", "additionalProperties")):
        if isinstance(schema.get(key), dict):
            setattr(node, attribute, compile_rules(schema[key], bool(schema[key].get(EMBEDDED))))
    return None if node.is_empty else node


def _unused(value: Any) -> Any:
    """The conversion at a place that has no rules itself."""
    return value


_STEP = re.compile(r"\.([^.\[\]]+)|\['((?:[^'\\]|\\.)*)'\]")


def field_path(schema: Schema, path: str) -> str | None:
    """A fieldPath as errors show it: ".a['b']" as "a.b", of a map "a[b]"; None for one that leads nowhere."""
    shown, at = "", 0
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None:
            return None
        name, at = found[1] or re.sub(r"\\(.)", r"\1", found[2]), found.end()
        properties, below = schema.get("properties"), schema.get("additionalProperties")
        if properties and name in properties:
            schema, shown = properties[name], f"{shown}.{name}" if shown else name
        elif not properties and isinstance(below, dict):
            schema, shown = below, f"{shown}[{name}]"
        else:
            return None
    return shown
