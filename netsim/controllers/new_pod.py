"""Pods made from a workload's template: what ReplicaSets, StatefulSets, DaemonSets and Jobs have in common."""

from __future__ import annotations

from netsim.api.kinds import PODS, Kind, Obj
from netsim.api.objects import metadata, name_of, namespace_of
from netsim.controllers.refs import controller_reference
from netsim.controllers.writes import Announce, typed


def pod_of(kind: Kind, owner: Obj, template: Obj) -> Obj:
    """A pod as `owner` (of `kind`) creates it: the template's labels, annotations, finalizers and spec, a name to be
    generated from the owner's, and the owner as its controller. Its metadata is new; the spec is the template's."""
    head = metadata(template)
    pod: Obj = {
        "apiVersion": PODS.api_version,
        "kind": PODS.kind,
        "metadata": {
            "generateName": f"{name_of(owner)}-",
            "namespace": namespace_of(owner),
            "labels": dict(head.get("labels") or {}),
            "ownerReferences": [controller_reference(kind, owner)],
        },
        "spec": template.get("spec") or {},
    }
    pod["metadata"] |= {field: head[field] for field in ("annotations", "finalizers") if head.get(field)}
    return pod


def announce_creation(kind: Kind, owner: Obj) -> Announce:
    """The Events of a pod's creation."""
    return Announce(
        typed(kind, owner), ("SuccessfulCreate", "Created pod: {name}"), ("FailedCreate", "Error creating: {error}")
    )


def announce_deletion(kind: Kind, owner: Obj) -> Announce:
    """The Events of a pod's deletion."""
    return Announce(
        typed(kind, owner), ("SuccessfulDelete", "Deleted pod: {name}"), ("FailedDelete", "Error deleting: {error}")
    )
