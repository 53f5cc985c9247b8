"""Rules of a pod's resize: CPU and memory of its containers may change, and nothing else (KEP-1287)."""

from __future__ import annotations

from collections.abc import Iterator

from netsim.api import causes, validate_containers
from netsim.api.errors import Cause
from netsim.api.kinds import Obj
from netsim.api.pod_defaults import qos_class

_RESIZABLE = ("cpu", "memory")
_GROUPS = ("containers", "initContainers")


def resized(old: Obj, wanted: Obj) -> Obj:
    """The pod as it is, with the resources (and resize policies) that the containers of `wanted` have."""
    spec = {**old["spec"]}
    asked = {c.get("name"): c for group in _GROUPS for c in (wanted.get("spec") or {}).get(group) or ()}
    for group in _GROUPS:
        if spec.get(group):
            spec[group] = [_with_resources(container, asked.get(container.get("name"))) for container in spec[group]]
    return {**old, "spec": spec}


def _with_resources(container: Obj, asked: Obj | None) -> Obj:
    if asked is None:
        return container
    fields: Obj = {key: asked[key] for key in ("resources", "resizePolicy") if key in asked}
    return {**container, **fields}


def resize(new: Obj, old: Obj) -> Iterator[Cause]:
    """Why `old` may not become `new`, which `resized` made and defaults completed."""
    if qos_class(new["spec"]) != qos_class(old["spec"]):
        why = "Pod QOS Class may not change as a result of resizing"
        yield causes.invalid("spec", qos_class(old["spec"]), why)
    for group in _GROUPS:
        pairs = zip(new["spec"].get(group) or (), old["spec"].get(group) or (), strict=True)
        for index, (now, before) in enumerate(pairs):
            field = f"spec.{group}[{index}].resources"
            yield from validate_containers.resources(now.get("resources") or {}, field)
            yield from _changes(now.get("resources") or {}, before.get("resources") or {}, field)
            if group == "initContainers" and before.get("restartPolicy") != "Always" and now != before:
                yield causes.forbidden(field, "resources for non-sidecar init containers are immutable")


def _changes(now: Obj, before: Obj, field: str) -> Iterator[Cause]:
    for side in ("requests", "limits"):
        asked, held = now.get(side) or {}, before.get(side) or {}
        for name in sorted(held.keys() - asked.keys()):
            if name in _RESIZABLE:
                yield causes.forbidden(f"{field}.{side}[{name}]", f"resource {side} cannot be removed")
        fixed = ({k: v for k, v in amounts.items() if k not in _RESIZABLE} for amounts in (asked, held))
        if next(fixed) != next(fixed):
            yield causes.forbidden(f"{field}.{side}", "only cpu and memory resources are mutable")
