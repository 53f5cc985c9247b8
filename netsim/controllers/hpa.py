"""The horizontal pod autoscaler (autoscaling/v2): as many replicas as the measured load of the pods asks for.

`Autoscaler` remembers recommendations and scalings between rounds, as Kubernetes' controller does; everything else is
decided from the caches and from the PodMetrics read before each round.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from netsim.api.errors import StatusError
from netsim.api.kinds import HORIZONTAL_POD_AUTOSCALERS, POD_METRICS, PODS, Obj
from netsim.api.objects import (
    deletion_timestamp,
    dig,
    key_of,
    labels_of,
    namespace_of,
    set_condition,
    status_of,
)
from netsim.api.quantity import parse_quantity
from netsim.api.times import format_time
from netsim.client.rest import Client
from netsim.controllers.controller import Controller
from netsim.controllers.hpa_calc import Tolerance
from netsim.controllers.hpa_metrics import DEFAULT_METRICS, Answer, Observed, Refusal, judge
from netsim.controllers.hpa_rules import History, Limits, Past, limits_of, normalise
from netsim.controllers.hpa_target import Target, TargetProblem, custom_kind_of, rivals, scale_of, target_of
from netsim.controllers.served import Served
from netsim.controllers.view import NAMESPACE, View
from netsim.controllers.writes import Announce, Note, Requeue, Update, Write, Writes, status_of_object, typed

HPAS = HORIZONTAL_POD_AUTOSCALERS
SYNC_SECONDS = 15.0
SCALE, NO_SCALE = "scale", "no scale"
ABLE, ACTIVE, LIMITED = "AbleToScale", "ScalingActive", "ScalingLimited"
_WRAPPED = {
    "Resource": "failed to get {name} resource metric value: ",
    "ContainerResource": "failed to get {name} container metric value: ",
    "Pods": "failed to get pods metric value: ",
    "Object": "failed to get object metric value: ",
    "External": "failed to get {name} external metric value: ",
}


@dataclass(frozen=True, slots=True)
class Round:
    """What one round comes to: the status, the replicas to set (None: leave them), why, and Events."""

    status: Obj
    replicas: int | None = None
    reason: str = ""
    notes: tuple[tuple[str, str], ...] = ()


class Autoscaler:
    """The reconcile of all autoscalers and what it remembers of each, by key."""

    def __init__(self, sync_seconds: float = SYNC_SECONDS, served: Served | None = None) -> None:
        self._sync, self._served = sync_seconds, served or Served()
        self._histories: dict[str, History] = {}
        self._scales: dict[str, Obj] = {}

    def reconcile(self, key: str, view: View) -> Writes:
        """Set the target's replicas by /scale if they should be others, and tell of it in the status."""
        hpa = view.get(HPAS, key)
        if hpa is None or deletion_timestamp(hpa):
            self._histories.pop(key, None)
            self._scales.pop(key, None)
            return []
        try:
            target = self._target(hpa, view, view.facts)
        except TargetProblem as problem:
            done = _unreachable(hpa, str(problem), view.now)
            return [*_writes(hpa, None, done), Requeue(self._sync)]
        history = self._histories.get(key) or History((Past(view.now, target.replicas),))
        seen = _observed(target, view)
        done, history = decide(hpa, target, seen, history, view.failure, self._rivals(target, seen.pods, view))
        if done.replicas is not None and "behavior" in hpa["spec"]:
            history = history.scaled(target.replicas, done.replicas, view.now)
        self._histories[key] = history
        return [*_writes(hpa, target, done), Requeue(self._sync)]

    async def observe(self, client: Client, key: str, view: View) -> Mapping[str, Any]:
        """PodMetrics of the target's pods, or why there are none; of a custom target also its Scale, which the caches
        do not hold."""
        hpa = view.get(HPAS, key)
        if hpa is None:
            return {}
        facts = await self._scale_facts(client, hpa)
        try:
            selector = str(self._target(hpa, view, facts).selector)
            found = await client.list(POD_METRICS, namespace_of(hpa), label_selector=selector)
        except TargetProblem:
            return facts  # the round says so itself
        except StatusError as error:
            return {**facts, "error": error.message}
        return {**facts, "metrics": found["items"]}

    async def _scale_facts(self, client: Client, hpa: Obj) -> Mapping[str, Any]:
        kind = custom_kind_of(hpa, self._served)
        if kind is None:
            return {}
        try:
            return {SCALE: await client.get(kind, hpa["spec"]["scaleTargetRef"]["name"], namespace_of(hpa), "scale")}
        except StatusError as error:
            return {NO_SCALE: error.message}

    def _target(self, hpa: Obj, view: View, facts: Mapping[str, Any]) -> Target:
        """What is scaled; of a custom target the Scale is remembered for the autoscalers it may rival with."""
        self._scales.pop(key_of(hpa), None)
        if NO_SCALE in facts:
            raise TargetProblem(facts[NO_SCALE])
        if SCALE in facts:
            self._scales[key_of(hpa)] = facts[SCALE]
        return target_of(hpa, view, self._served, self._scales)

    def _rivals(self, target: Target, pods: Iterable[Obj], view: View) -> list[str]:
        return rivals(target, pods, view, self._served, self._scales)

    def controller(self) -> Controller:
        return Controller(
            "horizontal-pod-autoscaler-controller",
            self.reconcile,
            ((HPAS, _by_spec),),
            self.observe,
            rest=1.0,
            parallel=16,
            reporter="horizontal-pod-autoscaler",
        )


