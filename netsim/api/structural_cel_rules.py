"""Whether the rules of a schema are rules: what a CustomResourceDefinition must keep in `x-kubernetes-validations`, in
Kubernetes' words. Expressions are compiled only if nothing else is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from netsim.api.causes import forbidden, invalid, required, shown, unsupported
from netsim.api.errors import DUPLICATE, FORBIDDEN, INVALID, REQUIRED, Cause
from netsim.api.structural import EMBEDDED, LIST_TYPE, RULES, Schema
from netsim.api.structural_cel import RuleError, compile_message, compile_rule, field_path
from netsim.api.structural_types import declared
from netsim.cel.regex import MOST_READING
from netsim.cel.types import Type, optional_of

_REASONS = (DUPLICATE, FORBIDDEN, INVALID, REQUIRED)
_NO_TYPE = (
    "internal error: failed to construct type information for x-kubernetes-validations rules: unable to convert "
    "structural schema to CEL declarations"
)


def form_errors(schema: Schema, path: str) -> Iterator[Cause]:
    """What is wrong with the rules at one place but for their expressions."""
    for index, rule in enumerate(schema.get(RULES) or ()):
        yield from _form(schema, rule, f"{path}.{RULES}[{index}]")


def _form(schema: Schema, rule: dict[str, Any], where: str) -> Iterator[Cause]:
    text, message = str(rule.get("rule") or "").strip(), str(rule.get("message") or "")
    if not text:
        yield required(f"{where}.rule", "rule is not specified")
    elif message and not message.strip():
        yield invalid(f"{where}.message", message, "must be non-empty if specified")
    elif _has_breaks(message.strip()):
        yield invalid(f"{where}.message", message, "must not contain line breaks")
    elif _has_breaks(text) and not message.strip():
        yield required(f"{where}.message", "message must be specified if rule contains line breaks")
    if rule.get("messageExpression") and not rule["messageExpression"].strip():
        yield required(f"{where}.messageExpression", "must be non-empty if specified")
    if rule.get("reason") is not None and rule["reason"] not in _REASONS:
        yield unsupported(f"{where}.reason", rule["reason"], _REASONS)
    yield from _field(schema, str(rule.get("fieldPath") or ""), f"{where}.fieldPath")


def _field(schema: Schema, path: str, where: str) -> Iterator[Cause]:
    if not path:
        return
    if not path.strip():
        yield invalid(where, path, "must be non-empty if specified")
    if _has_breaks(path):
        yield invalid(where, path, "must not contain line breaks")
    if field_path(schema, path) is None:
        yield invalid(where, path, "must be a valid path")


def _has_breaks(text: str) -> bool:
    return "\n" in text or "\r" in text


@dataclass(slots=True)
class Reading:
    """The steps that the patterns of a definition's rules may still take."""

    left: int = MOST_READING

    def spend(self, steps: int, where: str) -> Iterator[Cause]:
        self.left -= steps
        if self.left < 0:
            yield forbidden(where, "the patterns of all rules are too large together")


def expression_errors(
    schema: Schema, path: str, reading: Reading, resource: bool = True, within: str = ""
) -> Iterator[Cause]:
    """What does not compile at a place and below it. `within` is the path of a list above it whose items have no
    identity: what one was cannot be told."""
    if schema.get(RULES):
        here = declared(schema, resource)
        if here is None:
            yield Cause("InternalError", f"Internal error: {_NO_TYPE}", f"{path}.{RULES}")
        else:
            for index, rule in enumerate(schema[RULES]):
                yield from _expression(schema, rule, here, f"{path}.{RULES}[{index}]", reading, within)
    if isinstance(schema.get("items"), dict):
        inside = within or ("" if schema.get(LIST_TYPE) == "map" else path)
        yield from expression_errors(
            schema["items"], f"{path}.items", reading, bool(schema["items"].get(EMBEDDED)), inside
        )
    below = schema.get("additionalProperties")
    if isinstance(below, dict):
        yield from expression_errors(below, f"{path}.additionalProperties", reading, bool(below.get(EMBEDDED)), within)
    for name, facts in (schema.get("properties") or {}).items():
        yield from expression_errors(facts, f"{path}.properties[{name}]", reading, bool(facts.get(EMBEDDED)), within)


def _expression(
    schema: Schema, given: dict[str, Any], here: Type, where: str, reading: Reading, within: str
) -> Iterator[Cause]:
    if reading.left < 0:  # which has been told
        return
    try:
        rule = compile_rule(schema, {**given, "messageExpression": ""}, here)
    except RuleError as error:
        yield _uncompiled(f"{where}.rule", given, str(error))
        yield from reading.spend(error.reading, f"{where}.rule")
        return
    yield from reading.spend(rule.program.reading if rule.program else 0, f"{where}.rule")
    if given.get("messageExpression"):
        spent = 0
        try:
            variables = {"self": here, "oldSelf": optional_of(here) if rule.optional_old else here}
            spent = compile_message(given, variables).reading
        except RuleError as error:
            yield _uncompiled(f"{where}.messageExpression", given, str(error))
            spent = error.reading
        yield from reading.spend(spent, f"{where}.messageExpression")
    if rule.uses_old and within:
        why = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {within}"
        yield invalid(f"{where}.rule", given["rule"], why)
    elif not rule.uses_old and given.get("optionalOldSelf") is not None:
        why = "may not be set if oldSelf is not used in rule"
        yield invalid(f"{where}.optionalOldSelf", given["optionalOldSelf"], why)


def _uncompiled(where: str, given: dict[str, Any], why: str) -> Cause:
    """The whole rule is shown, as Go writes it."""
    fields = ("Rule", "Message", "MessageExpression", "Reason", "FieldPath", "OptionalOldSelf")
    empty: dict[str, Any] = {"Reason": None, "OptionalOldSelf": None}
    whole = {name: given.get(name[0].lower() + name[1:], empty.get(name, "")) for name in fields}
    text = shown(whole).replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")
    return Cause(INVALID, f"Invalid value: {text}: {why}", where)
