"""What the horizontal pod autoscaler reckons: utilization, tolerance, groups of pods, and the rules of `behavior`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from netsim.api.kinds import Obj
from netsim.api.times import format_time
from netsim.controllers.hpa_calc import (
    Groups,
    MetricProblem,
    Tolerance,
    Usage,
    group_pods,
    pod_requests,
    propose_by_average,
    propose_by_utilization,
)
from netsim.controllers.hpa_rules import History, Limits, Past, limits_of, normalise

NOW = datetime(2026, 1, 1, 1, 0, 0, tzinfo=UTC)


def usages(*values: int) -> dict[str, Usage]:
    return {f"p{n}": Usage(value, NOW, 10.0) for n, value in enumerate(values)}


def requests(count: int, each: int = 1000) -> dict[str, int]:
    return {f"p{n}": each for n in range(count)}


@pytest.mark.parametrize(
    ("values", "target", "groups", "current", "replicas", "percent"),
    [
        ((300, 500, 700), 30, Groups(ready=3), 3, 5, 50),
        ((1000, 1000), 50, Groups(ready=2), 2, 4, 100),
        ((100, 300, 500, 250, 250), 50, Groups(ready=5), 5, 3, 28),
        ((1010, 1030, 1020), 100, Groups(ready=3), 3, 3, 102),
        # one unready on the way up counts as idle
        ((300, 500, 700), 30, Groups(ready=2, unready={"p0"}), 3, 4, 60),
        # all of them idle enough: no change of direction
        ((400, 500, 700), 60, Groups(ready=1, unready={"p0", "p1"}), 3, 3, 70),
        # a missing one counts as fully busy on the way down
        ((100, 100), 50, Groups(ready=2, missing={"p2"}), 3, 3, 10),
        ((100, 100, 100, 100), 90, Groups(ready=4, missing={"p4"}), 5, 2, 10),
        # and as idle on the way up
        ((1000, 1000), 50, Groups(ready=2, missing={"p2"}), 3, 4, 100),
        ((1000,), 100, Groups(ready=1, ignored={"p7"}), 1, 1, 100),
    ],
)
def test_utilization(
    values: tuple[int, ...], target: int, groups: Groups, current: int, replicas: int, percent: int
) -> None:
    found = propose_by_utilization(current, target, usages(*values), requests(9), groups, Tolerance())
    assert (found.replicas, found.utilization) == (replicas, percent)


@pytest.mark.parametrize(
    ("values", "target", "groups", "current", "replicas", "average"),
    [
        ((20_000, 10_000, 30_000), 15_000, Groups(ready=3), 3, 4, 20_000),
        ((12_000, 12_000, 12_000, 12_000, 12_000), 20_000, Groups(ready=5), 5, 3, 12_000),
        ((20_000, 21_000, 21_000), 20_000, Groups(ready=3), 3, 3, 20_666),
        ((50_000, 15_000, 30_000), 15_000, Groups(ready=1, unready={"p0", "p1"}), 3, 3, 30_000),
        ((10_000, 10_000), 20_000, Groups(ready=2, missing={"p2"}), 3, 2, 10_000),
    ],
)
def test_average_value(
    values: tuple[int, ...], target: int, groups: Groups, current: int, replicas: int, average: int
) -> None:
    found = propose_by_average(current, target, usages(*values), groups, Tolerance())
    assert (found.replicas, found.average, found.utilization) == (replicas, average, None)


def test_a_tolerance_of_its_own() -> None:
    wide, narrow = Tolerance(up=0.5), Tolerance(up=0.0)
    one = Groups(ready=1)
    assert propose_by_average(1, 100, usages(140), one, wide).replicas == 1
    assert propose_by_average(1, 100, usages(101), one, narrow).replicas == 2


def pod(name: str = "p0", *, ready: bool | None = True, age: float = 600, since: float = 500, **status: Any) -> Obj:
    shown = {"type": "Ready", "status": str(ready), "lastTransitionTime": format_time(NOW - timedelta(seconds=since))}
    base: Obj = {"phase": "Running", "startTime": format_time(NOW - timedelta(seconds=age))}
    base |= {"conditions": [shown]} if ready is not None else {}
    resources = {"requests": {"cpu": "500m", "memory": "1Ki"}}
    containers = [{"name": name, "resources": resources} for name in ("a", "b")]
    return {"metadata": {"name": name, "namespace": "ns"}, "spec": {"containers": containers}, "status": base | status}


@pytest.mark.parametrize(
    ("found", "resource", "group"),
    [
        (pod(), "cpu", "ready"),
        (pod(phase="Pending"), "cpu", "unready"),
        (pod(phase="Failed"), "cpu", "ignored"),
        (pod(name="other"), "cpu", "missing"),
        (pod(ready=None), "cpu", "unready"),
        (pod(ready=None), "memory", "ready"),
        (pod(age=60, since=5), "cpu", "unready"),
        (pod(age=60, since=30), "cpu", "ready"),
        (pod(ready=False, age=60, since=50), "cpu", "unready"),
        (pod(ready=False, age=600, since=595), "cpu", "unready"),
        (pod(ready=False, age=600, since=100), "cpu", "ready"),
    ],
)
def test_groups(found: Obj, resource: str, group: str) -> None:
    groups = group_pods([found], usages(1), resource, NOW)
    counts = {"ready": groups.ready, **{n: len(getattr(groups, n)) for n in ("unready", "missing", "ignored")}}
    assert counts == {"ready": 0, "unready": 0, "missing": 0, "ignored": 0, group: 1}


def test_requests() -> None:
    assert pod_requests([pod()], "cpu") == {"p0": 1000}
    assert pod_requests([pod()], "cpu", "b") == {"p0": 500}
    with pytest.raises(MetricProblem, match="missing request for gpu in container a of Pod p0"):
        pod_requests([pod()], "gpu")
    with pytest.raises(MetricProblem, match="container c not found in Pod p0"):
        pod_requests([pod()], "cpu", "c")


def ago(seconds: float, count: int) -> Past:
    return Past(NOW - timedelta(seconds=seconds), count)


@pytest.mark.parametrize(
    ("wanted", "current", "limits", "history", "replicas", "able", "limit"),
    [
        (3, 3, Limits(1, 10), History(), 3, "ReadyForNewScale", "DesiredWithinRange"),
        (12, 3, Limits(1, 10), History(), 6, "ReadyForNewScale", "ScaleUpLimit"),
        (12, 8, Limits(1, 10), History(), 10, "ReadyForNewScale", "TooManyReplicas"),
        (4, 1, Limits(1, 10), History(), 4, "ReadyForNewScale", "DesiredWithinRange"),
        (0, 3, Limits(1, 10), History(), 1, "ReadyForNewScale", "TooFewReplicas"),
        (2, 5, Limits(1, 10), History((ago(100, 5),)), 5, "ScaleDownStabilized", "DesiredWithinRange"),
        (2, 5, Limits(1, 10), History((ago(301, 5),)), 2, "ReadyForNewScale", "DesiredWithinRange"),
    ],
)
def test_without_behavior(
    wanted: int, current: int, limits: Limits, history: History, replicas: int, able: str, limit: str
) -> None:
    verdict, after = normalise(wanted, current, limits, history, NOW)
    assert (verdict.replicas, verdict.able[0], verdict.limit[0]) == (replicas, able, limit)
    assert verdict.limited == (limit != "DesiredWithinRange")
    assert after.recommendations[-1] == Past(NOW, wanted)


def behaviour(**spec: Any) -> Limits:
    return limits_of({"minReplicas": 1, "maxReplicas": 100, "behavior": spec})


def policies(*given: tuple[str, int, int], **more: Any) -> Obj:
    listed = [{"type": kind, "value": value, "periodSeconds": period} for kind, value, period in given]
    return {"policies": listed, **more}


@pytest.mark.parametrize(
    ("wanted", "current", "limits", "history", "replicas", "reason"),
    [
        (50, 3, behaviour(), History(), 7, "ScaleUpLimit"),
        (50, 10, behaviour(), History(), 20, "ScaleUpLimit"),
        (50, 10, behaviour(scaleUp={"selectPolicy": "Disabled"}), History(), 10, "ScaleUpLimit"),
        (50, 10, behaviour(scaleUp={"selectPolicy": "Min"}), History(), 14, "ScaleUpLimit"),
        (50, 10, behaviour(scaleUp=policies(("Pods", 2, 60))), History(), 12, "ScaleUpLimit"),
        (50, 10, behaviour(scaleUp=policies(("Pods", 2, 60))), History(ups=(ago(30, 1),)), 11, "ScaleUpLimit"),
        (50, 10, behaviour(scaleUp=policies(("Pods", 2, 60))), History(ups=(ago(61, 1),)), 12, "ScaleUpLimit"),
        (50, 10, behaviour(scaleUp=policies(("Percent", 10, 60))), History(), 11, "ScaleUpLimit"),
        (1, 10, behaviour(scaleDown=policies(("Pods", 2, 60))), History(), 8, "ScaleDownLimit"),
        (1, 10, behaviour(scaleDown=policies(("Percent", 10, 60))), History(), 9, "ScaleDownLimit"),
        (1, 10, behaviour(scaleDown=policies(("Pods", 2, 60))), History(downs=(ago(9, 2),)), 10, "ScaleDownLimit"),
        (1, 10, behaviour(scaleDown=policies(("Pods", 2, 9), ("Pods", 4, 9), selectPolicy="Min")), History(), 8,
         "ScaleDownLimit"),
        (0, 10, behaviour(), History(), 1, "TooFewReplicas"),
        (200, 90, behaviour(), History(), 100, "TooManyReplicas"),
        (1, 10, behaviour(), History((ago(200, 7),)), 7, "DesiredWithinRange"),
        (1, 10, behaviour(scaleDown={"stabilizationWindowSeconds": 0}), History((ago(200, 7),)), 1,
         "DesiredWithinRange"),
        (12, 10, behaviour(scaleUp={"stabilizationWindowSeconds": 60}), History((ago(30, 11),)), 11,
         "DesiredWithinRange"),
    ],
)  # fmt: skip
def test_behavior(wanted: int, current: int, limits: Limits, history: History, replicas: int, reason: str) -> None:
    verdict, _ = normalise(wanted, current, limits, history, NOW)
    assert (verdict.replicas, verdict.limit[0]) == (replicas, reason)


# --- the controller
