"""Rules of PersistentVolumes, their claims, and the storage.k8s.io group."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netsim.api import causes
from netsim.api.errors import Cause
from netsim.api.kinds import Obj
from netsim.api.quantity import parse_quantity

_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_VOLUME_MODES = ("Block", "Filesystem")
_RECLAIM = ("Delete", "Recycle", "Retain")
_NOT_A_SOURCE = (
    "capacity", "accessModes", "claimRef", "persistentVolumeReclaimPolicy", "storageClassName", "mountOptions",
    "volumeMode", "nodeAffinity", "volumeAttributesClassName",
)  # fmt: skip
_CLAIM_MESSAGE = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
)
_REQUIRED_PARTS = {
    "hostPath": ("path",),
    "local": ("path",),
    "nfs": ("server", "path"),
    "csi": ("driver", "volumeHandle"),
    "iscsi": ("targetPortal", "iqn"),
    "rbd": ("monitors", "image"),
    "cephfs": ("monitors",),
    "awsElasticBlockStore": ("volumeID",),
    "gcePersistentDisk": ("pdName",),
    "azureDisk": ("diskName", "diskURI"),
    "azureFile": ("secretName", "shareName"),
}


def _access_modes(spec: Obj, why: str, field: str = "spec") -> Iterator[Cause]:
    modes = spec.get("accessModes") or []
    if not modes:
        yield causes.required(f"{field}.accessModes", why)
    for index, mode in enumerate(modes):
        if mode not in _MODES:
            where = f"{field}.accessModes[{index}]" if why else f"{field}.accessModes"
            yield causes.unsupported(where, mode, _MODES)
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        yield causes.forbidden(f"{field}.accessModes", "may not use ReadWriteOncePod with other access modes")
    if spec.get("volumeMode") is not None and spec["volumeMode"] not in _VOLUME_MODES:
        yield causes.unsupported(f"{field}.volumeMode", spec["volumeMode"], _VOLUME_MODES)
    if spec.get("storageClassName"):
        yield from causes.dns_subdomain(f"{field}.storageClassName", spec["storageClassName"])


def claim(obj: Obj) -> Iterator[Cause]:
    yield from claim_spec(obj.get("spec") or {}, "spec")


def claim_spec(spec: Obj, field: str) -> Iterator[Cause]:
    """What a claim asks for, also that of a pod's ephemeral volume."""
    yield from _access_modes(spec, "at least 1 access mode is required", field)
    if spec.get("selector") is not None:
        yield from causes.selector_object(f"{field}.selector", spec["selector"])
    requests = (spec.get("resources") or {}).get("requests") or {}
    if "storage" not in requests:
        yield causes.required(f"{field}.resources[storage]")
    elif parse_quantity(requests["storage"]) <= 0:
        yield causes.invalid(f"{field}.resources[storage]", requests["storage"], "must be greater than zero")
    if spec.get("volumeAttributesClassName"):
        yield from causes.dns_subdomain(f"{field}.volumeAttributesClassName", spec["volumeAttributesClassName"])
    for name in ("dataSource", "dataSourceRef"):
        if spec.get(name) is not None:
            yield from _data_source(spec[name], f"{field}.{name}")


def _data_source(source: Obj, field: str) -> Iterator[Cause]:
    """What a volume is filled from: of no group only another claim."""
    group, kind = source.get("apiGroup", ""), source.get("kind", "")
    for name in ("name", "kind"):
        if not source.get(name):
            yield causes.required(f"{field}.{name}")
    if not group and kind != "PersistentVolumeClaim":
        why = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        yield causes.invalid(field, kind, why)
    elif group:
        yield from causes.dns_subdomain(f"{field}.apiGroup", group)


