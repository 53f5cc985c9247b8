"""Storage in use is kept: a claim until no pod has it, a volume until no claim is bound to it, a class of attributes
until no claim or volume names it. And the claims of generic ephemeral volumes, which live and die with their pod
(KEP-1698)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from netsim.api.kinds import (
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    VOLUME_ATTRIBUTES_CLASSES,
    Kind,
    Obj,
)
from netsim.api.objects import (
    annotations_of,
    deletion_timestamp,
    dig,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    spec_of,
    status_of,
)
from netsim.controllers.controller import Controller
from netsim.controllers.pods import is_finished
from netsim.controllers.refs import controller_reference, is_controlled_by
from netsim.controllers.view import NAMESPACE, View
from netsim.controllers.wakes import by_own_key
from netsim.controllers.writes import Create, Note, Patch, Write, Writes, patch_of, typed

PVCS, PVS = PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
PVC_FINALIZER, PV_FINALIZER = "kubernetes.io/pvc-protection", "kubernetes.io/pv-protection"
CLASS_FINALIZER = "kubernetes.io/vac-protection"
_CLASS_NAME = "volumeAttributesClassName"


def release_claim(key: str, view: View) -> Writes:
    """Let a claim that is being deleted go once no scheduled pod uses it."""
    claim = view.get(PVCS, key)
    if claim is None or not _is_held(claim, PVC_FINALIZER):
        return []
    pods = view.by_index(PODS, NAMESPACE, namespace_of(claim))
    used = any(spec_of(pod).get("nodeName") and name_of(claim) in claim_names(pod) for pod in pods)
    return [] if used else [_without(PVCS, claim, PVC_FINALIZER)]


def release_volume(key: str, view: View) -> Writes:
    """Let a volume that is being deleted go unless it is bound."""
    volume = view.get(PVS, key)
    if volume is None or not _is_held(volume, PV_FINALIZER) or status_of(volume).get("phase") == "Bound":
        return []
    return [_without(PVS, volume, PV_FINALIZER)]


def release_class(key: str, view: View) -> Writes:
    """Let a VolumeAttributesClass that is being deleted go once nothing names it."""
    found = view.get(VOLUME_ATTRIBUTES_CLASSES, key)
    if found is None or not _is_held(found, CLASS_FINALIZER):
        return []
    used = any(key in class_names(obj) for kind in (PVS, PVCS) for obj in view.values(kind))
    return [] if used else [_without(VOLUME_ATTRIBUTES_CLASSES, found, CLASS_FINALIZER)]


def class_names(obj: Obj) -> set[str]:
    """The VolumeAttributesClasses that a claim or volume asks for, has, or is being changed to."""
    status = status_of(obj)
    named = (spec_of(obj).get(_CLASS_NAME), status.get("currentVolumeAttributesClassName"))
    return {
        str(name) for name in (*named, dig(status, "modifyVolumeStatus", "targetVolumeAttributesClassName")) if name
    }


def _is_held(obj: Obj, finalizer: str) -> bool:
    return bool(deletion_timestamp(obj)) and finalizer in (obj["metadata"].get("finalizers") or ())


def _without(kind: Kind, obj: Obj, finalizer: str) -> Patch:
    rest = [name for name in obj["metadata"]["finalizers"] if name != finalizer]
    return patch_of(kind, obj, {"metadata": {"finalizers": rest or None}}, locked=True)


def claim_names(pod: Obj) -> Iterator[str]:
    """Names of the claims a pod uses, those of its ephemeral volumes too."""
    for volume in spec_of(pod).get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            yield str(volume["persistentVolumeClaim"].get("claimName", ""))
        elif volume.get("ephemeral"):
            yield f"{name_of(pod)}-{volume['name']}"


def make_ephemeral(key: str, view: View) -> Writes:
    """Create the claims of a pod's ephemeral volumes."""
    pod = view.get(PODS, key)
    if pod is None or deletion_timestamp(pod) or is_finished(pod):
        return []
    return list(_ephemeral(pod, view))


def _ephemeral(pod: Obj, view: View) -> Iterator[Write]:
    for volume in spec_of(pod).get("volumes") or ():
        template = dig(volume, "ephemeral", "volumeClaimTemplate")
        if template is None:
            continue
        name = f"{name_of(pod)}-{volume['name']}"
        found = view.get(PVCS, f"{namespace_of(pod)}/{name}")
        if found is None:
            yield Create(PVCS, _claim(pod, name, template))
        elif not is_controlled_by(found, pod):
            text = f"PVC {namespace_of(pod)}/{name} was not created for pod {key_of(pod)} (pod is not owner)"
            yield Note(typed(PODS, pod), "FailedBinding", f"ephemeral volume {volume['name']}: {text}", "Warning")


def _claim(pod: Obj, name: str, template: Obj) -> Obj:
    head: Obj = {"name": name, "namespace": namespace_of(pod), "ownerReferences": [controller_reference(PODS, pod)]}
    marks = {"labels": labels_of(template), "annotations": annotations_of(template)}
    head |= {field: value for field, value in marks.items() if value}
    return {**typed(PVCS, {}), "metadata": head, "spec": spec_of(template)}


def _wake_claims(view: View, old: Obj | None, new: Obj | None) -> Iterable[str]:
    """A pod came, went or ended: its claims."""
    pod = new or old or {}
    return [f"{namespace_of(pod)}/{name}" for name in claim_names(pod)]


def _wake_classes(view: View, old: Obj | None, new: Obj | None) -> Iterable[str]:
    """What a claim or volume no longer names."""
    return class_names(old or {}) - class_names(new or {})


def _wake_ephemeral(view: View, old: Obj | None, new: Obj | None) -> Iterable[str]:
    pod = new or {}
    return [key_of(pod)] if any(v.get("ephemeral") for v in spec_of(pod).get("volumes") or ()) else []


CLAIMS = Controller(
    "persistentvolumeclaim-protection-controller", release_claim, ((PVCS, by_own_key), (PODS, _wake_claims))
)
VOLUMES = Controller("persistentvolume-protection-controller", release_volume, ((PVS, by_own_key),))
CLASSES = Controller(
    "volumeattributesclass-protection-controller",
    release_class,
    ((VOLUME_ATTRIBUTES_CLASSES, by_own_key), (PVCS, _wake_classes), (PVS, _wake_classes)),
)
EPHEMERAL = Controller(
    "ephemeral-volume-controller", make_ephemeral, ((PODS, _wake_ephemeral),), reporter="ephemeral_volume"
)
CONTROLLERS = (CLAIMS, VOLUMES, CLASSES, EPHEMERAL)
