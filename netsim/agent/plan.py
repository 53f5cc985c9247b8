"""What to do next for a pod: desired (API object) against actual (runtime state), in kubelet's order. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from netsim.agent import backoff, podspec
from netsim.agent.model import RESIZE, Container, Failure, Obj, PodState
from netsim.agent.resizing import DEFERRED, NEEDS_RESTART, is_resized, takes_restart


@dataclass(frozen=True, slots=True)
class CreateSandbox:
    """Make the namespaces and call CNI ADD."""


@dataclass(frozen=True, slots=True)
class StartContainer:
    name: str
    attempt: int
    backoff: float


@dataclass(frozen=True, slots=True)
class KillContainer:
    name: str
    grace: float
    why: str


@dataclass(frozen=True, slots=True)
class ResizeContainer:
    """Give a running container other CPU and memory."""

    name: str


@dataclass(frozen=True, slots=True)
class BackOffPull:
    """The failed pull has been reported as ErrImagePull; from now on it is ImagePullBackOff."""

    name: str


@dataclass(frozen=True, slots=True)
class RemoveSandbox:
    """CNI DEL, then the namespaces."""


@dataclass(frozen=True, slots=True)
class EndPod:
    """The pod has reached a phase it never leaves."""

    phase: str
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class DeletePod:
    """Everything is gone here: take the object out of the API and forget the pod."""


@dataclass(frozen=True, slots=True)
class ForgetPod:
    """The object is gone already: drop records and logs."""


PULL_ERROR_SECONDS = 1.0
DEFERRED_SECONDS = 5.0
"""How soon it is looked again whether the node has room for a resize; a kubelet does it when a pod goes, too."""
MINIMUM_GRACE = 2.0
"""Seconds a sidecar gets although the containers before it have used up the pod's grace period."""
EVICTION_GRACE = 1.0
PROBES = {"liveness probe": "livenessProbe", "startup probe": "startupProbe"}
POST_START = "FailedPostStartHook"
"""What makes a container unhealthy whose postStart hook failed; kubelet's message as it kills it."""
Action = (
    CreateSandbox
    | StartContainer
    | KillContainer
    | ResizeContainer
    | BackOffPull
    | RemoveSandbox
    | EndPod
    | DeletePod
    | ForgetPod
)


@dataclass(frozen=True, slots=True)
class Plan:
    """Actions that may run at once, and the time (epoch seconds) to plan again though nothing happens."""

    actions: tuple[Action, ...] = ()
    wake: float | None = None


def plan(desired: Mapping[str, Obj], actual: Mapping[str, PodState], now: float) -> dict[str, Plan]:
    """Plans of all pods by uid: those wanted, and those that are here but no longer wanted."""
    uids = {**dict.fromkeys(desired), **dict.fromkeys(actual)}
    return {u: plan_pod(desired.get(u), actual.get(u), now) for u in uids}


def plan_pod(pod: Obj | None, state: PodState | None, now: float) -> Plan:
    """The next actions of one pod; an empty plan means that it is as it should be until something changes."""
    if pod is None:
        return _tear_down(state, 0.0, "the pod is gone from the API", ForgetPod()) if state else Plan()
    if podspec.is_deleted(pod):
        return _tear_down(state, podspec.grace_seconds(pod), "the pod was deleted", DeletePod(), pod, now)
    if state is None:
        # A pod that ended before this agent's records began is not run again.
        ended = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
        return Plan() if ended else Plan((CreateSandbox(),))
    if state.ended:
        grace = EVICTION_GRACE if state.ended_reason == "Evicted" else podspec.grace_seconds(pod)
        return _tear_down(state, grace, "the pod has ended", None, pod, now)
    return _plan_live(pod, state, now)


def _tear_down(
    state: PodState | None,
    grace: float,
    why: str,
    last: DeletePod | ForgetPod | None,
    pod: Obj | None = None,
    now: float = 0.0,
) -> Plan:
    if state is not None and state.running:
        return Plan(tuple(KillContainer(name, left, why) for name, left in _first_to_end(state, grace, pod, now)))
    if state is not None and state.sandbox is not None:
        return Plan((RemoveSandbox(),))
    return Plan((last,)) if last else Plan()


def _first_to_end(state: PodState, grace: float, pod: Obj | None, now: float) -> list[tuple[str, float]]:
    """The containers to end now with their grace: all but the sidecars, then those one by one, the last first."""
    sidecars = [c["name"] for c in podspec.init_containers(pod) if podspec.is_sidecar(c)] if pod is not None else []
    running = [c.name for c in state.running]
    others = [name for name in running if name not in sidecars]
    if others:
        return [(name, grace) for name in others]
    deadline = podspec.deletion_deadline(pod) if pod is not None else None
    left = grace if deadline is None else max(min(grace, deadline - now), min(grace, MINIMUM_GRACE))
    return [([name for name in sidecars if name in running][-1], left)]


def _plan_live(pod: Obj, state: PodState, now: float) -> Plan:
    deadline = _deadline(pod, state)
    if deadline is not None and deadline <= now:
        return Plan(
            (EndPod("Failed", "DeadlineExceeded", "Pod was active on the node longer than the specified deadline"),)
        )
    ended = _ended_phase(pod, state)
    if ended:
        return Plan((EndPod(ended),))
    found = _plan_sandbox(state, now) if state.sandbox is None else _plan_containers(pod, state, now)
    wakes = [t for t in (found.wake, deadline) if t is not None]
    return Plan(found.actions, min(wakes, default=None))