def claim_update(new: Obj, old: Obj) -> Iterator[Cause]:
    """A claim's spec stays, but for its volume (set once), a class chosen later, and for bound claims more storage."""
    now, before = dict(new.get("spec") or {}), dict(old.get("spec") or {})
    for late in ("volumeName", "storageClassName"):
        if before.get(late) in (None, ""):
            before[late] = now.get(late)
    bound = (new.get("status") or {}).get("phase") == "Bound"
    if bound:
        before["volumeAttributesClassName"] = now.get("volumeAttributesClassName")
        yield from _growth(now, before, new)
        before["resources"] = {**(before.get("resources") or {})}
        before["resources"] |= {k: v for k, v in (now.get("resources") or {}).items() if k == "requests"}
    if _without_none(now) != _without_none(before):
        yield causes.forbidden("spec", _CLAIM_MESSAGE)


def _growth(now: Obj, before: Obj, claim: Obj) -> Iterator[Cause]:
    asked, held = (((s.get("resources") or {}).get("requests") or {}).get("storage") for s in (now, before))
    if asked is None or held is None or parse_quantity(asked) >= parse_quantity(held):
        return
    capacity = ((claim.get("status") or {}).get("capacity") or {}).get("storage")
    if capacity is None or parse_quantity(asked) <= parse_quantity(capacity):
        yield causes.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity")


def _without_none(spec: Obj) -> Obj:
    return {key: value for key, value in spec.items() if value is not None}


def volume(obj: Obj) -> Iterator[Cause]:
    spec = obj.get("spec") or {}
    yield from _access_modes(spec, "")
    yield from _capacity(spec.get("capacity") or {})
    sources = _sources(spec)
    if not sources:
        yield causes.required("spec", "must specify a volume type")
    for index, (name, source) in enumerate(sources.items()):
        if index:
            yield causes.forbidden(f"spec.{name}", "may not specify more than 1 volume type")
        yield from _source(name, source or {}, spec)
    policy = spec.get("persistentVolumeReclaimPolicy")
    if policy is not None and policy not in _RECLAIM:
        yield causes.unsupported("spec.persistentVolumeReclaimPolicy", policy, _RECLAIM)


def _sources(spec: Obj) -> Obj:
    return {name: value for name, value in spec.items() if name not in _NOT_A_SOURCE}


def _capacity(capacity: Obj) -> Iterator[Cause]:
    if not capacity:
        yield causes.required("spec.capacity")
    elif list(capacity) != ["storage"]:
        yield causes.unsupported("spec.capacity", capacity, ["storage"])
    for name, amount in capacity.items():
        if parse_quantity(amount) <= 0:
            yield causes.invalid(f"spec.capacity[{name}]", amount, "must be greater than zero")


def _source(name: str, source: Obj, spec: Obj) -> Iterator[Cause]:
    for part in _REQUIRED_PARTS.get(name, ()):
        if not source.get(part):
            yield causes.required(f"spec.{name}.{part}")
    path = source.get("path", "") if name in ("hostPath", "local") else ""
    if ".." in path.split("/"):
        yield causes.invalid(f"spec.{name}.path", path, "must not contain '..'")
    if name == "nfs" and source.get("path") and not source["path"].startswith("/"):
        yield causes.invalid("spec.nfs.path", source["path"], "must be an absolute path")
    if name == "local" and not (spec.get("nodeAffinity") or {}).get("required"):
        yield causes.required("spec.nodeAffinity", "Local volume requires node affinity")
    if path.rstrip("/") == "" and path and spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        yield causes.forbidden("spec.persistentVolumeReclaimPolicy", "may not be 'recycle' for a hostPath mount of '/'")


def volume_update(new: Obj, old: Obj) -> Iterator[Cause]:
    now, before = new.get("spec") or {}, old.get("spec") or {}
    if _sources(now) != _sources(before):
        why = "spec.persistentvolumesource is immutable after creation"
        yield causes.forbidden("spec.persistentvolumesource", why)
    yield from causes.unchanged("spec.volumeMode", now.get("volumeMode"), before.get("volumeMode"))
    if before.get("nodeAffinity") is not None:
        yield from causes.unchanged("spec.nodeAffinity", now.get("nodeAffinity"), before["nodeAffinity"])


