"""Rules of a Job's policies about failed, finished and replaced pods (KEP-3329, KEP-3850, KEP-3998, KEP-3939)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from netsim.api import causes
from netsim.api.errors import Cause
from netsim.api.kinds import Obj

_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_OPERATORS = ("In", "NotIn")
_RULE_LIMIT, _VALUE_LIMIT = 20, 255


def policies(spec: Obj, field: str) -> Iterator[Cause]:
    """All policies of a Job's spec, which stands at `field`."""
    failure, replacement = spec.get("podFailurePolicy"), spec.get("podReplacementPolicy")
    if failure is not None:
        yield from _failure(failure, spec, field)
    if spec.get("successPolicy") is not None:
        yield from _success(spec, f"{field}.successPolicy")
    possible = ("Failed",) if failure is not None else ("Failed", "TerminatingOrFailed")
    if replacement is not None and replacement not in possible:
        yield causes.unsupported(f"{field}.podReplacementPolicy", replacement, possible)


def _failure(policy: Obj, spec: Obj, field: str) -> Iterator[Cause]:
    rules = policy.get("rules") or []
    if len(rules) > _RULE_LIMIT:
        yield causes.too_many(f"{field}.podFailurePolicy.rules", len(rules), _RULE_LIMIT)
    names = {
        c.get("name")
        for group in ("initContainers", "containers")
        for c in ((spec.get("template") or {}).get("spec") or {}).get(group) or ()
    }
    for index, rule in enumerate(rules):
        yield from _rule(rule, names, spec, f"{field}.podFailurePolicy.rules[{index}]")


def _rule(rule: Obj, names: set[str | None], spec: Obj, field: str) -> Iterator[Cause]:
    yield from _choice(f"{field}.action", rule.get("action"), _ACTIONS)
    if rule.get("action") == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
        yield causes.invalid(f"{field}.action", "FailIndex", "requires the backoffLimitPerIndex to be set")
    codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions") or []
    if codes is not None:
        yield from _exit_codes(codes, names, f"{field}.onExitCodes")
    for index, pattern in enumerate(conditions):
        where = f"{field}.onPodConditions[{index}]"
        yield from causes.qualified_name(f"{where}.type", pattern.get("type", ""))
        yield from _choice(f"{where}.status", pattern.get("status"), ("False", "True", "Unknown"))
    if codes is not None and conditions:
        yield causes.invalid_at(field, "specifying both OnExitCodes and OnPodConditions is not supported")
    elif codes is None and not conditions:
        yield causes.invalid_at(field, "specifying one of OnExitCodes and OnPodConditions is required")


def _exit_codes(codes: Obj, names: set[str | None], field: str) -> Iterator[Cause]:
    operator, values, container = codes.get("operator"), codes.get("values") or [], codes.get("containerName")
    yield from _choice(f"{field}.operator", operator, _OPERATORS)
    if container is not None and container not in names:
        why = "must be one of the container or initContainer names in the pod template"
        yield causes.invalid(f"{field}.containerName", container, why)
    if not values:
        yield causes.invalid(f"{field}.values", None, "at least one value is required")
    elif len(values) > _VALUE_LIMIT:
        yield causes.too_many(f"{field}.values", len(values), _VALUE_LIMIT)
    if operator == "In" and 0 in values:
        yield causes.invalid(f"{field}.values[{values.index(0)}]", 0, "must not be 0 for the In operator")
    yield from causes.unique((f"{field}.values[{index}]", value) for index, value in enumerate(values))
    if values != sorted(values):
        yield causes.invalid(f"{field}.values", values, "must be ordered")


def _choice(field: str, value: str | None, supported: tuple[str, ...]) -> Iterator[Cause]:
    """Required, and one of the given texts, which are told in both cases."""
    if value:
        yield from causes.one_of(field, value, supported)
    else:
        yield causes.required(field, f"valid values: [{' '.join(map(causes.shown, supported))}]")


def _success(spec: Obj, field: str) -> Iterator[Cause]:
    rules = spec["successPolicy"].get("rules") or []
    if spec.get("completionMode") != "Indexed":
        shown = {
            "Rules": [{"SucceededIndexes": None, "SucceededCount": None, **_capital(rule)} for rule in rules] or None
        }
        yield causes.invalid(field, shown, "requires indexed completion mode")
        return
    if not rules:
        yield causes.required(
            f"{field}.rules", "at least one rules must be specified when the successPolicy is specified"
        )
    for index, rule in enumerate(rules):
        yield from _success_rule(rule, spec.get("completions") or 0, f"{field}.rules[{index}]")


def _capital(part: Obj) -> Obj:
    """As the type within names its fields."""
    return {name[0].upper() + name[1:]: value for name, value in part.items()}


def _success_rule(rule: Obj, completions: int, field: str) -> Iterator[Cause]:
    count, indexes = rule.get("succeededCount"), rule.get("succeededIndexes")
    if count is None and indexes is None:
        yield causes.required(field, "at least one of succeededCount or succeededIndexes must be specified")
    total = 0
    if indexes is not None:
        try:
            total = _count_indexes(indexes, completions)
        except ValueError as refusal:
            why = f"error parsing succeededIndexes: {refusal}"
            yield causes.invalid(f"{field}.succeededIndexes", indexes, why)
    yield from causes.at_least(f"{field}.succeededCount", count)
    if count is not None and count > completions:
        why = f"must be less than or equal to {completions} (the number of specified completions)"
        yield causes.invalid(f"{field}.succeededCount", count, why)
    if count is not None and indexes is not None and count > total:
        why = f"must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
        yield causes.invalid(f"{field}.succeededCount", count, why)


def _count_indexes(text: str, completions: int) -> int:
    """How many indexes "0,2-4" lists; ValueError says why it lists none."""
    total, last = 0, -1
    for interval in text.split(",") if text else ():
        limits = interval.split("-")
        if interval.count("-") > 1:
            why = "violates the requirement that an index interval can have at most two parts separated by '-'"
            raise ValueError(f"the fragment {causes.shown(interval)} {why}")
        numbers = [_index(limit, completions) for limit in limits]
        for number in numbers:
            if number <= last:
                raise ValueError(f"non-increasing order, previous: {last}, current: {number}")
            last = number
        total += numbers[-1] - numbers[0] + 1
    return total


def _index(text: str, completions: int) -> int:
    if not re.fullmatch("[+-]?[0-9]{1,18}", text):
        raise ValueError(f"cannot convert string to integer for index: {causes.shown(text)}")
    if int(text) >= completions:
        raise ValueError(f"too large index: {causes.shown(text)}")
    return int(text)
