"""The metrics of a HorizontalPodAutoscaler's spec: what each asks for, and how its present value is told. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from netsim.api.kinds import Obj
from netsim.api.objects import name_of
from netsim.api.quantity import format_milli
from netsim.api.times import parse_time
from netsim.controllers.hpa_calc import (
    MetricProblem,
    Proposal,
    Tolerance,
    Usage,
    group_pods,
    pod_requests,
    propose_by_average,
    propose_by_utilization,
    thousandths,
)

DEFAULT_METRICS: list[Obj] = [
    {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}
]
_NO_METRICS = "no metrics returned from resource metrics API"
_NO_CUSTOM = "unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered"
_NO_EXTERNAL = (
    "unable to fetch metrics from external metrics API: "
    "the server could not find the requested resource (get {name}.external.metrics.k8s.io)"
)


@dataclass(frozen=True, slots=True)
class Observed:
    """What a metric is judged by: the target's pods, PodMetrics objects (or why there are none), the time."""

    pods: Sequence[Obj]
    metrics: Sequence[Obj]
    error: str
    now: datetime


@dataclass(frozen=True, slots=True)
class Answer:
    """What one metric asks for, in words for the reason of a rescale, and its status."""

    replicas: int
    name: str
    status: Obj


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a metric asks for nothing: the condition's reason, and the message."""

    reason: str
    message: str


def judge(metric: Obj, current: int, seen: Observed, namespace: str, tolerance: Tolerance) -> Answer | Refusal:
    """One entry of spec.metrics."""
    match metric.get("type"):
        case "Resource":
            return _resource(metric["resource"], "", current, seen, tolerance)
        case "ContainerResource":
            source = metric["containerResource"]
            return _resource(source, source["container"], current, seen, tolerance)
        case "Pods":
            name = metric["pods"]["metric"]["name"]
            return Refusal("FailedGetPodsMetric", f"unable to get metric {name}: {_NO_CUSTOM}")
        case "Object":
            name, about = metric["object"]["metric"]["name"], metric["object"]["describedObject"]
            where = f"{about['kind']} on {namespace} {about['name']}/{_NO_CUSTOM}"
            return Refusal("FailedGetObjectMetric", f"unable to get metric {name}: {where}")
        case "External":
            name = metric["external"]["metric"]["name"]
            text = f"unable to get external metric {namespace}/{name}/nil: {_NO_EXTERNAL.format(name=name)}"
            return Refusal("FailedGetExternalMetric", text)
    kind = metric.get("type")
    return Refusal("InvalidMetricSourceType", f'unknown metric source type "{kind}"')


def _resource(source: Obj, container: str, current: int, seen: Observed, tolerance: Tolerance) -> Answer | Refusal:
    resource, target = source["name"], source["target"]
    by_average = target.get("averageValue") is not None
    scope = f"{resource} container resource" if container else f"{resource} resource"
    try:
        found = _propose(resource, container, target, current, seen, tolerance)
    except MetricProblem as problem:
        reason = "FailedGetContainerResourceMetric" if container else "FailedGetResourceMetric"
        return Refusal(reason, f"failed to get {resource} {'usage' if by_average else 'utilization'}: {problem}")
    current_value: Obj = {"averageValue": format_thousandths(found.average)}
    if found.utilization is not None:
        current_value["averageUtilization"] = found.utilization
    part: Obj = {"name": resource, "current": current_value} | ({"container": container} if container else {})
    field = "containerResource" if container else "resource"
    status = {"type": "ContainerResource" if container else "Resource", field: part}
    return Answer(found.replicas, scope if by_average else f"{scope} utilization (percentage of request)", status)


def _propose(
    resource: str, container: str, target: Obj, current: int, seen: Observed, tolerance: Tolerance
) -> Proposal:
    usages = usages_of(seen, resource, container)
    if not seen.pods:
        raise MetricProblem("no pods returned by selector while calculating replica count")
    groups = group_pods(seen.pods, usages, resource, seen.now)
    if target.get("averageValue") is not None:
        return propose_by_average(current, thousandths(target["averageValue"]), usages, groups, tolerance)
    if target.get("averageUtilization") is None:
        raise MetricProblem("invalid resource metric source: neither an average utilization target nor an average "
                            "value (usage) target was set")  # fmt: skip
    counted = [pod for pod in seen.pods if name_of(pod) not in groups.ignored]
    requests = pod_requests(counted, resource, container)
    return propose_by_utilization(current, int(target["averageUtilization"]), usages, requests, groups, tolerance)


def usages_of(seen: Observed, resource: str, container: str) -> Mapping[str, Usage]:
    """Usage by pod; a pod of which one container tells nothing is left out. MetricProblem if there is none at all."""
    trouble = f"unable to get metrics for resource {resource}: "
    if seen.error:
        raise MetricProblem(f"{trouble}unable to fetch metrics from resource metrics API: {seen.error}")
    if not seen.metrics:
        raise MetricProblem(trouble + _NO_METRICS)
    found = {name_of(item): usage for item in seen.metrics if (usage := _usage(item, resource, container)) is not None}
    if not found and container:
        raise MetricProblem(f"{trouble}container {container} not present in metrics for any pod")
    return found


def _usage(item: Obj, resource: str, container: str) -> Usage | None:
    parts = [part for part in item["containers"] if container in ("", part["name"])]
    values = [part["usage"].get(resource) for part in parts]
    if not values or None in values:
        return None
    window = float(item["window"].removesuffix("s"))
    return Usage(sum(thousandths(value) for value in values), parse_time(item["timestamp"]), window)


def format_thousandths(value: int) -> str:
    """A quantity from thousandths: "500m", "2", and memory as whole bytes where nothing is lost."""
    return format_milli(value)
