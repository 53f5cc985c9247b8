"""Namespaces being deleted: every object in them goes, then the finalizer "kubernetes"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from netsim.api.kinds import EVENTS, NAMESPACES, Kind, Obj
from netsim.api.objects import deletion_timestamp, metadata, namespace_of, set_condition, status_of
from netsim.api.times import format_time
from netsim.controllers.controller import Controller, Wake
from netsim.controllers.facts import CONTENTS, contents_of
from netsim.controllers.served import Served
from netsim.controllers.view import View
from netsim.controllers.wakes import by_own_key
from netsim.controllers.writes import Requeue, Update, Write, Writes, delete_of, patch_of

FINALIZER = "kubernetes"
_LOOK_AGAIN = 2.0
_ALL_WELL = (
    ("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered"),
    ("NamespaceDeletionGroupVersionParsingFailure", "ParsedGroupVersions", "All legacy kube types successfully parsed"),
    (
        "NamespaceDeletionContentFailure",
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
)
"""Conditions that netsim's deletions never make true, with their reasons and messages."""

Contents = Sequence[tuple[Kind, Obj]]


def reconcile(key: str, view: View) -> Writes:
    """Delete what is left; when nothing is, let the namespace go. Events are deleted last: deletions make some."""
    namespace = view.get(NAMESPACES, key)
    if namespace is None or not deletion_timestamp(namespace) or CONTENTS not in view.facts:
        return []
    contents: Contents = view.facts[CONTENTS]
    if not contents:
        return [_finalize(namespace)] if FINALIZER in _finalizers(namespace) else []
    others = [(kind, obj) for kind, obj in contents if kind is not EVENTS]
    doomed = [(kind, obj) for kind, obj in others or contents if not deletion_timestamp(obj)]
    writes: list[Write] = [delete_of(kind, obj, propagation="Background") for kind, obj in doomed]
    return [*writes, *_report(namespace, others, view.now), Requeue(0.0 if not others else _LOOK_AGAIN)]


def _finalizers(namespace: Obj) -> list[str]:
    return list((namespace.get("spec") or {}).get("finalizers") or [])


def _finalize(namespace: Obj) -> Update:
    rest = [name for name in _finalizers(namespace) if name != FINALIZER]
    head = {"apiVersion": NAMESPACES.api_version, "kind": NAMESPACES.kind}
    return Update(NAMESPACES, {**head, **namespace, "spec": {**namespace["spec"], "finalizers": rest}}, sub="finalize")


def _report(namespace: Obj, contents: Contents, now: datetime) -> list[Write]:
    """The conditions that tell what a namespace waits for."""
    if not contents:
        return []
    old = conditions = status_of(namespace).get("conditions") or []
    for new in remaining(contents):
        conditions = set_condition(conditions, new, format_time(now))
    if conditions == old:
        return []
    return [patch_of(NAMESPACES, namespace, {"status": {"conditions": conditions}}, sub="status")]


def remaining(contents: Contents) -> list[Obj]:
    """The conditions of a namespace in which `contents` are left: which resources, and whose finalizers hold them."""
    resources = Counter(f"{kind.plural}.{kind.group}" for kind, _ in contents)
    holders = Counter(name for _, obj in contents for name in metadata(obj).get("finalizers") or ())
    found = [{"type": t, "status": "False", "reason": r, "message": m} for t, r, m in _ALL_WELL]
    listed = ", ".join(f"{name} has {count} resource instances" for name, count in sorted(resources.items()))
    content = ("True", "SomeResourcesRemain", f"Some resources are remaining: {listed}")
    held = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(holders.items()))
    final = ("False", "ContentHasNoFinalizers", "All content-preserving finalizers finished")
    if holders:
        text = f"Some content in the namespace has finalizers remaining: {held}"
        final = ("True", "SomeFinalizersRemain", text)
    for name, (status, reason, message) in (
        ("NamespaceContentRemaining", content),
        ("NamespaceFinalizersRemaining", final),
    ):
        found.append({"type": name, "status": status, "reason": reason, "message": message})
    return found


def _wake_contents(view: View, old: Obj | None, new: Obj | None) -> Iterable[str]:
    """Something left a namespace that is being deleted, or got into it."""
    name = namespace_of(new or old or {})
    namespace = view.get(NAMESPACES, name)
    leaving = namespace is not None and deletion_timestamp(namespace)
    return (name,) if leaving and (new is None or old is None) else ()


def controller(cached: Iterable[Kind]) -> Controller:
    """The controller, woken by the `cached` kinds, and by custom ones where that is a `Served`."""
    served = cached if isinstance(cached, Served) else Served(cached)
    watches: list[tuple[Kind, Wake]] = [(NAMESPACES, by_own_key)]
    watches += [(kind, _wake_contents) for kind in served if kind.namespaced]
    return Controller(
        "namespace-controller", reconcile, tuple(watches), observe=contents_of(served), rest=0.05,
        custom=lambda kind: _wake_contents,
    )  # fmt: skip
