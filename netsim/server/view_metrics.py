"""Metrics of HorizontalPodAutoscalers as autoscaling/v2 has them, and flat, as annotations of autoscaling/v1 do (pure).

Facts: the types and conversions of autoscaling/v1 in k8s.io/api and kubernetes' pkg/apis/autoscaling 1.36. The flat
form has its fields in the order of those types, and a quantity that is no pointer there is 0 where v2 says nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from netsim.api.kinds import Obj
from netsim.api.objects import dig
from netsim.api.quantity import parse_quantity, quantity_problem


class _Field(NamedTuple):
    """A field of the flat form, where v2 has it below its source, and what it says when v2 says nothing."""

    flat: str
    path: tuple[str, ...]
    zero: Any = None


_NAME, _CONTAINER = _Field("name", ("name",), ""), _Field("container", ("container",), "")
_METRIC = _Field("metricName", ("metric", "name"), "")
_REFERENCE = _Field("target", ("describedObject",), {"kind": "", "name": ""})
_SELECTOR = _Field("selector", ("metric", "selector"))
_EXTERNAL = _Field("metricSelector", ("metric", "selector"))

Fields = dict[str, tuple[_Field, ...]]
"""The fields of each source."""

_UTILIZATION = _Field("targetAverageUtilization", ("target", "averageUtilization"))
_AVERAGE = _Field("targetAverageValue", ("target", "averageValue"))
TARGETS: Fields = {
    "object": (
        _REFERENCE, _METRIC, _Field("targetValue", ("target", "value"), "0"), _SELECTOR,
        _Field("averageValue", ("target", "averageValue")),
    ),
    "pods": (_METRIC, _AVERAGE._replace(zero="0"), _SELECTOR),
    "resource": (_NAME, _UTILIZATION, _AVERAGE),
    "containerResource": (_NAME, _UTILIZATION, _AVERAGE, _CONTAINER),
    "external": (_METRIC, _EXTERNAL, _Field("targetValue", ("target", "value")), _AVERAGE),
}  # fmt: skip
_USED = _Field("currentAverageUtilization", ("current", "averageUtilization"))
_MEAN = _Field("currentAverageValue", ("current", "averageValue"))
_VALUE = _Field("currentValue", ("current", "value"), "0")
CURRENTS: Fields = {
    "object": (_REFERENCE, _METRIC, _VALUE, _SELECTOR, _Field("averageValue", ("current", "averageValue"))),
    "pods": (_METRIC, _MEAN._replace(zero="0"), _SELECTOR),
    "resource": (_NAME, _USED, _MEAN._replace(zero="0")),
    "containerResource": (_NAME, _USED, _MEAN._replace(zero="0"), _CONTAINER),
    "external": (_METRIC, _EXTERNAL, _VALUE, _MEAN),
}
_TARGET_TYPES = (("averageUtilization", "Utilization"), ("value", "Value"))


def flat_metric(metric: Obj, fields: Fields) -> Obj:
    """A metric of v2 in the flat form."""
    flat: Obj = {"type": metric.get("type", "")}
    for source, known in fields.items():
        given = metric.get(source)
        if isinstance(given, dict):
            found = {field.flat: _or_zero(dig(given, *field.path), field) for field in known}
            flat[source] = {name: value for name, value in found.items() if value is not None}
    return flat


def deep_metric(metric: Obj, fields: Fields) -> Obj:
    """A metric of the flat form in the form of v2."""
    deep: Obj = {"type": metric.get("type", "")}
    for source, known in fields.items():
        given = metric.get(source)
        if not isinstance(given, dict):
            continue
        found: Obj = {}
        for field in known:
            _put(found, field.path, _or_zero(given.get(field.flat), field))
        deep[source] = found | ({"target": _target(source, found.get("target") or {})} if fields is TARGETS else {})
    return deep


def _or_zero(value: Any, field: _Field) -> Any:
    return field.zero if value is None else value


def _put(obj: Obj, path: tuple[str, ...], value: Any) -> None:
    for key in path[:-1]:
        obj = obj.setdefault(key, {})
    if value is not None:
        obj[path[-1]] = value


def _target(source: str, values: Obj) -> Obj:
    """A target with its type. Of an average, the value of an object's metric is 0 in the flat form alone."""
    if source == "object" and "averageValue" in values and _is_zero(values["value"]):
        values = {"averageValue": values["averageValue"]}
    by_average = source == "object" and "averageValue" in values
    kinds = () if by_average else _TARGET_TYPES
    return {"type": next((kind for key, kind in kinds if key in values), "AverageValue"), **values}


def _is_zero(value: Any) -> bool:
    return isinstance(value, str) and not quantity_problem(value) and not parse_quantity(value)
