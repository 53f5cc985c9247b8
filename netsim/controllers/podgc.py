"""Pods of Nodes that no longer exist, or are out of service for good: nobody will ever finish their deletion, so this
controller removes them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from netsim.api.kinds import NODES, PODS, Obj
from netsim.api.objects import deletion_timestamp, dig, is_true, name_of, observed, set_condition, status_of
from netsim.api.times import format_time
from netsim.controllers.controller import Controller
from netsim.controllers.facts import PRESENT, node_presence
from netsim.controllers.pods import is_finished
from netsim.controllers.view import NODE, View
from netsim.controllers.writes import Requeue, Write, Writes, delete_of, patch_of

OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
QUARANTINE = 40.0
"""Seconds a Node must have been gone: one that is created anew at once keeps its pods (as in Kubernetes)."""


@dataclass(slots=True)
class Missing:
    """Since when each Node has been found missing."""

    since: dict[str, datetime] = field(default_factory=dict)

    def seconds(self, node: str, now: datetime) -> float:
        return (now - self.since.setdefault(node, now)) / timedelta(seconds=1)


def controller(quarantine: float = QUARANTINE) -> Controller:
    """The controller; its keys are names of Nodes."""
    missing = Missing()

    def reconcile(key: str, view: View) -> Writes:
        pods = view.by_index(PODS, NODE, key)
        node = view.get(NODES, key)
        if node is not None and is_out_of_service(node):
            return [write for pod in pods if deletion_timestamp(pod) for write in _collect_from_dead(pod, view.now)]
        if node is not None or view.facts.get(PRESENT) or not pods:
            missing.since.pop(key, None)
            return []
        wait = quarantine - missing.seconds(key, view.instant)
        return [Requeue(wait)] if wait > 0 else [write for pod in pods for write in _collect(pod, view.now)]

    return Controller(
        "pod-garbage-collector-controller", reconcile, ((NODES, _wake_node), (PODS, _wake_pod)), observe=node_presence
    )


def _collect(pod: Obj, now: datetime) -> list[Write]:
    """Mark it failed, so that whoever waits for it learns why, then (in the next round) remove it."""
    if is_finished(pod) or deletion_timestamp(pod):
        return [delete_of(PODS, pod, grace=0)]
    text = "PodGC: node no longer exists"
    reason = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC", "message": text}
    conditions = set_condition(status_of(pod).get("conditions") or [], observed(reason, pod), format_time(now))
    return [patch_of(PODS, pod, {"status": {"phase": "Failed", "conditions": conditions}}, sub="status")]


def is_out_of_service(node: Obj) -> bool:
    """Whether somebody has said that the node is down and will not come back as it was (KEP-2268)."""
    down = not is_true(node, "Ready")
    return down and any(t.get("key") == OUT_OF_SERVICE for t in (node.get("spec") or {}).get("taints") or ())


def _collect_from_dead(pod: Obj, now: datetime) -> list[Write]:
    """As `_collect`, at once: the pod's deletion has been asked for, and nobody is there to carry it out."""
    if is_finished(pod):
        return [delete_of(PODS, pod, grace=0)]
    conditions = status_of(pod).get("conditions") or []
    failed = {"status": {"phase": "Failed", "conditions": conditions}}
    return [patch_of(PODS, pod, failed, sub="status"), Requeue(0.0)]


def _wake_node(view: View, old: Obj | None, new: Obj | None) -> Iterable[str]:
    if new is None:
        return (name_of(old),) if old is not None else ()
    return (name_of(new),) if is_out_of_service(new) else ()


def _wake_pod(view: View, old: Obj | None, new: Obj | None) -> Iterable[str]:
    name = str(dig(new, "spec", "nodeName") or "")
    node = view.get(NODES, name) if name else None
    wanted = name and (node is None or (deletion_timestamp(new or {}) and is_out_of_service(node)))
    return (name,) if wanted else ()
