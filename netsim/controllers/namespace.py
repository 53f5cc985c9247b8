"""Namespaces being deleted: every object in them goes, then the finalizer "kubernetes"."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from netsim.api.kinds import EVENTS, NAMESPACES, Kind, Obj
from netsim.api.objects import deletion_timestamp, namespace_of, set_condition, status_of
from netsim.api.times import format_time
from netsim.controllers.controller import Controller, Wake
from netsim.controllers.facts import CONTENTS, contents_of
from netsim.controllers.served import Served
from netsim.controllers.view import View
from netsim.controllers.wakes import by_own_key
from netsim.controllers.writes import Requeue, Update, Write, Writes, delete_of, patch_of

FINALIZER = "kubernetes"
_LOOK_AGAIN = 2.0

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
    """The condition that tells what a namespace waits for."""
    counts: dict[str, int] = {}
    for kind, _ in contents:
        counts[kind.resource] = counts.get(kind.resource, 0) + 1
    if not counts:
        return []
    listed = ", ".join(f"{resource} has {count} resource instances" for resource, count in sorted(counts.items()))
    text = f"Some resources are remaining: {listed}"
    new = {"type": "NamespaceContentRemaining", "status": "True", "reason": "SomeResourcesRemain", "message": text}
    old = status_of(namespace).get("conditions") or []
    conditions = set_condition(old, new, format_time(now))
    if conditions == old:
        return []
    return [patch_of(NAMESPACES, namespace, {"status": {"conditions": conditions}}, sub="status")]


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
