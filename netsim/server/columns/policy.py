"""Columns of what limits and scales: autoscalers, disruption budgets, quotas, priority classes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from netsim.api import kinds
from netsim.api.kinds import Kind, Obj
from netsim.server.columns.base import (
    AGE,
    NAME,
    NONE,
    UNKNOWN,
    UNSET,
    Column,
    Printer,
    age,
    boolean,
    name,
    number,
    text,
)  # fmt: skip

_METRICS_SHOWN = 2
_SOURCES = {
    "External": "external",
    "Pods": "pods",
    "Object": "object",
    "Resource": "resource",
    "ContainerResource": "containerResource",
}


def metric_targets(specs: list[Obj], statuses: list[Obj]) -> str:
    """The Targets column: `cpu: 10%/50%, 3/5 (avg) + 1 more...`; a status belongs to the metric at its place."""
    if not specs:
        return NONE
    shown = [
        _metric(spec, statuses[index] if index < len(statuses) else {})
        for index, spec in enumerate(specs)
        if spec.get("type") in _SOURCES
    ]
    listed = ", ".join(shown[:_METRICS_SHOWN])
    return f"{listed} + {len(specs) - _METRICS_SHOWN} more..." if len(shown) > _METRICS_SHOWN else listed


def _metric(spec: Obj, status: Obj) -> str:
    kind = spec["type"]
    given = spec.get(_SOURCES[kind]) or {}
    target = given.get("target") or {}
    current = (status.get(_SOURCES[kind]) or {}).get("current") or {}
    average = target.get("averageValue")
    if kind in ("Resource", "ContainerResource"):
        if average is not None:
            return f"{given.get('name', '')}: {current.get('averageValue', UNKNOWN)}/{average}"
        wanted = _percent(target.get("averageUtilization"), "<auto>")
        return f"{given.get('name', '')}: {_percent(current.get('averageUtilization'), UNKNOWN)}/{wanted}"
    if kind == "Pods":
        return f"{current.get('averageValue', UNKNOWN)}/{average}"
    if average is not None:
        return f"{current.get('averageValue', UNKNOWN)}/{average} (avg)"
    return f"{current.get('value', UNKNOWN)}/{target.get('value', UNKNOWN)}"


def _percent(value: int | None, missing: str) -> str:
    return missing if value is None else f"{value}%"


def _autoscaler(obj: Obj, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    reference, least = spec.get("scaleTargetRef") or {}, spec.get("minReplicas")
    return [
        name(obj), f"{reference.get('kind', '')}/{reference.get('name', '')}",
        metric_targets(spec.get("metrics") or [], status.get("currentMetrics") or []),
        UNSET if least is None else str(least), spec.get("maxReplicas", 0), status.get("currentReplicas", 0),
        age(obj, now),
    ]  # fmt: skip


def _budget(obj: Obj, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    least, most = (str(spec.get(field, "N/A")) for field in ("minAvailable", "maxUnavailable"))
    return [name(obj), least, most, status.get("disruptionsAllowed", 0), age(obj, now)]


def _quota(obj: Obj, now: datetime) -> list[Any]:
    status = obj.get("status") or {}
    used: Obj = status.get("used") or {}
    requests: list[str] = []
    limits: list[str] = []
    for resource, hard in sorted((status.get("hard") or {}).items()):
        column = limits if resource.startswith("limits.") else requests
        column.append(f"{resource}: {used.get(resource, '0')}/{hard}")
    return [name(obj), ", ".join(requests), ", ".join(limits), age(obj, now)]


def _limit_range(obj: Obj, now: datetime) -> list[Any]:
    return [name(obj), obj["metadata"].get("creationTimestamp", "")]


def _priority_class(obj: Obj, now: datetime) -> list[Any]:
    policy = obj.get("preemptionPolicy", "")
    return [name(obj), obj.get("value", 0), bool(obj.get("globalDefault")), age(obj, now), policy]


_AUTOSCALER = Printer(
    (
        NAME, text("Reference"), text("Targets"), text("MinPods"), text("MaxPods"), text("Replicas"), AGE,
    ),
    _autoscaler,
)  # fmt: skip

PRINTERS: dict[Kind, Printer] = {
    kinds.HORIZONTAL_POD_AUTOSCALERS: _AUTOSCALER,
    kinds.HORIZONTAL_POD_AUTOSCALERS_V1: _AUTOSCALER,
    kinds.POD_DISRUPTION_BUDGETS: Printer(
        (NAME, text("Min Available"), text("Max Unavailable"), number("Allowed Disruptions"), AGE), _budget
    ),
    kinds.RESOURCE_QUOTAS: Printer((NAME, text("Request"), text("Limit"), AGE), _quota),
    kinds.LIMIT_RANGES: Printer((NAME, Column("Created At", "date")), _limit_range),
    kinds.PRIORITY_CLASSES: Printer(
        (NAME, number("Value"), boolean("Global-Default"), AGE, text("PreemptionPolicy")), _priority_class
    ),
}