def _observed(target: Target, view: View) -> Observed:
    pods = view.by_index(PODS, NAMESPACE, namespace_of(target.obj))
    mine = [pod for pod in pods if target.selector.matches(labels_of(pod))]
    return Observed(mine, view.facts.get("metrics") or (), str(view.facts.get("error", "")), view.now)


def decide(
    hpa: Obj, target: Target, seen: Observed, history: History, failure: str = "", rivals: Sequence[str] = ()
) -> tuple[Round, History]:
    """One autoscaler's round. `failure` is why the last round's writes failed, if they did; `rivals` are all
    autoscalers of the same pods, if there are others."""
    now, current, limits = format_time(seen.now), target.replicas, limits_of(hpa["spec"])
    conditions = list(status_of(hpa).get("conditions") or [])
    able = ("SucceededGetScale", "the HPA controller was able to get the target's current scale")
    conditions = _with(conditions, ABLE, True, able, now)
    if current == 0 and limits.least != 0:
        disabled = ("ScalingDisabled", "scaling is disabled since the replica count of the target is zero")
        return Round(_status(hpa, 0, 0, [], _with(conditions, ACTIVE, False, disabled, now))), history
    outside = _outside(current, limits)
    if outside is not None:
        return _failing(_rescaled(hpa, current, *outside, [], conditions, now), failure, now), history
    problem = _selector_problem(target, rivals)
    if problem:
        return _without_selector(hpa, current, *problem, conditions, now), history
    done, history = _by_metrics(hpa, target, seen, limits, history, conditions)
    return _failing(done, failure, now), history


def _failing(done: Round, failure: str, now: str) -> Round:
    """The round, telling that the last attempt to do what it wants failed."""
    if not failure or done.replicas is None:
        return done
    text = f"the HPA controller was unable to update the target scale: {failure}"
    conditions = _with(done.status["conditions"], ABLE, False, ("FailedUpdateScale", text), now)
    return replace(done, status={**done.status, "conditions": conditions})


def _outside(current: int, limits: Limits) -> tuple[int, str] | None:
    if current > limits.most:
        return limits.most, "Current number of replicas above Spec.MaxReplicas"
    return (limits.least, "Current number of replicas below Spec.MinReplicas") if current < limits.least else None


def _by_metrics(
    hpa: Obj, target: Target, seen: Observed, limits: Limits, history: History, conditions: list[Obj]
) -> tuple[Round, History]:
    now, current = format_time(seen.now), target.replicas
    metrics = hpa["spec"].get("metrics") or DEFAULT_METRICS
    tolerance = _tolerance(hpa["spec"])
    answers = [judge(metric, current, seen, namespace_of(hpa), tolerance) for metric in metrics]
    notes = tuple((a.reason, a.message) for a in answers if isinstance(a, Refusal))
    good = [answer for answer in answers if isinstance(answer, Answer)]
    best = max(good, key=lambda answer: answer.replicas, default=None)
    if best is None or (notes and best.replicas < current):
        return _without_metrics(hpa, metrics, answers, current, conditions, now, notes), history
    valid = f"the HPA was able to successfully calculate a replica count from {best.name}"
    conditions = _with(conditions, ACTIVE, True, ("ValidMetricFound", valid), now)
    verdict, history = normalise(best.replicas, current, limits, history, seen.now)
    conditions = _with(conditions, ABLE, True, verdict.able, now)
    conditions = _with(conditions, LIMITED, verdict.limited, verdict.limit, now)
    shown = _shown(answers)
    if verdict.replicas == current:
        return Round(_status(hpa, current, current, shown, conditions), notes=notes), history
    reason = f"{best.name} above target" if best.replicas > current else "All metrics below target"
    return replace(_rescaled(hpa, current, verdict.replicas, reason, shown, conditions, now), notes=notes), history


def _selector_problem(target: Target, rivals: Sequence[str]) -> tuple[str, str, str] | None:
    """(the condition's message, the event's reason and message) when it is not clear whose pods these are."""
    if target.problem:
        return target.problem, "InvalidSelector", target.problem
    if target.selector.empty or target.selector.nothing:
        return "the HPA target's scale is missing a selector", "SelectorRequired", "selector is required"
    if rivals:
        text = f"pods by selector {target.selector} are controlled by multiple HPAs: [{' '.join(rivals)}]"
        return text, "AmbiguousSelector", text
    return None


