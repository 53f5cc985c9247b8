"""Defaults that come from other objects: the default StorageClass and IngressClass; and storage's finalizers."""

from __future__ import annotations

from collections.abc import Iterable

from netsim.api import kinds
from netsim.api.kinds import Kind, Obj
from netsim.api.objects import annotations_of, name_of
from netsim.server.core import Core

DEFAULT_STORAGE = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
DEFAULT_INGRESS = ("ingressclass.kubernetes.io/is-default-class",)
_OLD_CLASS = "volume.beta.kubernetes.io/storage-class"
_OLD_INGRESS = "kubernetes.io/ingress.class"
PROTECTION = {
    kinds.PERSISTENT_VOLUME_CLAIMS: "kubernetes.io/pvc-protection",
    kinds.PERSISTENT_VOLUMES: "kubernetes.io/pv-protection",
    kinds.VOLUME_ATTRIBUTES_CLASSES: "kubernetes.io/vac-protection",
}
"""Finalizers that keep storage which is in use (StorageObjectInUseProtection)."""


async def admit_claim(core: Core, claim: Obj) -> Obj:
    """The claim with the default StorageClass unless it names one ("" names none)."""
    spec = claim.get("spec") or {}
    if spec.get("storageClassName") is not None or _OLD_CLASS in annotations_of(claim):
        return claim
    found = newest_default(await core.objects(kinds.STORAGE_CLASSES), DEFAULT_STORAGE)
    return claim if found is None else {**claim, "spec": {**spec, "storageClassName": name_of(found)}}


async def admit_ingress(core: Core, ingress: Obj) -> Obj:
    """The Ingress with the default IngressClass unless it names one."""
    spec = ingress.get("spec") or {}
    if spec.get("ingressClassName") is not None or _OLD_INGRESS in annotations_of(ingress):
        return ingress
    found = newest_default(await core.objects(kinds.INGRESS_CLASSES), DEFAULT_INGRESS)
    return ingress if found is None else {**ingress, "spec": {**spec, "ingressClassName": name_of(found)}}


def newest_default(classes: Iterable[Obj], annotations: tuple[str, ...]) -> Obj | None:
    """Of the classes marked as default the youngest, then the first by name, as in Kubernetes."""
    marked = [each for each in classes if any(annotations_of(each).get(a) == "true" for a in annotations)]
    by_name = sorted(marked, key=name_of)
    return max(by_name, key=lambda each: str(each["metadata"].get("creationTimestamp", "")), default=None)


def with_protection(kind: Kind, obj: Obj) -> Obj:
    """A claim, a volume or a class of its attributes with the finalizer of its protection."""
    finalizers = list(obj["metadata"].get("finalizers") or ())
    if PROTECTION[kind] in finalizers:
        return obj
    return {**obj, "metadata": {**obj["metadata"], "finalizers": [*finalizers, PROTECTION[kind]]}}
