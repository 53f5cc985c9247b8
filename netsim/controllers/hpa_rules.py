"""From the replicas that metrics ask for to those there shall be: stabilisation, scaling policies, limits. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from netsim.api.kinds import Obj

DOWNSCALE_WINDOW = 300
UP_FACTOR, UP_MINIMUM = 2, 4
DEFAULT_UP: Obj = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ],
}
DEFAULT_DOWN: Obj = {
    "stabilizationWindowSeconds": DOWNSCALE_WINDOW,
    "selectPolicy": "Max",
    "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
}
_IN_RANGE = ("DesiredWithinRange", "the desired count is within the acceptable range")
_UP_LIMIT = ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate")
_DOWN_LIMIT = ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate")
_TOO_MANY = ("TooManyReplicas", "the desired replica count is more than the maximum replica count")
_TOO_FEW = ("TooFewReplicas", "the desired replica count is less than the minimum replica count")
_READY = ("ReadyForNewScale", "recommended size matches current size")
_UP_STABLE = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
)
_DOWN_STABLE = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
)

Why = tuple[str, str]
"""The reason and message of a condition."""


@dataclass(frozen=True, slots=True)
class Past:
    """When a count was recommended, or by how many replicas was scaled."""

    at: datetime
    count: int


@dataclass(frozen=True, slots=True)
class History:
    """What an autoscaler remembers: recommendations, and how much it has scaled up and down."""

    recommendations: tuple[Past, ...] = ()
    ups: tuple[Past, ...] = ()
    downs: tuple[Past, ...] = ()

    def scaled(self, before: int, after: int, now: datetime) -> History:
        """With one more scaling; those that no policy asks about any more (30 minutes is their longest) are dropped."""
        recent = now - timedelta(minutes=30)
        if after > before:
            return replace(self, ups=(*(p for p in self.ups if p.at > recent), Past(now, after - before)))
        return replace(self, downs=(*(p for p in self.downs if p.at > recent), Past(now, before - after)))


@dataclass(frozen=True, slots=True)
class Limits:
    """spec.minReplicas, spec.maxReplicas, and spec.behavior with its defaults filled in (None without one)."""

    least: int
    most: int
    up: Obj | None = None
    down: Obj | None = None


def limits_of(spec: Obj) -> Limits:
    """The limits of a HorizontalPodAutoscaler's spec."""
    least, most, behavior = spec.get("minReplicas"), int(spec["maxReplicas"]), spec.get("behavior")
    least = 1 if least is None else int(least)
    if behavior is None:
        return Limits(least, most)
    return Limits(
        least, most, _rules(DEFAULT_UP, behavior.get("scaleUp")), _rules(DEFAULT_DOWN, behavior.get("scaleDown"))
    )


def _rules(defaults: Obj, given: Obj | None) -> Obj:
    return {**defaults, **{key: value for key, value in (given or {}).items() if value is not None}}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The count there shall be; why (AbleToScale), and whether and why it is limited (ScalingLimited)."""

    replicas: int
    able: Why
    limited: bool
    limit: Why


def normalise(wanted: int, current: int, limits: Limits, history: History, now: datetime) -> tuple[Verdict, History]:
    """What becomes of the replicas wanted, and the history with this recommendation in it."""
    windows = _windows(limits)
    stable, why = _stabilise(wanted, current, windows, limits.up is not None, history, now)
    kept = tuple(p for p in history.recommendations if p.at >= now - timedelta(seconds=max(windows)))
    history = replace(history, recommendations=(*kept, Past(now, wanted)))
    count, limit = _limit(stable, current, limits, history, now)
    return Verdict(count, _READY if stable == wanted else why, count != stable, limit), history


def _windows(limits: Limits) -> tuple[int, int]:
    if limits.up is None or limits.down is None:
        return 0, DOWNSCALE_WINDOW
    return int(limits.up["stabilizationWindowSeconds"]), int(limits.down["stabilizationWindowSeconds"])


def _stabilise(
    wanted: int, current: int, windows: tuple[int, int], behaves: bool, history: History, now: datetime
) -> tuple[int, Why]:
    """The least (upwards) or the most (downwards) of what was recommended within the window of that direction."""
    upwards = behaves and wanted >= current
    window = windows[0] if upwards else windows[1]
    recent = [past.count for past in history.recommendations if past.at > now - timedelta(seconds=window)]
    return (min([wanted, *recent]), _UP_STABLE) if upwards else (max([wanted, *recent]), _DOWN_STABLE)


def _limit(wanted: int, current: int, limits: Limits, history: History, now: datetime) -> tuple[int, Why]:
    if limits.up is None or limits.down is None:
        return _limit_simply(wanted, current, limits)
    if wanted > current:
        rate = max(current, _up_limit(current, history.ups, limits.up, now))
        most, why = (rate, _UP_LIMIT) if rate < limits.most else (limits.most, _TOO_MANY)
        return (most, why) if wanted > most else (wanted, _IN_RANGE)
    if wanted < current:
        rate = min(current, _down_limit(current, history.downs, limits.down, now))
        least, why = (rate, _DOWN_LIMIT) if rate > limits.least else (limits.least, _TOO_FEW)
        return (least, why) if wanted < least else (wanted, _IN_RANGE)
    return wanted, _IN_RANGE


def _limit_simply(wanted: int, current: int, limits: Limits) -> tuple[int, Why]:
    """Without spec.behavior at most twice as many at once, or four."""
    rate = max(UP_FACTOR * current, UP_MINIMUM)
    most, why = (rate, _UP_LIMIT) if limits.most > rate else (limits.most, _TOO_MANY)
    if wanted < limits.least:
        return limits.least, _TOO_FEW
    return (most, why) if wanted > most else (wanted, _IN_RANGE)


def _up_limit(current: int, ups: Sequence[Past], rules: Obj, now: datetime) -> int:
    if rules["selectPolicy"] == "Disabled":
        return current
    choose: Callable[[list[int]], int] = min if rules["selectPolicy"] == "Min" else max

    def reach(policy: Obj) -> int:
        start = current - _within(ups, policy, now)
        more: float = policy["value"] if policy["type"] == "Pods" else start * policy["value"] / 100
        return math.ceil(round(start + more, 9))

    return choose([reach(policy) for policy in rules["policies"]])


def _down_limit(current: int, downs: Sequence[Past], rules: Obj, now: datetime) -> int:
    if rules["selectPolicy"] == "Disabled":
        return current
    choose: Callable[[list[int]], int] = max if rules["selectPolicy"] == "Min" else min

    def reach(policy: Obj) -> int:
        start = current + _within(downs, policy, now)
        less = policy["value"] if policy["type"] == "Pods" else start * policy["value"] / 100
        return int(start - less)

    return choose([reach(policy) for policy in rules["policies"]])


def _within(events: Sequence[Past], policy: Obj, now: datetime) -> int:
    """By how many replicas was scaled within the policy's period."""
    since = now - timedelta(seconds=policy["periodSeconds"])
    return sum(event.count for event in events if event.at > since)
