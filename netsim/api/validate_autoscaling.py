"""Rules of HorizontalPodAutoscalers (autoscaling/v2) and PodDisruptionBudgets."""

from __future__ import annotations

from collections.abc import Iterator

from netsim.api import causes, validate_containers, validate_workloads
from netsim.api.errors import Cause
from netsim.api.kinds import Obj
from netsim.api.quantity import parse_quantity

_SOURCES = {
    "Object": "object",
    "External": "external",
    "Pods": "pods",
    "Resource": "resource",
    "ContainerResource": "containerResource",
}
"""In the order in which Kubernetes looks: the first of several is the one that is judged."""
_OUTSIDE = ("Object", "External")
"""Metrics that are there without pods."""
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
    if least == 0 and not any(metric.get("type") in _OUTSIDE for metric in spec.get("metrics") or ()):
        why = "must specify at least one Object or External metric to support scaling to zero replicas"
        yield causes.forbidden("spec.metrics", why)
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
    """What is scaled is of a named group, unless it is called as what core has to scale."""
    target = (obj.get("spec") or {}).get("scaleTargetRef") or {}
    version = target.get("apiVersion", "")
    group, slash, rest = version.partition("/")
    if "/" in rest:
        yield causes.invalid(f"{_TARGET}.apiVersion", version, f"unexpected GroupVersion string: {version}")
    elif not (slash and group) and target.get("kind") != "ReplicationController":
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
    for source in given[:1]:
        yield from _source(metric[source], source, f"{field}.{source}")
    if kind not in _SOURCES:  # said before and after
        yield causes.unsupported(f"{field}.type", kind, _SOURCES)
    elif _SOURCES[kind] not in given:
        yield causes.required(f"{field}.{_SOURCES[kind]}", "must populate information for the given metric source")
    for source in given if len(given) > 1 else ():
        if source != _SOURCES.get(kind):
            yield causes.forbidden(f"{field}.{source}", "must populate the given metric source only")


def _source(given: Obj, source: str, field: str) -> Iterator[Cause]:
    target = given.get("target") or {}
    if source in ("resource", "containerResource"):
        if not given.get("name"):
            yield causes.required(f"{field}.name", "must specify a resource name")
        if source == "containerResource":
            yield from _container_resource(given, field)
        yield from _target(target, f"{field}.target")
        yield from _resource_target(target, f"{field}.target")
    else:
        if source == "object":
            yield from _reference(given.get("describedObject") or {}, f"{field}.describedObject")
        name = (given.get("metric") or {}).get("name", "")
        if not name:
            yield causes.required(f"{field}.metric.name", "must specify a metric name")
        else:
            yield from causes.path_segment(f"{field}.metric.name", name)
        yield from _target(target, f"{field}.target")
        yield from _value_target(target, source, f"{field}.target")


def _container_resource(given: Obj, field: str) -> Iterator[Cause]:
    if given.get("name"):
        yield from validate_containers.resource_name(given["name"], f"{field}.name")
    if given.get("container"):
        yield from causes.dns_label(f"{field}.container", given["container"])
    else:
        yield causes.required(f"{field}.container", "must specify a container")


def _target(target: Obj, field: str) -> Iterator[Cause]:
    kind, percentage = target.get("type", ""), target.get("averageUtilization")
    if not kind:
        yield causes.required(f"{field}.type", "must specify a metric target type")
    if kind not in _TARGET_TYPES:
        why = "must be either Utilization, Value, or AverageValue"
        yield causes.invalid(f"{field}.type", kind, why)
    for name in ("value", "averageValue"):
        if target.get(name) is not None and parse_quantity(target[name]) <= 0:
            yield causes.invalid(f"{field}.{name}", target[name], "must be positive")
    if percentage is not None and percentage < 1:
        yield causes.invalid(f"{field}.averageUtilization", percentage, "must be greater than 0")


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
        ways = "value or averageValue" if source == "object" else "value for metric or a per-pod target"
        yield causes.required(f"{field}.averageValue", f"must set either a target {ways}")
    elif source == "external" and value is not None and average is not None:
        why = "may not set both a target value for metric and a per-pod target"
        yield causes.forbidden(f"{field}.value", why)


def _scaling(rules: Obj, field: str) -> Iterator[Cause]:
    window, selected = rules.get("stabilizationWindowSeconds"), rules.get("selectPolicy")
    if window is not None and window < 0:
        yield causes.invalid(f"{field}.stabilizationWindowSeconds", window, "must be greater than or equal to zero")
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
    tolerance = rules.get("tolerance")
    if tolerance is not None and parse_quantity(tolerance) < 0:
        yield causes.invalid(f"{field}.tolerance", tolerance, "must be greater than or equal to 0")


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
