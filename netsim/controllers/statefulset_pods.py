"""What makes the pods of a StatefulSet distinct: their ordinals, names, host names and volume claims."""

from __future__ import annotations

import re
from collections.abc import Iterator

from netsim.api.kinds import PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS, Obj
from netsim.api.objects import dig, labels_of, metadata, name_of, namespace_of, owner_references, uid_of
from netsim.controllers.history import REVISION_HASH, template_in
from netsim.controllers.new_pod import pod_of
from netsim.controllers.refs import controller_reference
from netsim.controllers.view import View
from netsim.controllers.writes import Announce, Create, Write, patch_of, typed

POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"
_MEMBER = re.compile(r"(.*)-(0|[1-9][0-9]*)")


def ordinal_of(stateful_set: Obj, pod: Obj) -> int | None:
    """The N of the set's pod NAME-N, None for any other name."""
    match = _MEMBER.fullmatch(name_of(pod))
    return int(match[2]) if match is not None and match[1] == name_of(stateful_set) else None


def is_member(stateful_set: Obj, pod: Obj) -> bool:
    """Whether the pod's name makes it one of the set."""
    return ordinal_of(stateful_set, pod) is not None


def ordinals(stateful_set: Obj) -> range:
    """The ordinals that should be there: spec.replicas of them from spec.ordinals.start on."""
    start = int(dig(stateful_set, "spec", "ordinals", "start") or 0)
    replicas = stateful_set["spec"].get("replicas")
    return range(start, start + (1 if replicas is None else int(replicas)))


def member(stateful_set: Obj, ordinal: int, revision: Obj) -> Obj:
    """The pod of that ordinal with the template of that revision."""
    pod = pod_of(STATEFUL_SETS, stateful_set, template_in(revision))
    name = f"{name_of(stateful_set)}-{ordinal}"
    pod["metadata"] |= {"name": name}
    pod["metadata"]["labels"] |= {REVISION_HASH: name_of(revision), **_identity(name, ordinal)}
    pod["spec"] = {**pod["spec"], "hostname": name}
    service = stateful_set["spec"].get("serviceName")
    if service:
        pod["spec"]["subdomain"] = service
    volumes = _volumes(stateful_set, ordinal, pod["spec"].get("volumes") or [])
    if volumes:
        pod["spec"]["volumes"] = volumes
    return pod


def _identity(name: str, ordinal: int) -> dict[str, str]:
    return {POD_NAME: name, POD_INDEX: str(ordinal)}


def identify(stateful_set: Obj, ordinal: int, pod: Obj) -> list[Write]:
    """Give back its identity to a pod that lost the labels of it."""
    labels = _identity(name_of(pod), ordinal)
    return [] if labels.items() <= labels_of(pod).items() else [patch_of(PODS, pod, {"metadata": {"labels": labels}})]


def _templates(stateful_set: Obj) -> list[Obj]:
    return stateful_set["spec"].get("volumeClaimTemplates") or []


def _volumes(stateful_set: Obj, ordinal: int, given: list[Obj]) -> list[Obj]:
    """The claims as volumes; they hide volumes of the template with the same name."""
    claims = {name_of(claim): claim_name(stateful_set, claim, ordinal) for claim in _templates(stateful_set)}
    own = [{"name": name, "persistentVolumeClaim": {"claimName": claim}} for name, claim in claims.items()]
    return [*own, *(volume for volume in given if volume["name"] not in claims)]


def claim_name(stateful_set: Obj, template: Obj, ordinal: int) -> str:
    """TEMPLATE-SET-ORDINAL."""
    return f"{name_of(template)}-{name_of(stateful_set)}-{ordinal}"


def claims_of(stateful_set: Obj, ordinal: int, view: View) -> Iterator[tuple[Obj, Obj | None]]:
    """Each template with the claim that is there for this ordinal."""
    for template in _templates(stateful_set):
        key = f"{namespace_of(stateful_set)}/{claim_name(stateful_set, template, ordinal)}"
        yield template, view.get(PERSISTENT_VOLUME_CLAIMS, key)


def claim_creation(stateful_set: Obj, template: Obj, ordinal: int) -> Create:
    """The claim of an ordinal, with its Events."""
    name, pod = claim_name(stateful_set, template, ordinal), f"{name_of(stateful_set)}-{ordinal}"
    labels = {**labels_of(template), **(dig(stateful_set, "spec", "selector", "matchLabels") or {})}
    head = {**metadata(template), "name": name, "namespace": namespace_of(stateful_set), "labels": labels}
    references = claim_owners(stateful_set, [], None)
    if references:
        head["ownerReferences"] = references
    claim = {**typed(PERSISTENT_VOLUME_CLAIMS, {}), "metadata": head, "spec": template.get("spec") or {}}
    of = f"Pod {pod} in StatefulSet {name_of(stateful_set)}"
    return Create(
        PERSISTENT_VOLUME_CLAIMS,
        claim,
        Announce(
            typed(STATEFUL_SETS, stateful_set),
            ("SuccessfulCreate", f"Create Claim {name} {of} success"),
            ("FailedCreate", f"Create Claim {name} for {of} failed error: {{error}}"),
        ),
    )


def claim_owners(stateful_set: Obj, given: list[Obj], condemned: Obj | None) -> list[Obj]:
    """The owner references of a claim under spec.persistentVolumeClaimRetentionPolicy: the set takes it along when
    whenDeleted is Delete, its `condemned` pod (None for one that stays) when whenScaled is. Others' are kept."""
    policy = stateful_set["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    kept = [ref for ref in given if not _is_ours(stateful_set, ref)]
    if condemned is not None and policy.get("whenScaled") == "Delete":
        return [*kept, controller_reference(PODS, condemned)]
    if policy.get("whenDeleted") == "Delete":
        return [*kept, controller_reference(STATEFUL_SETS, stateful_set)]
    return kept


def _is_ours(stateful_set: Obj, reference: Obj) -> bool:
    kind, name = reference.get("kind"), str(reference.get("name", ""))
    own_pod = kind == PODS.kind and is_member(stateful_set, {"metadata": {"name": name}})
    return own_pod or (kind == STATEFUL_SETS.kind and reference.get("uid") == uid_of(stateful_set))


def claim_writes(stateful_set: Obj, ordinal: int, view: View, condemned: Obj | None = None) -> tuple[list[Write], bool]:
    """What the claims of an ordinal need first, and whether they are all usable. A claim being deleted is waited for;
    a pod about to go (`condemned`) needs no new ones."""
    writes: list[Write] = []
    usable = True
    for template, claim in claims_of(stateful_set, ordinal, view):
        if claim is None:
            writes += [claim_creation(stateful_set, template, ordinal)] if condemned is None else []
        elif metadata(claim).get("deletionTimestamp"):
            usable = usable and condemned is not None
        elif (owners := claim_owners(stateful_set, owner_references(claim), condemned)) != owner_references(claim):
            patch = {"metadata": {"ownerReferences": owners or None}}
            writes.append(patch_of(PERSISTENT_VOLUME_CLAIMS, claim, patch, locked=True))
    return writes, usable and not writes
