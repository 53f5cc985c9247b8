"""The binder's half for PersistentVolumes: their phase, and what becomes of one whose claim is gone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from netsim.api.kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, Obj
from netsim.api.objects import annotations_of, deletion_timestamp, dig, key_of, name_of, spec_of, status_of, uid_of
from netsim.api.times import format_time
from netsim.controllers.controller import Controller
from netsim.controllers.view import View
from netsim.controllers.volume_claims import claim_key
from netsim.controllers.volume_match import BOUND_BY_CONTROLLER, PROVISIONED_BY
from netsim.controllers.wakes import by_own_key
from netsim.controllers.writes import Note, Write, Writes, delete_of, patch_of, typed

PVCS, PVS = PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
_TEMPORARY = re.compile(r"/tmp/.+")


def reconcile(key: str, view: View) -> Writes:
    """Bring one volume's phase to what its claim is."""
    volume = view.get(PVS, key)
    if volume is None:
        return []
    reference = spec_of(volume).get("claimRef")
    if not reference or not reference.get("uid"):
        return list(_phase(volume, view, "Available"))
    claim = view.get(PVCS, claim_key(volume))
    if claim is None or uid_of(claim) != reference["uid"]:
        return list(_released(volume, view))
    named = spec_of(claim).get("volumeName")
    if named == name_of(volume):
        return list(_phase(volume, view, "Bound"))
    return list(_unwanted(volume, view)) if named else []


def _released(volume: Obj, view: View) -> Iterator[Write]:
    """The claim is gone. Whoever provisioned the volume deletes it if it is to be deleted; nobody can otherwise."""
    policy = spec_of(volume).get("persistentVolumeReclaimPolicy")
    if policy == "Retain" or PROVISIONED_BY in annotations_of(volume):
        yield from _phase(volume, view, "Released")
        return
    host_path = dig(volume, "spec", "hostPath", "path")
    if host_path and policy == "Delete":
        yield from _released_host_path(volume, host_path, view)
        return
    name = name_of(volume)
    plugin = "deletable" if policy == "Delete" else "recyclable"
    why = "VolumeFailedDelete" if policy == "Delete" else "VolumeFailedRecycle"
    text = f'error getting {"deleter" if policy == "Delete" else "recycler"} volume plugin for volume "{name}": '
    text += f"no {plugin} volume plugin matched"
    yield from _failed(volume, view, why, text)


def _released_host_path(volume: Obj, path: str, view: View) -> Iterator[Write]:
    """Kubernetes' deleter removes directories under /tmp of the machine that its controllers run on, and no others;
    that machine is no node here, so the volume alone goes."""
    if _TEMPORARY.search(path):
        yield from _phase(volume, view, "Released")  # first: a bound volume is protected and would stay
        if status_of(volume).get("phase") == "Released" and not deletion_timestamp(volume):
            yield delete_of(PVS, volume)
        return
    text = f"host_path deleter only supports /tmp/.+ but received provided {path}"
    yield from _failed(volume, view, "VolumeFailedDelete", text)


def _failed(volume: Obj, view: View, reason: str, text: str) -> Iterator[Write]:
    if status_of(volume).get("phase") != "Failed":
        yield Note(typed(PVS, volume), reason, text, "Warning")
    yield from _phase(volume, view, "Failed", text)


def _unwanted(volume: Obj, view: View) -> Iterator[Write]:
    """The claim has another volume: this one is let go, or goes if it was made for the claim."""
    if PROVISIONED_BY in annotations_of(volume) and spec_of(volume).get("persistentVolumeReclaimPolicy") == "Delete":
        yield from _phase(volume, view, "Released")
        return
    if BOUND_BY_CONTROLLER in annotations_of(volume):
        patch: Obj = {"metadata": {"annotations": {BOUND_BY_CONTROLLER: None}}, "spec": {"claimRef": None}}
    else:
        patch = {"spec": {"claimRef": {"uid": None, "resourceVersion": None}}}
    yield patch_of(PVS, volume, patch, locked=True)


def _phase(volume: Obj, view: View, phase: str, message: str = "") -> Iterator[Write]:
    old = status_of(volume)
    if (old.get("phase"), old.get("message", "")) == (phase, message):
        return
    status: Obj = {"phase": phase, "message": message or None}
    if old.get("phase") != phase:
        status["lastPhaseTransitionTime"] = format_time(view.now)
    yield patch_of(PVS, volume, {"status": status}, sub="status")


def _wake_volumes(view: View, old: Obj | None, new: Obj | None) -> Iterable[str]:
    """A claim changed: the volumes that are reserved for it, and the one it names."""
    claim = new or old or {}
    keys = {name_of(volume) for volume in view.values(PVS) if claim_key(volume) == key_of(claim)}
    named = dig(claim, "spec", "volumeName")
    return keys | ({str(named)} if named else set())


CONTROLLER = Controller(
    "persistentvolume-binder-controller",
    reconcile,
    ((PVS, by_own_key), (PVCS, _wake_volumes)),
    reporter="persistentvolume-controller",
)
