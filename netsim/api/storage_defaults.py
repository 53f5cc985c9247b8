"""Defaults of volumes, claims, storage classes and CSI objects. Functions here change the object they are handed: a
private copy."""

from __future__ import annotations

from netsim.api.kinds import Obj
from netsim.api.pod_defaults import fill

_SOURCES = (("", "PersistentVolumeClaim"), ("snapshot.storage.k8s.io", "VolumeSnapshot"))


def default_claim(claim: Obj) -> None:
    """A PersistentVolumeClaim, on its own or as a template."""
    fill(claim.setdefault("spec", {}), volumeMode="Filesystem")
    fill(claim.setdefault("status", {}), phase="Pending")


def default_own_claim(claim: Obj) -> None:
    """A claim that is no template: of sources that Kubernetes does not know it keeps none."""
    default_claim(claim)
    spec = claim["spec"]
    source = spec.get("dataSource")
    if source is not None and (source.get("apiGroup", ""), source.get("kind")) not in _SOURCES:
        del spec["dataSource"]


def default_volume(volume: Obj) -> None:
    spec = volume.setdefault("spec", {})
    fill(spec, persistentVolumeReclaimPolicy="Retain", volumeMode="Filesystem")
    if "hostPath" in spec:
        spec["hostPath"].setdefault("type", "")
    fill(volume.setdefault("status", {}), phase="Pending")


def default_storage_class(obj: Obj) -> None:
    fill(obj, reclaimPolicy="Delete", volumeBindingMode="Immediate")


def default_csi_driver(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    for field, value in (
        ("attachRequired", True), ("podInfoOnMount", False), ("storageCapacity", False), ("requiresRepublish", False),
        ("seLinuxMount", False),
    ):  # fmt: skip
        spec.setdefault(field, value)
    fill(spec, fsGroupPolicy="ReadWriteOnceWithFSType")
    if not spec.get("volumeLifecycleModes"):
        spec["volumeLifecycleModes"] = ["Persistent"]


def default_attachment(obj: Obj) -> None:
    obj.setdefault("status", {}).setdefault("attached", False)
