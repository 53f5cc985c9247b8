"""Resize of a running pod's CPU and memory (KEP-1287): what changes, whether it takes a restart, its events. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fractions import Fraction
from math import ceil

from netsim.agent import podspec
from netsim.agent.model import Container, Obj, PodState
from netsim.api.pod_resources import pod_amounts

NEEDS_RESTART = "resize requires restart"
INFEASIBLE, DEFERRED = "Infeasible", "Deferred"
Amounts = Mapping[str, int]
"""CPU in thousandths and memory in bytes, by name."""


def wanted_resources(spec: Obj) -> Obj:
    """What a container's cgroup is made of."""
    return dict(spec.get("resources") or {})


def is_resized(spec: Obj, actual: Container) -> bool:
    """Whether a container runs with other resources than the pod now says."""
    return actual.resources is not None and actual.resources != wanted_resources(spec)


def takes_restart(spec: Obj, actual: Container) -> bool:
    """Whether the container's resizePolicy wants it restarted for one of the resources that have changed."""
    before, now = actual.resources or {}, wanted_resources(spec)
    strict = {p["resourceName"] for p in spec.get("resizePolicy") or () if p.get("restartPolicy") == "RestartContainer"}
    return any(
        (before.get(side) or {}).get(name) != (now.get(side) or {}).get(name)
        for side in ("limits", "requests")
        for name in strict
    )


def with_actual(spec: Obj, state: PodState) -> Obj:
    """A container with the resources that it runs with, where those that the pod wants are not to be had."""
    actual = state.containers.get(spec["name"])
    if state.pending_resize is None or actual is None or actual.resources is None:
        return spec
    return {**spec, "resources": actual.resources}


def amounts(found: Mapping[str, Fraction]) -> Amounts:
    """The CPU and memory among a node's or a pod's resources."""
    return {name: ceil(found.get(name, 0) * unit) for name, unit in (("cpu", 1000), ("memory", 1))}


def asked(pod: Obj) -> Amounts:
    """The CPU and memory that a pod asks for."""
    return amounts(pod_amounts(pod["spec"], "requests"))


def held(pod: Obj, state: PodState | None) -> Amounts:
    """The CPU and memory that a pod has on its node, or is just being given; a resize that waits holds nothing."""
    if (state is not None and state.ended) or (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return amounts({})
    if state is None or state.pending_resize is None:
        return asked(pod)
    groups = ("initContainers", "containers")
    actual = {group: [with_actual(c, state) for c in pod["spec"].get(group) or ()] for group in groups}
    return amounts(pod_amounts(pod["spec"] | actual, "requests"))


def wants_resize(pod: Obj, state: PodState) -> bool:
    """Whether any container of a pod was last started with other resources than the pod now says."""
    known = ((c, state.containers.get(c["name"])) for c in podspec.all_containers(pod))
    return any(actual is not None and is_resized(spec, actual) for spec, actual in known)


def choose_pending(wanted: Amounts, used: Amounts, capacity: Amounts) -> Obj | None:
    """Why a pod cannot have what it asks for, in kubelet's words: never on this node, or not beside what others use."""
    for name in ("memory", "cpu"):
        if wanted[name] > capacity[name]:
            why = f"Node didn't have enough capacity: {name}, requested: {wanted[name]}, capacity: {capacity[name]}"
            return {"reason": INFEASIBLE, "message": why}
    for name in ("cpu", "memory"):
        if wanted[name] > capacity[name] - used[name]:
            rest = f"requested: {wanted[name]}, used: {used[name]}, capacity: {capacity[name]}"
            return {"reason": DEFERRED, "message": f"Node didn't have enough resource: {name}, {rest}"}
    return None


def resize_message(pod: Obj, what: str, error: str = "") -> str:
    """The text of an event, `what` being started, completed, error, Infeasible or Deferred: kubelet's, with the
    resources as JSON."""
    sidecars = [c for c in podspec.init_containers(pod) if podspec.is_sidecar(c)]
    groups = {"initContainers": sidecars, "containers": podspec.containers(pod)}
    told: Obj = {name: [_described(c) for c in found] for name, found in groups.items() if found}
    told["generation"] = pod["metadata"].get("generation", 0)
    return f"Pod resize {what}: " + json.dumps(told | ({"error": error} if error else {}), separators=(",", ":"))


def _described(container: Obj) -> Obj:
    resources = wanted_resources(container)
    return {"name": container["name"], "resources": {k: resources[k] for k in ("limits", "requests") if k in resources}}
