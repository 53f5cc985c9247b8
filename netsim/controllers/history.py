"""ControllerRevisions: the templates a StatefulSet or DaemonSet has had, kept so that `kubectl rollout` can show and
restore them.

A revision's data is the strategic merge patch that gives its owner that template again. Whoever restores an old
template makes its revision the newest one; no revision is ever there twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from netsim.api.kinds import CONTROLLER_REVISIONS, Kind, Obj
from netsim.api.objects import (
    annotations_of,
    deletion_timestamp,
    dig,
    labels_of,
    metadata,
    name_of,
    namespace_of,
    status_of,
)
from netsim.controllers.refs import claim, controller_reference, is_controlled_by, selector_of
from netsim.controllers.template import age_key, stable_hash
from netsim.controllers.view import View
from netsim.controllers.writes import Create, Write, delete_of, patch_of, status_of_object

REVISION_HASH = "controller-revision-hash"
"""The label by which a pod names its revision (a StatefulSet's in full, a DaemonSet's by hash alone)."""
_KEPT = 10


@dataclass(frozen=True, slots=True)
class History:
    """The revision of the present template (None while it has yet to be written), the others in ascending order, and
    the writes that come before anything else."""

    update: Obj | None
    old: list[Obj] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)


def history_of(view: View, kind: Kind, owner: Obj, hash_label: str) -> History:
    """Sort out the owner's revisions: adopt, write the one of a new template, renumber the one of a restored one.
    `hash_label` is the label that carries the hash on the revision itself."""
    claimed = claim(view, kind, owner, CONTROLLER_REVISIONS, selector_of(kind, owner))
    revisions = sorted(claimed.mine, key=_order)
    writes: list[Write] = list(claimed.patches)
    if writes:
        return History(None, revisions, writes)
    data = data_of(owner)
    same = [revision for revision in revisions if revision.get("data") == data]
    newest = number_of(revisions[-1]) if revisions else 0
    if not same:
        created = [] if deletion_timestamp(owner) else [_create(view, kind, owner, hash_label, newest + 1)]
        return History(None, revisions, [*created])
    update = same[-1]
    old = [revision for revision in revisions if revision is not update]
    if number_of(update) < newest:
        writes.append(patch_of(CONTROLLER_REVISIONS, update, {"revision": newest + 1}))
    return History(update, old, writes)


def data_of(owner: Obj) -> Obj:
    """The patch that sets the owner's template as it is now."""
    return {"spec": {"template": {**owner["spec"]["template"], "$patch": "replace"}}}


def template_in(revision: Obj) -> Obj:
    """The pod template a revision keeps."""
    template = dig(revision, "data", "spec", "template") or {}
    return {name: value for name, value in template.items() if name != "$patch"}


def number_of(revision: Obj) -> int:
    """The revision's number, 1 for the first."""
    return int(revision.get("revision") or 0)


def _order(revision: Obj) -> tuple[int, tuple[str, str]]:
    return number_of(revision), age_key(revision)


def _create(view: View, kind: Kind, owner: Obj, hash_label: str, number: int) -> Write:
    data = data_of(owner)
    collisions = int(status_of(owner).get("collisionCount") or 0)
    digest = stable_hash([data, collisions])
    name = f"{name_of(owner)}-{digest}"
    taken = view.get(CONTROLLER_REVISIONS, f"{namespace_of(owner)}/{name}")
    if taken is not None and not is_controlled_by(taken, owner):
        # Somebody else's, or left by a namesake that is gone: the next hash.
        return status_of_object(kind, owner, {**status_of(owner), "collisionCount": collisions + 1})
    head = {
        "name": name,
        "namespace": namespace_of(owner),
        "labels": {**labels_of(owner["spec"]["template"]), hash_label: digest},
        "annotations": annotations_of(owner),
        "ownerReferences": [controller_reference(kind, owner)],
    }
    body = {"apiVersion": CONTROLLER_REVISIONS.api_version, "kind": CONTROLLER_REVISIONS.kind, "metadata": head}
    return Create(CONTROLLER_REVISIONS, {**body, "data": data, "revision": number})


def surplus(owner: Obj, old: Sequence[Obj], live: Collection[str]) -> list[Write]:
    """The deletion of the oldest revisions beyond spec.revisionHistoryLimit; those named in `live` neither count nor
    go."""
    limit = owner["spec"].get("revisionHistoryLimit")
    idle = [revision for revision in old if name_of(revision) not in live and not deletion_timestamp(revision)]
    beyond = len(idle) - (_KEPT if limit is None else int(limit))
    return [delete_of(CONTROLLER_REVISIONS, revision) for revision in idle[: max(beyond, 0)]]


def hash_of(revision: Obj, hash_label: str) -> str:
    """The hash in a revision's label."""
    return labels_of(revision).get(hash_label, "")


def hashes_in(pods: Iterable[Obj]) -> set[str]:
    """The revisions the pods name."""
    return {labels_of(pod).get(REVISION_HASH, "") for pod in pods}


def generation_of(owner: Obj) -> int:
    """metadata.generation as status.observedGeneration gives it."""
    return int(metadata(owner).get("generation") or 0)
