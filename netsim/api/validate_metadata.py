"""Rules of metadata: names, labels, annotations, owners, finalizers, and what never changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from netsim.api import causes, kinds, validate_addresses
from netsim.api.errors import Cause
from netsim.api.kinds import Kind, Obj

_ANNOTATION_LIMIT = 256 * 1024
_JUDGED = ("name", "generateName", "namespace", "labels", "annotations", "ownerReferences", "finalizers")
_FIXED = ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp")
_STANDARD_FINALIZERS = ("orphan", "foregroundDeletion", "kubernetes")
_RBAC = (kinds.ROLES, kinds.ROLE_BINDINGS, kinds.CLUSTER_ROLES, kinds.CLUSTER_ROLE_BINDINGS)
_FREE_NAMES = (*_RBAC, kinds.EVENTS, kinds.POD_DISRUPTION_BUDGETS, kinds.CERTIFICATE_SIGNING_REQUESTS)

_NAME_RULES: dict[Kind, Callable[[str, str], Iterator[Cause]]] = {
    kinds.SERVICES: causes.dns_label,  # KEP-5311: since 1.36 it may begin with a digit
    kinds.NAMESPACES: causes.dns_label,
    kinds.STATEFUL_SETS: causes.dns_label,
    kinds.IP_ADDRESSES: validate_addresses.strict_ip,
    **{kind: causes.path_segment for kind in _FREE_NAMES},
}


def metadata(kind: Kind, obj: Obj) -> Iterator[Cause]:
    """Rules for a new or changed object's metadata."""
    meta = obj.get("metadata") or {}
    rule = _NAME_RULES.get(kind, causes.dns_subdomain)
    yield from object_name(meta, rule)
    if meta.get("namespace") and not kind.namespaced:
        yield causes.forbidden("metadata.namespace", "not allowed on this type")
    yield from common(meta, "metadata")
    yield from _owners(meta)
    for index, finalizer in enumerate(meta.get("finalizers") or ()):
        any_name = kind.custom is not None or kind is kinds.CUSTOM_RESOURCE_DEFINITIONS
        yield from _finalizer(f"metadata.finalizers[{index}]", finalizer, any_name)


def same(new: Obj, old: Obj) -> bool:
    """Whether all that the rules above look at is what it was."""
    now, before = new.get("metadata") or {}, old.get("metadata") or {}
    return [now.get(field) for field in _JUDGED] == [before.get(field) for field in _JUDGED]


def common(meta: Obj, field: str) -> Iterator[Cause]:
    """Labels and annotations, of objects and of pod templates."""
    yield from causes.label_map(f"{field}.labels", meta.get("labels"))
    annotations = meta.get("annotations") or {}
    for key in annotations:
        yield from _annotation_key(f"{field}.annotations", key)
    if sum(len(k.encode()) + len(v.encode()) for k, v in annotations.items()) > _ANNOTATION_LIMIT:
        yield causes.too_long(f"{field}.annotations", _ANNOTATION_LIMIT)


_NO_TEMPLATE = (
    "name", "generateName", "namespace", "selfLink", "uid", "resourceVersion", "generation", "creationTimestamp",
    "deletionTimestamp", "deletionGracePeriodSeconds", "ownerReferences", "finalizers", "managedFields",
)  # fmt: skip


def template_metadata(meta: Obj, field: str) -> Iterator[Cause]:
    """The metadata of a claim's template: labels and annotations, and nothing else."""
    for key in meta.get("annotations") or {}:
        yield from _annotation_key(f"{field}.annotations", key)
    yield from causes.label_map(f"{field}.labels", meta.get("labels"))
    for name in _NO_TEMPLATE:
        if meta.get(name):
            yield causes.forbidden(f"{field}.{'uID' if name == 'uid' else name}", "cannot be set")


def _annotation_key(field: str, key: str) -> Iterator[Cause]:
    """Keys may have capitals, which keys of labels may have only in their last part."""
    for cause in causes.qualified_name(field, key.lower()):
        yield replace(cause, message=cause.message.replace(causes.shown(key.lower()), causes.shown(key), 1))


def object_name(meta: Obj, rule: Callable[[str, str], Iterator[Cause]]) -> Iterator[Cause]:
    """The name of an object, and what it is made from, by a rule for names."""
    prefix, name = meta.get("generateName", ""), meta.get("name", "")
    if prefix:
        masked = prefix[:-1] + "a" if prefix.endswith("-") and len(prefix) > 1 else prefix
        yield from rule("metadata.generateName", masked)
    if name:
        yield from rule("metadata.name", name)
    elif not prefix:
        yield causes.required("metadata.name", "name or generateName is required")


def _owners(meta: Obj) -> Iterator[Cause]:
    owners = meta.get("ownerReferences") or []
    for owner in owners:  # Kubernetes does not say which of them
        for field in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(field):
                why = "version must not be empty" if field == "apiVersion" else "must not be empty"
                yield causes.invalid(f"metadata.ownerReferences.{field}", owner.get(field, ""), why)
    controllers = [owner.get("name", "") for owner in owners if owner.get("controller")]
    if len(controllers) > 1:
        why = (
            'Only one reference can have Controller set to true. Found "true" in references for '
            f"{controllers[0]} and {controllers[1]}"
        )
        yield causes.invalid("metadata.ownerReferences", owners, why)


def _finalizer(field: str, finalizer: str, any_name: bool) -> Iterator[Cause]:
    """A qualified name, with its domain unless the kind takes `any_name` or it is a standard one. Where the name is
    wrong in itself Kubernetes names the list, else the entry."""
    yield from causes.qualified_name(field.partition("[")[0], finalizer)
    if not any_name and "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS:
        why = "name is neither a standard finalizer name nor is it fully qualified"
        yield causes.invalid(field, finalizer, why)


def given_uid(new: Obj, old: Obj) -> Iterator[Cause]:
    """What a patch may not say of its object's uid."""
    uid = new["metadata"].get("uid")
    if uid and uid != old["metadata"]["uid"]:
        yield causes.invalid("metadata.uid", uid, causes.IMMUTABLE)


def given_deletion(given: Obj, old: Obj) -> Iterator[Cause]:
    """What a change may not say of a deletion, which only deleting brings about. When it was asked for is overlooked
    once it was."""
    told, held = given["metadata"], old["metadata"]
    if told.get("deletionTimestamp") and not held.get("deletionTimestamp"):
        yield causes.invalid("metadata.deletionTimestamp", told["deletionTimestamp"], causes.IMMUTABLE)
    grace = told.get("deletionGracePeriodSeconds")
    if grace is not None and grace != held.get("deletionGracePeriodSeconds"):
        yield causes.invalid("metadata.deletionGracePeriodSeconds", grace, causes.IMMUTABLE)


def metadata_update(new: Obj, old: Obj) -> Iterator[Cause]:
    """What an update may not change."""
    now, before = new.get("metadata") or {}, old.get("metadata") or {}
    for field in _FIXED:
        if now.get(field) != before.get(field):
            yield causes.invalid(f"metadata.{field}", now.get(field), causes.IMMUTABLE)
    added = [f for f in now.get("finalizers") or () if f not in (before.get("finalizers") or ())]
    if before.get("deletionTimestamp") and added:
        found = "[]string{" + ", ".join(map(causes.shown, added)) + "}"
        why = f"no new finalizers can be added if the object is being deleted, found new finalizers {found}"
        yield causes.forbidden("metadata.finalizers", why)
