"""HorizontalPodAutoscalers in the two forms clients know: autoscaling/v2 (stored) and autoscaling/v1 (pure).

autoscaling/v1 knows one metric, the CPU utilisation. What else v2 has is kept, as Kubernetes keeps it, as JSON in
annotations of the v1 form: the other metrics and their present values in the flat form of autoscaling/v2beta1,
conditions, and behavior with the field names of the Go type (a capital first).
"""

from __future__ import annotations

from typing import Any

import orjson

from netsim.api import schema
from netsim.api.decoder import decode_error
from netsim.api.kinds import Obj

_V2 = ("autoscaling", "v2", "HorizontalPodAutoscaler")
_PREFIX = "autoscaling.alpha.kubernetes.io/"
_METRICS, _CURRENT = f"{_PREFIX}metrics", f"{_PREFIX}current-metrics"
_CONDITIONS, _BEHAVIOR = f"{_PREFIX}conditions", f"{_PREFIX}behavior"
_ANNOTATIONS = (_METRICS, _CURRENT, _CONDITIONS, _BEHAVIOR)
_SAME_SPEC = ("scaleTargetRef", "minReplicas", "maxReplicas")
_SAME_STATUS = ("observedGeneration", "lastScaleTime", "currentReplicas", "desiredReplicas")
_SOURCES = ("object", "pods", "resource", "containerResource", "external")
_FLAT_TARGETS: dict[str, dict[str, str]] = {
    "object": {"value": "targetValue", "averageValue": "averageValue"},
    "pods": {"averageValue": "targetAverageValue"},
    "resource": {"averageUtilization": "targetAverageUtilization", "averageValue": "targetAverageValue"},
    "containerResource": {"averageUtilization": "targetAverageUtilization", "averageValue": "targetAverageValue"},
    "external": {"value": "targetValue", "averageValue": "targetAverageValue"},
}
_FLAT_CURRENTS: dict[str, dict[str, str]] = {
    "object": {"value": "currentValue", "averageValue": "averageValue"},
    "pods": {"averageValue": "currentAverageValue"},
    "resource": {"averageUtilization": "currentAverageUtilization", "averageValue": "currentAverageValue"},
    "containerResource": {"averageUtilization": "currentAverageUtilization", "averageValue": "currentAverageValue"},
    "external": {"value": "currentValue", "averageValue": "currentAverageValue"},
}
_TARGET_TYPES = (("averageUtilization", "Utilization"), ("averageValue", "AverageValue"), ("value", "Value"))


# --- v2 to v1 ----------------------------------------------------------------------------------------------------


def show_autoscaler(stored: Obj) -> Obj:
    """A v2 autoscaler as autoscaling/v1 shows it."""
    spec, status = stored.get("spec") or {}, stored.get("status") or {}
    metrics, currents = spec.get("metrics") or [], status.get("currentMetrics") or []
    shown_spec = {key: spec[key] for key in _SAME_SPEC if key in spec}
    shown_status = {"currentReplicas": 0} | {key: status[key] for key in _SAME_STATUS if key in status}
    cpu = next((m for m in metrics if _is_cpu(m, "target")), None)
    if cpu is not None:
        shown_spec["targetCPUUtilizationPercentage"] = cpu["resource"]["target"]["averageUtilization"]
    used = next((m for m in currents if _is_cpu(m, "current")), None)
    if used is not None:
        shown_status["currentCPUUtilizationPercentage"] = used["resource"]["current"]["averageUtilization"]
    kept = {
        _METRICS: [_flat(m, "target", _FLAT_TARGETS) for m in metrics if not _is_cpu(m, "target")],
        _CURRENT: [_flat(m, "current", _FLAT_CURRENTS) for m in currents],
        _CONDITIONS: status.get("conditions"),
        _BEHAVIOR: _recased(spec.get("behavior"), str.upper),
    }
    metadata = _annotated(stored["metadata"], {key: value for key, value in kept.items() if value})
    return {**stored, "metadata": metadata, "spec": shown_spec, "status": shown_status}


def _is_cpu(metric: Obj, side: str) -> bool:
    resource = metric.get("resource") or {}
    named = metric.get("type") == "Resource" and resource.get("name") == "cpu"
    return named and (resource.get(side) or {}).get("averageUtilization") is not None


def _annotated(metadata: Obj, kept: dict[str, Any]) -> Obj:
    annotations = {**(metadata.get("annotations") or {})}
    annotations |= {key: orjson.dumps(value).decode() for key, value in kept.items()}
    return {**metadata, "annotations": annotations} if annotations else metadata


