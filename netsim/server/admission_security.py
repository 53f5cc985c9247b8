"""PodSecurity admission: holds pods against their namespace's labels, and warns of what they and templates would do."""

from __future__ import annotations

from netsim.api import errors, kinds
from netsim.api.kinds import Kind, Obj
from netsim.api.pod_security import (
    asks,
    existing_violations,
    label_problems,
    policy,
    same_images,
    tightened,
    told,
    violations,
)
from netsim.server.core import Core

_TEMPLATES = frozenset(
    (
        kinds.DEPLOYMENTS, kinds.REPLICA_SETS, kinds.REPLICATION_CONTROLLERS, kinds.STATEFUL_SETS, kinds.DAEMON_SETS,
        kinds.JOBS, kinds.CRON_JOBS, kinds.POD_TEMPLATES,
    )
)  # fmt: skip
_CHANGED_BY = ("", "ephemeralcontainers")
"""Subresources through which a pod's containers change."""


async def admit_secure(core: Core, kind: Kind, new: Obj, old: Obj | None, sub: str = "") -> list[str]:
    """What the author of a write is warned of. 403 for a pod that its namespace does not let in, 422 for a namespace
    that asks for what there is not."""
    if kind is kinds.NAMESPACES:
        _check_labels(new, old)
        return await _about_existing(core, new, old)
    metadata, spec = _pod_of(kind, new, old, sub)
    if not spec:
        return []
    labels = await _labels(core, new)
    if not asks(labels):
        return []
    if kind is kinds.PODS:
        asked = policy(labels, "enforce")
        wrong = violations(asked, metadata, spec)
        if wrong:
            raise errors.forbidden(kind, metadata["name"], f'violates PodSecurity "{asked}": {told(wrong)}')
    asked = policy(labels, "warn")
    wrong = violations(asked, metadata, spec)
    return [f'would violate PodSecurity "{asked}": {told(wrong)}'] if wrong else []


def _check_labels(new: Obj, old: Obj | None) -> None:
    found = list(label_problems(new["metadata"].get("labels")))
    if found and (old is None or found != list(label_problems(old["metadata"].get("labels")))):
        raise errors.invalid(kinds.NAMESPACES, new["metadata"]["name"], found)


def _to_be_judged(new: Obj, old: Obj | None, sub: str) -> bool:
    if old is not None and new["spec"] is old["spec"]:  # as it is for all that only changes metadata or status
        return False
    return sub in _CHANGED_BY and (old is None or not same_images(new["spec"], old["spec"]))


async def _labels(core: Core, obj: Obj) -> Obj:
    namespace = await core.find(kinds.NAMESPACES, "", obj["metadata"]["namespace"])
    return (namespace["metadata"].get("labels") or {}) if namespace is not None else {}


def _pod_of(kind: Kind, obj: Obj, old: Obj | None, sub: str) -> tuple[Obj, Obj]:
    """Metadata and spec of the pod that an object is, or will make; nothing where there is nothing new."""
    if kind is kinds.PODS:
        return (obj["metadata"], obj["spec"]) if _to_be_judged(obj, old, sub) else ({}, {})
    if kind not in _TEMPLATES or sub:
        return {}, {}
    holder = obj if kind is kinds.POD_TEMPLATES else obj.get("spec") or {}
    if kind is kinds.CRON_JOBS:
        holder = (holder.get("jobTemplate") or {}).get("spec") or {}
    template = holder.get("template") or {}
    return template.get("metadata") or {}, template.get("spec") or {}


async def _about_existing(core: Core, new: Obj, old: Obj | None) -> list[str]:
    asked, before = (policy((obj or {}).get("metadata", {}).get("labels"), "enforce") for obj in (new, old))
    if old is None or not tightened(asked, before):
        return []
    name = new["metadata"]["name"]
    return existing_violations(asked, name, await core.objects(kinds.PODS, name))
