"""Columns of persistent volumes, their claims, and storage.k8s.io/v1."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from netsim.api import kinds
from netsim.api.kinds import Kind, Obj
from netsim.server.columns.base import AGE, NAME, NONE, UNSET, Column, Printer, age, boolean, name, number, text, wide

_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
_OLD_CLASS = "volume.beta.kubernetes.io/storage-class"
_DEFAULT_CLASSES = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")


def access_modes(modes: list[str] | None) -> str:
    """ "RWO,ROX" … in a fixed order."""
    return ",".join(short for mode, short in _MODES.items() if mode in (modes or ()))


def _annotations(obj: Obj) -> Obj:
    return obj["metadata"].get("annotations") or {}


def _class(obj: Obj) -> str:
    return str(_annotations(obj).get(_OLD_CLASS) or (obj.get("spec") or {}).get("storageClassName") or "")


def _phase(obj: Obj) -> str:
    deleted = obj["metadata"].get("deletionTimestamp")
    return "Terminating" if deleted else str((obj.get("status") or {}).get("phase", ""))


def _claim(obj: Obj, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    volume = spec.get("volumeName") or ""
    capacity = (status.get("capacity") or {}).get("storage", "") if volume else ""
    modes = access_modes(status.get("accessModes")) if volume else ""
    return [
        name(obj), _phase(obj), volume, capacity, modes, _class(obj), spec.get("volumeAttributesClassName") or UNSET,
        age(obj, now), spec.get("volumeMode") or UNSET,
    ]  # fmt: skip


def _volume(obj: Obj, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    bound = spec.get("claimRef")
    return [
        name(obj), (spec.get("capacity") or {}).get("storage", ""), access_modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy", ""), _phase(obj),
        f"{bound.get('namespace', '')}/{bound.get('name', '')}" if bound else "", _class(obj),
        spec.get("volumeAttributesClassName") or UNSET, status.get("reason", ""), age(obj, now),
        spec.get("volumeMode") or UNSET,
    ]  # fmt: skip


def _storage_class(obj: Obj, now: datetime) -> list[Any]:
    default = any(_annotations(obj).get(key) == "true" for key in _DEFAULT_CLASSES)
    return [
        f"{name(obj)} (default)" if default else name(obj), obj.get("provisioner", ""),
        obj.get("reclaimPolicy", "Delete"), obj.get("volumeBindingMode") or UNSET,
        bool(obj.get("allowVolumeExpansion")), age(obj, now),
    ]  # fmt: skip


def _driver(obj: Obj, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    audiences = [request.get("audience", "") for request in spec.get("tokenRequests") or ()]
    return [
        name(obj), spec.get("attachRequired", True), bool(spec.get("podInfoOnMount")),
        bool(spec.get("storageCapacity")), ",".join(audiences) if audiences else UNSET,
        bool(spec.get("requiresRepublish")), ",".join(spec.get("volumeLifecycleModes") or ()) or NONE, age(obj, now),
    ]  # fmt: skip


def _csi_node(obj: Obj, now: datetime) -> list[Any]:
    return [name(obj), len((obj.get("spec") or {}).get("drivers") or ()), age(obj, now)]


def _capacity(obj: Obj, now: datetime) -> list[Any]:
    return [name(obj), obj["metadata"].get("creationTimestamp", "")]


def _attachment(obj: Obj, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    volume = (spec.get("source") or {}).get("persistentVolumeName") or ""
    attached = bool((obj.get("status") or {}).get("attached"))
    return [name(obj), spec.get("attacher", ""), volume, spec.get("nodeName", ""), attached, age(obj, now)]


def _attributes_class(obj: Obj, now: datetime) -> list[Any]:
    return [name(obj), obj.get("driverName", ""), age(obj, now)]


PRINTERS: dict[Kind, Printer] = {
    kinds.PERSISTENT_VOLUME_CLAIMS: Printer(
        (
            NAME, text("Status"), text("Volume"), text("Capacity"), text("Access Modes"), text("StorageClass"),
            text("VolumeAttributesClass"), AGE, wide("VolumeMode"),
        ),
        _claim,
    ),
    kinds.PERSISTENT_VOLUMES: Printer(
        (
            NAME, text("Capacity"), text("Access Modes"), text("Reclaim Policy"), text("Status"), text("Claim"),
            text("StorageClass"), text("VolumeAttributesClass"), text("Reason"), AGE, wide("VolumeMode"),
        ),
        _volume,
    ),
    kinds.STORAGE_CLASSES: Printer(
        (
            NAME, text("Provisioner"), text("ReclaimPolicy"), text("VolumeBindingMode"), text("AllowVolumeExpansion"),
            AGE,
        ),
        _storage_class,
    ),
    kinds.CSI_DRIVERS: Printer(
        (
            NAME, boolean("AttachRequired"), boolean("PodInfoOnMount"), boolean("StorageCapacity"),
            text("TokenRequests"), boolean("RequiresRepublish"), text("Modes"), AGE,
        ),
        _driver,
    ),
    kinds.CSI_NODES: Printer((NAME, number("Drivers"), AGE), _csi_node),
    kinds.CSI_STORAGE_CAPACITIES: Printer((NAME, Column("Created At", "date")), _capacity),
    kinds.VOLUME_ATTACHMENTS: Printer(
        (NAME, Column("Attacher", format="name"), text("PV"), text("Node"), boolean("Attached"), AGE), _attachment
    ),
    kinds.VOLUME_ATTRIBUTES_CLASSES: Printer((NAME, text("DriverName"), AGE), _attributes_class),
}  # fmt: skip
