"""The Deployment controller: ReplicaSets by template, rolled over as the strategy says, with their history."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from netsim.api.kinds import DEPLOYMENTS, PODS, REPLICA_SETS, Obj
from netsim.api.objects import (
    annotations_of,
    controller_of,
    deletion_timestamp,
    dig,
    metadata,
    name_of,
    namespace_of,
    status_of,
    uid_of,
)
from netsim.api.selectors import label_selector_of
from netsim.controllers import rollout
from netsim.controllers.controller import Controller
from netsim.controllers.deployment_status import deployment_status, is_complete, seconds_to_deadline
from netsim.controllers.pods import is_finished
from netsim.controllers.refs import claim
from netsim.controllers.rollout import DESIRED, MAXIMUM, Bounds, Targets, bounds_of, replicas_of
from netsim.controllers.template import age_key, find_new, replica_set_from
from netsim.controllers.view import OWNER, View
from netsim.controllers.wakes import by_own_key, by_owner_or_orphan
from netsim.controllers.writes import (
    Announce,
    Create,
    Requeue,
    Write,
    Writes,
    delete_of,
    patch_of,
    status_of_object,
    typed,
)

REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
_LAST_APPLIED, _ROLLBACK = "kubectl.kubernetes.io/last-applied-configuration", "deprecated.deployment.rollback.to"
_NOT_COPIED = frozenset((_LAST_APPLIED, _ROLLBACK, REVISION, HISTORY, DESIRED, MAXIMUM))


@dataclass(frozen=True, slots=True)
class Rollout:
    """A Deployment with its ReplicaSets: `new` has the present template, `old` the former ones."""

    deployment: Obj
    new: Obj | None
    old: list[Obj]
    bounds: Bounds

    @property
    def every(self) -> list[Obj]:
        return [*([self.new] if self.new else []), *self.old]

    @property
    def revision(self) -> int:
        """The revision of the present template: one more than any old one's."""
        return max((revision_of(rs) for rs in self.old), default=0) + 1


def revision_of(obj: Obj) -> int:
    """The revision annotation, 0 where it is missing or no number."""
    text = annotations_of(obj).get(REVISION, "")
    return int(text) if text.isdigit() else 0


def reconcile(key: str, view: View) -> Writes:
    """Adopt and release ReplicaSets, then take one step of scaling or rollout, and count."""
    deployment = view.get(DEPLOYMENTS, key)
    if deployment is None:
        return []
    selector = label_selector_of(deployment["spec"].get("selector"))
    claimed = claim(view, DEPLOYMENTS, deployment, REPLICA_SETS, selector)
    if claimed.patches:
        return claimed.patches
    new = find_new(deployment, claimed.mine)
    old = [rs for rs in claimed.mine if rs is not new]
    state = Rollout(deployment, new, old, bounds_of(deployment))
    if deletion_timestamp(deployment):
        return _finish(state, view, [], scaling=True)
    if deployment["spec"].get("paused") or rollout.is_scaling(deployment, state.every):
        return _scale(state, view)
    return _roll(state, view) if rollout.is_rolling(deployment) else _recreate(state, view)


def _scale(state: Rollout, view: View) -> Writes:
    targets = rollout.scale(state.bounds, rollout.is_rolling(state.deployment), state.new, state.old)
    return _finish(state, view, _replica_set_writes(state, targets), scaling=True)


def _roll(state: Rollout, view: View) -> Writes:
    if state.new is None:
        return _create(state, view, rolling=True)
    targets = rollout.rolling_step(state.bounds, state.new, state.old)
    return _finish(state, view, _replica_set_writes(state, targets))


def _recreate(state: Rollout, view: View) -> Writes:
    """Old pods must be gone, not only leaving, before new ones start."""
    targets = rollout.all_to_zero(state.old)
    if targets or _old_pods(state, view):
        return _finish(state, view, _replica_set_writes(state, targets))
    if state.new is None:
        return _create(state, view, rolling=False)
    targets = rollout.changed({name_of(state.new): state.bounds.desired}, [state.new])
    return _finish(state, view, _replica_set_writes(state, targets))


def _old_pods(state: Rollout, view: View) -> bool:
    pods = (pod for rs in state.old for pod in view.by_index(PODS, OWNER, uid_of(rs)))
    return any(not is_finished(pod) for pod in pods)


def _create(state: Rollout, view: View, *, rolling: bool) -> Writes:
    deployment, bounds = state.deployment, state.bounds
    total = sum(replicas_of(rs) for rs in state.old)
    replicas = rollout.next_new_replicas(bounds, rolling, 0, total)
    annotations = _copied(deployment) | _scale_annotations(bounds) | {REVISION: str(state.revision)}
    created = replica_set_from(deployment, replicas, annotations)
    taken = view.get(REPLICA_SETS, f"{namespace_of(deployment)}/{name_of(created)}")
    if taken is not None:
        return _collided(deployment)
    done = ("ScalingReplicaSet", f"Scaled up replica set {{name}} from 0 to {replicas}") if replicas else None
    failed = ("ReplicaSetCreateError", "Failed to create new replica set {name}: {error}")
    announce = Announce(typed(DEPLOYMENTS, deployment), done, failed)
    return _finish(state, view, [Create(REPLICA_SETS, created, announce)], created=name_of(created))


def _collided(deployment: Obj) -> Writes:
    """The hash's name belongs to a ReplicaSet that is not ours or has another template: take the next hash."""
    status = status_of(deployment)
    count = int(status.get("collisionCount") or 0) + 1
    return [status_of_object(DEPLOYMENTS, deployment, {**status, "collisionCount": count})]


