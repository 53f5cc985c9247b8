"""Priority admission: what a PriorityClass gives to pods, and which PriorityClasses there may be."""

from __future__ import annotations

from netsim.api import errors, kinds
from netsim.api.kinds import Obj
from netsim.server.admission_refusal import refused_pod
from netsim.server.codec import prefix_of
from netsim.server.core import Core

SYSTEM_CLASSES: dict[str, tuple[int, str]] = {
    "system-cluster-critical": (
        2000000000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
    "system-node-critical": (
        2000001000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
}
_PREEMPT = "PreemptLowerPriority"
_MARK = b'"globalDefault":true'
"""What a default class has among its bytes: every pod asks for it, and hardly a cluster has one."""


def system_classes() -> list[Obj]:
    """The two PriorityClasses every cluster has."""
    return [
        {"metadata": {"name": name}, "value": value, "description": text, "preemptionPolicy": _PREEMPT}
        for name, (value, text) in SYSTEM_CLASSES.items()
    ]


async def admit_priority(core: Core, pod: Obj) -> Obj:
    """The pod with priority and preemptionPolicy of its PriorityClass, or of the default one."""
    name = (pod.get("spec") or {}).get("priorityClassName") or ""
    if name:
        found = _system_class(name) or await core.find(kinds.PRIORITY_CLASSES, "", name)
        if found is None:
            raise refused_pod(pod, f"no PriorityClass with name {name} was found")
        return with_priority(pod, found)
    return with_priority(pod, await _default(core))


async def _default(core: Core) -> Obj | None:
    page = await core.store.list(prefix_of(kinds.PRIORITY_CLASSES))
    return default_class([core.decoder(item) for item in page.items if _MARK in item.value])


def _system_class(name: str) -> Obj | None:
    return next((each for each in system_classes() if each["metadata"]["name"] == name), None)


def default_class(classes: list[Obj]) -> Obj | None:
    """The class with globalDefault; should there be two, that of the lower value."""
    return min((each for each in classes if each.get("globalDefault")), key=_value, default=None)


def _value(priority_class: Obj) -> int:
    return int(priority_class.get("value") or 0)


def with_priority(pod: Obj, priority_class: Obj | None) -> Obj:
    """The pod as its class (None: no class) makes it; 403 when it says something else."""
    spec = pod["spec"]
    priority = _value(priority_class) if priority_class else 0
    policy = (priority_class or {}).get("preemptionPolicy") or _PREEMPT
    told = "must not be provided in pod spec; priority admission controller computed"
    if spec.get("priority") not in (None, priority):
        why = f"the integer value of priority ({spec['priority']}) {told} {priority} from the given PriorityClass name"
        raise refused_pod(pod, why)
    if spec.get("preemptionPolicy") not in (None, policy):
        given = spec["preemptionPolicy"]
        why = f"the string value of PreemptionPolicy ({given}) {told} {policy} from the given PriorityClass name"
        raise refused_pod(pod, why)
    named = {"priorityClassName": priority_class["metadata"]["name"]} if priority_class else {}
    return {**pod, "spec": {**spec, **named, "priority": priority, "preemptionPolicy": policy}}


async def check_priority_class(core: Core, new: Obj) -> None:
    """403 for a second default."""
    name = new["metadata"]["name"]
    present = await _default(core) if new.get("globalDefault") else None
    if present is not None and present["metadata"]["name"] != name:
        other = present["metadata"]["name"]
        why = f"PriorityClass {other} is already marked as default. Only one default can exist"
        raise errors.forbidden(kinds.PRIORITY_CLASSES, name, why)
