"""The disruption controller: a PodDisruptionBudget's status says how many of its pods may be evicted now."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from netsim.api.disruption import DELETION_TIMEOUT, covers, with_allowed_condition
from netsim.api.kinds import (
    DEPLOYMENTS,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    STATEFUL_SETS,
    Kind,
    Obj,
)
from netsim.api.objects import (
    controller_of,
    deletion_timestamp,
    is_pod_ready,
    key_of,
    labels_of,
    metadata,
    name_of,
    namespace_of,
    set_condition,
    spec_of,
    status_of,
    uid_of,
)
from netsim.api.times import format_time, seconds_between
from netsim.controllers.controller import Controller
from netsim.controllers.refs import kind_of_reference
from netsim.controllers.view import NAMESPACE, View
from netsim.controllers.wakes import by_own_key
from netsim.controllers.writes import Note, Requeue, Write, Writes, status_of_object, typed

_SCALED: tuple[Kind, ...] = (REPLICA_SETS, REPLICATION_CONTROLLERS, STATEFUL_SETS, DEPLOYMENTS)


class NoScale(Exception):
    """The number of pods that should be there cannot be found out."""


@dataclass(slots=True)
class Disrupted:
    """Evicted pods that are still there: name -> time of eviction; `again`: seconds until the first times out."""

    pods: dict[str, str] = field(default_factory=dict)
    again: float | None = None
    late: list[Obj] = field(default_factory=list)


def reconcile(key: str, view: View) -> Writes:
    """Bring one budget's status up to date."""
    budget = view.get(POD_DISRUPTION_BUDGETS, key)
    if budget is None:
        return []
    pods = [pod for pod in view.by_index(PODS, NAMESPACE, namespace_of(budget)) if covers(budget, pod)]
    about = typed(POD_DISRUPTION_BUDGETS, budget)
    try:
        expected, desired = expected_and_desired(budget, pods, view)
    except NoScale as problem:
        text = f"Failed to calculate the number of expected pods: {problem}"
        note = Note(about, "CalculateExpectedPodCountFailed", text, "Warning")
        failed = _failed(budget, str(problem), view.now)
        return [note, *_written(budget, failed)] if failed != status_of(budget) else []
    lone = [pod for pod in pods if controller_of(pod) is None] if _counts_controllers(budget) else []
    disrupted = still_disrupted(budget, pods, view.now)
    writes: list[Write] = [_late(budget, pod) for pod in disrupted.late]
    status = status_for(budget, pods, disrupted, expected, desired, view.now)
    written = _written(budget, status)
    if written and not pods:
        writes.append(Note(about, "NoPods", "No matching pods found"))
    if written and lone:
        writes.append(Note(about, "UnmanagedPods", _unmanaged(budget), "Warning"))
    again = [Requeue(disrupted.again)] if disrupted.again is not None else []
    return [*writes, *written, *again]


def _counts_controllers(budget: Obj) -> bool:
    """Whether the budget is against what the pods' controllers want, and not a number of pods."""
    return not isinstance(spec_of(budget).get("minAvailable"), int)


def _unmanaged(budget: Obj) -> str:
    """The text of the Event, with the selector as Go prints it."""
    selector = spec_of(budget).get("selector") or {}
    labels = "".join(f"{key}: {value}," for key, value in sorted((selector.get("matchLabels") or {}).items()))
    terms = "".join(
        f"LabelSelectorRequirement{{Key:{term['key']},Operator:{term['operator']},"
        f"Values:[{' '.join(term.get('values') or [])}],}},"
        for term in selector.get("matchExpressions") or []
    )
    shown = f"MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{terms}}},"
    return (
        f"Pods selected by this PodDisruptionBudget (selector: &LabelSelector{{{shown}}}) were found to be unmanaged. "
        "As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. To "
        'account for these pods please set ".spec.minAvailable" field of the PDB to an integer value.'
    )


def _late(budget: Obj, pod: Obj) -> Note:
    text = f"Pod was expected by PDB {key_of(budget)} to be deleted but it wasn't"
    return Note(typed(PODS, pod), "NotDeleted", text, "Warning")


def _written(budget: Obj, status: Obj) -> list[Write]:
    return [status_of_object(POD_DISRUPTION_BUDGETS, budget, status)] if status != status_of(budget) else []


def _failed(budget: Obj, problem: str, now: datetime) -> Obj:
    """Nothing may be evicted while it is not known how many pods there should be."""
    generation = metadata(budget).get("generation", 0)
    condition = {"type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": problem}
    condition |= {"observedGeneration": generation}
    status = {**_numbers(0, 0, 0, 0), **status_of(budget), "disruptionsAllowed": 0}
    return {**status, "conditions": set_condition(status.get("conditions") or [], condition, format_time(now))}


def _numbers(allowed: int, healthy: int, desired: int, expected: int) -> Obj:
    return {
        "disruptionsAllowed": allowed,
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "expectedPods": expected,
    }


