"""Rules of where a container's volumes are: mounts, and devices of raw block volumes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from netsim.api import causes
from netsim.api.errors import Cause
from netsim.api.kinds import Obj

_PROPAGATION = ("Bidirectional", "HostToContainer", "None")
_RECURSIVE = ("Disabled", "Enabled", "IfPossible")


def mounts_and_devices(container: Obj, field: str, volumes: Mapping[str, Obj]) -> Iterator[Cause]:
    """Those of the container at `field`, in a pod with these volumes by name."""
    mounts, devices = container.get("volumeMounts") or [], container.get("volumeDevices") or []
    yield from _mounts(container, f"{field}.volumeMounts", volumes)
    yield from _devices(devices, f"{field}.volumeDevices", volumes)
    yield from _overlaps(mounts, f"{field}.volumeMounts", devices, "volumeDevices", ("mountPath", "devicePath"))
    yield from _overlaps(devices, f"{field}.volumeDevices", mounts, "volumeMounts", ("devicePath", "mountPath"))


def _mounts(container: Obj, field: str, volumes: Mapping[str, Obj]) -> Iterator[Cause]:
    """Kubernetes names the list, not the entry, where a path below the volume or the way of mounting is wrong."""
    privileged = bool((container.get("securityContext") or {}).get("privileged"))
    seen: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        where, name, path = f"{field}[{index}]", mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            yield causes.required(f"{where}.name")
        if name not in volumes:
            yield causes.not_found(f"{where}.name", name)
        if not path:
            yield causes.required(f"{where}.mountPath")
        elif path in seen:
            yield causes.invalid(f"{where}.mountPath", path, "must be unique")
        seen.add(path)
        if mount.get("subPathExpr") and mount.get("subPath"):
            why = "subPathExpr and subPath are mutually exclusive"
            yield causes.invalid(f"{where}.subPathExpr", mount["subPathExpr"], why)
        for part in ("subPath", "subPathExpr"):
            yield from descending_path(f"{field}.{part}", mount.get(part, ""))
        yield from _propagation(mount, field, privileged=privileged)
        yield from _recursive(mount, f"{field}.recursiveReadOnly")


def _propagation(mount: Obj, field: str, *, privileged: bool) -> Iterator[Cause]:
    way, where = mount.get("mountPropagation"), f"{field}.mountPropagation"
    if way is not None and way not in _PROPAGATION:
        yield causes.unsupported(where, way, _PROPAGATION)
    if way == "Bidirectional" and not privileged:
        why = "Bidirectional mount propagation is available only to privileged containers"
        yield causes.forbidden(where, why)


def _recursive(mount: Obj, field: str) -> Iterator[Cause]:
    way = mount.get("recursiveReadOnly")
    if way is not None and way not in _RECURSIVE:
        yield causes.unsupported(field, way, _RECURSIVE)
    if way in ("Enabled", "IfPossible"):
        if not mount.get("readOnly"):
            yield causes.forbidden(field, "may only be specified when readOnly is true")
        if mount.get("mountPropagation") not in (None, "None"):
            why = "may only be specified when mountPropagation is None or not specified"
            yield causes.forbidden(field, why)


def _devices(devices: list[Obj], field: str, volumes: Mapping[str, Obj]) -> Iterator[Cause]:
    names: set[str] = set()
    paths: set[str] = set()
    for index, device in enumerate(devices):
        where, name, path = f"{field}[{index}]", device.get("name", ""), device.get("devicePath", "")
        if not name:
            yield causes.required(f"{where}.name")
        elif name in names:
            yield causes.invalid(f"{where}.name", name, "must be unique")
        if name not in volumes:
            yield causes.not_found(f"{where}.name", name)
        elif not {"persistentVolumeClaim", "ephemeral"} & volumes[name].keys():
            why = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            yield causes.invalid(f"{where}.name", name, why)
        if not path:
            yield causes.required(f"{where}.devicePath")
        elif path in paths:
            yield causes.invalid(f"{where}.devicePath", path, "must be unique")
        if ".." in path.split("/"):
            yield causes.invalid(f"{where}.devicePath", path, "can not contain backsteps ('..')")
        names.add(name)
        paths.add(path)


def _overlaps(here: list[Obj], field: str, other: list[Obj], group: str, parts: tuple[str, str]) -> Iterator[Cause]:
    """Entries whose volume or path (`parts`: what it is called here and there) is among those of the other `group`."""
    names, paths = {entry.get("name") for entry in other}, {entry.get(parts[1]) for entry in other}
    for index, entry in enumerate(here):
        if entry.get("name") and entry["name"] in names:
            yield causes.invalid(f"{field}[{index}].name", entry["name"], f"must not already exist in {group}")
        if entry.get(parts[0]) and entry[parts[0]] in paths:
            why = f"must not already exist as a path in {group}"
            yield causes.invalid(f"{field}[{index}].{parts[0]}", entry[parts[0]], why)


def descending_path(field: str, path: str) -> Iterator[Cause]:
    """Files of a volume stay below it: relative paths without ".."."""
    if path.startswith("/"):
        yield causes.invalid(field, path, "must be a relative path")
    if ".." in path.split("/"):
        yield causes.invalid(field, path, "must not contain '..'")
