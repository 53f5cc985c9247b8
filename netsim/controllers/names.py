"""Which controllers run: their names, and the list that chooses among them as kube-controller-manager's flag does.
Pure."""

from __future__ import annotations

NAMES = frozenset(
    (
        "cronjob-controller",
        "daemonset-controller",
        "deployment-controller",
        "disruption-controller",
        "endpoints-controller",
        "endpointslice-controller",
        "endpointslice-mirroring-controller",
        "ephemeral-volume-controller",
        "garbage-collector-controller",
        "horizontal-pod-autoscaler-controller",
        "job-controller",
        "namespace-controller",
        "node-ipam-controller",
        "node-lifecycle-controller",
        "persistentvolume-binder-controller",
        "persistentvolume-protection-controller",
        "persistentvolumeclaim-protection-controller",
        "pod-garbage-collector-controller",
        "replicaset-controller",
        "replicationcontroller-controller",
        "resourcequota-controller",
        "service-lb-controller",
        "serviceaccount-controller",
        "statefulset-controller",
        "taint-eviction-controller",
        "ttl-after-finished-controller",
        "ttl-controller",
        "volumeattributesclass-protection-controller",
    )
)
"""The names of kube-controller-manager 1.36 for those that exist here."""


def chosen(selection: str) -> frozenset[str]:
    """The controllers that a list like "*,-job-controller" means: those named, with `*` all but those with a minus; no
    list, none. Raises ValueError for a name that is none."""
    parts = {part.strip() for part in selection.split(",") if part.strip()}
    unknown = sorted(part for part in parts if part != "*" and part.removeprefix("-") not in NAMES)
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no controller; give `*` and names of {', '.join(sorted(NAMES))}")
    return frozenset(name for name in NAMES if name in parts or ("*" in parts and f"-{name}" not in parts))
