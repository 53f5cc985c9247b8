"""Which keys a change of an object wakes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from netsim.api.kinds import Kind, Obj
from netsim.api.objects import controller_of, deletion_timestamp, key_of, labels_of, namespace_of
from netsim.controllers.controller import Wake
from netsim.controllers.refs import selector_of
from netsim.controllers.service_endpoints import MANAGED_BY, SERVICE_NAME
from netsim.controllers.view import NAMESPACE, View


def by_own_key(view: View, old: Obj | None, new: Obj | None) -> Iterable[str]:
    """The object's own key."""
    return (key_of(new or old or {}),)


def by_owner(kind: Kind) -> Wake:
    """The keys of the controllers of `kind` before and after the change."""

    def wake(view: View, old: Obj | None, new: Obj | None) -> Iterable[str]:
        return set(_owners(kind, old, new))

    return wake


def by_owner_or_orphan(kind: Kind) -> Wake:
    """As `by_owner`; an object without controller that may be adopted now, if it could not before, wakes every one of
    `kind` whose selector it matches."""

    def wake(view: View, old: Obj | None, new: Obj | None) -> Iterable[str]:
        keys = set(_owners(kind, old, new))
        if new is not None and _is_newly_free(old, new):
            keys |= set(_selecting(kind, view, new))
        return keys

    return wake


def _owners(kind: Kind, *states: Obj | None) -> Iterator[str]:
    for obj in states:
        reference = controller_of(obj) if obj is not None else None
        if obj is not None and reference is not None and reference.get("kind") == kind.kind:
            yield f"{namespace_of(obj)}/{reference['name']}"


def _is_newly_free(old: Obj | None, new: Obj) -> bool:
    """Whether a new object, or one with other labels or released by its controller, has none."""
    if controller_of(new) is not None or deletion_timestamp(new):
        return False
    return old is None or controller_of(old) is not None or labels_of(old) != labels_of(new)


def _selecting(kind: Kind, view: View, obj: Obj) -> Iterator[str]:
    labels = labels_of(obj)
    for owner in view.by_index(kind, NAMESPACE, namespace_of(obj)):
        if selector_of(kind, owner).matches(labels):
            yield key_of(owner)


def by_managed_slice(manager: str) -> Wake:
    """The key of the Service, or its Endpoints, that an EndpointSlice of this manager belongs to."""

    def wake(view: View, old: Obj | None, new: Obj | None) -> Iterable[str]:
        found = new or old or {}
        labels = labels_of(found)
        if labels.get(MANAGED_BY) != manager or SERVICE_NAME not in labels:
            return ()
        return (f"{namespace_of(found)}/{labels[SERVICE_NAME]}",)

    return wake
