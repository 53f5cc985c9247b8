"""Garbage collection: dependents whose owners are gone go too; Background, Foreground and Orphan deletions.

A work key is one object, "RESOURCE NAMESPACE/NAME". It is looked at when it or an owner of it changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from netsim.api.kinds import Kind, Obj
from netsim.api.objects import (
    deletion_timestamp,
    key_of,
    metadata,
    namespace_of,
    owner_references,
    uid_of,
)
from netsim.controllers.controller import Controller, Wake
from netsim.controllers.facts import ABSENT, absent_owners
from netsim.controllers.served import Served
from netsim.controllers.view import OWNER, UID, View
from netsim.controllers.writes import Write, Writes, delete_of, patch_of

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
_AT_ONCE = 128
"""Objects looked at side by side. Pods that go together leave their Services together, in few changes of the slices."""
_OWNERSHIP = "ownerReferences", "deletionTimestamp", "finalizers"
_POLICIES = {FOREGROUND: "Foreground", ORPHAN: "Orphan"}


class Collector:
    """The graph of owners and dependents over the cached kinds."""

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self._served = kinds if isinstance(kinds, Served) else Served(kinds)

    def controller(self) -> Controller:
        watches = tuple((kind, self._wake(kind)) for kind in self._served)
        return Controller(
            "garbage-collector-controller", self.reconcile, watches, observe=absent_owners(self._served, self.absent),
            custom=self._wake, parallel=_AT_ONCE,
        )  # fmt: skip

    def key(self, kind: Kind, obj: Obj) -> str:
        """The work key of an object."""
        return f"{kind.resource} {key_of(obj)}"

    def find(self, view: View, key: str) -> tuple[Kind, Obj] | None:
        resource, _, place = key.partition(" ")
        kind = self._served.get(resource)
        obj = view.get(kind, place) if kind is not None else None
        return (kind, obj) if kind is not None and obj is not None else None

    def dependents(self, view: View, uid: str) -> Iterator[tuple[Kind, Obj]]:
        """Everything cached that names this uid as an owner."""
        for kind in self._served:
            for obj in view.caches[kind.resource].by_index(OWNER, uid):
                yield kind, obj

    def owner(self, view: View, reference: Obj) -> Obj | None:
        """The owner as cached."""
        kind = self._served.of_reference(reference)
        if kind is None or self._served.get(kind.resource) is None:
            return None
        return next(iter(view.by_index(kind, UID, str(reference.get("uid", "")))), None)

    def _wake(self, kind: Kind) -> Wake:
        def wake(view: View, old: Obj | None, new: Obj | None) -> Iterable[str]:
            if new is not None and not _matters(old, new):
                return ()
            itself = [self.key(kind, new)] if new is not None else []
            if old is None:
                return itself
            orphaned = self._keys(view, uid_of(old)) if new is None else []
            return [*itself, *orphaned, *self._owners_waiting(view, old)]

        return wake

    def _keys(self, view: View, uid: str) -> list[str]:
        return [self.key(kind, obj) for kind, obj in self.dependents(view, uid)]

    def _owners_waiting(self, view: View, obj: Obj) -> list[str]:
        """Owners whose deletion waits for their dependents, which this object may have been holding back."""
        keys = []
        for reference in owner_references(obj):
            owner, kind = self.owner(view, reference), self._served.of_reference(reference)
            if owner is not None and kind is not None and any(_has_finalizer(owner, name) for name in _POLICIES):
                keys.append(self.key(kind, owner))
        return keys

    def absent(self, key: str, view: View) -> list[tuple[str, Obj]]:
        """(namespace, reference) of owners that the caches do not hold: of the object's own or, when it goes in the
        foreground, of its dependents' owners."""
        found = self.find(view, key)
        if found is None:
            return []
        judged = [found[1]]
        if deletion_timestamp(found[1]):
            judged = self._going_too(view, found[1])
        references = ((namespace_of(obj), ref) for obj in judged for ref in owner_references(obj))
        return [(namespace, ref) for namespace, ref in references if self.owner(view, ref) is None]

    def _going_too(self, view: View, owner: Obj) -> list[Obj]:
        if not _has_finalizer(owner, FOREGROUND):
            return []
        return [child for _, child in self.dependents(view, uid_of(owner)) if not deletion_timestamp(child)]

    def reconcile(self, key: str, view: View) -> Writes:
        """One object: as an owner being deleted, and as a dependent."""
        found = self.find(view, key)
        if found is None:
            return []
        kind, obj = found
        if deletion_timestamp(obj):
            return self._as_owner(kind, obj, view)
        return self._as_dependent(kind, obj, view)

    def _as_owner(self, kind: Kind, obj: Obj, view: View) -> list[Write]:
        if not any(_has_finalizer(obj, name) for name in _POLICIES):
            return []
        dependents = list(self.dependents(view, uid_of(obj)))
        if _has_finalizer(obj, ORPHAN):
            if dependents:
                return [_disown(child_kind, child, {uid_of(obj)}) for child_kind, child in dependents]
            return [_drop_finalizer(kind, obj, ORPHAN)]
        alive = [(child_kind, child) for child_kind, child in dependents if not deletion_timestamp(child)]
        blocking = [child for _, child in dependents if _blocks(child, uid_of(obj))]
        writes: list[Write] = []
        for child_kind, child in alive:
            writes += self._as_dependent(child_kind, child, view)
        return writes if blocking else [*writes, _drop_finalizer(kind, obj, FOREGROUND)]

    def _as_dependent(self, kind: Kind, obj: Obj, view: View) -> list[Write]:
        """Keep it while one owner stays; else delete it, in the foreground if that is how its owner goes."""
        references = owner_references(obj)
        states = {ref["uid"]: self._state(view, ref) for ref in references}
        gone = {uid for uid, state in states.items() if state != "solid"}
        if not references or not gone:
            return []
        if len(gone) < len(states):
            return [_disown(kind, obj, gone)]
        waiting = "waiting" in states.values()
        policy = next((_POLICIES[name] for name in _finalizers(obj) if name in _POLICIES), "Background")
        if waiting and any(True for _ in self.dependents(view, uid_of(obj))):
            policy = "Foreground"
        return [delete_of(kind, obj, propagation=policy)]

    def _state(self, view: View, reference: Obj) -> str:
        """solid: there, or not known to be gone; waiting: in a foreground deletion; absent."""
        owner = self.owner(view, reference)
        if owner is None:
            return "absent" if view.facts.get(reference["uid"]) == ABSENT else "solid"
        waiting = deletion_timestamp(owner) and _has_finalizer(owner, FOREGROUND)
        return "waiting" if waiting else "solid"


