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
from netsim.server.view_metrics import CURRENTS, TARGETS, deep_metric, flat_metric

_V2 = ("autoscaling", "v2", "HorizontalPodAutoscaler")
_PREFIX = "autoscaling.alpha.kubernetes.io/"
_METRICS, _CURRENT = f"{_PREFIX}metrics", f"{_PREFIX}current-metrics"
_CONDITIONS, _BEHAVIOR = f"{_PREFIX}conditions", f"{_PREFIX}behavior"
_ANNOTATIONS = (_METRICS, _CURRENT, _CONDITIONS, _BEHAVIOR)
_SAME_SPEC = ("scaleTargetRef", "minReplicas", "maxReplicas")
_SAME_STATUS = ("observedGeneration", "lastScaleTime", "currentReplicas", "desiredReplicas")
_CONDITION = ("type", "status", "lastTransitionTime", "reason", "message")
_POLICY = ("Type", "Value", "PeriodSeconds")
_RULES = ("StabilizationWindowSeconds", "SelectPolicy", "Policies", "Tolerance")


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
        _METRICS: [flat_metric(m, TARGETS) for m in metrics if not _is_cpu(m, "target")],
        _CURRENT: [flat_metric(m, CURRENTS) for m in currents],
        _CONDITIONS: [_condition(condition) for condition in status.get("conditions") or ()],
        _BEHAVIOR: _behavior(spec["behavior"]) if "behavior" in spec else None,
    }
    metadata = _annotated(stored["metadata"], {key: value for key, value in kept.items() if value})
    return {**stored, "metadata": metadata, "spec": shown_spec, "status": shown_status}


def _is_cpu(metric: Obj, side: str) -> bool:
    resource = metric.get("resource") or {}
    named = metric.get("type") == "Resource" and resource.get("name") == "cpu"
    return named and (resource.get(side) or {}).get("averageUtilization") is not None


def _annotated(metadata: Obj, kept: dict[str, Any]) -> Obj:
    """The metadata with what is kept, in place of what somebody else wrote there."""
    free = {key: value for key, value in (metadata.get("annotations") or {}).items() if key not in _ANNOTATIONS}
    annotations = free | {key: orjson.dumps(value).decode() for key, value in kept.items()}
    rest = {key: value for key, value in metadata.items() if key != "annotations"}
    return rest | ({"annotations": annotations} if annotations else {})


def _condition(condition: Obj) -> Obj:
    """As Go writes it: in its order, and with a time in any case."""
    timed = {"lastTransitionTime": None, **condition}
    return {key: timed[key] for key in _CONDITION if key in timed}


def _behavior(behavior: Obj) -> Obj:
    """As Go writes the type without a version: all its fields, in its order."""
    return {key: _rules(behavior.get(key[:1].lower() + key[1:])) for key in ("ScaleUp", "ScaleDown")}


def _rules(rules: Obj | None) -> Obj | None:
    if rules is None:
        return None
    found = _recased(rules, str.upper)
    policies = [{key: policy.get(key) for key in _POLICY} for policy in found.get("Policies") or ()]
    return {key: found.get(key) for key in _RULES} | {"Policies": policies or None}


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
    metrics = _typed("spec", "metrics", [deep_metric(m, TARGETS) for m in _dicts(kept.get(_METRICS))]) or []
    percentage = spec.get("targetCPUUtilizationPercentage")
    if percentage is not None:
        target = {"type": "Utilization", "averageUtilization": percentage}
        metrics.append({"type": "Resource", "resource": {"name": "cpu", "target": target}})
    new_spec = {key: spec[key] for key in _SAME_SPEC if key in spec} | ({"metrics": metrics} if metrics else {})
    behavior = _typed("spec", "behavior", _recased(kept.get(_BEHAVIOR), str.lower))
    if behavior:
        new_spec["behavior"] = behavior
    new_status = {key: status[key] for key in _SAME_STATUS if key in status}
    currents = _currents(status.get("currentCPUUtilizationPercentage"), kept.get(_CURRENT))
    new_status |= {"currentMetrics": currents} if currents else {}
    conditions = _typed("status", "conditions", kept.get(_CONDITIONS))
    new_status |= {"conditions": conditions} if conditions else {}
    return {**shown, "metadata": metadata, "spec": new_spec, "status": new_status}


def _currents(percentage: int | None, kept: Any) -> Any:
    """The present values: those of the annotation, which says more, else the CPU utilisation."""
    if isinstance(kept, list):
        return _typed("status", "currentMetrics", [deep_metric(m, CURRENTS) for m in _dicts(kept)])
    if percentage is None:
        return None
    return [{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": percentage}}}]


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
