"""What a pod's PersistentVolumeClaims mean for its placement (KEP-490: binding waits for the first consumer)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from netsim.api.kinds import Obj
from netsim.api.objects import (
    annotations_of,
    deletion_timestamp,
    dig,
    labels_of,
    name_of,
    spec_of,
    status_of,
    uid_of,
)
from netsim.api.quantity import parse_quantity
from netsim.api.selectors import label_selector_of
from netsim.api.storage_classes import allows
from netsim.scheduler.model import NodeState
from netsim.scheduler.terms import node_term

SELECTED_NODE = "volume.kubernetes.io/selected-node"
NO_PROVISIONER = "kubernetes.io/no-provisioner"
UNBOUND = "pod has unbound immediate PersistentVolumeClaims"
NODE_CONFLICT = "node(s) didn't match PersistentVolume's node affinity"
BIND_CONFLICT = "node(s) didn't find available persistent volumes to bind"
NO_VOLUME = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"


@dataclass(frozen=True, slots=True)
class Storage:
    """How to look up claims ("namespace/name"), volumes and classes; `volumes` lists all volumes."""

    claim: Callable[[str], Obj | None]
    volume: Callable[[str], Obj | None]
    storage_class: Callable[[str], Obj | None]
    volumes: Callable[[], Iterable[Obj]]


@dataclass(frozen=True, slots=True)
class PodVolumes:
    """A pod's claims: `bound` ones with their volumes (None: not there), `waiting` ones to be bound to where the pod
    goes. `problem` keeps the pod off every node."""

    problem: str = ""
    bound: tuple[Obj | None, ...] = ()
    waiting: tuple[Obj, ...] = ()


NOTHING = PodVolumes()


def claim_names(pod: Obj) -> list[tuple[str, bool]]:
    """(claim's name, whether it is made for this pod) of its volumes."""
    found = []
    for volume in spec_of(pod).get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            found.append((str(volume["persistentVolumeClaim"].get("claimName", "")), False))
        elif volume.get("ephemeral") is not None:
            found.append((f"{name_of(pod)}-{volume['name']}", True))
    return found


def volumes_of(pod: Obj, namespace: str, storage: Storage) -> PodVolumes:
    """The pod's claims as they are now."""
    bound: list[Obj | None] = []
    waiting: list[Obj] = []
    for name, own in claim_names(pod):
        claim = storage.claim(f"{namespace}/{name}")
        problem = _claim_problem(pod, name, claim, own)
        if problem or claim is None:
            return PodVolumes(problem)
        volume = spec_of(claim).get("volumeName")
        if volume and (status_of(claim).get("phase") == "Bound" or _is_bound(claim)):
            bound.append(storage.volume(str(volume)))
        elif _waits(claim, storage):
            waiting.append(claim)
        else:
            return PodVolumes(UNBOUND)
    return PodVolumes("", tuple(bound), tuple(waiting)) if bound or waiting else NOTHING


def _claim_problem(pod: Obj, name: str, claim: Obj | None, own: bool) -> str:
    if claim is None:
        missing = f'persistentvolumeclaim "{name}" not found'
        return (
            f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"' if own else missing
        )
    if status_of(claim).get("phase") == "Lost":
        volume = spec_of(claim).get("volumeName")
        return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{volume}"'
    if deletion_timestamp(claim) is not None:
        return f'persistentvolumeclaim "{name}" is being deleted'
    if own and not any(ref.get("uid") == uid_of(pod) for ref in claim["metadata"].get("ownerReferences") or ()):
        return f"PVC {claim['metadata'].get('namespace')}/{name} was not created for pod (pod is not owner)"
    return ""


def _is_bound(claim: Obj) -> bool:
    return annotations_of(claim).get("pv.kubernetes.io/bind-completed") is not None


def class_of(claim: Obj) -> str:
    """The claim's storage class, "" for none."""
    return str(spec_of(claim).get("storageClassName") or "")


def _waits(claim: Obj, storage: Storage) -> bool:
    found = storage.storage_class(class_of(claim)) if class_of(claim) else None
    return found is not None and found.get("volumeBindingMode") == "WaitForFirstConsumer"


def volume_reasons(volumes: PodVolumes, storage: Storage, node: NodeState) -> tuple[str, ...]:
    """Why the claims keep the pod off a node; () if they do not."""
    if any(volume is None for volume in volumes.bound):
        return (NO_VOLUME,)
    reasons = []
    if not all(reaches(volume, node) for volume in volumes.bound if volume is not None):
        reasons.append(NODE_CONFLICT)
    if volumes.waiting and plan_claims(volumes, storage, node) is None:
        reasons.append(BIND_CONFLICT)
    return tuple(reasons)


def reaches(volume: Obj, node: NodeState) -> bool:
    """Whether a PersistentVolume's nodeAffinity allows the node."""
    terms = dig(volume, "spec", "nodeAffinity", "required", "nodeSelectorTerms")
    return terms is None or any(node_term(term).matches(node.name, node.labels) for term in terms)


def plan_claims(volumes: PodVolumes, storage: Storage, node: NodeState) -> list[tuple[Obj, Obj | None]] | None:
    """For each waiting claim the volume to bind it to on that node, None where one is to be provisioned there; None
    altogether when a claim can have neither."""
    taken: set[str] = set()
    plan: list[tuple[Obj, Obj | None]] = []
    for claim in volumes.waiting:
        volume = _smallest(claim, storage.volumes(), node, taken)
        if volume is None and not _provisions(claim, storage, node):
            return None
        if volume is not None:
            taken.add(name_of(volume))
        plan.append((claim, volume))
    return plan


def _provisions(claim: Obj, storage: Storage, node: NodeState) -> bool:
    found = storage.storage_class(class_of(claim)) or {}
    if found.get("provisioner", NO_PROVISIONER) == NO_PROVISIONER:
        return False
    return allows(found, node.labels)


def _smallest(claim: Obj, volumes: Iterable[Obj], node: NodeState, taken: set[str]) -> Obj | None:
    fitting = [v for v in volumes if name_of(v) not in taken and _suits(claim, v) and reaches(v, node)]
    return min(fitting, key=lambda v: (parse_quantity(spec_of(v)["capacity"]["storage"]), name_of(v)), default=None)


def _suits(claim: Obj, volume: Obj) -> bool:
    """Whether a free volume can take the claim: class, size, access modes, mode, labels; or is reserved for it."""
    spec, asked = spec_of(volume), spec_of(claim)
    reference = spec.get("claimRef")
    if reference is not None:
        return bool(reference.get("uid") == uid_of(claim))
    if status_of(volume).get("phase") not in ("Available", None) or deletion_timestamp(volume) is not None:
        return False
    same = (spec.get("storageClassName") or "") == class_of(claim)
    modes = _has_all(spec.get("accessModes"), asked.get("accessModes"))
    kinds = (spec.get("volumeMode") or "Filesystem") == (asked.get("volumeMode") or "Filesystem")
    wanted = dig(asked, "resources", "requests", "storage") or 0
    selector = asked.get("selector")
    if selector is not None and not label_selector_of(selector).matches(labels_of(volume)):
        return False
    return same and modes and kinds and parse_quantity(spec["capacity"]["storage"]) >= parse_quantity(wanted)


def _has_all(have: Sequence[str] | None, wanted: Sequence[str] | None) -> bool:
    return set(wanted or ()) <= set(have or ())
