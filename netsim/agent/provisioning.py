"""The local provisioner's decisions: which claims are this node's to serve, and what volume each gets. Pure.

As kind's and k3s' local-path provisioners: a volume is a directory on the node that the scheduler chose, and its
PersistentVolume is tied to that node. The size asked for is noted and not enforced.
"""

from __future__ import annotations

from netsim.agent.model import Obj
from netsim.api.objects import (
    annotations_of,
    deletion_timestamp,
    dig,
    name_of,
    namespace_of,
    spec_of,
    status_of,
    uid_of,
)

PROVISIONER = "netsim.io/local-path"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
STORAGE_PROVISIONER = "volume.kubernetes.io/storage-provisioner"
HOSTNAME = "kubernetes.io/hostname"
FINALIZER = "external-provisioner.volume.kubernetes.io/finalizer"
"""Keeps a volume that is to be deleted until its directory is (KEP-2644)."""


def is_to_provision(claim: Obj, node: str) -> bool:
    """Whether the claim waits for a volume of ours on this node. Anybody may write the annotations, also on a claim
    that has no class."""
    marks = annotations_of(claim)
    wanted = (marks.get(STORAGE_PROVISIONER), marks.get(SELECTED_NODE)) == (PROVISIONER, node)
    spec = spec_of(claim)
    unbound = bool(spec.get("storageClassName")) and not spec.get("volumeName")
    return wanted and unbound and deletion_timestamp(claim) is None


def is_to_delete(volume: Obj, node: str) -> bool:
    """Whether the volume is ours, on this node, and was given up by its claim."""
    released = status_of(volume).get("phase") in ("Released", "Failed")
    return _is_ours(volume, node) and released and _policy(volume) == "Delete"


def is_to_let_go(volume: Obj, node: str) -> bool:
    """Whether somebody deletes a volume of ours that is meant to keep its data: only the object goes."""
    held = FINALIZER in (volume["metadata"].get("finalizers") or ())
    return _is_ours(volume, node) and held and deletion_timestamp(volume) is not None and _policy(volume) != "Delete"


def _is_ours(volume: Obj, node: str) -> bool:
    return annotations_of(volume).get(PROVISIONED_BY) == PROVISIONER and node_of(volume) == node


def _policy(volume: Obj) -> str:
    return str(spec_of(volume).get("persistentVolumeReclaimPolicy"))


def without_finalizer(volume: Obj) -> Obj:
    """The patch that takes our finalizer from a volume; refused by the server if it has changed since."""
    rest = [name for name in volume["metadata"].get("finalizers") or () if name != FINALIZER]
    return {"metadata": {"finalizers": rest or None, "resourceVersion": volume["metadata"]["resourceVersion"]}}


def node_of(volume: Obj) -> str:
    """The node to which a volume's affinity ties it, "" for none."""
    for term in dig(volume, "spec", "nodeAffinity", "required", "nodeSelectorTerms") or []:
        for expression in term.get("matchExpressions") or []:
            if expression["key"] == HOSTNAME and expression["operator"] == "In" and len(expression["values"]) == 1:
                return str(expression["values"][0])
    return ""


def volume_name(claim: Obj) -> str:
    return f"pvc-{uid_of(claim)}"


def directory_of(state_dir: str, claim: Obj) -> str:
    """The volume's directory on the node; the claim can be read from its name."""
    return f"{state_dir}/volumes/{volume_name(claim)}_{namespace_of(claim)}_{name_of(claim)}"


def volume_for(claim: Obj, storage_class: Obj, node: str, directory: str) -> Obj:
    """The PersistentVolume for a claim, reserved for it."""
    expression = {"key": HOSTNAME, "operator": "In", "values": [node]}
    reference = {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace_of(claim),
        "name": name_of(claim), "uid": uid_of(claim), "resourceVersion": claim["metadata"]["resourceVersion"],
    }  # fmt: skip
    spec = {
        "accessModes": claim["spec"].get("accessModes") or ["ReadWriteOnce"],
        "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
        "claimRef": reference,
        "local": {"path": directory},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}},
        "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy") or "Delete",
        "storageClassName": name_of(storage_class),
        "volumeMode": "Filesystem",
    }
    head: Obj = {"name": volume_name(claim), "annotations": {PROVISIONED_BY: PROVISIONER}}
    head |= {"finalizers": [FINALIZER]} if spec["persistentVolumeReclaimPolicy"] == "Delete" else {}
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": head, "spec": spec}


def refusal(claim: Obj) -> str:
    """Why a claim cannot be served at all, "" if it can."""
    if (spec_of(claim).get("volumeMode") or "Filesystem") != "Filesystem":
        return f"volumeMode {spec_of(claim)['volumeMode']} is not supported: volumes of {PROVISIONER} are directories"
    if "ReadWriteMany" in (spec_of(claim).get("accessModes") or ()):
        return "accessMode ReadWriteMany is not supported: a volume is on one node; use ReadWriteOnce"
    return ""