def _copied(deployment: Obj) -> dict[str, str]:
    return {name: value for name, value in annotations_of(deployment).items() if name not in _NOT_COPIED}


def _scale_annotations(bounds: Bounds) -> dict[str, str]:
    return {DESIRED: str(bounds.desired), MAXIMUM: str(bounds.desired + bounds.surge)}


def _replica_set_writes(state: Rollout, targets: Targets) -> list[Write]:
    writes: list[Write] = []
    for rs in state.every:
        replicas = targets.get(name_of(rs), replicas_of(rs))
        annotations = _scale_annotations(state.bounds) if replicas or name_of(rs) in targets else {}
        spec: Obj = {"replicas": replicas}
        if rs is state.new:
            annotations |= _copied(state.deployment) | _revision_annotations(state, rs)
            spec |= _min_ready(state.deployment, rs)
        writes += _replica_set_write(state.deployment, rs, spec, annotations)
    return writes


def _min_ready(deployment: Obj, rs: Obj) -> Obj:
    """The change of the ReplicaSet's minReadySeconds, if there is one."""
    wanted = int(deployment["spec"].get("minReadySeconds") or 0)
    return {} if wanted == int(rs["spec"].get("minReadySeconds") or 0) else {"minReadySeconds": wanted or None}


def _replica_set_write(deployment: Obj, rs: Obj, spec: Obj, annotations: dict[str, str]) -> list[Write]:
    if spec == {"replicas": replicas_of(rs)} and annotations.items() <= annotations_of(rs).items():
        return []
    patch = {"metadata": {"annotations": annotations}, "spec": spec}
    before, after = replicas_of(rs), spec["replicas"]
    scaled = f"Scaled {'up' if after > before else 'down'} replica set {{name}} from {before} to {after}"
    about = typed(DEPLOYMENTS, deployment)
    announce = Announce(about, ("ScalingReplicaSet", scaled), None) if before != after else None
    return [patch_of(REPLICA_SETS, rs, patch, locked=True, announce=announce)]


def _revision_annotations(state: Rollout, new: Obj) -> dict[str, str]:
    """A rollback makes an old ReplicaSet the new one: it gets the next revision and remembers its former ones."""
    current = revision_of(new)
    if current >= state.revision:
        return {}
    history = [text for text in (annotations_of(new).get(HISTORY, ""), str(current) if current else "") if text]
    return {REVISION: str(state.revision)} | ({HISTORY: ",".join(history)} if history else {})


def _finish(
    state: Rollout, view: View, writes: Sequence[Write], *, created: str = "", scaling: bool = False
) -> list[Write]:
    """The writes, with what belongs to the Deployment itself: its revision first, its status when that stands."""
    deployment = state.deployment
    head = [] if scaling else _own_revision(state)
    if head:
        return [*writes, *head]
    status = deployment_status(deployment, state.new, state.every, view.now, created=created, scaling=scaling)
    done = list(writes)
    if status != status_of(deployment):
        done.append(status_of_object(DEPLOYMENTS, deployment, status))
    if is_complete(deployment, status) and not writes:
        done += _clean_up(state)
    wait = seconds_to_deadline(deployment, status, view.now)
    return [*done, Requeue(wait)] if wait is not None else done


def _own_revision(state: Rollout) -> list[Write]:
    """The revision on the Deployment, written as a part of its status: otherwise it would be a new generation."""
    revision = revision_of(state.new) if state.new else 0
    if not revision or revision == revision_of(state.deployment):
        return []
    annotated = {"metadata": {"annotations": {REVISION: str(revision)}}}
    return [patch_of(DEPLOYMENTS, state.deployment, annotated, sub="status")]


def _clean_up(state: Rollout) -> list[Write]:
    """Delete the oldest idle ReplicaSets beyond spec.revisionHistoryLimit."""
    limit = state.deployment["spec"].get("revisionHistoryLimit")
    kept = 10 if limit is None else int(limit)
    old = sorted((rs for rs in state.old if not deletion_timestamp(rs)), key=lambda rs: (revision_of(rs), age_key(rs)))
    surplus = old[: max(len(old) - kept, 0)]
    return [delete_of(REPLICA_SETS, rs) for rs in surplus if _is_idle(rs)]


def _is_idle(rs: Obj) -> bool:
    observed = int(dig(rs, "status", "observedGeneration") or 0)
    idle = replicas_of(rs) == 0 and not dig(rs, "status", "replicas")
    return idle and observed >= int(metadata(rs).get("generation") or 0)


def _wake_recreate(view: View, old: Obj | None, new: Obj | None) -> Iterable[str]:
    """A pod that is gone lets a Recreate rollout go on."""
    reference = controller_of(old) if new is None and old is not None else None
    if old is None or reference is None or reference.get("kind") != REPLICA_SETS.kind:
        return ()
    replica_set = view.get(REPLICA_SETS, f"{namespace_of(old)}/{reference['name']}")
    owner = controller_of(replica_set) if replica_set else None
    if owner is None or owner.get("kind") != DEPLOYMENTS.kind:
        return ()
    key = f"{namespace_of(old)}/{owner['name']}"
    deployment = view.get(DEPLOYMENTS, key)
    return () if deployment is None or rollout.is_rolling(deployment) else (key,)


CONTROLLER = Controller(
    "deployment-controller",
    reconcile,
    (
        (DEPLOYMENTS, by_own_key),
        (REPLICA_SETS, by_owner_or_orphan(DEPLOYMENTS)),
        (PODS, _wake_recreate),
    ),
    rest=0.02,
)
