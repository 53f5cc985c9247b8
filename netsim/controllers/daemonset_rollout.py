"""Which daemons to replace next: the arithmetic of a DaemonSet's rolling update, Node by Node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from netsim.api.kinds import Obj
from netsim.api.objects import deletion_timestamp, dig, is_pod_ready, labels_of, metadata, name_of
from netsim.controllers.history import REVISION_HASH
from netsim.controllers.pods import is_available
from netsim.controllers.rollout import scaled


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many Nodes may be without an available daemon, or have two, during an update."""

    unavailable: int
    surge: int


@dataclass(frozen=True, slots=True)
class Changes:
    """Pods to delete, and names of Nodes to create one on."""

    delete: list[Obj] = field(default_factory=list)
    create: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Template:
    """What tells a daemon of the present template (by its hash), and since when a ready one is available."""

    digest: str
    min_ready: int
    now: datetime

    def is_new(self, pod: Obj) -> bool:
        return labels_of(pod).get(REVISION_HASH) == self.digest

    def available(self, pod: Obj) -> bool:
        return is_available(pod, self.min_ready, self.now)


def is_rolling(daemon_set: Obj) -> bool:
    """Whether the update strategy is RollingUpdate."""
    return (dig(daemon_set, "spec", "updateStrategy", "type") or "RollingUpdate") == "RollingUpdate"


def bounds_of(daemon_set: Obj, desired: int) -> Bounds:
    """maxUnavailable and maxSurge of `desired` daemons, both rounded up; they cannot both be 0."""
    if not is_rolling(daemon_set):
        return Bounds(0, 0)
    update = dig(daemon_set, "spec", "updateStrategy", "rollingUpdate") or {}
    surge = scaled(update.get("maxSurge") or 0, desired, up=True)
    given = update.get("maxUnavailable")
    unavailable = scaled(1 if given is None else given, desired, up=True)
    return Bounds(max(unavailable, 0 if surge else 1), surge)


def oldest_first(pods: Sequence[Obj]) -> list[Obj]:
    """Bound pods before others, older ones before younger ones."""

    def order(pod: Obj) -> tuple[bool, str, str]:
        return not dig(pod, "spec", "nodeName"), str(metadata(pod).get("creationTimestamp", "")), name_of(pod)

    return sorted(pods, key=order)


def surplus(pods: Sequence[Obj], template: Template, bounds: Bounds) -> list[Obj]:
    """Of one Node's running daemons those that are too many. With a surge an old one may stay beside a new one that is
    not available yet."""
    if len(pods) < 2:
        return []
    ranked = oldest_first(pods)
    if not bounds.surge:
        return ranked[1:]
    new = next((pod for pod in ranked if template.is_new(pod)), None)
    old = next((pod for pod in ranked if not template.is_new(pod)), None)
    replaced = new is not None and old is not None and (not is_pod_ready(old) or template.available(new))
    return [pod for pod in ranked if pod is not new and (pod is not old or replaced)]


def next_changes(nodes: Mapping[str, Sequence[Obj]], template: Template, bounds: Bounds) -> Changes:
    """The next step over the Nodes that should have a daemon, each with those it has."""
    return _with_surge(nodes, template, bounds) if bounds.surge else _without_surge(nodes, template, bounds)


def _without_surge(nodes: Mapping[str, Sequence[Obj]], template: Template, bounds: Bounds) -> Changes:
    """Old daemons that are not available go at once, available ones as far as the bound allows."""
    missing = 0
    broken: list[Obj] = []
    healthy: list[Obj] = []
    for pods in nodes.values():
        only = pods[0] if len(pods) == 1 else None
        if only is None or deletion_timestamp(only):
            missing += 1
        elif template.is_new(only):
            missing += not template.available(only)
        else:
            (healthy if template.available(only) else broken).append(only)
    return Changes(delete=[*broken, *healthy[: max(bounds.unavailable - missing, 0)]])


def _with_surge(nodes: Mapping[str, Sequence[Obj]], template: Template, bounds: Bounds) -> Changes:
    """New daemons are created beside old ones; Nodes whose old one is not available do not count."""
    surging = 0
    broken: list[str] = []
    healthy: list[str] = []
    for node, pods in nodes.items():
        staying = [pod for pod in pods if not deletion_timestamp(pod)]
        new = [pod for pod in staying if template.is_new(pod)]
        if new and len(pods) > 1:
            surging += not template.available(new[0])
        elif staying and not new:
            (healthy if template.available(staying[0]) else broken).append(node)
    return Changes(create=[*broken, *healthy[: max(bounds.surge - surging, 0)]])
