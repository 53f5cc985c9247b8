"""Preemption: which pods of lower priority must go so that a pod gets a node (minimal, sparing disruption budgets)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from netsim.api.kinds import Obj
from netsim.api.objects import name_of, namespace_of, status_of
from netsim.api.selectors import label_selector_of
from netsim.scheduler.choose import Decision, unavailable
from netsim.scheduler.filters import Refusal, refusal_of
from netsim.scheduler.model import Cluster, NodeState
from netsim.scheduler.needs import PodNeeds
from netsim.scheduler.situation import situation_of

CANDIDATES = 100
NO_HELP = "Preemption is not helpful for scheduling"
NO_VICTIMS = "No preemption victims found for incoming pod"
NEVER = "not eligible due to preemptionPolicy=Never."
WAITING = "not eligible due to a terminating pod on the nominated node."
_LOWEST = -(2**31)


@dataclass(frozen=True, slots=True)
class Victims:
    """The pods that must leave a node, most important first; `violations` of them break a disruption budget."""

    node: str
    pods: tuple[PodNeeds, ...]
    violations: int = 0


@dataclass(frozen=True, slots=True)
class Preemption:
    """What came of it: victims, or the sentence why there are none."""

    victims: Victims | None = None
    message: str = ""


def plan_preemption(
    needs: PodNeeds, decision: Decision, cluster: Cluster, budgets: Iterable[Obj], start: int = 0
) -> Preemption:
    """The cheapest node to free for a pod that found none. The cluster is changed while trying and left as it was."""
    if needs.pod["spec"].get("preemptionPolicy") == "Never":
        return Preemption(message=NEVER)
    if _waits(needs, decision, cluster):
        return Preemption(message=WAITING)
    names = [name for name, refusal in decision.refused.items() if not refusal.final]
    known = list(budgets)
    reasons: dict[str, Refusal] = {}
    found: list[Victims] = []
    for name in names[start % len(names) :] + names[: start % len(names)] if names else []:
        state = cluster.get(name)
        if state is None:
            continue
        tried = victims_on(needs, state, cluster, known)
        if isinstance(tried, Victims):
            found.append(tried)
            if len(found) >= CANDIDATES:
                break
        else:
            reasons[name] = tried
    if found:
        return Preemption(min(found, key=_cost))
    return Preemption(message=_why_not(decision, reasons))


def _waits(needs: PodNeeds, decision: Decision, cluster: Cluster) -> bool:
    """Whether the pod has had its victims already, and they are still on their way out."""
    name = cluster.nominated_node(needs.uid)
    state = cluster.get(name) if name else None
    refusal = decision.refused.get(name)
    if state is None or (refusal is not None and refusal.final):
        return False
    return any(cluster.is_leaving(each) and each.priority < needs.priority for each in state.pods.values())


def _why_not(decision: Decision, reasons: Mapping[str, Refusal]) -> str:
    nothing = Refusal((NO_HELP,))
    listed = [reason for name in decision.refused for reason in reasons.get(name, nothing).reasons]
    return unavailable(decision.total, listed or [NO_HELP] * decision.total)


def victims_on(needs: PodNeeds, state: NodeState, cluster: Cluster, budgets: Sequence[Obj]) -> Victims | Refusal:
    """The fewest pods that must leave one node: all that are less important go, then as many as possible come back,
    first those whose budget would be broken, then by importance."""
    lower = sorted((each for each in state.pods.values() if each.priority < needs.priority), key=_importance)
    if not lower:
        return Refusal((NO_VICTIMS,))
    for each in lower:
        cluster.take(state, each)
    away = list(lower)
    try:
        refusal = refusal_of(situation_of(needs, cluster), state, cluster)
        if refusal is not None:
            return refusal
        protected, free = _split(lower, budgets)
        gone = [each for each in (*protected, *free) if not _comes_back(needs, each, state, cluster, away)]
    finally:
        for each in away:
            cluster.put(state, each)
    inside = {each.uid for each in protected}
    return Victims(state.name, tuple(sorted(gone, key=_importance)), sum(1 for each in gone if each.uid in inside))


def _comes_back(needs: PodNeeds, each: PodNeeds, state: NodeState, cluster: Cluster, away: list[PodNeeds]) -> bool:
    cluster.put(state, each)
    away.remove(each)
    if refusal_of(situation_of(needs, cluster), state, cluster) is None:
        return True
    cluster.take(state, each)
    away.append(each)
    return False


def _importance(needs: PodNeeds) -> tuple[int, str]:
    """Most important first: the higher priority, then the longer running."""
    return (-needs.priority, _started(needs))


def _started(needs: PodNeeds) -> str:
    return str(status_of(needs.pod).get("startTime") or "9999")


def _split(pods: Iterable[PodNeeds], budgets: Sequence[Obj]) -> tuple[list[PodNeeds], list[PodNeeds]]:
    """(pods whose eviction would break a budget, the others); every pod uses up what its budgets still allow."""
    left = {id(budget): int(status_of(budget).get("disruptionsAllowed") or 0) for budget in budgets}
    protected: list[PodNeeds] = []
    free: list[PodNeeds] = []
    for needs in pods:
        broken = False
        for budget in _covering(needs, budgets):
            left[id(budget)] -= 1
            broken |= left[id(budget)] < 0
        (protected if broken else free).append(needs)
    return protected, free


def _covering(needs: PodNeeds, budgets: Iterable[Obj]) -> Iterator[Obj]:
    for budget in budgets:
        selector = label_selector_of((budget.get("spec") or {}).get("selector"))
        if namespace_of(budget) != needs.namespace or selector.empty or not selector.matches(needs.labels):
            continue
        if name_of(needs.pod) not in (status_of(budget).get("disruptedPods") or {}):
            yield budget


def _cost(victims: Victims) -> tuple[int, int, int, int, str]:
    """Least is best: broken budgets, the highest priority among the victims, the sum of their priorities, their
    number; then the node whose most important victims have run the shortest."""
    priorities = [each.priority for each in victims.pods]
    top = max(priorities, default=_LOWEST)
    earliest = min((_started(each) for each in victims.pods if each.priority == top), default="")
    total = sum(priority - _LOWEST for priority in priorities)
    return (victims.violations, top, total, len(priorities), _reversed(earliest))


def _reversed(text: str) -> str:
    """A text that sorts the other way round."""
    return "".join(chr(0x10FFFF - ord(char)) for char in text)
