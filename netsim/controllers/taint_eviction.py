"""Taint-based eviction: pods that do not tolerate a NoExecute taint of their Node are deleted, those that tolerate
it for a time when that is over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from netsim.api.kinds import NODES, PODS, Obj
from netsim.api.objects import (
    condition,
    deletion_timestamp,
    dig,
    key_of,
    observed,
    set_condition,
    status_of,
    tolerates,
)
from netsim.api.times import format_time, seconds_between
from netsim.controllers.controller import Controller
from netsim.controllers.node_lifecycle import wake_pods_of_tainted
from netsim.controllers.pods import is_finished
from netsim.controllers.view import View
from netsim.controllers.writes import Note, Patch, Requeue, Writes, delete_of, patch_of, typed

_REASON, _MESSAGE = "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint"


def reconcile(key: str, view: View) -> Writes:
    """Delete one pod when its time on a tainted Node is over."""
    pod = view.get(PODS, key)
    name = dig(pod, "spec", "nodeName")
    node = view.get(NODES, str(name)) if name else None
    if pod is None or node is None or deletion_timestamp(pod) or is_finished(pod):
        return []
    taints = _evicting(node)
    wait = seconds_to_eviction(pod["spec"].get("tolerations") or [], taints, view.now) if taints else None
    if wait is None:
        return []
    if wait > 0:
        return [Requeue(wait)]
    if (condition(pod, "DisruptionTarget") or {}).get("reason") != _REASON:
        return [_say_why(pod, format_time(view.now))]
    event = Note(typed(PODS, pod), "TaintManagerEviction", f"Marking for deletion Pod {key_of(pod)}")
    return [event, delete_of(PODS, pod)]


def _evicting(node: Obj) -> list[Obj]:
    return [taint for taint in node["spec"].get("taints") or [] if taint.get("effect") == "NoExecute"]


def wake_on_tainted(view: View, old: Obj | None, new: Obj | None) -> Iterable[str]:
    """A pod on a Node with such a taint: on others there is nothing to do, and pods change all the time."""
    node = view.get(NODES, str(dig(new, "spec", "nodeName") or ""))
    return (key_of(new),) if new is not None and node is not None and _evicting(node) else ()


def _say_why(pod: Obj, now: str) -> Patch:
    """The condition by which others tell this deletion from one that was asked for (KEP-3329); seeing it on the pod
    leads to the round that deletes."""
    why = {"type": "DisruptionTarget", "status": "True", "reason": _REASON, "message": _MESSAGE}
    conditions = set_condition(status_of(pod).get("conditions") or [], observed(why, pod), now)
    return patch_of(PODS, pod, {"status": {"conditions": conditions}}, sub="status", locked=True)


def seconds_to_eviction(tolerations: Sequence[Obj], taints: Sequence[Obj], now: datetime) -> float | None:
    """How long the pod may stay: None for ever, 0 not at all."""
    waits = [_wait(tolerations, taint, now) for taint in taints]
    return min((wait for wait in waits if wait is not None), default=None)


def _wait(tolerations: Sequence[Obj], taint: Obj, now: datetime) -> float | None:
    matching = [toleration for toleration in tolerations if tolerates(toleration, taint)]
    if not matching:
        return 0.0
    limits = [t["tolerationSeconds"] for t in matching if t.get("tolerationSeconds") is not None]
    if not limits:
        return None
    passed = seconds_between(taint["timeAdded"], now) if taint.get("timeAdded") else 0.0
    return max(float(min(limits)) - passed, 0.0)


CONTROLLER = Controller(
    "taint-eviction-controller", reconcile, ((PODS, wake_on_tainted), (NODES, wake_pods_of_tainted))
)
