"""Owners and dependents: controller references, adoption and release."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from netsim.api.kinds import REPLICATION_CONTROLLERS, Kind, Obj, by_kind, split_api_version
from netsim.api.objects import (
    controller_of,
    deletion_timestamp,
    dig,
    key_of,
    labels_of,
    metadata,
    name_of,
    namespace_of,
    owner_references,
    uid_of,
)
from netsim.api.selectors import LabelSelector, equality_selector, label_selector_of
from netsim.controllers.view import LABEL, NAMESPACE, OWNER, View, label_value
from netsim.controllers.writes import Patch, patch_of


def controller_reference(kind: Kind, owner: Obj) -> Obj:
    """The reference by which `owner` controls a dependent and is held back by it in a foreground deletion."""
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def selector_of(kind: Kind, owner: Obj) -> LabelSelector:
    """spec.selector of a workload: plain labels in a ReplicationController, which default to its template's."""
    selector = dig(owner, "spec", "selector")
    if kind is not REPLICATION_CONTROLLERS:
        return label_selector_of(selector)
    labels = selector or dig(owner, "spec", "template", "metadata", "labels")
    return equality_selector(labels) if labels else label_selector_of(None)


def kind_of_reference(reference: Obj) -> Kind | None:
    """The served kind an owner reference names."""
    group, version = split_api_version(str(reference.get("apiVersion", "")))
    return by_kind(group, version, str(reference.get("kind", "")))


@dataclass(frozen=True, slots=True)
class Claimed:
    """The dependents that `owner` controls, and the patches that adopt or release some."""

    mine: list[Obj]
    patches: list[Patch]


def _any(obj: Obj) -> bool:
    return True


def claim(
    view: View,
    owner_kind: Kind,
    owner: Obj,
    kind: Kind,
    selector: LabelSelector,
    member: Callable[[Obj], bool] = _any,
    finalizer: str = "",
) -> Claimed:
    """Sort out the owner's dependents of `kind`: those it controls and that match stay; one that no longer
    matches is released; an orphan that matches is adopted, unless either is being deleted. Only what `member`
    admits (a StatefulSet: by name) can belong to the owner. A dependent carries `finalizer` as long as it is owned."""
    mine: list[Obj] = []
    patches: list[Patch] = []
    owned = {key_of(obj): obj for obj in view.by_index(kind, OWNER, uid_of(owner)) if is_controlled_by(obj, owner)}
    for obj in owned.values():
        if deletion_timestamp(owner) or (member(obj) and selector.matches(labels_of(obj))):
            mine.append(obj)
        elif not deletion_timestamp(obj):
            patches.append(_release(kind, obj, owner, finalizer))
    if not deletion_timestamp(owner):
        reference = controller_reference(owner_kind, owner)
        orphans = _orphans(view, kind, namespace_of(owner), selector)
        patches += [_adopt(kind, obj, reference, finalizer) for obj in orphans if member(obj)]
    return Claimed(mine, patches)


def is_controlled_by(obj: Obj, owner: Obj) -> bool:
    """Whether the object's controller reference names exactly this owner."""
    reference = controller_of(obj)
    return reference is not None and reference.get("uid") == uid_of(owner)


def _orphans(view: View, kind: Kind, namespace: str, selector: LabelSelector) -> Iterable[Obj]:
    for obj in _candidates(view, kind, namespace, selector):
        if controller_of(obj) is None and not deletion_timestamp(obj) and selector.matches(labels_of(obj)):
            yield obj


def _candidates(view: View, kind: Kind, namespace: str, selector: LabelSelector) -> Iterable[Obj]:
    """Objects that may match: by the rarest required label where the selector has one, else the whole namespace's."""
    if selector.empty or selector.nothing:
        return ()
    pairs = [(r.key, r.values[0]) for r in selector.requirements if r.op in ("=", "in") and len(r.values) == 1]
    if not pairs:
        return view.by_index(kind, NAMESPACE, namespace)
    return min((view.by_index(kind, LABEL, label_value(namespace, *pair)) for pair in pairs), key=len)


def _adopt(kind: Kind, obj: Obj, reference: Obj, finalizer: str) -> Patch:
    head: Obj = {"ownerReferences": [*owner_references(obj), reference]}
    if finalizer:
        head["finalizers"] = [*_finalizers_but(obj, finalizer), finalizer]
    return patch_of(kind, obj, {"metadata": head}, locked=True)


def _release(kind: Kind, obj: Obj, owner: Obj, finalizer: str) -> Patch:
    rest = [ref for ref in owner_references(obj) if ref.get("uid") != uid_of(owner)]
    head: Obj = {"ownerReferences": rest or None}
    if finalizer:
        head["finalizers"] = _finalizers_but(obj, finalizer) or None
    return patch_of(kind, obj, {"metadata": head}, locked=True)


def _finalizers_but(obj: Obj, finalizer: str) -> list[str]:
    return [each for each in metadata(obj).get("finalizers") or () if each != finalizer]
