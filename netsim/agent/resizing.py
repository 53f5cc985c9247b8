"""Resize of a running pod's CPU and memory (KEP-1287): what changes, whether it takes a restart, its events. Pure."""

from __future__ import annotations

import json

from netsim.agent import podspec
from netsim.agent.model import Container, Obj

NEEDS_RESTART = "resize requires restart"


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


def resize_message(pod: Obj, what: str, error: str = "") -> str:
    """The text of an event, `what` being started, completed or error: kubelet's, with the resources as JSON."""
    sidecars = [c for c in podspec.init_containers(pod) if podspec.is_sidecar(c)]
    groups = {"initContainers": sidecars, "containers": podspec.containers(pod)}
    told: Obj = {name: [_described(c) for c in found] for name, found in groups.items() if found}
    told["generation"] = pod["metadata"].get("generation", 0)
    return f"Pod resize {what}: " + json.dumps(told | ({"error": error} if error else {}), separators=(",", ":"))


def _described(container: Obj) -> Obj:
    resources = wanted_resources(container)
    return {"name": container["name"], "resources": {k: resources[k] for k in ("limits", "requests") if k in resources}}
