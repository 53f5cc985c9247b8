"""The words and objects by which the scheduler says what it did."""

from __future__ import annotations

from netsim.api.kinds import Obj
from netsim.api.objects import condition, name_of, namespace_of, observed, uid_of
from netsim.scheduler.choose import Decision
from netsim.scheduler.preempt import Preemption

NAME = "default-scheduler"
_NO_CLAIMS, _STILL = "no new claims to deallocate", "still not schedulable"


def failure_message(decision: Decision, preemption: Preemption) -> str:
    """Why there is no node, then what the plugins for such cases found (DynamicResources, preemption)."""
    if decision.problem and not decision.refused:
        return f"{decision.message} not found"
    if preemption.victims is not None or not decision.total:
        return decision.message
    found = _STILL if decision.devices else _NO_CLAIMS
    return f"{decision.message} {found}, preemption: {preemption.message}"


def binding(pod: Obj, node: str) -> Obj:
    """The Binding that puts a pod on a node; with the uid, so that a namesake is not bound."""
    return {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": name_of(pod), "namespace": namespace_of(pod), "uid": uid_of(pod)},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    }


def unscheduled(pod: Obj, message: str, now: str) -> Obj:
    """The PodScheduled condition of a pod without a node; `now` is RFC 3339."""
    return with_time(
        pod, {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}, now
    )


def disruption(pod: Obj, now: str) -> Obj:
    """The condition that says why a victim is deleted (KEP-3329)."""
    text = f"{NAME}: preempting to accommodate a higher priority pod"
    made = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": text}
    return with_time(pod, made, now)


def with_time(pod: Obj, new: Obj, now: str) -> Obj:
    """A condition with the pod's generation and its transition time: kept from the pod's present one of that status."""
    old = condition(pod, new["type"]) or {}
    since = old.get("lastTransitionTime", now) if old.get("status") == new["status"] else now
    return observed({**new, "lastTransitionTime": since}, pod)
