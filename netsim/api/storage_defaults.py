"""Defaults of volumes, claims, storage classes and CSI objects. Functions here change the object they are handed: a
private copy."""

from __future__ import annotations

from netsim.api.kinds import Obj
from netsim.api.pod_defaults import fill

_SOURCES = (("", "PersistentVolumeClaim"), ("snapshot.storage.k8s.io", "VolumeSnapshot"))


def default_claim(claim: Obj) -> None:
    """A PersistentVolumeClaim, on its own or as a template."""
    claim.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")
    fill(claim.setdefault("status", {}), phase="Pending")


def default_own_claim(claim: Obj) -> None:
    """A claim that is no template: of sources that Kubernetes does not know, and those in other namespaces, it keeps
    none; others are in both fields."""
    default_claim(claim)
    spec = claim["spec"]
    source = spec.get("dataSource")
    if (spec.get("dataSourceRef") or {}).get("namespace"):
        del spec["dataSourceRef"]
    known = source is None or (source.get("apiGroup") or "", source.get("kind")) in _SOURCES
    if not known and "dataSourceRef" not in spec:
        del spec["dataSource"]
    claim["spec"] = with_both_sources(spec)


def with_both_sources(spec: Obj) -> Obj:
    """The spec of a claim whose source, if it has one, is in the older and in the newer field."""
    given = spec.get("dataSourceRef") or spec.get("dataSource")
    if given is None:
        return spec
    source = {"apiGroup": given.get("apiGroup"), **given}
    older = {key: value for key, value in source.items() if key != "namespace"}
    both = {"dataSourceRef": source, **({} if given.get("namespace") else {"dataSource": older})}
    return {**both, **{key: {"apiGroup": None, **value} if key in both else value for key, value in spec.items()}}


def default_volume(volume: Obj) -> None:
    spec = volume.setdefault("spec", {})
    fill(spec, persistentVolumeReclaimPolicy="Retain")
    spec.setdefault("volumeMode", "Filesystem")
    if "hostPath" in spec:
        spec["hostPath"].setdefault("type", "")
    fill(volume.setdefault("status", {}), phase="Pending")


def default_storage_class(obj: Obj) -> None:
    obj.setdefault("reclaimPolicy", "Delete")
    obj.setdefault("volumeBindingMode", "Immediate")


def default_csi_driver(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    for field, value in (
        ("attachRequired", True), ("podInfoOnMount", False), ("storageCapacity", False), ("requiresRepublish", False),
        ("seLinuxMount", False),
    ):  # fmt: skip
        spec.setdefault(field, value)
    spec.setdefault("fsGroupPolicy", "ReadWriteOnceWithFSType")
    spec.pop("preventPodSchedulingIfMissing", None)  # whose gate is off
    for request in spec.get("tokenRequests") or ():
        request.setdefault("audience", "")
    if not spec.get("volumeLifecycleModes"):
        spec["volumeLifecycleModes"] = ["Persistent"]


def default_csi_node(obj: Obj) -> None:
    drivers = obj.setdefault("spec", {}).get("drivers")
    obj["spec"]["drivers"] = [{"topologyKeys": None, **driver} for driver in drivers or ()] or None


def default_attachment(obj: Obj) -> None:
    obj.setdefault("status", {}).setdefault("attached", False)