def _without_selector(
    hpa: Obj, current: int, why: str, reason: str, message: str, conditions: list[Obj], now: str
) -> Round:
    kind = reason if reason == "AmbiguousSelector" else "InvalidSelector"
    status = _failed_status(hpa, current, [], _with(conditions, ACTIVE, False, (kind, why), now))
    return Round(status, notes=((reason, message), ("FailedComputeMetricsReplicas", message)))


def _without_metrics(
    hpa: Obj, metrics: list[Obj], answers: list[Answer | Refusal], current: int, conditions: list[Obj], now: str,
    notes: tuple[tuple[str, str], ...],
) -> Round:  # fmt: skip
    """No metric, or only one that would take replicas away while another is unknown: nothing is done."""
    metric, first = next((m, a) for m, a in zip(metrics, answers, strict=True) if isinstance(a, Refusal))
    text = f"the HPA was unable to compute the replica count: {first.message}"
    conditions = _with(conditions, ACTIVE, False, (first.reason, text), now)
    source = metric.get("resource") or metric.get("containerResource") or dig(metric, "external", "metric") or {}
    wrapped = _WRAPPED.get(str(metric.get("type")), "").format(name=source.get("name", "")) + first.message
    whole = f"invalid metrics ({len(notes)} invalid out of {len(metrics)}), first error is: {wrapped}"
    notes = (*notes, ("FailedComputeMetricsReplicas", whole))
    return Round(_failed_status(hpa, current, _shown(answers), conditions), notes=notes)


def _shown(answers: list[Answer | Refusal]) -> list[Obj]:
    """status.currentMetrics: of one that is unknown there is an empty entry."""
    return [answer.status if isinstance(answer, Answer) else {"type": ""} for answer in answers]


def _tolerance(spec: Obj) -> Tolerance:
    def given(direction: str) -> float:
        value = dig(spec, "behavior", direction, "tolerance")
        return 0.1 if value is None else float(parse_quantity(value))

    return Tolerance(given("scaleUp"), given("scaleDown"))


def _rescaled(
    hpa: Obj, current: int, replicas: int, reason: str, shown: list[Obj], conditions: list[Obj], now: str
) -> Round:
    able = ("SucceededRescale", f"the HPA controller was able to update the target scale to {replicas}")
    conditions = _with(conditions, ABLE, True, able, now)
    return Round(_status(hpa, current, replicas, shown, conditions) | {"lastScaleTime": now}, replicas, reason)


def _unreachable(hpa: Obj, problem: str, when: datetime) -> Round:
    text = f"the HPA controller was unable to get the target's current scale: {problem}"
    conditions = list(status_of(hpa).get("conditions") or [])
    conditions = _with(conditions, ABLE, False, ("FailedGetScale", text), format_time(when))
    status = {"desiredReplicas": 0, "currentMetrics": None, **status_of(hpa), "conditions": conditions}
    return Round(status, notes=(("FailedGetScale", problem),))


def _with(conditions: list[Obj], kind: str, status: bool, why: tuple[str, str], now: str) -> list[Obj]:
    reason, message = why
    new = {"type": kind, "status": "True" if status else "False", "reason": reason, "message": message}
    return set_condition(conditions, new, now)


def _status(hpa: Obj, current: int, desired: int, metrics: list[Obj], conditions: list[Obj]) -> Obj:
    old = status_of(hpa)
    kept = {"lastScaleTime": old["lastScaleTime"]} if old.get("lastScaleTime") else {}
    counted = {"currentReplicas": current} if current else {}
    body = {"desiredReplicas": desired, "currentMetrics": metrics or None}
    return {**kept, **counted, **body, "conditions": conditions}


def _failed_status(hpa: Obj, current: int, shown: list[Obj], conditions: list[Obj]) -> Obj:
    """The status of a round that came to no number: what was desired last stays."""
    return _status(hpa, current, int(status_of(hpa).get("desiredReplicas") or 0), shown, conditions)


def _writes(hpa: Obj, target: Target | None, done: Round) -> Iterable[Write]:
    about = typed(HPAS, hpa)
    for reason, message in done.notes:
        yield Note(about, reason, message, "Warning")
    if target is not None and done.replicas is not None:
        text = f"New size: {done.replicas}; reason: {done.reason}"
        failed = f"{text}; error: {{error}}"
        announce = Announce(about, ("SuccessfulRescale", text), ("FailedRescale", failed))
        yield Update(target.kind, scale_of(target, done.replicas), "scale", announce)
    status = {key: value for key, value in done.status.items() if value is not None}
    if status != status_of(hpa):
        yield status_of_object(HPAS, hpa, status)


def _by_spec(view: View, old: Obj | None, new: Obj | None) -> Iterable[str]:
    """A new autoscaler or one with another spec; its own status wakes it only by and by."""
    if old is not None and new is not None and old.get("spec") == new.get("spec"):
        return ()
    return (key_of(new or old or {}),)
