"""The binder's half for PersistentVolumeClaims: finds or asks for a volume, then ties the two together.

Binding takes two rounds: the volume is reserved first, by its claimRef and under its resourceVersion; only when the
caches show that is the claim pointed at it. So two claims never get one volume.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from netsim.api.kinds import NODES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES, Obj
from netsim.api.objects import (
    annotations_of,
    deletion_timestamp,
    dig,
    key_of,
    name_of,
    object_reference,
    spec_of,
    status_of,
)
from netsim.controllers.controller import Controller
from netsim.controllers.view import View
from netsim.controllers.volume_match import (
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    OLD_STORAGE_PROVISIONER,
    SELECTED_NODE,
    STORAGE_PROVISIONER,
    best_match,
    class_of,
    is_bound_to,
    is_free,
    is_reserved_for,
    mismatch,
)
from netsim.controllers.volume_nodes import LOCAL_PROVISIONER, choose_node
from netsim.controllers.wakes import by_own_key
from netsim.controllers.writes import Note, Patch, Requeue, Write, Writes, patch_of, typed

PVCS, PVS = PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
NO_PROVISIONER = "kubernetes.io/no-provisioner"
SYNC_SECONDS = 15.0
_NONE_AVAILABLE = "no persistent volumes available for this claim and no storage class is set"
_NO_NODE = (
    "failed to provision volume: no node can have it: each is not ready, closed to pods by a taint or cordon, or "
    "outside the StorageClass's allowedTopologies"
)
_EXTERNAL = (
    "Waiting for a volume to be created either by the external provisioner '{0}' or manually by the system "
    "administrator. If volume creation is delayed, please verify that the provisioner is running and correctly "
    "registered."
)


def reconcile(key: str, view: View) -> Writes:
    """Bind one claim, or say what it waits for."""
    claim = view.get(PVCS, key)
    if claim is None:
        return []
    if BIND_COMPLETED in annotations_of(claim):
        return list(_bound(claim, view))
    if deletion_timestamp(claim):
        return []
    name = spec_of(claim).get("volumeName")
    return list(_named(claim, str(name), view) if name else _unbound(claim, view))


def _bound(claim: Obj, view: View) -> Iterator[Write]:
    """A claim that was bound once: its volume must be there and be its own."""
    name = spec_of(claim).get("volumeName")
    volume = view.get(PVS, str(name)) if name else None
    if not name:
        yield from _lost(
            claim, "ClaimLost", "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!"
        )
    elif volume is None:
        yield from _lost(claim, "ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!")
    elif not spec_of(volume).get("claimRef"):
        yield _reserve(volume, claim)
    elif is_bound_to(volume, claim):
        yield from _complete(volume, claim)
    else:
        text = "Two claims are bound to the same volume, this one is bound incorrectly"
        yield from _lost(claim, "ClaimMisbound", text)


def _lost(claim: Obj, reason: str, message: str) -> Iterator[Write]:
    if status_of(claim).get("phase") != "Lost":
        yield Note(typed(PVCS, claim), reason, message, "Warning")
        status = {"phase": "Lost", "accessModes": None, "capacity": None}
        yield patch_of(PVCS, claim, {"status": status}, sub="status")


def _named(claim: Obj, name: str, view: View) -> Iterator[Write]:
    """A claim that asks for a volume by name."""
    volume = view.get(PVS, name)
    if volume is None:
        yield from _pending(claim)
    elif is_bound_to(volume, claim):
        yield from _complete(volume, claim)
    elif not spec_of(volume).get("claimRef") or is_reserved_for(volume, claim):
        problem = mismatch(volume, claim)
        if problem:
            text = f'Cannot bind to requested volume "{name}": {problem}'
            yield from _pending(claim, "VolumeMismatch", text, warning=True)
        else:
            yield _reserve(volume, claim)
    else:
        text = f'volume "{name}" already bound to a different claim.'
        yield from _pending(claim, "FailedBinding", text, warning=True)


def _unbound(claim: Obj, view: View) -> Iterator[Write]:
    storage_class = view.get(STORAGE_CLASSES, class_of(claim)) if class_of(claim) else None
    delayed = (storage_class or {}).get("volumeBindingMode") == "WaitForFirstConsumer"
    delayed = delayed and SELECTED_NODE not in annotations_of(claim)
    volume = best_match(claim, view.values(PVS), reserved_only=delayed)
    if volume is not None:
        yield from _complete(volume, claim) if is_bound_to(volume, claim) else [_reserve(volume, claim)]
    elif delayed:
        text = "waiting for first consumer to be created before binding"
        yield from _pending(claim, "WaitForFirstConsumer", text)
    elif not class_of(claim):
        yield from _pending(claim, "FailedBinding", _NONE_AVAILABLE)
    elif storage_class is None:
        text = f'storageclass.storage.k8s.io "{class_of(claim)}" not found'
        yield from _pending(claim, "ProvisioningFailed", text, warning=True)
    elif storage_class["provisioner"] == NO_PROVISIONER:
        yield from _pending(claim, "FailedBinding", _NONE_AVAILABLE)
    else:
        yield from _ask_provisioner(claim, storage_class, view)


def _ask_provisioner(claim: Obj, storage_class: Obj, view: View) -> Iterator[Write]:
    provisioner = str(storage_class["provisioner"])
    marks = {STORAGE_PROVISIONER: provisioner, OLD_STORAGE_PROVISIONER: provisioner}
    if provisioner == LOCAL_PROVISIONER and _lacks_node(claim, storage_class, view):
        node = choose_node(storage_class, view.values(NODES), view.values(PVS), _nodes_asked(view))
        if not node:
            yield from _pending(claim, "ProvisioningFailed", _NO_NODE, warning=True)
            return
        marks[SELECTED_NODE] = node
    if any(annotations_of(claim).get(key) != value for key, value in marks.items()):
        yield patch_of(PVCS, claim, {"metadata": {"annotations": marks}})
    yield from _pending(claim, "ExternalProvisioning", _EXTERNAL.format(provisioner))


def _lacks_node(claim: Obj, storage_class: Obj, view: View) -> bool:
    """Whether nobody but this controller will name the node of the claim's volume, or the one named is gone."""
    if storage_class.get("volumeBindingMode") == "WaitForFirstConsumer":
        return False
    return view.get(NODES, annotations_of(claim).get(SELECTED_NODE, "")) is None


