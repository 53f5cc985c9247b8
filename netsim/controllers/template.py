"""Pod templates of Deployments: their hash, their equality, and the ReplicaSet made from one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from netsim.api.kinds import DEPLOYMENTS, REPLICA_SETS, Obj
from netsim.api.names import SUFFIX_ALPHABET
from netsim.api.objects import dig, metadata, name_of, namespace_of
from netsim.controllers.refs import controller_reference

HASH_LABEL = "pod-template-hash"


def template_hash(template: Obj, collisions: int) -> str:
    """The hash of a pod template without the hash's own label; `collisions` (status.collisionCount) gives another one
    when the first is taken."""
    return stable_hash([_without_hash(template), collisions])


def stable_hash(value: object) -> str:
    """A 32-bit hash of a JSON value, its decimal digits written in the vowel-free alphabet."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
    return "".join(SUFFIX_ALPHABET[ord(digit) % len(SUFFIX_ALPHABET)] for digit in str(number))


def _without_hash(template: Obj) -> Obj:
    labels = {k: v for k, v in (dig(template, "metadata", "labels") or {}).items() if k != HASH_LABEL}
    head = {k: v for k, v in (template.get("metadata") or {}).items() if v and k not in ("labels", "creationTimestamp")}
    return {**template, "metadata": {**head, "labels": labels}}


def same_template(one: Obj, other: Obj) -> bool:
    """Whether two pod templates make the same pods, apart from the hash label."""
    return one.get("spec") == other.get("spec") and _without_hash(one) == _without_hash(other)


def find_new(deployment: Obj, replica_sets: Iterable[Obj]) -> Obj | None:
    """The oldest ReplicaSet with the Deployment's present template: a rollback finds the former one here."""
    template = deployment["spec"]["template"]
    same = [rs for rs in replica_sets if same_template(rs["spec"]["template"], template)]
    return min(same, key=age_key, default=None)


def age_key(obj: Obj) -> tuple[str, str]:
    """Sorts older objects first, by name among those of one second."""
    return str(metadata(obj).get("creationTimestamp", "")), name_of(obj)


def replica_set_from(deployment: Obj, replicas: int, annotations: dict[str, str]) -> Obj:
    """The new ReplicaSet of a Deployment, named DEPLOYMENT-HASH."""
    spec = deployment["spec"]
    digest = template_hash(spec["template"], int(dig(deployment, "status", "collisionCount") or 0))
    template = _labelled(spec["template"], digest)
    selector = spec["selector"]
    return {
        "apiVersion": REPLICA_SETS.api_version,
        "kind": REPLICA_SETS.kind,
        "metadata": {
            "name": f"{name_of(deployment)}-{digest}",
            "namespace": namespace_of(deployment),
            "labels": template["metadata"]["labels"],
            "annotations": annotations,
            "ownerReferences": [controller_reference(DEPLOYMENTS, deployment)],
        },
        "spec": {
            "replicas": replicas,
            "selector": {**selector, "matchLabels": {**(selector.get("matchLabels") or {}), HASH_LABEL: digest}},
            "template": template,
            **({"minReadySeconds": spec["minReadySeconds"]} if spec.get("minReadySeconds") else {}),
        },
    }


def _labelled(template: Obj, digest: str) -> Obj:
    head = template.get("metadata") or {}
    return {**template, "metadata": {**head, "labels": {**(head.get("labels") or {}), HASH_LABEL: digest}}}
