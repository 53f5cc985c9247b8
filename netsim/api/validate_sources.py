"""Rules of where volumes come from that are the same for a pod's own and for PersistentVolumes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from netsim.api import causes
from netsim.api.errors import Cause
from netsim.api.kinds import Obj

REQUIRED_PARTS = {
    "hostPath": ("path",),
    "nfs": ("server", "path"),
    "iscsi": ("targetPortal", "iqn"),
    "rbd": ("monitors", "image"),
    "cephfs": ("monitors",),
    "awsElasticBlockStore": ("volumeID",),
    "gcePersistentDisk": ("pdName",),
    "glusterfs": ("endpoints", "path"),
    "flexVolume": ("driver",),
    "azureDisk": ("diskName", "diskURI"),
    "azureFile": ("secretName", "shareName"),
    "vsphereVolume": ("volumePath",),
    "photonPersistentDisk": ("pdID",),
    "portworxVolume": ("volumeID",),
    "scaleIO": ("gateway", "system", "volumeName"),
}
_HOST_TYPES = ("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket")
_MOST_LUN = 255
_DISK_ADDRESSES = {
    "Managed": (
        "/subscriptions/",
        "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}",
    ),
    "Shared": ("https://", "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"),
}
"""How the address of an Azure disk begins, and what it looks like."""
_REGISTRY = "must be a host:port pair or multiple pairs separated by commas"


def within(kind: str) -> str:
    """How Kubernetes spells a source where something within it is wrong."""
    return "persistentDisk" if kind == "gcePersistentDisk" else kind


def path(source: Obj, field: str) -> Iterator[Cause]:
    """A path of the node's, and what is there."""
    given, kind = source.get("path", ""), source.get("type", "")
    if ".." in given.split("/"):
        yield causes.invalid(f"{field}.path", given, "must not contain '..'")
    if given and kind not in _HOST_TYPES:
        yield causes.unsupported(f"{field}.type", kind, _HOST_TYPES)


def _nfs(source: Obj, field: str) -> Iterator[Cause]:
    given = source.get("path", "")
    if not given.startswith("/"):
        yield causes.invalid(f"{field}.path", given, "must be an absolute path")


def _partition(source: Obj, field: str) -> Iterator[Cause]:
    number = source.get("partition", 0)
    if not 0 <= number <= _MOST_LUN:
        yield causes.invalid(f"{field}.partition", number, "must be between 1 and 255, inclusive")


def lun(field: str, number: int) -> Iterator[Cause]:
    """The number of a unit of the source at `field`."""
    if not 0 <= number <= _MOST_LUN:
        yield causes.invalid(f"{field}.lun", number, f"must be between 0 and {_MOST_LUN}, inclusive")


def _fibre_channel(source: Obj, field: str) -> Iterator[Cause]:
    names, wide, unit = source.get("targetWWNs"), source.get("wwids"), source.get("lun")
    if not names and not wide:
        yield causes.required(f"{field}.targetWWNs", "must specify either targetWWNs or wwids, but not both")
    if names and wide:
        yield causes.invalid(f"{field}.targetWWNs", names, "targetWWNs and wwids can not be specified simultaneously")
    if names:
        missing = causes.required(f"{field}.lun", "lun is required if targetWWNs is specified")
        yield from [missing] if unit is None else lun(field, unit)


def _flocker(source: Obj, field: str) -> Iterator[Cause]:
    name, uuid = source.get("datasetName", ""), source.get("datasetUUID", "")
    if not name and not uuid:
        yield causes.required(field, "one of datasetName and datasetUUID is required")
    if name and uuid:
        yield causes.invalid(field, "resource", "datasetName and datasetUUID can not be specified simultaneously")
    if "/" in name:
        yield causes.invalid(f"{field}.datasetName", name, "must not contain '/'")


def _quobyte(source: Obj, field: str) -> Iterator[Cause]:
    registry = source.get("registry", "")
    if not registry:
        yield causes.required(f"{field}.registry", _REGISTRY)
    elif any(":" not in pair for pair in registry.split(",")):
        yield causes.invalid(f"{field}.registry", registry, _REGISTRY)
    if not source.get("volume"):
        yield causes.required(f"{field}.volume")


def _azure_disk(source: Obj, field: str) -> Iterator[Cause]:
    kind, address = source.get("kind") or "Shared", source.get("diskURI", "")
    start, shape = _DISK_ADDRESSES["Managed" if kind == "Managed" else "Shared"]
    if not address.startswith(start):
        yield causes.unsupported(f"{field}.diskURI", address, (shape,))


RULES: dict[str, Callable[[Obj, str], Iterator[Cause]]] = {
    "hostPath": path,
    "nfs": _nfs,
    "gcePersistentDisk": _partition,
    "awsElasticBlockStore": _partition,
    "fc": _fibre_channel,
    "flocker": _flocker,
    "quobyte": _quobyte,
    "azureDisk": _azure_disk,
}
