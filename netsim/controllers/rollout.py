"""The arithmetic of a Deployment: how many replicas each of its ReplicaSets should have next.

"Targets" are spec.replicas by ReplicaSet name, only for those that change. The rules are those of the Kubernetes
documentation on Deployments: never more than replicas + maxSurge in all, never fewer than replicas - maxUnavailable
available, and while a rollout is under way a change of spec.replicas is spread in proportion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netsim.api.kinds import Obj
from netsim.api.objects import annotations_of, dig, name_of
from netsim.controllers.template import age_key

DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"

Targets = dict[str, int]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a rolling update must keep: `desired` replicas, `surge` more at most, `unavailable` at most."""

    desired: int
    surge: int
    unavailable: int

    @property
    def most(self) -> int:
        """Replicas in all at most; none when none are wanted."""
        return self.desired + self.surge if self.desired else 0

    @property
    def least_available(self) -> int:
        return max(self.desired - self.unavailable, 0)


def bounds_of(deployment: Obj) -> Bounds:
    """maxSurge rounds up and maxUnavailable down; they cannot both be 0. Recreate knows no surge."""
    desired = replicas_of(deployment)
    if not is_rolling(deployment):
        return Bounds(desired, 0, 0)
    update = dig(deployment, "spec", "strategy", "rollingUpdate") or {}
    surge = scaled(update.get("maxSurge", "25%"), desired, up=True)
    unavailable = scaled(update.get("maxUnavailable", "25%"), desired, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return Bounds(desired, surge, min(unavailable, desired))


def is_rolling(deployment: Obj) -> bool:
    return (dig(deployment, "spec", "strategy", "type") or "RollingUpdate") == "RollingUpdate"


def scaled(value: int | str, total: int, *, up: bool) -> int:
    """A number, or a percentage of `total` rounded up or down."""
    if isinstance(value, int):
        return value
    if not value.endswith("%"):
        return int(value)
    share = int(value[:-1]) * total
    return -(-share // 100) if up else share // 100


def replicas_of(obj: Obj) -> int:
    """spec.replicas with its default, 1."""
    replicas = obj["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def available_of(replica_set: Obj) -> int:
    """Available replicas of which a scale-down under way has already taken its share."""
    return min(int(dig(replica_set, "status", "availableReplicas") or 0), replicas_of(replica_set))


def next_new_replicas(bounds: Bounds, rolling: bool, current: int, total: int) -> int:
    """Replicas that the new ReplicaSet, now at `current`, should have while all have `total` together."""
    if not rolling or current > bounds.desired:
        return bounds.desired
    return current + max(min(bounds.most - total, bounds.desired - current), 0)


def rolling_step(bounds: Bounds, new: Obj, old: Sequence[Obj]) -> Targets:
    """One step of a rolling update: the new ReplicaSet up as far as the surge allows, old ones down as far as
    availability allows, their unhealthy replicas first."""
    total = replicas_of(new) + sum(replicas_of(rs) for rs in old)
    targets = {name_of(new): next_new_replicas(bounds, True, replicas_of(new), total)}
    targets |= _old_step(bounds, new, sorted(old, key=age_key), total)
    return changed(targets, [new, *old])


def _old_step(bounds: Bounds, new: Obj, old: Sequence[Obj], total: int) -> Targets:
    removable = total - bounds.least_available - (replicas_of(new) - available_of(new))
    if removable <= 0:
        return {}
    targets: Targets = {}
    for rs in old:
        unhealthy = min(replicas_of(rs) - available_of(rs), removable)
        targets[name_of(rs)] = replicas_of(rs) - unhealthy
        removable -= unhealthy
    surplus = sum(available_of(rs) for rs in (new, *old)) - bounds.least_available
    for rs in old:
        fewer = max(min(targets[name_of(rs)], surplus, removable), 0)
        targets[name_of(rs)] -= fewer
        surplus -= fewer
        removable -= fewer
    return targets


def all_to_zero(old: Sequence[Obj]) -> Targets:
    """Recreate's first step."""
    return changed({name_of(rs): 0 for rs in old}, old)


def changed(targets: Targets, replica_sets: Sequence[Obj]) -> Targets:
    """Only the targets that differ from spec.replicas."""
    now = {name_of(rs): replicas_of(rs) for rs in replica_sets}
    return {name: count for name, count in targets.items() if count != now[name]}


def is_scaling(deployment: Obj, replica_sets: Sequence[Obj]) -> bool:
    """Whether spec.replicas has changed since the running ReplicaSets were last scaled (their annotation tells)."""
    desired = str(replicas_of(deployment))
    return any(replicas_of(rs) and annotations_of(rs).get(DESIRED, desired) != desired for rs in replica_sets)


def scale(bounds: Bounds, rolling: bool, new: Obj | None, old: Sequence[Obj]) -> Targets:
    """Follow a change of spec.replicas without going on with a rollout."""
    every = [rs for rs in (new, *old) if rs is not None]
    only = _active_or_latest(new, old)
    if only is not None:
        return changed({name_of(only): bounds.desired}, every)
    if new is not None and _saturated(new, bounds.desired):
        return changed({name_of(rs): 0 for rs in old}, every)
    return changed(_in_proportion(bounds, every), every) if rolling else {}


def _active_or_latest(new: Obj | None, old: Sequence[Obj]) -> Obj | None:
    """The one ReplicaSet with replicas; with none the new or youngest one; with several None."""
    active = [rs for rs in (new, *old) if rs is not None and replicas_of(rs)]
    if len(active) > 1:
        return None
    return active[0] if active else new or max(old, key=age_key, default=None)


def _saturated(new: Obj, desired: int) -> bool:
    return (
        replicas_of(new) == desired
        and annotations_of(new).get(DESIRED) == str(desired)
        and int(dig(new, "status", "availableReplicas") or 0) == desired
    )


def _in_proportion(bounds: Bounds, every: Sequence[Obj]) -> Targets:
    """Spread the difference to the new maximum over the running ReplicaSets by their size, larger ones first; the
    rounding's rest goes to the largest. Of equal ones the newest grows first, and the oldest shrinks first."""
    active = [rs for rs in every if replicas_of(rs)]
    to_add = bounds.most - sum(replicas_of(rs) for rs in active)
    active.sort(key=age_key, reverse=to_add > 0)
    active.sort(key=replicas_of, reverse=True)
    targets: Targets = {}
    left = to_add
    for rs in active:
        share = _share(rs, bounds, left)
        targets[name_of(rs)] = replicas_of(rs) + share
        left -= share
    if active and left:
        targets[name_of(active[0])] = max(targets[name_of(active[0])] + left, 0)
    return targets


def _share(rs: Obj, bounds: Bounds, left: int) -> int:
    if left == 0:
        return 0
    before = annotations_of(rs).get(MAXIMUM, "")
    maximum = int(before) if before.isdigit() and int(before) else max(bounds.most, 1)
    share = (2 * replicas_of(rs) * bounds.most + maximum) // (2 * maximum) - replicas_of(rs)
    return max(min(share, left), 0) if left > 0 else min(max(share, left), 0)
