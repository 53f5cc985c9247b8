"""Rules of a pod's volumes."""

from __future__ import annotations

from collections.abc import Iterator

from netsim.api import causes, validate_storage
from netsim.api.errors import Cause
from netsim.api.kinds import Obj
from netsim.api.quantity import parse_quantity

_HOST_TYPES = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket",
)  # fmt: skip
_REQUIRED_PARTS = {
    "secret": ("secretName",),
    "configMap": ("name",),
    "hostPath": ("path",),
    "persistentVolumeClaim": ("claimName",),
    "nfs": ("server", "path"),
    "csi": ("driver",),
}


def volumes(found: list[Obj], field: str) -> Iterator[Cause]:
    """The volumes listed at `field`."""
    for index, volume in enumerate(found):
        where, name = f"{field}[{index}]", volume.get("name", "")
        yield from causes.dns_label(f"{where}.name", name) if name else [causes.required(f"{where}.name")]
        kinds = sorted(key for key in volume if key != "name")
        if not kinds:
            yield causes.required(where, "must specify a volume type")
        for extra in kinds[1:]:
            yield causes.forbidden(f"{where}.{extra}", "may not specify more than 1 volume type")
        yield from _source(volume, where)
        yield from _item_paths(volume, where)
    yield from causes.unique((f"{field}[{i}].name", v.get("name")) for i, v in enumerate(found))


def _source(volume: Obj, field: str) -> Iterator[Cause]:
    for kind, parts in _REQUIRED_PARTS.items():
        for part in parts if kind in volume else ():
            if not volume[kind].get(part):
                yield causes.required(f"{field}.{kind}.{part}")
    size = (volume.get("emptyDir") or {}).get("sizeLimit")
    if size is not None and parse_quantity(size) < 0:
        yield causes.forbidden(f"{field}.emptyDir.sizeLimit", "SizeLimit field must be a valid resource quantity")
    host = volume.get("hostPath") or {}
    if host.get("type", "") not in _HOST_TYPES:
        yield causes.unsupported(f"{field}.hostPath.type", host["type"], _HOST_TYPES)
    if ".." in host.get("path", "").split("/"):
        yield causes.invalid(f"{field}.hostPath.path", host["path"], "must not contain '..'")
    if "ephemeral" in volume:
        yield from _ephemeral(volume["ephemeral"].get("volumeClaimTemplate"), f"{field}.ephemeral.volumeClaimTemplate")


def _ephemeral(template: Obj | None, field: str) -> Iterator[Cause]:
    if template is None:
        yield causes.required(field)
    else:
        yield from validate_storage.claim_spec(template.get("spec") or {}, f"{field}.spec")


def _item_paths(volume: Obj, field: str) -> Iterator[Cause]:
    """Files of a volume stay below it: relative paths without "..", whatever they are made from."""
    sources = [(f"{field}.{kind}", volume[kind]) for kind in ("configMap", "secret", "downwardAPI") if kind in volume]
    for index, projected in enumerate((volume.get("projected") or {}).get("sources") or []):
        sources += [(f"{field}.projected.sources[{index}].{kind}", source or {}) for kind, source in projected.items()]
    for where, source in sources:
        for index, item in enumerate(source.get("items") or []):
            path = item.get("path", "")
            if path.startswith("/"):
                yield causes.invalid(f"{where}.items[{index}].path", path, "must be a relative path")
            if ".." in path.split("/"):
                yield causes.invalid(f"{where}.items[{index}].path", path, "must not contain '..'")
