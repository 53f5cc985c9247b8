"""Taint-based eviction: pods that do not tolerate a NoExecute taint of their Node are deleted, those that tolerate
it for a time when that is over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from netsim.api.kinds import NODES, PODS, Obj
from netsim.api.objects import (
    condition,
    deletion_timestamp,
    key_of,
    observed,
    set_condition,
    spec_of,
    status_of,
    tolerates,
    uid_of,
)
from netsim.api.times import format_time
from netsim.controllers.controller import Controller
from netsim.controllers.node_lifecycle import wake_pods_of_tainted
from netsim.controllers.view import View
from netsim.controllers.writes import Note, Patch, Requeue, Writes, delete_of, patch_of, typed

_REASON, _MESSAGE = "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint"


@dataclass(slots=True)
class Standing:
    """Since when each pod has stood its node's taints, as seen here; so counts Kubernetes. A taint that people write
    has no timeAdded, and a pod may come long after it."""

    since: dict[str, tuple[str, datetime]] = field(default_factory=dict)

    def seconds(self, pod: Obj, now: datetime) -> float:
        """How long, counted from the first time this pod is asked about."""
        uid, since = self.since.get(key_of(pod), ("", now))
        if uid != uid_of(pod):
            self.since[key_of(pod)] = uid_of(pod), (since := now)
        return (now - since) / timedelta(seconds=1)


def controller() -> Controller:
    """The controller; its keys are those of the pods."""
    standing = Standing()

    def reconcile(key: str, view: View) -> Writes:
        pod = view.get(PODS, key)
        limit = None if pod is None else tolerated_seconds(pod, view)
        if pod is None or limit is None:
            stood = standing.since.pop(key, ("", None))[0]
            return [_event(pod, "Cancelling deletion of")] if pod is not None and _is_spared(pod, stood) else []
        wait = limit - standing.seconds(pod, view.instant)
        return [Requeue(wait)] if wait > 0 else _evict(pod, view.now)

    return Controller("taint-eviction-controller", reconcile, ((PODS, wake_on_tainted), (NODES, wake_pods_of_tainted)))


def tolerated_seconds(pod: Obj, view: View) -> float | None:
    """How long the pod may stand the NoExecute taints of its node: None for ever, 0 not at all."""
    node = view.get(NODES, str(spec_of(pod).get("nodeName") or ""))
    if node is None or deletion_timestamp(pod):
        return None
    limits = [_limit(spec_of(pod).get("tolerations") or [], taint) for taint in _evicting(node)]
    return min((limit for limit in limits if limit is not None), default=None)


def _limit(tolerations: Sequence[Obj], taint: Obj) -> float | None:
    matching = [toleration for toleration in tolerations if tolerates(toleration, taint)]
    limits = [t["tolerationSeconds"] for t in matching if t.get("tolerationSeconds") is not None]
    if limits:
        return float(min(limits))
    return None if matching else 0.0


def _evict(pod: Obj, now: datetime) -> Writes:
    if (condition(pod, "DisruptionTarget") or {}).get("reason") != _REASON:
        return [_say_why(pod, format_time(now))]
    return [_event(pod, "Marking for deletion"), delete_of(PODS, pod)]


def _event(pod: Obj, what: str) -> Note:
    return Note(typed(PODS, pod), "TaintManagerEviction", f"{what} Pod {key_of(pod)}")


def _is_spared(pod: Obj, stood: str) -> bool:
    """Whether the pod (uid `stood`) had a time to go by, and the taint is gone before that."""
    return bool(stood) and stood == uid_of(pod) and not deletion_timestamp(pod)


def _evicting(node: Obj) -> list[Obj]:
    return [taint for taint in node["spec"].get("taints") or [] if taint.get("effect") == "NoExecute"]


def wake_on_tainted(view: View, old: Obj | None, new: Obj | None) -> Iterable[str]:
    """A pod on a Node with such a taint: on others there is nothing to do, and pods change all the time. Of one that is
    gone, what is remembered is dropped."""
    pod = new or old or {}
    node = view.get(NODES, str(spec_of(pod).get("nodeName") or ""))
    return (key_of(pod),) if new is None or (node is not None and _evicting(node)) else ()


def _say_why(pod: Obj, now: str) -> Patch:
    """The condition by which others tell this deletion from one that was asked for (KEP-3329); seeing it on the pod
    leads to the round that deletes."""
    why = {"type": "DisruptionTarget", "status": "True", "reason": _REASON, "message": _MESSAGE}
    conditions = set_condition(status_of(pod).get("conditions") or [], observed(why, pod), now)
    return patch_of(PODS, pod, {"status": {"conditions": conditions}}, sub="status", locked=True)
