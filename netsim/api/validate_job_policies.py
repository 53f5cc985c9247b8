"""Rules of a Job's policies about failed, finished and replaced pods (KEP-3329, KEP-3850, KEP-3998, KEP-3939)."""

from __future__ import annotations

from collections.abc import Iterator

from netsim.api import causes
from netsim.api.errors import Cause
from netsim.api.kinds import Obj

_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_OPERATORS = ("In", "NotIn")
_RULE_LIMIT, _VALUE_LIMIT = 20, 255


def policies(spec: Obj, field: str) -> Iterator[Cause]:
    """All policies of a Job's spec, which stands at `field`."""
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        yield causes.required(f"{field}.backoffLimitPerIndex", "when maxFailedIndexes is specified")
    failure, replacement = spec.get("podFailurePolicy"), spec.get("podReplacementPolicy")
    if replacement not in (None, "", "Failed", "TerminatingOrFailed"):
        yield causes.unsupported(f"{field}.podReplacementPolicy", replacement, ("Failed", "TerminatingOrFailed"))
    elif failure is not None and replacement == "TerminatingOrFailed":
        yield causes.unsupported(f"{field}.podReplacementPolicy", replacement, ("Failed",))
    if failure is not None:
        yield from _failure(failure, spec, field)
    if spec.get("successPolicy") is not None:
        yield from _success(spec["successPolicy"], f"{field}.successPolicy.rules")


def _failure(policy: Obj, spec: Obj, field: str) -> Iterator[Cause]:
    restart = ((spec.get("template") or {}).get("spec") or {}).get("restartPolicy")
    if restart != "Never":
        why = 'only "Never" is supported when podFailurePolicy is specified'
        yield causes.invalid(f"{field}.template.spec.restartPolicy", restart, why)
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
    yield from causes.one_of(f"{field}.action", rule.get("action"), _ACTIONS)
    if rule.get("action") == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
        yield causes.invalid(f"{field}.action", "FailIndex", "requires the backoffLimitPerIndex to be set")
    codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions") or []
    if codes is not None and conditions:
        why = "specifying both OnExitCodes and OnPodConditions is not supported"
        yield causes.invalid(field, rule, why)
    elif codes is None and not conditions:
        yield causes.invalid(field, rule, "specifying one of OnExitCodes and OnPodConditions is required")
    if codes is not None:
        yield from _exit_codes(codes, names, f"{field}.onExitCodes")
    for index, pattern in enumerate(conditions):
        where = f"{field}.onPodConditions[{index}]"
        yield from causes.qualified_name(f"{where}.type", pattern.get("type", ""))
        yield from causes.one_of(f"{where}.status", pattern.get("status"), ("False", "True", "Unknown"))


def _exit_codes(codes: Obj, names: set[str | None], field: str) -> Iterator[Cause]:
    operator, values, container = codes.get("operator"), codes.get("values") or [], codes.get("containerName")
    yield from causes.one_of(f"{field}.operator", operator, _OPERATORS)
    if container is not None and container not in names:
        why = "must be one of the container or initContainer names in the pod template"
        yield causes.invalid(f"{field}.containerName", container, why)
    if not values:
        yield causes.invalid(f"{field}.values", values, "at least one value is required")
    elif len(values) > _VALUE_LIMIT:
        yield causes.too_many(f"{field}.values", len(values), _VALUE_LIMIT)
    if operator == "In" and 0 in values:
        yield causes.invalid(f"{field}.values[{values.index(0)}]", 0, "must not be 0 for the In operator")
    if values != sorted(values):
        yield causes.invalid(f"{field}.values", values, "must be ordered")
    yield from causes.unique((f"{field}.values[{index}]", value) for index, value in enumerate(values))


def _success(policy: Obj, field: str) -> Iterator[Cause]:
    rules = policy.get("rules") or []
    if not rules:
        yield causes.required(field, "at least one rules must be specified when the successPolicy is specified")
    for index, rule in enumerate(rules):
        where, count = f"{field}[{index}]", rule.get("succeededCount")
        if count is None and rule.get("succeededIndexes") is None:
            yield causes.required(where, "at least one of succeededCount or succeededIndexes must be specified")
        if count is not None and count < 1:
            yield causes.invalid(f"{where}.succeededCount", count, "must be greater than zero")