def _flat(metric: Obj, side: str, names: dict[str, dict[str, str]]) -> Obj:
    """One v2 metric (its target or current value) in the flat form."""
    flat: Obj = {"type": metric.get("type", "")}
    for source in _SOURCES:
        given = metric.get(source)
        if not given:
            continue
        found: Obj = {key: given[key] for key in ("name", "container") if key in given}
        identity = given.get("metric") or {}
        if "name" in identity:
            found["metricName"] = identity["name"]
        if "selector" in identity:
            found["metricSelector" if source == "external" else "selector"] = identity["selector"]
        if "describedObject" in given:
            found["target"] = given["describedObject"]
        for key, value in (given.get(side) or {}).items():
            if key in names[source]:
                found[names[source][key]] = value
        flat[source] = found
    return flat


def _recased(value: Any, case: Any) -> Any:
    """The value with the first letter of every key in the given case."""
    if isinstance(value, dict):
        return {case(key[:1]) + key[1:]: _recased(item, case) for key, item in value.items()}
    return [_recased(item, case) for item in value] if isinstance(value, list) else value


# --- v1 to v2 ----------------------------------------------------------------------------------------------------


def store_autoscaler(shown: Obj) -> Obj:
    """An autoscaling/v1 autoscaler in the v2 form; annotations that are not what they should be are left alone."""
    metadata = {**shown["metadata"]}
    annotations = {**(metadata.get("annotations") or {})}
    kept = {key: _parsed(annotations.pop(key)) for key in _ANNOTATIONS if key in annotations}
    if "annotations" in metadata:
        metadata["annotations"] = annotations
    spec, status = shown.get("spec") or {}, shown.get("status") or {}
    metrics = _typed("spec", "metrics", [_deep(m, "target", _FLAT_TARGETS) for m in _dicts(kept.get(_METRICS))]) or []
    percentage = spec.get("targetCPUUtilizationPercentage")
    if percentage is not None:
        target = {"type": "Utilization", "averageUtilization": percentage}
        metrics.append({"type": "Resource", "resource": {"name": "cpu", "target": target}})
    new_spec = {key: spec[key] for key in _SAME_SPEC if key in spec} | ({"metrics": metrics} if metrics else {})
    behavior = _typed("spec", "behavior", _recased(kept.get(_BEHAVIOR), str.lower))
    if behavior is not None:
        new_spec["behavior"] = behavior
    new_status = {key: status[key] for key in _SAME_STATUS if key in status}
    flat = _dicts(kept.get(_CURRENT))
    currents = _typed("status", "currentMetrics", [_deep(m, "current", _FLAT_CURRENTS) for m in flat])
    new_status |= {"currentMetrics": currents} if currents else {}
    conditions = _typed("status", "conditions", kept.get(_CONDITIONS))
    new_status |= {"conditions": conditions} if conditions else {}
    return {**shown, "metadata": metadata, "spec": new_spec, "status": new_status}


def _parsed(text: Any) -> Any:
    try:
        return orjson.loads(text)
    except ValueError:
        return None


def _dicts(value: Any) -> list[Obj]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _typed(part: str, field: str, value: Any) -> Any:
    """What an annotation says, as a decoder keeps it; None for what is not of the field's type."""
    holder = {part: {field: value}}
    if decode_error(_V2, holder):
        return None
    return schema.prune(_V2, holder)[part].get(field)


def _deep(metric: Obj, side: str, names: dict[str, dict[str, str]]) -> Obj:
    """A metric of the flat form in the v2 form."""
    deep: Obj = {"type": metric.get("type", "")}
    for source in _SOURCES:
        given = metric.get(source)
        if not isinstance(given, dict):
            continue
        found: Obj = {key: given[key] for key in ("name", "container") if key in given}
        identity = {"name": given.get("metricName"), "selector": given.get("metricSelector", given.get("selector"))}
        if identity["name"] is not None:
            found["metric"] = {key: value for key, value in identity.items() if value is not None}
        if source == "object" and "target" in given:
            found["describedObject"] = given["target"]
        values = {key: given[flat] for key, flat in names[source].items() if given.get(flat) is not None}
        if side == "target":
            values = {"type": next((name for key, name in _TARGET_TYPES if key in values), ""), **values}
        found[side] = values
        deep[source] = found
    return deep