def _deadline(pod: Obj, state: PodState) -> float | None:
    seconds = pod["spec"].get("activeDeadlineSeconds")
    return None if seconds is None else state.created_at + float(seconds)


def _plan_sandbox(state: PodState, now: float) -> Plan:
    failure = state.failures.get("")
    if failure and failure.retry_at > now:
        return Plan(wake=failure.retry_at)
    return Plan((CreateSandbox(),))


def _plan_containers(pod: Obj, state: PodState, now: float) -> Plan:
    steps = [_plan_container(c, pod, state, now) for c in _due(pod, state)]
    steps += [_plan_ephemeral(c, state, now) for c in podspec.ephemeral_containers(pod)]
    actions = tuple(a for step in steps for a in step.actions)
    return Plan(actions, min((s.wake for s in steps if s.wake is not None), default=None))


def _plan_ephemeral(spec: Obj, state: PodState, now: float) -> Plan:
    """Started once, whatever becomes of it."""
    if spec["name"] in state.containers:
        return Plan()
    failure = state.failures.get(spec["name"])
    if failure is not None and failure.retry_at > now:
        return _plan_failed(spec["name"], failure, now)
    return Plan((StartContainer(spec["name"], 0, 0.0),))


def _due(pod: Obj, state: PodState) -> list[Obj]:
    """Containers that should be looked at now: started sidecars, and the pending init container or else all others."""
    pending = podspec.next_init(pod, state)
    sidecars = [c for c in podspec.init_containers(pod) if podspec.is_sidecar(c) and podspec.init_done(c, pod, state)]
    return sidecars + ([pending] if pending is not None else podspec.containers(pod))


def _plan_container(spec: Obj, pod: Obj, state: PodState, now: float) -> Plan:
    actual, failure = state.containers.get(spec["name"]), state.failures.get(spec["name"])
    if actual is not None and actual.running:
        return _plan_running(spec, actual, pod) or _plan_resize(spec, actual, pod, state, now)
    if failure is not None and failure.image == spec["image"] and failure.retry_at > now:
        return _plan_failed(spec["name"], failure, now)
    if actual is None:
        return Plan((StartContainer(spec["name"], 0, 0.0),))
    return _plan_restart(spec, actual, pod, now)


def _plan_failed(name: str, failure: Failure, now: float) -> Plan:
    if failure.reason != "ErrImagePull":
        return Plan(wake=failure.retry_at)
    at = failure.at + PULL_ERROR_SECONDS
    return Plan((BackOffPull(name),)) if at <= now else Plan(wake=at)


def _plan_running(spec: Obj, actual: Container, pod: Obj) -> Plan | None:
    """What is wrong with a running container, None if nothing."""
    grace = float(pod["spec"].get("terminationGracePeriodSeconds", 30))
    if actual.image != spec["image"]:
        why = f"Container {actual.name} definition changed, will be restarted"
        return Plan((KillContainer(actual.name, grace, why),))
    if actual.unhealthy:
        why = f"Container {actual.name} failed {actual.unhealthy}, will be restarted"
        own = (spec.get(PROBES.get(actual.unhealthy, "")) or {}).get("terminationGracePeriodSeconds")
        left = grace if own is None else float(own)
        return Plan((KillContainer(actual.name, left, POST_START if actual.unhealthy == POST_START else why),))
    return None


def _plan_resize(spec: Obj, actual: Container, pod: Obj, state: PodState, now: float) -> Plan:
    if not is_resized(spec, actual):
        return Plan()
    if state.pending_resize is not None:
        return Plan(wake=now + DEFERRED_SECONDS if state.pending_resize["reason"] == DEFERRED else None)
    if not takes_restart(spec, actual):
        failure = state.failures.get(RESIZE)
        if failure is not None and failure.retry_at > now:
            return Plan(wake=failure.retry_at)
        return Plan((ResizeContainer(actual.name),))
    grace = float(pod["spec"].get("terminationGracePeriodSeconds", 30))
    return Plan((KillContainer(actual.name, grace, f"Container {actual.name} {NEEDS_RESTART}"),))


def _plan_restart(spec: Obj, actual: Container, pod: Obj, now: float) -> Plan:
    replaced = actual.image != spec["image"] or actual.resizing
    if not replaced and not podspec.will_restart(spec, pod, actual):
        return Plan()
    at = 0.0 if replaced else backoff.restart_at(actual)
    if at > now:
        return Plan(wake=at)
    following = actual.backoff if replaced else backoff.next_backoff(actual)
    return Plan((StartContainer(spec["name"], actual.attempt + 1, following),))


def _ended_phase(pod: Obj, state: PodState) -> str:
    """Succeeded or Failed once no container will ever start again, else ""."""
    if _init_failed(pod, state):
        return "Failed"
    mains = [(c, state.containers.get(c["name"])) for c in podspec.containers(pod)]
    done = [a for c, a in mains if a is not None and a.exit is not None and _stays_down(c, a, pod)]
    if len(done) < len(mains):
        return ""
    return "Succeeded" if all(a.exit is not None and a.exit.code == 0 for a in done) else "Failed"


def _stays_down(spec: Obj, actual: Container, pod: Obj) -> bool:
    return actual.image == spec["image"] and not podspec.will_restart(spec, pod, actual)


def _init_failed(pod: Obj, state: PodState) -> bool:
    if podspec.restart_policy(pod) != "Never":
        return False
    found = (state.containers.get(c["name"]) for c in podspec.init_containers(pod) if not podspec.is_sidecar(c))
    return any(a is not None and a.exit is not None and a.exit.code != 0 for a in found)