def status_for(
    budget: Obj, pods: Iterable[Obj], disrupted: Disrupted, expected: int, desired: int, now: datetime
) -> Obj:
    """PodDisruptionBudgetStatus."""
    healthy = sum(1 for pod in pods if _is_healthy(pod) and name_of(pod) not in disrupted.pods)
    allowed = max(healthy - desired, 0) if expected > 0 else 0
    status = _numbers(allowed, healthy, desired, expected)
    status |= {"observedGeneration": metadata(budget).get("generation", 0)}
    status |= {"conditions": status_of(budget).get("conditions") or []}
    if disrupted.pods:
        status["disruptedPods"] = disrupted.pods
    return with_allowed_condition(status, format_time(now))


def _is_healthy(pod: Obj) -> bool:
    return deletion_timestamp(pod) is None and is_pod_ready(pod)


def still_disrupted(budget: Obj, pods: Iterable[Obj], now: datetime) -> Disrupted:
    """Of the evicted pods those that have not begun to go; after two minutes they count again."""
    present = {name_of(pod): pod for pod in pods}
    found = Disrupted()
    for name, since in (status_of(budget).get("disruptedPods") or {}).items():
        pod = present.get(name)
        if pod is None or deletion_timestamp(pod) is not None:
            continue
        left = DELETION_TIMEOUT - seconds_between(since, now)
        if left <= 0:
            found.late.append(pod)
            continue
        found.pods[name] = since
        found.again = left if found.again is None else min(found.again, left)
    return found


def expected_and_desired(budget: Obj, pods: list[Obj], view: View) -> tuple[int, int]:
    """(pods there should be, pods that must stay healthy); raises NoScale. A number of minAvailable is counted
    against the pods there are, all else against what their controllers want."""
    spec = spec_of(budget)
    most, least = spec.get("maxUnavailable"), spec.get("minAvailable")
    if most is not None:
        expected = _wanted_by_controllers(pods, view)
        return expected, max(expected - _scaled(most, expected), 0)
    if isinstance(least, str) and least.endswith("%"):
        expected = _wanted_by_controllers(pods, view)
        return expected, _scaled(least, expected)
    return len(pods), int(least or 0)


def _scaled(value: int | str, total: int) -> int:
    """A number, or a percentage of the total, rounded up."""
    if isinstance(value, str) and value.endswith("%"):
        return -(-int(value[:-1]) * total // 100)
    return int(value)


def _wanted_by_controllers(pods: Iterable[Obj], view: View) -> int:
    scales: dict[str, int] = {}
    for pod in pods:
        reference = controller_of(pod)
        if reference is not None and reference["uid"] not in scales:
            uid, scale = _scale_of(reference, pod, view)
            scales[reference["uid"]] = 0
            scales[uid] = scale
    return sum(scales.values())


def _scale_of(reference: Obj, pod: Obj, view: View) -> tuple[str, int]:
    """(uid, spec.replicas) of what scales the pod: of a ReplicaSet's Deployment rather than of the ReplicaSet."""
    kind = kind_of_reference(reference)
    owner = view.get(kind, f"{namespace_of(pod)}/{reference['name']}") if kind in _SCALED and kind else None
    if owner is None or uid_of(owner) != reference["uid"]:
        raise NoScale(f'found no controllers for pod "{name_of(pod)}"')
    above = controller_of(owner)
    if kind is REPLICA_SETS and above is not None and above.get("kind") == DEPLOYMENTS.kind:
        return _scale_of(above, owner, view)
    return uid_of(owner), int(spec_of(owner).get("replicas", 1))


def _wake_pod(view: View, old: Obj | None, new: Obj | None) -> Iterable[str]:
    pod = new or old or {}
    budgets = view.by_index(POD_DISRUPTION_BUDGETS, NAMESPACE, namespace_of(pod))
    if not budgets:
        return ()
    relabelled = old is not None and new is not None and labels_of(old) != labels_of(new)
    states = [pod, old] if relabelled and old is not None else [pod]
    return {key_of(budget) for budget in budgets for state in states if covers(budget, state)}


def _wake_all(view: View, old: Obj | None, new: Obj | None) -> Iterable[str]:
    """The budgets of a namespace in which something was scaled."""
    if old is not None and new is not None and spec_of(old).get("replicas") == spec_of(new).get("replicas"):
        return ()
    return [key_of(b) for b in view.by_index(POD_DISRUPTION_BUDGETS, NAMESPACE, namespace_of(new or old or {}))]


CONTROLLER = Controller(
    "disruption-controller",
    reconcile,
    (
        (POD_DISRUPTION_BUDGETS, by_own_key),
        (PODS, _wake_pod),
        *((kind, _wake_all) for kind in _SCALED),
    ),
    reporter="controllermanager",
)