def storage_class(obj: Obj) -> Iterator[Cause]:
    provisioner, mode = obj.get("provisioner", ""), obj.get("volumeBindingMode")
    if provisioner:
        yield from causes.qualified_name("provisioner", provisioner.lower())
    else:
        yield causes.required("provisioner")
    for key in obj.get("parameters") or {}:
        if not key:
            yield causes.invalid("parameters", key, "field can not be empty.")
    if obj.get("reclaimPolicy") is not None and obj["reclaimPolicy"] not in ("Delete", "Retain"):
        yield causes.unsupported("reclaimPolicy", obj["reclaimPolicy"], ("Delete", "Retain"))
    yield from causes.one_of("volumeBindingMode", mode, ("Immediate", "WaitForFirstConsumer"))


def storage_class_update(new: Obj, old: Obj) -> Iterator[Cause]:
    yield from _forbidden_changes(new, old, ("parameters", "provisioner", "reclaimPolicy"))
    yield from causes.unchanged("volumeBindingMode", new.get("volumeBindingMode"), old.get("volumeBindingMode"))


def _forbidden_changes(new: Obj, old: Obj, fields: tuple[str, ...]) -> Iterator[Cause]:
    for field in fields:
        if (new.get(field) or None) != (old.get(field) or None):
            yield causes.forbidden(field, f"updates to {field} are forbidden.")


def attributes_class(obj: Obj) -> Iterator[Cause]:
    if not obj.get("driverName"):
        yield causes.required("driverName")
    if not obj.get("parameters"):
        yield causes.required("parameters", "must contain at least one key/value pair")


def attributes_class_update(new: Obj, old: Obj) -> Iterator[Cause]:
    yield from _forbidden_changes(new, old, ("driverName", "parameters"))


def csi_driver_update(new: Obj, old: Obj) -> Iterator[Cause]:
    now, before = new.get("spec") or {}, old.get("spec") or {}
    for field in ("attachRequired", "volumeLifecycleModes"):
        yield from causes.unchanged(f"spec.{field}", now.get(field), before.get(field))


def csi_node(obj: Obj) -> Iterator[Cause]:
    drivers = (obj.get("spec") or {}).get("drivers") or []
    for index, driver in enumerate(drivers):
        for name in ("name", "nodeID"):
            if not driver.get(name):
                yield causes.required(f"spec.drivers[{index}].{name}")
    yield from causes.unique((f"spec.drivers[{i}].name", d.get("name")) for i, d in enumerate(drivers))


def storage_capacity(obj: Obj) -> Iterator[Cause]:
    if not obj.get("storageClassName"):
        yield causes.required("storageClassName")
    for name in ("capacity", "maximumVolumeSize"):
        if obj.get(name) is not None and parse_quantity(obj[name]) < 0:
            yield causes.invalid(name, obj[name], "must be greater than or equal to 0")
    if obj.get("nodeTopology") is not None:
        yield from causes.selector_object("nodeTopology", obj["nodeTopology"])


def storage_capacity_update(new: Obj, old: Obj) -> Iterator[Cause]:
    for field in ("nodeTopology", "storageClassName"):
        yield from causes.unchanged(field, new.get(field), old.get(field))


def attachment(obj: Obj) -> Iterator[Cause]:
    spec: dict[str, Any] = obj.get("spec") or {}
    source = spec.get("source") or {}
    for name in ("attacher", "nodeName"):
        if not spec.get(name):
            yield causes.required(f"spec.{name}")
    given = [name for name in ("inlineVolumeSpec", "persistentVolumeName") if source.get(name) is not None]
    if not given:
        why = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
        yield causes.required("spec.source", why)
    elif len(given) > 1:
        why = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
        yield causes.forbidden("spec.source", why)


def attachment_update(new: Obj, old: Obj) -> Iterator[Cause]:
    yield from causes.unchanged("spec", new.get("spec"), old.get("spec"))
