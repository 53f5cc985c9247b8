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
        return _owned_by(kind, (old, _controller(old)), (new, _controller(new)))

    return wake


def by_owner_or_orphan(kind: Kind) -> Wake:
    """As `by_owner`; an object without controller that may be adopted now, if it could not before, wakes every one of
    `kind` whose selector it matches."""

    def wake(view: View, old: Obj | None, new: Obj | None) -> Iterable[str]:
        before, after = _controller(old), _controller(new)
        if new is None or after is not None or deletion_timestamp(new):
            return _owned_by(kind, (old, before), (new, after))
        newly = old is None or before is not None or labels_of(old) != labels_of(new)
        return {*_owned_by(kind, (old, before)), *(_selecting(kind, view, new) if newly else ())}

    return wake


def _controller(obj: Obj | None) -> Obj | None:
    return None if obj is None else controller_of(obj)


def _owned_by(kind: Kind, *states: tuple[Obj | None, Obj | None]) -> set[str]:
    """The keys of those of `kind` among the controllers; a state is an object and the reference to its controller."""
    return {
        f"{namespace_of(obj)}/{reference['name']}"
        for obj, reference in states
        if obj is not None and reference is not None and reference.get("kind") == kind.kind
    }


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
