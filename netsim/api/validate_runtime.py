"""Rules of RuntimeClasses (KEP-585)."""

from __future__ import annotations

from collections.abc import Iterator

from netsim.api import causes, validate_containers, validate_placement
from netsim.api.errors import Cause
from netsim.api.kinds import Obj

_IN_GO = (("Key", "key"), ("Operator", "operator"), ("Value", "value"), ("Effect", "effect"))


def runtime_class(obj: Obj) -> Iterator[Cause]:
    if obj.get("handler"):
        yield from causes.dns_label("handler", obj["handler"])
    else:
        yield causes.required("handler")
    overhead = (obj.get("overhead") or {}).get("podFixed") or {}
    yield from validate_containers.resources({"limits": overhead}, "overhead")
    scheduling = obj.get("scheduling") or {}
    yield from causes.label_map("scheduling.nodeSelector", scheduling.get("nodeSelector"))
    yield from _tolerations(scheduling.get("tolerations") or [], "scheduling.tolerations")


def _tolerations(tolerations: list[Obj], field: str) -> Iterator[Cause]:
    yield from validate_placement.tolerations(tolerations, field)
    seen: list[Obj] = []
    for index, toleration in enumerate(tolerations):
        shown = {go: toleration.get(name, "") for go, name in _IN_GO}
        if shown in seen:
            whole = {**shown, "TolerationSeconds": toleration.get("tolerationSeconds")}
            yield causes.duplicate(f"{field}[{index}]", whole)
        seen.append(shown)


def runtime_class_update(new: Obj, old: Obj) -> Iterator[Cause]:
    yield from causes.unchanged("handler", new.get("handler", ""), old.get("handler", ""))
