"""Rules of a pod's volumes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from netsim.api import causes, validate_env, validate_metadata, validate_mounts, validate_sources, validate_storage
from netsim.api.errors import Cause
from netsim.api.kinds import Obj
from netsim.api.quantity import parse_quantity

_REQUIRED_PARTS = {
    "secret": ("secretName",),
    "configMap": ("name",),
    "persistentVolumeClaim": ("claimName",),
    "csi": ("driver",),
    "gitRepo": ("repository",),
    "cinder": ("volumeID",),
    "storageos": ("volumeName",),
    **validate_sources.REQUIRED_PARTS,
}
_TYPES = (
    "emptyDir", "hostPath", "gitRepo", "gcePersistentDisk", "awsElasticBlockStore", "secret", "nfs", "iscsi",
    "glusterfs", "flocker", "persistentVolumeClaim", "rbd", "cinder", "cephfs", "quobyte", "downwardAPI", "fc",
    "flexVolume", "configMap", "azureFile", "vsphereVolume", "photonPersistentDisk", "portworxVolume", "azureDisk",
    "storageos", "projected", "scaleIO", "csi", "ephemeral", "image",
)  # fmt: skip
"""In the order in which Kubernetes looks: the first of several is the one that is meant."""
_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
"""What can be made a file of a pod's own."""
_TOLD_AS = {"cephfs": "cephFS", "downwardAPI": "downwarAPI"}
"""How Kubernetes spells some of them where they are too many."""
_NAMED = ("configMap", "secret")


def judge(found: list[Obj], field: str) -> tuple[dict[str, Obj], list[Cause]]:
    """The volumes listed at `field` that keep the rules, by name: they alone can be mounted; and what is wrong with
    the others."""
    good: dict[str, Obj] = {}
    problems: list[Cause] = []
    for index, volume in enumerate(found):
        where, name = f"{field}[{index}]", volume.get("name", "")
        wrong = [*_volume(volume, where), *_name(name, f"{where}.name", good)]
        problems += wrong
        if not wrong:
            good[name] = volume
    return good, problems


def _name(name: str, field: str, taken: Collection[str]) -> Iterator[Cause]:
    if not name:
        yield causes.required(field)
    elif name in taken:
        yield causes.duplicate(field, name)
    else:
        yield from causes.dns_label(field, name)


def _volume(volume: Obj, field: str) -> Iterator[Cause]:
    kinds = [kind for kind in _TYPES if kind in volume]
    yield from causes.exactly_one(field, [_TOLD_AS.get(kind, kind) for kind in kinds], "volume type")
    if not kinds:
        return
    kind, source = kinds[0], volume[kinds[0]]
    where = f"{field}.{validate_sources.within(kind)}"
    for part in _REQUIRED_PARTS.get(kind, ()):
        if not source.get(part):
            yield causes.required(f"{where}.{part}")
    rule = _RULES.get(kind)
    if rule is not None:
        yield from rule(source, where)


def _empty_dir(source: Obj, field: str) -> Iterator[Cause]:
    size = source.get("sizeLimit")
    if size is not None and parse_quantity(size) < 0:
        yield causes.forbidden(f"{field}.sizeLimit", "SizeLimit field must be a valid resource quantity")


def _ephemeral(source: Obj, field: str) -> Iterator[Cause]:
    template, where = source.get("volumeClaimTemplate"), f"{field}.volumeClaimTemplate"
    if template is None:
        yield causes.required(where)
    else:
        yield from validate_metadata.template_metadata(template.get("metadata") or {}, f"{where}.metadata")
        yield from validate_storage.claim_spec(template.get("spec") or {}, f"{where}.spec")


def _mode(source: Obj, field: str) -> Iterator[Cause]:
    mode = source.get(field.rpartition(".")[2])
    if mode is not None and not 0 <= mode <= 0o777:
        yield causes.invalid(field, mode, "must be a number between 0 and 0777 (octal), both inclusive")


def _keys(source: Obj, field: str) -> Iterator[Cause]:
    """The keys of a ConfigMap or Secret that are made files."""
    yield from _mode(source, f"{field}.defaultMode")
    for index, item in enumerate(source.get("items") or ()):
        where = f"{field}.items[{index}]"
        yield from _mode(item, f"{where}.mode")
        for part in ("key", "path"):
            if not item.get(part):
                yield causes.required(f"{where}.{part}")
        yield from validate_mounts.descending_path(f"{where}.path", item.get("path", ""))


def _downward(source: Obj, field: str) -> Iterator[Cause]:
    """Fields of the pod that are made files. Kubernetes names the volume, not the item."""
    yield from _mode(source, f"{field}.defaultMode")
    for item in source.get("items") or ():
        yield from _mode(item, f"{field}.mode")
        given = [kind for kind in ("fieldRef", "resourceFieldRef") if item.get(kind) is not None]
        if not item.get("path"):
            yield causes.required(f"{field}.path")
        yield from validate_mounts.descending_path(f"{field}.path", item.get("path", ""))
        if not given:
            yield causes.required(field, "one of fieldRef and resourceFieldRef is required")
        elif len(given) > 1:
            why = "fieldRef and resourceFieldRef can not be specified simultaneously"
            yield causes.invalid(field, "resource", why)
        if "fieldRef" in item:
            path, where = item["fieldRef"].get("fieldPath", ""), f"{field}.fieldRef.fieldPath"
            yield from validate_env.field_path(path, where, _FIELDS)
        elif not (item.get("resourceFieldRef") or {"containerName": "-"}).get("containerName"):
            yield causes.required(f"{field}.resourceFieldRef.containerName")


def _projected(source: Obj, field: str) -> Iterator[Cause]:
    """Several sources in one directory, each of one kind."""
    yield from _mode(source, f"{field}.defaultMode")
    for index, part in enumerate(source.get("sources") or ()):
        where = f"{field}.sources[{index}]"
        kinds = [kind for kind in _PROJECTED if kind in part]
        for _ in kinds[1:]:
            yield causes.forbidden(where, "may not specify more than 1 volume type per source")
        for kind in kinds[:1]:
            if kind in _NAMED and not part[kind].get("name"):
                yield causes.required(f"{where}.{kind}.name")
            yield from _RULES[kind](part[kind], f"{where}.{kind}")


def _token(source: Obj, field: str) -> Iterator[Cause]:
    """Kubernetes names the volume where the path is missing, not the source."""
    if not source.get("path"):
        yield causes.required(f"{field.partition('.sources[')[0]}.path")
    yield from validate_mounts.descending_path(f"{field}.path", source.get("path", ""))


_PROJECTED = ("secret", "configMap", "downwardAPI", "serviceAccountToken")
_RULES: dict[str, Callable[[Obj, str], Iterator[Cause]]] = {
    **validate_sources.RULES,
    "emptyDir": _empty_dir,
    "ephemeral": _ephemeral,
    "secret": _keys,
    "configMap": _keys,
    "downwardAPI": _downward,
    "projected": _projected,
    "serviceAccountToken": _token,
}
