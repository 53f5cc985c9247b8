"""The StatefulSet controller: numbered pods, started, stopped and replaced one after another.

With podManagementPolicy OrderedReady a pod is touched only when all before it are ready; with Parallel pods are
created and deleted all at once, while updates still go from the highest ordinal down.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

from netsim.api.kinds import CONTROLLER_REVISIONS, PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS, Obj
from netsim.api.objects import deletion_timestamp, dig, labels_of, name_of, namespace_of, status_of
from netsim.controllers.controller import Controller
from netsim.controllers.history import REVISION_HASH, hashes_in, history_of, surplus
from netsim.controllers.pods import is_finished
from netsim.controllers.refs import claim, selector_of
from netsim.controllers.statefulset_pods import claim_writes, identify, is_member, member, ordinal_of, ordinals
from netsim.controllers.statefulset_status import (
    is_rolling,
    is_steady,
    seconds_to_available,
    stateful_set_status,
)
from netsim.controllers.view import NAMESPACE, View
from netsim.controllers.wakes import by_own_key, by_owner_or_orphan
from netsim.controllers.writes import (
    Announce,
    Create,
    Patch,
    Requeue,
    Write,
    Writes,
    delete_of,
    status_of_object,
    typed,
)

_HASH_LABEL = "controller.kubernetes.io/hash"


@dataclass(frozen=True, slots=True)
class Members:
    """A StatefulSet, the revisions it runs and rolls to, its wanted pods by ordinal (None: missing), and the pods
    beyond them, which are condemned, by falling ordinal."""

    obj: Obj
    current: Obj
    update: Obj
    replicas: dict[int, Obj | None]
    condemned: list[Obj]

    @property
    def ordered(self) -> bool:
        return bool(self.obj["spec"].get("podManagementPolicy", "OrderedReady") == "OrderedReady")

    @property
    def pods(self) -> list[Obj]:
        return [*(pod for pod in self.replicas.values() if pod is not None), *self.condemned]

    @property
    def partition(self) -> int:
        """Pods below this ordinal stay at the current revision."""
        return int(dig(self.obj, "spec", "updateStrategy", "rollingUpdate", "partition") or 0)


Step = tuple[list[Write], bool]
"""What to write for one pod, and whether the pods after it must wait."""


def reconcile(key: str, view: View) -> Writes:
    """Adopt and release pods and revisions, then take the next steps of scaling or rollout, and count."""
    stateful_set = view.get(STATEFUL_SETS, key)
    if stateful_set is None:
        return []
    of_set = partial(is_member, stateful_set)
    claimed = claim(view, STATEFUL_SETS, stateful_set, PODS, selector_of(STATEFUL_SETS, stateful_set), of_set)
    history = history_of(view, STATEFUL_SETS, stateful_set, _HASH_LABEL)
    if claimed.patches or history.writes or history.update is None:
        return [*claimed.patches, *history.writes]
    current = _current(stateful_set, [history.update, *history.old])
    members = _sort_out(stateful_set, current or history.update, history.update, claimed.mine)
    if deletion_timestamp(stateful_set):
        return _status(members, view)
    live = {name_of(members.current), *hashes_in(members.pods)}
    return [*_manage(members, view), *_status(members, view), *surplus(stateful_set, history.old, live)]


def _current(stateful_set: Obj, revisions: list[Obj]) -> Obj | None:
    name = status_of(stateful_set).get("currentRevision")
    return next((revision for revision in revisions if name_of(revision) == name), None)


def _sort_out(stateful_set: Obj, current: Obj, update: Obj, pods: Iterable[Obj]) -> Members:
    by_ordinal = {ordinal: pod for pod in pods if (ordinal := ordinal_of(stateful_set, pod)) is not None}
    wanted = ordinals(stateful_set)
    beyond = sorted((ordinal for ordinal in by_ordinal if ordinal not in wanted), reverse=True)
    replicas = {ordinal: by_ordinal.get(ordinal) for ordinal in wanted}
    return Members(stateful_set, current, update, replicas, [by_ordinal[ordinal] for ordinal in beyond])


def _manage(members: Members, view: View) -> list[Write]:
    """Missing pods first, then the condemned, then those of an old revision."""
    writes: list[Write] = []
    for steps in (_replica_steps(members, view), _condemned_steps(members, view)):
        wait = False
        for step, stop in steps:
            writes += step
            wait = wait or stop
            if stop and members.ordered:
                break
        if wait:
            return writes
    return writes or _roll(members, view)


def _replica_steps(members: Members, view: View) -> Iterable[Step]:
    for ordinal, pod in members.replicas.items():
        if pod is None:
            yield _create(members, ordinal, view)
        elif is_finished(pod):
            yield _replace_finished(members, pod), True
        elif members.ordered and (deletion_timestamp(pod) or not is_steady(members.obj, pod, view.now)):
            yield [], True
        else:
            claims, _ = claim_writes(members.obj, ordinal, view)
            yield _told_last([*claims, *identify(members.obj, ordinal, pod)], members.obj, name_of(pod)), False


def _told_last(writes: list[Write], stateful_set: Obj, pod: str) -> list[Write]:
    """That a pod is put right, its claims included, is told once, with the last write."""
    if not writes or not isinstance(writes[-1], Patch):
        return writes
    return [*writes[:-1], replace(writes[-1], announce=_announce(stateful_set, "Update", pod))]


def _create(members: Members, ordinal: int, view: View) -> Step:
    claims, usable = claim_writes(members.obj, ordinal, view)
    if not usable:
        return claims, members.ordered
    old = is_rolling(members.obj) and ordinal < members.partition
    pod = member(members.obj, ordinal, members.current if old else members.update)
    return [Create(PODS, pod, _announce(members.obj, "Create", name_of(pod)))], members.ordered


def _announce(stateful_set: Obj, verb: str, pod: str) -> Announce:
    what = f"{verb} Pod {pod} in StatefulSet {name_of(stateful_set)}"
    return Announce(
        typed(STATEFUL_SETS, stateful_set),
        (f"Successful{verb}", f"{what} successful"),
        (f"Failed{verb}", f"{what} failed error: {{error}}"),
    )


def _delete(stateful_set: Obj, pod: Obj) -> Write:
    return delete_of(PODS, pod, announce=_announce(stateful_set, "Delete", name_of(pod)))


def _replace_finished(members: Members, pod: Obj) -> list[Write]:
    """A pod that has ended is deleted; when it is gone its ordinal is missing."""
    return [] if deletion_timestamp(pod) else [_delete(members.obj, pod)]


def _condemned_steps(members: Members, view: View) -> Iterable[Step]:
    """The highest ordinal goes first. In order, none goes while another is leaving or ailing, except the first ailing
    one itself."""
    ailing = next((pod for pod in members.pods if not _is_well(members.obj, pod, view)), None)
    for pod in members.condemned:
        if deletion_timestamp(pod):
            yield [], members.ordered
        elif members.ordered and pod is not ailing and not is_steady(members.obj, pod, view.now):
            yield [], True
        else:
            yield _condemn(members, pod, view), members.ordered


def _condemn(members: Members, pod: Obj, view: View) -> list[Write]:
    ordinal = ordinal_of(members.obj, pod) or 0
    claims, _ = claim_writes(members.obj, ordinal, view, pod)
    return claims or [_delete(members.obj, pod)]


def _is_well(stateful_set: Obj, pod: Obj, view: View) -> bool:
    return is_steady(stateful_set, pod, view.now) and deletion_timestamp(pod) is None


def _roll(members: Members, view: View) -> list[Write]:
    """From the highest ordinal down to the partition, delete the first pod of an old revision; but not past a new one
    that is not well yet. A broken old pod further down holds nothing up. (maxUnavailable is off in 1.36: KEP-961.)"""
    if not is_rolling(members.obj):
        return []
    for ordinal, pod in sorted(members.replicas.items(), reverse=True):
        if pod is None or ordinal < members.partition:
            break
        if labels_of(pod).get(REVISION_HASH) != name_of(members.update) and deletion_timestamp(pod) is None:
            return [_delete(members.obj, pod)]
        if not _is_well(members.obj, pod, view):
            break
    return []


def _status(members: Members, view: View) -> list[Write]:
    obj = members.obj
    status = stateful_set_status(obj, members.current, members.update, members.pods, view.now)
    writes: list[Write] = [] if status == status_of(obj) else [status_of_object(STATEFUL_SETS, obj, status)]
    soonest = seconds_to_available(obj, members.pods, view.now)
    return [*writes, Requeue(soonest)] if soonest is not None else writes


def _wake_claim(view: View, old: Obj | None, new: Obj | None) -> Iterable[str]:
    """A claim that has come or gone may be what a pod waits for."""
    claim = new or old or {}
    if old is not None and new is not None:
        return
    for stateful_set in view.by_index(STATEFUL_SETS, NAMESPACE, namespace_of(claim)):
        for template in stateful_set["spec"].get("volumeClaimTemplates") or []:
            if name_of(claim).startswith(f"{name_of(template)}-{name_of(stateful_set)}-"):
                yield f"{namespace_of(claim)}/{name_of(stateful_set)}"


CONTROLLER = Controller(
    "statefulset-controller",
    reconcile,
    (
        (STATEFUL_SETS, by_own_key),
        (PODS, by_owner_or_orphan(STATEFUL_SETS)),
        (CONTROLLER_REVISIONS, by_owner_or_orphan(STATEFUL_SETS)),
        (PERSISTENT_VOLUME_CLAIMS, _wake_claim),
    ),
    rest=0.01,
)
