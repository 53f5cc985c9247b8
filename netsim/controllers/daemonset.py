"""The DaemonSet controller: one pod on every Node that suits it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from netsim.api.kinds import CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS, Obj
from netsim.api.objects import (
    deletion_timestamp,
    is_pod_ready,
    key_of,
    name_of,
    namespace_of,
    pod_phase,
    status_of,
    uid_of,
)
from netsim.controllers.controller import Controller
from netsim.controllers.daemonset_nodes import daemon_pod, node_of, placement_facts, verdict
from netsim.controllers.daemonset_rollout import (
    Bounds,
    Changes,
    Template,
    bounds_of,
    is_rolling,
    next_changes,
    oldest_first,
    surplus,
)
from netsim.controllers.history import REVISION_HASH, generation_of, hash_of, hashes_in, history_of
from netsim.controllers.history import surplus as surplus_revisions
from netsim.controllers.new_pod import announce_creation, announce_deletion
from netsim.controllers.pods import is_finished, ready_seconds
from netsim.controllers.refs import claim, selector_of
from netsim.controllers.view import View
from netsim.controllers.wakes import by_own_key, by_owner_or_orphan
from netsim.controllers.writes import Create, Note, Requeue, Write, Writes, delete_of, status_of_object, typed

BURST = 250
"""Pods created or deleted in one round at most, as in Kubernetes."""
_FIRST_DELAY, _LONGEST_DELAY = 1.0, 900.0


@dataclass(slots=True)
class Backoff:
    """When a daemon that keeps failing on a Node may be replaced again: after 1 s, 2 s, 4 s … 15 min."""

    entries: dict[str, tuple[float, datetime]] = field(default_factory=dict)

    def wait(self, key: str, now: datetime) -> float:
        """Seconds until the next replacement; 0 grants it, and doubles the wait after it."""
        delay, since = self.entries.get(key, (0.0, now))
        passed = (now - since) / timedelta(seconds=1)
        if delay > passed:
            return delay - passed
        rested = passed > 2 * _LONGEST_DELAY
        self.entries[key] = (_FIRST_DELAY if rested else min(max(2 * delay, _FIRST_DELAY), _LONGEST_DELAY), now)
        return 0.0

    def forget(self, uids: Iterable[str]) -> None:
        """Drop what belongs to DaemonSets other than these."""
        kept = set(uids)
        self.entries = {key: entry for key, entry in self.entries.items() if key.partition("/")[0] in kept}


@dataclass(frozen=True, slots=True)
class Daemons:
    """A DaemonSet with the verdict on every Node and the pods by Node."""

    obj: Obj
    template: Template
    verdicts: Mapping[str, tuple[bool, bool]]
    pods: Mapping[str, list[Obj]]

    @property
    def desired(self) -> list[str]:
        return [node for node, (should_run, _) in self.verdicts.items() if should_run]

    @property
    def bounds(self) -> Bounds:
        return bounds_of(self.obj, len(self.desired))


def controller() -> Controller:
    """The controller, with its memory of failing daemons."""
    backoff = Backoff()

    def reconcile_with_backoff(key: str, view: View) -> Writes:
        if view.get(DAEMON_SETS, key) is None:
            backoff.forget(uid_of(daemon_set) for daemon_set in view.values(DAEMON_SETS))
        return reconcile(key, view, backoff)

    watches = (
        (DAEMON_SETS, by_own_key),
        (PODS, by_owner_or_orphan(DAEMON_SETS)),
        (CONTROLLER_REVISIONS, by_owner_or_orphan(DAEMON_SETS)),
        (NODES, _wake_node),
    )
    return Controller("daemonset-controller", reconcile_with_backoff, watches, rest=0.02)


def reconcile(key: str, view: View, backoff: Backoff) -> Writes:
    """Adopt and release pods and revisions, then start, stop or replace daemons, and count."""
    daemon_set = view.get(DAEMON_SETS, key)
    if daemon_set is None:
        return []
    claimed = claim(view, DAEMON_SETS, daemon_set, PODS, selector_of(DAEMON_SETS, daemon_set))
    history = history_of(view, DAEMON_SETS, daemon_set, REVISION_HASH)
    if claimed.patches or history.writes or history.update is None:
        return [*claimed.patches, *history.writes]
    if deletion_timestamp(daemon_set):
        return []
    digest = hash_of(history.update, REVISION_HASH)
    daemons = _sort_out(daemon_set, digest, claimed.mine, view)
    used = hashes_in(claimed.mine)
    live = {name_of(revision) for revision in history.old if hash_of(revision, REVISION_HASH) in used}
    writes = _manage(daemons, view, backoff) or _roll(daemons)
    return [*writes, *_status(daemons, view.now), *surplus_revisions(daemon_set, history.old, live)]


def _sort_out(daemon_set: Obj, digest: str, pods: Iterable[Obj], view: View) -> Daemons:
    by_node: dict[str, list[Obj]] = {}
    for pod in pods:
        if not (deletion_timestamp(pod) and is_finished(pod)):
            by_node.setdefault(node_of(pod), []).append(pod)
    verdicts = {name_of(node): verdict(daemon_set, node) for node in view.values(NODES)}
    template = Template(digest, int(daemon_set["spec"].get("minReadySeconds") or 0), view.now)
    return Daemons(daemon_set, template, dict(sorted(verdicts.items())), by_node)


def _manage(daemons: Daemons, view: View, backoff: Backoff) -> list[Write]:
    """Daemons that are missing, too many, ended, or on Nodes that do not suit them or are gone."""
    create: list[str] = []
    delete: list[Obj] = []
    others: list[Write] = []
    bounds = daemons.bounds
    for node, (should_run, may_stay) in daemons.verdicts.items():
        pods = daemons.pods.get(node, [])
        if should_run and not pods:
            create.append(node)
        elif not may_stay:
            delete += pods
        elif pods:
            ended, running = _ended(daemons, node, pods, view, backoff)
            others += ended
            delete += surplus(running, daemons.template, bounds)
    for node, pods in daemons.pods.items():
        if node not in daemons.verdicts:
            delete += [pod for pod in pods if not pod["spec"].get("nodeName")]
    return [*others, *_writes(daemons, Changes(delete, create))]


def _ended(
    daemons: Daemons, node: str, pods: Sequence[Obj], view: View, backoff: Backoff
) -> tuple[list[Write], list[Obj]]:
    """Deletions of the pods that have ended, failed ones with back-off; and the pods that run."""
    writes: list[Write] = []
    running = []
    for pod in pods:
        if deletion_timestamp(pod):
            continue
        if not is_finished(pod):
            running.append(pod)
            continue
        failed = pod_phase(pod) == "Failed"
        key = f"{uid_of(daemons.obj)}/{generation_of(daemons.obj)}/{node}"
        wait = backoff.wait(key, view.instant) if failed else 0.0
        writes += [Requeue(wait)] if wait else [_told(daemons.obj, pod, node, failed), *_deletions(daemons.obj, [pod])]
    return writes, running


def _told(daemon_set: Obj, pod: Obj, node: str, failed: bool) -> Note:
    about, where = typed(DAEMON_SETS, daemon_set), f"daemon pod {key_of(pod)} on node {node}, will try to"
    if failed:
        return Note(about, "FailedDaemonPod", f"Found failed {where} kill it", "Warning")
    return Note(about, "SucceededDaemonPod", f"Found succeeded {where} delete it")


def _roll(daemons: Daemons) -> list[Write]:
    if not is_rolling(daemons.obj):
        return []
    nodes = {node: daemons.pods.get(node, []) for node in daemons.desired}
    return _writes(daemons, next_changes(nodes, daemons.template, daemons.bounds))


def _writes(daemons: Daemons, changes: Changes) -> list[Write]:
    announce = announce_creation(DAEMON_SETS, daemons.obj)
    pods = (daemon_pod(daemons.obj, node, daemons.template.digest) for node in changes.create[:BURST])
    return [*(Create(PODS, pod, announce) for pod in pods), *_deletions(daemons.obj, changes.delete[:BURST])]


def _deletions(daemon_set: Obj, pods: Iterable[Obj]) -> list[Write]:
    announce = announce_deletion(DAEMON_SETS, daemon_set)
    return [delete_of(PODS, pod, announce=announce) for pod in pods if not deletion_timestamp(pod)]


def _status(daemons: Daemons, now: datetime) -> list[Write]:
    status = daemon_set_status(daemons)
    writes: list[Write] = []
    if status != status_of(daemons.obj):
        writes.append(status_of_object(DAEMON_SETS, daemons.obj, status))
    min_ready = daemons.template.min_ready
    ready = [pod for pods in daemons.pods.values() for pod in pods if min_ready and is_pod_ready(pod)]
    waits = [wait for pod in ready if (wait := min_ready - ready_seconds(pod, now)) > 0]
    return [*writes, Requeue(min(waits))] if waits else writes


def daemon_set_status(daemons: Daemons) -> Obj:
    """The whole new status: of the Nodes that should have a daemon how many do, by their oldest one."""
    desired = daemons.desired
    oldest = [oldest_first(pods)[0] for node in desired if (pods := daemons.pods.get(node))]
    available = sum(map(daemons.template.available, oldest))
    misplaced = sum(not should_run and node in daemons.pods for node, (should_run, _) in daemons.verdicts.items())
    status: Obj = {
        "currentNumberScheduled": len(oldest),
        "numberMisscheduled": misplaced,
        "desiredNumberScheduled": len(desired),
        "numberReady": sum(map(is_pod_ready, oldest)),
        "observedGeneration": generation_of(daemons.obj),
        "updatedNumberScheduled": sum(map(daemons.template.is_new, oldest)),
        "numberAvailable": available,
        "numberUnavailable": len(desired) - available,
    }
    required = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")
    old = status_of(daemons.obj)
    status |= {name: old[name] for name in ("collisionCount", "conditions") if old.get(name)}
    return {name: value for name, value in status.items() if value or name in required}


def _wake_node(view: View, old: Obj | None, new: Obj | None) -> Iterable[str]:
    """A Node that comes, goes, or changes its labels or taints concerns every DaemonSet."""
    if old is not None and new is not None and placement_facts(old) == placement_facts(new):
        return ()
    return [f"{namespace_of(obj)}/{name_of(obj)}" for obj in view.values(DAEMON_SETS)]
