"""Rules of PersistentVolumes, and of the volume that an attachment has in itself."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from typing import Any

from netsim.api import causes, go_values, validate_sources
from netsim.api.errors import Cause
from netsim.api.kinds import Obj
from netsim.api.quantity import parse_quantity
from netsim.api.validate_placement import node_selector

MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")
_RECLAIM = ("Delete", "Recycle", "Retain")
_SOURCES = (
    "hostPath", "gcePersistentDisk", "awsElasticBlockStore", "glusterfs", "flocker", "nfs", "rbd", "quobyte", "cephfs",
    "iscsi", "cinder", "fc", "flexVolume", "azureFile", "vsphereVolume", "photonPersistentDisk", "portworxVolume",
    "azureDisk", "scaleIO", "local", "storageos", "csi",
)  # fmt: skip
"""In the order in which Kubernetes looks: the first of several is the one that is meant."""
_TOLD_AS = {"cephfs": "cephFS"}
"""How Kubernetes spells some of them where they are too many."""
_REQUIRED_PARTS = {"local": ("path",), "cinder": ("volumeID",), **validate_sources.REQUIRED_PARTS}
_SECRETS = ("controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef")
_INLINE = "in the context of inline volumes"
_INITIATOR = re.compile(r"iqn\.\d{4}-\d{2}\.[a-zA-Z0-9-.]+(:[^,;*&$|\s]+)|eui.[a-zA-Z0-9]{16}|naa.[a-zA-Z0-9]{32}")


def volume(obj: Obj) -> Iterator[Cause]:
    yield from _volume_spec(obj.get("spec") or {}, "spec", inline=False)


def inline_volume(spec: Obj, field: str) -> Iterator[Cause]:
    """A volume that is nobody's but one attachment's."""
    for name in ("claimRef", "capacity"):
        if spec.get(name):
            yield causes.forbidden(f"{field}.{name}", f"may not be specified {_INLINE}")
    if "csi" not in spec:
        yield causes.required(f"{field}.csi", f"has to be specified {_INLINE}")
    yield from _volume_spec(spec, field, inline=True)


def access_modes(spec: Obj, field: str, why: str = "") -> Iterator[Cause]:
    modes = spec.get("accessModes") or []
    if not modes:
        yield causes.required(f"{field}.accessModes", why)
    yield from known_modes(modes, field)


def known_modes(modes: list[str], field: str) -> Iterator[Cause]:
    for mode in modes:
        if mode not in MODES:
            yield causes.unsupported(f"{field}.accessModes", mode, MODES)
    if "ReadWriteOncePod" in modes and any(mode in MODES[:3] for mode in modes):
        yield causes.forbidden(f"{field}.accessModes", "may not use ReadWriteOncePod with other access modes")


def _volume_spec(spec: Obj, field: str, *, inline: bool) -> Iterator[Cause]:
    yield from access_modes(spec, field)
    yield from () if inline else _capacity(spec.get("capacity") or {})
    policy = spec.get("persistentVolumeReclaimPolicy")
    if inline and policy and policy != "Retain":
        yield causes.forbidden(f"{field}.persistentVolumeReclaimPolicy", f"may only be Retain {_INLINE}")
    elif not inline and policy and policy not in _RECLAIM:
        yield causes.unsupported(f"{field}.persistentVolumeReclaimPolicy", policy, _RECLAIM)
    affinity = spec.get("nodeAffinity")
    if affinity is not None:
        yield from _affinity(affinity, f"{field}.nodeAffinity", inline=inline)
    yield from _source(spec, field)
    if policy == "Recycle" and posixpath.normpath((spec.get("hostPath") or {}).get("path", "")) == "/":
        where = f"{field}.persistentVolumeReclaimPolicy"
        yield causes.forbidden(where, "may not be 'recycle' for a hostPath mount of '/'")
    yield from _class_and_mode(spec, field, inline=inline)


def _affinity(affinity: Obj, field: str, *, inline: bool) -> Iterator[Cause]:
    required = affinity.get("required")
    if inline:
        yield causes.forbidden(field, f"may not be specified {_INLINE}")
    elif required is None:
        yield causes.required(f"{field}.required", "must specify required node constraints")
    else:
        yield from node_selector(required, f"{field}.required")


def _capacity(capacity: Obj) -> Iterator[Cause]:
    if not capacity:
        yield causes.required("spec.capacity")
    if list(capacity) != ["storage"]:
        yield causes.unsupported("spec.capacity", capacity or None, ["storage"])
    for name, amount in capacity.items():
        where, value = f"spec.capacity[{name}]", parse_quantity(amount)
        if value < 0:
            yield causes.invalid(where, -int(-value), "must be a valid resource quantity")
        if value <= 0:
            yield causes.invalid(where, amount, "must be greater than zero")


def _source(spec: Obj, field: str) -> Iterator[Cause]:
    found = [name for name in _SOURCES if name in spec]
    for name in found[:1]:
        where, source = f"{field}.{validate_sources.within(name)}", spec[name]
        for part in _REQUIRED_PARTS.get(name, ()):
            if not source.get(part):
                yield causes.required(f"{where}.{part}")
        rule = _RULES.get(name)
        yield from rule(source, where) if rule else ()
        if name == "local" and spec.get("nodeAffinity") is None:
            yield causes.required(f"{field}.nodeAffinity", "Local volume requires node affinity")
    told = [_TOLD_AS.get(name, name) for name in found[:1] + [name for name in found[1:] if name != "flexVolume"]]
    yield from causes.exactly_one(field, told, "volume type")


def _iscsi(source: Obj, field: str) -> Iterator[Cause]:
    if source.get("iqn") and not _INITIATOR.fullmatch(source["iqn"]):
        yield causes.invalid(f"{field}.iqn", source["iqn"], "must be valid format")
    yield from validate_sources.lun(field, source.get("lun", 0))
    if (source.get("chapAuthDiscovery") or source.get("chapAuthSession")) and "secretRef" not in source:
        yield causes.required(f"{field}.secretRef")
    if not source.get("secretRef", {"name": "-"}).get("name"):
        yield causes.required(f"{field}.secretRef.name")
    if "initiatorName" in source and not _INITIATOR.fullmatch(source["initiatorName"]):
        yield causes.invalid(f"{field}.initiatorname", source["initiatorName"], "must be valid format")


def _storage_os(source: Obj, field: str) -> Iterator[Cause]:
    if not source.get("volumeName"):
        yield causes.required(f"{field}.volumeName")
    for name in ("volumeName", "volumeNamespace"):
        yield from causes.dns_label(f"{field}.{name}", source[name]) if source.get(name) else ()
    yield from _secret_parts(source, field)


def _secret_parts(source: Obj, field: str) -> Iterator[Cause]:
    for name in ("name", "namespace"):
        if "secretRef" in source and not source["secretRef"].get(name):
            yield causes.required(f"{field}.secretRef.{name}")


def _csi(source: Obj, field: str) -> Iterator[Cause]:
    yield from causes.driver_name(f"{field}.driver", source.get("driver", ""))
    if not source.get("volumeHandle"):
        yield causes.required(f"{field}.volumeHandle")
    for name in _SECRETS:
        if name in source:
            yield from _secret(source[name], f"{field}.{name}")


def _secret(reference: Obj, field: str) -> Iterator[Cause]:
    rules: tuple[tuple[str, Any], ...] = (("name", causes.dns_subdomain), ("namespace", causes.dns_label))
    for name, rule in rules:
        given = reference.get(name, "")
        yield from rule(f"{field}.{name}", given) if given else [causes.required(f"{field}.{name}")]


_RULES: dict[str, Callable[[Obj, str], Iterator[Cause]]] = {
    **validate_sources.RULES,
    "local": validate_sources.path,
    "iscsi": _iscsi,
    "storageos": _storage_os,
    "cinder": _secret_parts,
    "csi": _csi,
}


def _class_and_mode(spec: Obj, field: str, *, inline: bool) -> Iterator[Cause]:
    name, mode, attributes = (spec.get(k) for k in ("storageClassName", "volumeMode", "volumeAttributesClassName"))
    if name and inline:
        yield causes.forbidden(f"{field}.storageClassName", f"may not be specified {_INLINE}")
    elif name:
        yield from causes.dns_subdomain(f"{field}.storageClassName", name)
    if inline and mode not in (None, "Filesystem"):
        yield causes.forbidden(f"{field}.volumeMode", f"may not specify volumeMode other than Filesystem {_INLINE}")
    elif not inline and mode is not None and mode not in VOLUME_MODES:
        yield causes.unsupported(f"{field}.volumeMode", mode, VOLUME_MODES)
    if attributes is None or inline:
        return
    where = f"{field}.volumeAttributesClassName"
    empty = causes.required(where, "an empty string is disallowed")
    yield from causes.dns_subdomain(where, attributes) if attributes else [empty]
    if "csi" not in spec:
        yield causes.required(f"{field}.csi", "has to be specified when using volumeAttributesClassName")


def volume_update(new: Obj, old: Obj) -> Iterator[Cause]:
    now, before = new.get("spec") or {}, old.get("spec") or {}
    source, held = _sources(now, before), _sources(before, before)
    if source != held:
        difference = go_values.difference("PersistentVolumeSource", held, source)
        why = f"spec.persistentvolumesource is immutable after creation\n{difference}"
        yield causes.forbidden("spec.persistentvolumesource", why)
    yield from causes.unchanged("volumeMode", now.get("volumeMode"), before.get("volumeMode"))
    if before.get("nodeAffinity") is not None:
        yield from causes.unchanged("nodeAffinity", now.get("nodeAffinity"), before["nodeAffinity"])
    if before.get("volumeAttributesClassName") is not None and now.get("volumeAttributesClassName") is None:
        yield causes.forbidden("spec.volumeAttributesClassName", "update from non-nil value to nil is forbidden")


def _sources(spec: Obj, before: Obj) -> Obj:
    """The sources of a spec, but for the secret for growing that it gets later."""
    found = {name: value for name, value in spec.items() if name in _SOURCES}
    if "csi" in found and "controllerExpandSecretRef" not in (before.get("csi") or {}):
        found["csi"] = {k: v for k, v in found["csi"].items() if k != "controllerExpandSecretRef"}
    return found