def _nodes_asked(view: View) -> list[str]:
    """The nodes that are to make volumes."""
    return [node for key in _waiting(view) if (node := annotations_of(view.get(PVCS, key) or {}).get(SELECTED_NODE))]


def _pending(claim: Obj, reason: str = "", message: str = "", *, warning: bool = False) -> Iterator[Write]:
    """Say again every SYNC_SECONDS what is waited for, as Kubernetes does."""
    if reason:
        yield Note(typed(PVCS, claim), reason, message, "Warning" if warning else "Normal")
    if status_of(claim).get("phase") != "Pending":
        yield patch_of(PVCS, claim, {"status": {"phase": "Pending"}}, sub="status")
    yield Requeue(SYNC_SECONDS)


def _reserve(volume: Obj, claim: Obj) -> Patch:
    """The volume's claimRef names the claim with its uid; who set it first is remembered."""
    reference = object_reference(typed(PVCS, claim))
    patch: Obj = {"spec": {"claimRef": reference}}
    if not spec_of(volume).get("claimRef"):
        patch["metadata"] = {"annotations": {BOUND_BY_CONTROLLER: "yes"}}
    return patch_of(PVS, volume, patch, locked=True)


def _complete(volume: Obj, claim: Obj) -> Iterator[Write]:
    """The claim names its volume and tells what it got."""
    marks = {BIND_COMPLETED: "yes"}
    if spec_of(claim).get("volumeName") != name_of(volume):
        marks[BOUND_BY_CONTROLLER] = "yes"
    if BIND_COMPLETED not in annotations_of(claim) or BOUND_BY_CONTROLLER in marks:
        yield patch_of(PVCS, claim, {"metadata": {"annotations": marks}, "spec": {"volumeName": name_of(volume)}})
    got = {"phase": "Bound", "accessModes": volume["spec"].get("accessModes"), "capacity": volume["spec"]["capacity"]}
    if any(status_of(claim).get(key) != value for key, value in got.items()):
        yield patch_of(PVCS, claim, {"status": got}, sub="status")


def _wake_by_volume(view: View, old: Obj | None, new: Obj | None) -> Iterable[str]:
    """A volume changed: the claims it is for; and all that still look for one if it is free for any."""
    keys = {key for obj in (old, new) if (key := claim_key(obj))}
    return keys | set(_waiting(view)) if new is not None and is_free(new) else keys


def _wake_by_class(view: View, old: Obj | None, new: Obj | None) -> Iterable[str]:
    """A class changed: its claims that still look for a volume."""
    name = name_of(new or old or {})
    return [key for key in _waiting(view) if class_of(view.get(PVCS, key) or {}) == name]


def _waiting(view: View) -> Iterator[str]:
    return (key_of(claim) for claim in view.values(PVCS) if BIND_COMPLETED not in annotations_of(claim))


def claim_key(volume: Obj | None) -> str:
    """ "namespace/name" of the claim a volume is reserved for, "" for none."""
    reference = dig(volume, "spec", "claimRef")
    return f"{reference.get('namespace', '')}/{reference.get('name', '')}" if reference else ""


CONTROLLER = Controller(
    "persistentvolume-binder-controller",
    reconcile,
    ((PVCS, by_own_key), (PVS, _wake_by_volume), (STORAGE_CLASSES, _wake_by_class)),
    parallel=1,
    reporter="persistentvolume-controller",
)
"""One claim at a time: every choice sees the ones before it."""
