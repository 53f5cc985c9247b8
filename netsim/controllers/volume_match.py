"""Which PersistentVolume suits a claim. Pure values."""

from __future__ import annotations

from collections.abc import Iterable

from netsim.api.kinds import Obj
from netsim.api.objects import (
    annotations_of,
    deletion_timestamp,
    dig,
    labels_of,
    name_of,
    namespace_of,
    spec_of,
    status_of,
    uid_of,
)
from netsim.api.quantity import parse_quantity
from netsim.api.selectors import label_selector_of

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
STORAGE_PROVISIONER = "volume.kubernetes.io/storage-provisioner"
OLD_STORAGE_PROVISIONER = "volume.beta.kubernetes.io/storage-provisioner"
_OLD_CLASS = "volume.beta.kubernetes.io/storage-class"


def class_of(obj: Obj) -> str:
    """The storage class of a claim or volume, "" for none."""
    old = annotations_of(obj).get(_OLD_CLASS)
    return old if old is not None else str(spec_of(obj).get("storageClassName") or "")


def mode_of(obj: Obj) -> str:
    return str(spec_of(obj).get("volumeMode") or "Filesystem")


def is_reserved_for(volume: Obj, claim: Obj) -> bool:
    """Whether the volume's claimRef names this claim, with its uid or none yet."""
    reference = spec_of(volume).get("claimRef")
    if not reference or (reference.get("namespace"), reference.get("name")) != (namespace_of(claim), name_of(claim)):
        return False
    return reference.get("uid") in (None, "", uid_of(claim))


def is_bound_to(volume: Obj, claim: Obj) -> bool:
    """Whether the volume's claimRef carries this claim's uid."""
    return is_reserved_for(volume, claim) and bool(spec_of(volume)["claimRef"].get("uid"))


def mismatch(volume: Obj, claim: Obj) -> str:
    """What keeps a volume that a claim asks for by name from being bound to it, "" for nothing."""
    if _size(volume) < requested(claim):
        return "requested PV is too small"
    if class_of(volume) != class_of(claim):
        return "storageClassName does not match"
    if mode_of(volume) != mode_of(claim):
        return "incompatible volumeMode"
    return "" if _has_modes(volume, claim) else "incompatible accessMode"


def _size(volume: Obj) -> float:
    return float(parse_quantity(dig(volume, "spec", "capacity", "storage") or 0))


def requested(claim: Obj) -> float:
    """Bytes a claim asks for."""
    return float(parse_quantity(dig(claim, "spec", "resources", "requests", "storage") or 0))


def _has_modes(volume: Obj, claim: Obj) -> bool:
    return set(spec_of(claim).get("accessModes") or ()) <= set(spec_of(volume).get("accessModes") or ())


def best_match(claim: Obj, volumes: Iterable[Obj], *, reserved_only: bool) -> Obj | None:
    """The volume reserved for the claim, or else the smallest free one that suits it. `reserved_only`: the binding of
    free ones waits for a pod."""
    open_to_it = [v for v in volumes if is_free(v) or is_reserved_for(v, claim)]
    fitting = [v for v in open_to_it if not deletion_timestamp(v) and mode_of(v) == mode_of(claim)]
    big_enough = [v for v in fitting if _size(v) >= requested(claim)]
    reserved = next((v for v in big_enough if is_reserved_for(v, claim)), None)
    if reserved is not None or reserved_only:
        return reserved
    selector = spec_of(claim).get("selector")
    free = [v for v in big_enough if class_of(v) == class_of(claim) and _has_modes(v, claim)]
    if selector is not None:
        wanted = label_selector_of(selector)
        free = [v for v in free if wanted.matches(labels_of(v))]
    return min(free, key=lambda v: (_size(v), name_of(v)), default=None)


def is_free(volume: Obj) -> bool:
    """Whether any claim may have it."""
    return not spec_of(volume).get("claimRef") and status_of(volume).get("phase") == "Available"
