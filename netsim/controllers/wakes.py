"""Which keys a change of an object wakes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

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
        return _owners_of(view, old, new).keys.get(kind.kind, ())

    return wake


def by_owner_or_orphan(kind: Kind) -> Wake:
    """As `by_owner`; an object without controller that may be adopted now, if it could not before, wakes every one of
    `kind` whose selector it matches."""

    def wake(view: View, old: Obj | None, new: Obj | None) -> Iterable[str]:
        owners = _owners_of(view, old, new)
        keys = owners.keys.get(kind.kind, ())
        return {*keys, *_selecting(kind, view, new)} if owners.adoptable and new is not None else keys

    return wake


class _Owners(NamedTuple):
    """What all who may own an object ask about its change from `old` to `new`: the `keys` of its controllers before and
    after, by kind; and whether it is `adoptable`: without one, in a way that it was not before."""

    old: Obj | None
    new: Obj | None
    keys: dict[str, set[str]]
    adoptable: bool


def _owners_of(view: View, old: Obj | None, new: Obj | None) -> _Owners:
    noted: _Owners | None = view.noted.get("owners")
    if noted is not None and noted.old is old and noted.new is new:
        return noted
    before, after = (None if obj is None else controller_of(obj) for obj in (old, new))
    keys: dict[str, set[str]] = {}
    for obj, reference in ((old, before), (new, after)):
        if obj is not None and reference is not None:
            keys.setdefault(str(reference.get("kind")), set()).add(f"{namespace_of(obj)}/{reference['name']}")
    adoptable = new is not None and after is None and not deletion_timestamp(new)
    if adoptable and old is not None and before is None:
        adoptable = labels_of(old) != labels_of(new or {})
    view.noted["owners"] = found = _Owners(old, new, keys, adoptable)
    return found


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
