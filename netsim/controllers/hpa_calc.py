"""How many replicas a resource metric asks for: the autoscaler's arithmetic. Pure values, in thousandths."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from netsim.api.kinds import Obj
from netsim.api.objects import condition, deletion_timestamp, dig, name_of, pod_phase
from netsim.api.quantity import parse_quantity
from netsim.api.times import parse_time

CPU_INITIALISATION = timedelta(minutes=5)
INITIAL_READINESS_DELAY = timedelta(seconds=30)

_Full = Callable[[str], int]
"""What a pod would use if it were fully busy."""
_Again = Callable[[Mapping[str, int]], float]
"""The ratio to the target for other values."""


class MetricProblem(Exception):
    """Why no replica count follows from a metric; the text is shown to the user."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a pod uses, in thousandths of the resource's unit, measured at `at` over `window` seconds."""

    value: int
    at: datetime
    window: float


@dataclass(frozen=True, slots=True)
class Tolerance:
    """By how much the ratio of usage to target may differ from 1 before anything is done."""

    up: float = 0.1
    down: float = 0.1

    def covers(self, ratio: float) -> bool:
        return 1.0 - self.down <= ratio <= 1.0 + self.up


@dataclass(frozen=True, slots=True)
class Groups:
    """Pods by how they count: `ready` of them with their usage; `unready` and `missing` (without metrics) by name;
    those that are going away or have failed count nowhere."""

    ready: int = 0
    unready: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    ignored: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Proposal:
    """The replicas a metric asks for; its current average per pod, and as a percentage of the requests if the
    target is one."""

    replicas: int
    average: int
    utilization: int | None = None


def group_pods(pods: Iterable[Obj], metrics: Mapping[str, Usage], resource: str, now: datetime) -> Groups:
    """Sort the target's pods; CPU of a pod that is only just starting says nothing about its load."""
    ready, unready, missing, ignored = 0, set(), set(), set()
    for pod in pods:
        name = name_of(pod)
        if deletion_timestamp(pod) or pod_phase(pod) == "Failed":
            ignored.add(name)
        elif pod_phase(pod) == "Pending":
            unready.add(name)
        elif name not in metrics:
            missing.add(name)
        elif resource == "cpu" and _is_starting(pod, metrics[name], now):
            unready.add(name)
        else:
            ready += 1
    return Groups(ready, unready, missing, ignored)


def _is_starting(pod: Obj, usage: Usage, now: datetime) -> bool:
    ready, started = condition(pod, "Ready"), dig(pod, "status", "startTime")
    if ready is None or not started:
        return True
    since, started_at = parse_time(ready.get("lastTransitionTime") or started), parse_time(started)
    if now < started_at + CPU_INITIALISATION:
        return ready.get("status") == "False" or usage.at < since + timedelta(seconds=usage.window)
    return ready.get("status") == "False" and since < started_at + INITIAL_READINESS_DELAY


def pod_requests(pods: Iterable[Obj], resource: str, container: str = "") -> dict[str, int]:
    """Requests of each pod (or of one container of each) by name; MetricProblem where one is missing."""
    return {name_of(pod): _request(pod, resource, container) for pod in pods}


def _request(pod: Obj, resource: str, container: str) -> int:
    spec = pod["spec"]
    sidecars = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    wanted = [c for c in [*sidecars, *(spec.get("containers") or ())] if container in ("", c["name"])]
    if not wanted:
        raise MetricProblem(f"container {container} not found in Pod {name_of(pod)}")
    total = 0
    for found in wanted:
        request = dig(found, "resources", "requests", resource)
        if request is None:
            raise MetricProblem(f"missing request for {resource} in container {found['name']} of Pod {name_of(pod)}")
        total += thousandths(request)
    return total


def thousandths(quantity: str | int) -> int:
    """A quantity in thousandths of its unit, rounded up."""
    return math.ceil(parse_quantity(quantity) * 1000)


def utilization_of(values: Mapping[str, int], requests: Mapping[str, int], target: int) -> tuple[float, int, int]:
    """(ratio to the target, percentage of the requests, average) over the pods that have both."""
    known = [name for name in values if name in requests]
    requested = sum(requests[name] for name in known)
    if not requested:
        raise MetricProblem("no metrics returned matched known pods")
    used = sum(values[name] for name in known)
    percent = used * 100 // requested
    return percent / target, percent, used // len(known)


def propose_by_utilization(
    current: int, target: int, metrics: Mapping[str, Usage], requests: Mapping[str, int], groups: Groups,
    tolerance: Tolerance,
) -> Proposal:  # fmt: skip
    """For a target in per cent of the requests."""
    values = _ready_values(metrics, groups)
    ratio, percent, average = utilization_of(values, requests, target)

    def full(name: str) -> int:
        return requests.get(name, 0)

    def again(filled: Mapping[str, int]) -> float:
        return utilization_of(filled, requests, target)[0]

    replicas = _replicas(current, ratio, values, groups, tolerance, full, again)
    return Proposal(replicas, average, percent)


def propose_by_average(
    current: int, target: int, metrics: Mapping[str, Usage], groups: Groups, tolerance: Tolerance
) -> Proposal:
    """For a target in units per pod, given in thousandths."""
    values = _ready_values(metrics, groups)

    def again(filled: Mapping[str, int]) -> float:
        return sum(filled.values()) // len(filled) / target

    replicas = _replicas(current, again(values), values, groups, tolerance, lambda _: target, again)
    return Proposal(replicas, sum(values.values()) // len(values))


def _ready_values(metrics: Mapping[str, Usage], groups: Groups) -> dict[str, int]:
    left_out = groups.unready | groups.ignored
    values = {name: usage.value for name, usage in metrics.items() if name not in left_out}
    if not values:
        raise MetricProblem("did not receive metrics for targeted pods (pods might be unready)")
    return values


def _replicas(
    current: int, ratio: float, values: dict[str, int], groups: Groups, tolerance: Tolerance, full: _Full, again: _Again
) -> int:
    """The count for a ratio; pods of which nothing is known are taken to be idle before more are made and fully
    busy before any is taken away, and must not turn the direction round."""
    unready_count = bool(groups.unready) and ratio > 1.0
    if not unready_count and not groups.missing:
        return current if tolerance.covers(ratio) else _ceil(ratio * groups.ready)
    filled = dict(values)
    if ratio != 1.0:
        filled |= {name: full(name) if ratio < 1.0 else 0 for name in groups.missing}
    if unready_count:
        filled |= dict.fromkeys(groups.unready, 0)
    new = again(filled)
    if tolerance.covers(new) or (ratio < 1.0 < new) or (new < 1.0 < ratio):
        return current
    replicas = _ceil(new * len(filled))
    turned = (new < 1.0 and replicas > current) or (new > 1.0 and replicas < current)
    return current if turned else replicas


def _ceil(value: float) -> int:
    """Rounded up; a float's last digits do not make one more."""
    return math.ceil(round(value, 9))