def _finalizers(obj: Obj) -> list[str]:
    return list(metadata(obj).get("finalizers") or [])


def _has_finalizer(obj: Obj, name: str) -> bool:
    return any(finalizer == name for finalizer in _finalizers(obj))


def _matters(old: Obj | None, new: Obj) -> bool:
    """Whether a change concerns ownership: most objects have no owner, and most changes are of status."""
    if old is None:
        return bool(owner_references(new)) or bool(deletion_timestamp(new))
    before, after = metadata(old), metadata(new)
    return any((before.get(field) or None) != (after.get(field) or None) for field in _OWNERSHIP)


def _blocks(dependent: Obj, uid: str) -> bool:
    return any(ref.get("uid") == uid and ref.get("blockOwnerDeletion") for ref in owner_references(dependent))


def _disown(kind: Kind, obj: Obj, uids: set[str]) -> Write:
    rest = [ref for ref in owner_references(obj) if ref.get("uid") not in uids]
    return patch_of(kind, obj, {"metadata": {"ownerReferences": rest or None}}, locked=True)


def _drop_finalizer(kind: Kind, obj: Obj, name: str) -> Write:
    rest = [finalizer for finalizer in _finalizers(obj) if finalizer != name]
    return patch_of(kind, obj, {"metadata": {"finalizers": rest or None}}, locked=True)
