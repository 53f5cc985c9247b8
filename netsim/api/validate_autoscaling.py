"""Rules of HorizontalPodAutoscalers (autoscaling/v2) and PodDisruptionBudgets."""

from __future__ import annotations

from collections.abc import Iterator

from netsim.api import causes, validate_workloads
from netsim.api.errors import Cause
from netsim.api.kinds import Obj
from netsim.api.quantity import parse_quantity

_SOURCES = {
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
    "ContainerResource": "containerResource",
    "External": "external",
}
_TARGET_TYPES = ("AverageValue", "Utilization", "Value")
_POLICY_TYPES = ("Percent", "Pods")
_SELECT_POLICIES = ("Disabled", "Max", "Min")
_WINDOW_LIMIT, _PERIOD_LIMIT = 3600, 1800
_TARGET = "spec.scaleTargetRef"


def autoscaler(obj: Obj) -> Iterator[Cause]:
    spec = obj.get("spec") or {}
    least, most = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    if least is not None and least < 1:
        yield causes.invalid("spec.minReplicas", least, "must be greater than or equal to 1")
    if not most:
        yield causes.required("spec.maxReplicas", "must be set and greater than 0")
    elif most < 1:
        yield causes.invalid("spec.maxReplicas", most, "must be greater than or equal to 1")
    if least is not None and most < least:
        yield causes.invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`")
    yield from _reference(spec.get("scaleTargetRef") or {}, _TARGET)
    for index, metric in enumerate(spec.get("metrics") or ()):
        yield from _metric(metric, f"spec.metrics[{index}]")
    for direction, rules in (spec.get("behavior") or {}).items():
        yield from _scaling(rules or {}, f"spec.behavior.{direction}")


def autoscaler_create(obj: Obj) -> Iterator[Cause]:
    yield from autoscaler(obj)
    yield from _target_group(obj)


def autoscaler_update(new: Obj, old: Obj) -> Iterator[Cause]:
    """What has been wrong before may stay so."""
    if not list(_target_group(old)):
        yield from _target_group(new)


def _target_group(obj: Obj) -> Iterator[Cause]:
    """What is scaled is of a named group: core's ReplicationControllers are not found."""
    version = ((obj.get("spec") or {}).get("scaleTargetRef") or {}).get("apiVersion", "")
    group, slash, rest = version.partition("/")
    if "/" in rest:
        yield causes.invalid(f"{_TARGET}.apiVersion", version, f"unexpected GroupVersion string: {version}")
    elif not slash or not group:
        yield causes.invalid(f"{_TARGET}.apiVersion", version, "apiVersion must specify API group")


def _reference(reference: Obj, field: str) -> Iterator[Cause]:
    for name in ("kind", "name"):
        value = reference.get(name, "")
        yield from causes.path_segment(f"{field}.{name}", value) if value else [causes.required(f"{field}.{name}")]


def _metric(metric: Obj, field: str) -> Iterator[Cause]:
    kind = metric.get("type", "")
    given = [source for source in _SOURCES.values() if metric.get(source) is not None]
    if not kind:
        yield causes.required(f"{field}.type", "must specify a metric source type")
    if kind not in _SOURCES:
        yield causes.unsupported(f"{field}.type", kind, _SOURCES)
    elif _SOURCES[kind] not in given:
        yield causes.required(f"{field}.{_SOURCES[kind]}", "must populate information for the given metric source")
    for source in given:
        if kind in _SOURCES and source != _SOURCES[kind]:
            yield causes.forbidden(f"{field}.{source}", "must populate the given metric source only")
        else:
            yield from _source(metric[source], source, f"{field}.{source}")


def _source(given: Obj, source: str, field: str) -> Iterator[Cause]:
    target = given.get("target") or {}
    if source in ("resource", "containerResource"):
        if not given.get("name"):
            yield causes.required(f"{field}.name", "must specify a resource name")
        if source == "containerResource" and not given.get("container"):
            yield causes.required(f"{field}.container", "must specify a container")
        yield from _resource_target(target, f"{field}.target")
    else:
        name = (given.get("metric") or {}).get("name", "")
        if not name:
            yield causes.required(f"{field}.metric.name", "must specify a metric name")
        else:
            yield from causes.path_segment(f"{field}.metric.name", name)
        if source == "object":
            yield from _reference(given.get("describedObject") or {}, f"{field}.describedObject")
        yield from _value_target(target, source, f"{field}.target")
    yield from _target(target, f"{field}.target")


def _target(target: Obj, field: str) -> Iterator[Cause]:
    kind, percentage = target.get("type", ""), target.get("averageUtilization")
    if not kind:
        yield causes.required(f"{field}.type", "must specify a metric target type")
    if kind not in _TARGET_TYPES:
        why = "must be either Utilization, Value, or AverageValue"
        yield causes.invalid(f"{field}.type", kind, why)
    if percentage is not None and percentage < 1:
        yield causes.invalid(f"{field}.averageUtilization", percentage, "must be greater than 0")
    for name in ("value", "averageValue"):
        if target.get(name) is not None and parse_quantity(target[name]) <= 0:
            yield causes.invalid(f"{field}.{name}", target[name], "must be positive")


def _resource_target(target: Obj, field: str) -> Iterator[Cause]:
    if target.get("averageUtilization") is None and target.get("averageValue") is None:
        why = "must set either a target raw value or a target utilization"
        yield causes.required(f"{field}.averageUtilization", why)
    if target.get("averageUtilization") is not None and target.get("averageValue") is not None:
        why = "may not set both a target raw value and a target utilization"
        yield causes.forbidden(f"{field}.averageValue", why)


def _value_target(target: Obj, source: str, field: str) -> Iterator[Cause]:
    value, average = target.get("value"), target.get("averageValue")
    if source == "pods":
        if average is None:
            yield causes.required(f"{field}.averageValue", "must specify a positive target averageValue")
    elif value is None and average is None:
        yield causes.required(f"{field}.averageValue", "must set either a target value for metric or a per-pod target")
    elif source == "external" and value is not None and average is not None:
        why = "may not set both a target value for metric and a per-pod target"
        yield causes.forbidden(f"{field}.value", why)


def _scaling(rules: Obj, field: str) -> Iterator[Cause]:
    window, selected = rules.get("stabilizationWindowSeconds"), rules.get("selectPolicy")
    yield from causes.at_least(f"{field}.stabilizationWindowSeconds", window)
    if window is not None and window > _WINDOW_LIMIT:
        why = f"must be less than or equal to {_WINDOW_LIMIT}"
        yield causes.invalid(f"{field}.stabilizationWindowSeconds", window, why)
    if selected is not None and selected not in _SELECT_POLICIES:
        yield causes.unsupported(f"{field}.selectPolicy", selected, _SELECT_POLICIES)
    policies = rules.get("policies") or []
    if not policies:
        yield causes.required(f"{field}.policies", "must specify at least one Policy")
    for index, policy in enumerate(policies):
        yield from _policy(policy, f"{field}.policies[{index}]")


def _policy(policy: Obj, field: str) -> Iterator[Cause]:
    kind, value, period = policy.get("type", ""), policy.get("value") or 0, policy.get("periodSeconds") or 0
    if kind not in _POLICY_TYPES:
        yield causes.unsupported(f"{field}.type", kind, _POLICY_TYPES)
    for name, number in (("value", value), ("periodSeconds", period)):
        if number <= 0:
            yield causes.invalid(f"{field}.{name}", number, "must be greater than zero")
    if period > _PERIOD_LIMIT:
        yield causes.invalid(f"{field}.periodSeconds", period, f"must be less than or equal to {_PERIOD_LIMIT}")


_BUDGET = ("minAvailable", "selector", "maxUnavailable", "unhealthyPodEvictionPolicy")


def disruption_budget(obj: Obj) -> Iterator[Cause]:
    spec = obj.get("spec") or {}
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        shown = {name[0].upper() + name[1:]: spec.get(name) for name in _BUDGET}  # as the type within names them
        yield causes.invalid("spec", shown, "minAvailable and maxUnavailable cannot be both set")
    for name in ("minAvailable", "maxUnavailable"):
        if spec.get(name) is not None:
            yield from validate_workloads.int_or_percent(f"spec.{name}", spec[name])
            yield from validate_workloads.at_most_all(f"spec.{name}", spec[name])
    if spec.get("selector") is not None:
        yield from causes.selector_object("spec.selector", spec["selector"])
    policy = spec.get("unhealthyPodEvictionPolicy")
    if policy is not None and policy not in ("AlwaysAllow", "IfHealthyBudget"):
        yield causes.unsupported("spec.unhealthyPodEvictionPolicy", policy, ("AlwaysAllow", "IfHealthyBudget"))
