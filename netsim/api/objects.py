"""Reading and deriving parts of API objects (plain JSON dicts). Nothing here mutates its arguments.

The readers of single fields call nothing else: at each change of an object they are called some fifty times.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from netsim.api.kinds import Obj

FAKE_NODE = "kwok.x-k8s.io/node"
"""Annotation and taint key of a fake Node, value "fake": KWOK's own, so that its manifests fit."""


def metadata(obj: Obj) -> Obj:
    return obj.get("metadata") or {}


def name_of(obj: Obj) -> str:
    name: str = (obj.get("metadata") or {}).get("name", "")
    return name


def namespace_of(obj: Obj) -> str:
    """The namespace, "" for cluster-scoped objects."""
    namespace: str = (obj.get("metadata") or {}).get("namespace", "")
    return namespace


def uid_of(obj: Obj) -> str:
    uid: str = (obj.get("metadata") or {}).get("uid", "")
    return uid


def labels_of(obj: Obj) -> dict[str, str]:
    return (obj.get("metadata") or {}).get("labels") or {}


def annotations_of(obj: Obj) -> dict[str, str]:
    return metadata(obj).get("annotations") or {}


def key_of(obj: Obj) -> str:
    """ "namespace/name", or "name" for cluster-scoped objects."""
    head = obj.get("metadata") or {}
    name, namespace = head.get("name", ""), head.get("namespace", "")
    return f"{namespace}/{name}" if namespace else cast(str, name)


def resource_version(obj: Obj) -> str:
    return cast(str, metadata(obj).get("resourceVersion", ""))


def owner_references(obj: Obj) -> list[Obj]:
    return (obj.get("metadata") or {}).get("ownerReferences") or []


def controller_of(obj: Obj) -> Obj | None:
    """The owner reference with `controller: true`, if there is one."""
    for reference in owner_references(obj):
        if reference.get("controller"):
            return reference
    return None


def deletion_timestamp(obj: Obj) -> str | None:
    """metadata.deletionTimestamp as written, None while nobody asked for deletion."""
    return (obj.get("metadata") or {}).get("deletionTimestamp")


def spec_of(obj: Obj) -> Obj:
    return obj.get("spec") or {}


def status_of(obj: Obj) -> Obj:
    return obj.get("status") or {}


def pod_phase(pod: Obj) -> str:
    phase: str = (pod.get("status") or {}).get("phase", "")
    return phase


def condition(obj: Obj, kind: str) -> Obj | None:
    """The condition of that type in status.conditions."""
    for found in status_of(obj).get("conditions") or ():
        if found.get("type") == kind:
            return cast(Obj, found)
    return None


def is_true(obj: Obj, kind: str) -> bool:
    """Whether the condition of that type is there and "True"."""
    found = condition(obj, kind)
    return found is not None and found.get("status") == "True"


def is_pod_ready(pod: Obj) -> bool:
    return is_true(pod, "Ready")


def set_condition(conditions: Sequence[Obj], new: Obj, now: str) -> list[Obj]:
    """`conditions` with `new` in place of the one of its type, or at the end. lastTransitionTime is `now` if the
    status changed, else kept. `now` is an RFC 3339 text."""
    old = next((c for c in conditions if c.get("type") == new["type"]), None)
    since = old.get("lastTransitionTime", now) if old and old.get("status") == new.get("status") else now
    merged = {**new, "lastTransitionTime": since}
    if old is None:
        return [*conditions, merged]
    return [merged if c.get("type") == new["type"] else c for c in conditions]


def observed(condition: Obj, obj: Obj) -> Obj:
    """A pod's condition as the API server keeps it, with the generation of the pod it was set upon (KEP-5067)."""
    generation = obj["metadata"].get("generation")
    told = {"lastProbeTime": None, **condition}
    return {**told, "observedGeneration": generation} if generation else told


def object_reference(obj: Obj) -> Obj:
    """A core/v1 ObjectReference to `obj`, for events and targetRef."""
    reference = {"kind": obj.get("kind", ""), "namespace": namespace_of(obj), "name": name_of(obj), "uid": uid_of(obj)}
    reference |= {"apiVersion": obj.get("apiVersion", ""), "resourceVersion": resource_version(obj)}
    return {key: value for key, value in reference.items() if value}


def dig(obj: Obj | None, *path: str) -> Any:
    """The value below a chain of keys, None where any of them is missing or null."""
    value: Any = obj
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def copy_json(value: Any) -> Any:
    """A deep copy of a JSON value: several times as quick as `copy.deepcopy`, which must expect cycles."""
    if isinstance(value, dict):
        return {key: copy_json(item) for key, item in value.items()}
    return [copy_json(item) for item in value] if isinstance(value, list) else value


def tolerates(toleration: Obj, taint: Obj) -> bool:
    """Whether a toleration covers a taint: no effect means all, no key with Exists means all."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return True
    return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")
