"""RuntimeClass admission (KEP-585, KEP-688): what a pod's class of runtime gives to it."""

from __future__ import annotations

from typing import Any

from netsim.api import kinds
from netsim.api.kinds import Obj
from netsim.api.pod_resources import quantities
from netsim.server.admission_refusal import refused_pod
from netsim.server.core import Core


async def admit_runtime(core: Core, pod: Obj) -> Obj:
    """The pod with overhead and scheduling of the RuntimeClass it names; 403 if there is none or they contradict."""
    spec = pod["spec"]
    name = spec.get("runtimeClassName")
    if name is None and "overhead" not in spec:
        return pod
    found = await core.find(kinds.RUNTIME_CLASSES, "", name) if name is not None else None
    if name is not None and found is None:
        raise refused_pod(pod, f'pod rejected: RuntimeClass "{name}" not found')
    return with_runtime(pod, found or {})


def with_runtime(pod: Obj, runtime_class: Obj) -> Obj:
    """The pod as its class makes it; 403 when it says something else. A class of {} is none."""
    spec = with_overhead(pod, runtime_class.get("overhead"))
    scheduling = runtime_class.get("scheduling") or {}
    selector = {**(spec.get("nodeSelector") or {})}
    for key, value in (scheduling.get("nodeSelector") or {}).items():
        given = selector.setdefault(key, value)
        if given != value:
            where = f"runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = {given}"
            raise refused_pod(pod, f"conflict: {where}")
    tolerations = merged_tolerations([*(spec.get("tolerations") or []), *(scheduling.get("tolerations") or [])])
    added = {"nodeSelector": selector, "tolerations": tolerations} if scheduling else {}
    return {**pod, "spec": {**spec, **{name: value for name, value in added.items() if value}}}


def with_overhead(pod: Obj, overhead: Obj | None) -> Obj:
    """The pod's spec with the overhead of its class (None: it has none)."""
    spec: Obj = pod["spec"]
    if overhead is None:
        if "overhead" in spec:
            raise refused_pod(pod, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
        return spec
    fixed = overhead.get("podFixed") or {}
    if spec.get("overhead") and quantities(spec["overhead"]) != quantities(fixed):
        raise refused_pod(pod, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
    return {**spec, "overhead": fixed} if fixed else spec


def merged_tolerations(tolerations: list[Obj]) -> list[Obj]:
    """Those that tolerate something which no other does; of equal ones the first."""
    kept: list[Obj] = []
    for index, one in enumerate(tolerations):
        later = (other for other in tolerations[index + 1 :] if other != one)
        if not any(_covers(other, one) for other in (*kept, *later)):
            kept.append(one)
    return kept


def _covers(wide: Obj, narrow: Obj) -> bool:
    """Whether one toleration tolerates all that another does."""
    operator = wide.get("operator") or "Equal"
    if wide == narrow:
        return True
    if _text(wide, "key") != _text(narrow, "key") and not (operator == "Exists" and not wide.get("key")):
        return False
    if wide.get("effect") and wide["effect"] != narrow.get("effect"):
        return False
    if wide.get("effect") == "NoExecute" and wide.get("tolerationSeconds") is not None:
        seconds = narrow.get("tolerationSeconds")
        if seconds is None or seconds > wide["tolerationSeconds"]:
            return False
    if operator == "Exists":
        return True
    return narrow.get("operator") == "Equal" and _text(wide, "value") == _text(narrow, "value")


def _text(obj: Obj, field: str) -> Any:
    return obj.get(field) or ""
