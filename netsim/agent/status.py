"""PodStatus from a pod's runtime state, in kubelet's words. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from netsim.agent import podspec
from netsim.agent.container_status import container_statuses, ephemeral_statuses, stamp
from netsim.agent.model import RESIZE, Container, Obj, PodState
from netsim.api.objects import observed
from netsim.api.pod_defaults import qos_class

PENDING_RESIZE, FAILED_RESIZE = "PodResizePending", "PodResizeInProgress"
OWN_CONDITIONS = (
    *("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"),
    *(PENDING_RESIZE, FAILED_RESIZE),
)


def build_status(pod: Obj, state: PodState, now: float, *host_ips: str) -> Obj:
    """The whole PodStatus; conditions keep their lastTransitionTime from `pod` where their status did not change.

    `host_ips` are the node's addresses, one of each family.
    """
    old = pod.get("status") or {}
    # What is null the API server writes itself: to say so is work for both.
    own = [_without_nulls(observed(condition, pod)) for condition in conditions(pod, state)]
    status: Obj = {
        "phase": pod_phase(pod, state),
        "conditions": merge_conditions(old.get("conditions") or [], own, stamp(now)),
        "hostIP": host_ips[0],
        "hostIPs": [{"ip": ip} for ip in host_ips],
        "startTime": old.get("startTime") or stamp(state.created_at),
        "qosClass": old.get("qosClass") or qos_class(pod["spec"]),
    }
    if state.containers or not state.ended:  # a pod that was refused has none
        status["containerStatuses"] = container_statuses(podspec.containers(pod), pod, state)
    if generation := pod["metadata"].get("generation"):
        status["observedGeneration"] = generation
    if state.ips:
        status |= {"podIP": state.ips[0], "podIPs": [{"ip": ip} for ip in state.ips]}
    if podspec.init_containers(pod):
        status["initContainerStatuses"] = container_statuses(podspec.init_containers(pod), pod, state)
    if podspec.ephemeral_containers(pod):
        status["ephemeralContainerStatuses"] = ephemeral_statuses(pod, state)
    if state.ended_reason:
        status |= {"reason": state.ended_reason, "message": state.ended_message}
    return status


def _without_nulls(condition: Obj) -> Obj:
    return {key: value for key, value in condition.items() if value is not None}


def pod_phase(pod: Obj, state: PodState) -> str:
    """Pending until every init container is done and every container has run once; then Running until the pod ends."""
    if ended := end_phase(pod, state):
        return ended
    if podspec.next_init(pod, state) is not None:
        return "Pending"
    return "Running" if all(c["name"] in state.containers for c in podspec.containers(pod)) else "Pending"


def end_phase(pod: Obj, state: PodState) -> str:
    """Succeeded or Failed for a pod whose containers have all ended, be it for good or as it was deleted; else "".

    That a pod has come to its end is not told while a sidecar still runs, but that its node ended it is told at once.
    """
    if state.running and not state.ended_reason:
        return ""
    if state.ended or not podspec.is_deleted(pod) or not state.containers:
        return state.ended
    own = [c for c in state.containers.values() if not podspec.is_ephemeral(pod, c.name)]
    codes = [c.exit.code for c in own if c.exit is not None]
    return "Succeeded" if not any(codes) else "Failed"


def conditions(pod: Obj, state: PodState) -> list[Obj]:
    """The five conditions a kubelet owns, without transition times, and what it says of a pod that it evicts or that
    cannot be resized."""
    unready = unready_containers(pod, state)
    containers_ready = _ready_condition("ContainersReady", unready, end_phase(pod, state))
    ready = dict(containers_ready, type="Ready")
    gates = _open_gates(pod)
    if containers_ready["status"] == "True" and gates:
        message = "; ".join(
            f'corresponding condition of pod readiness gate "{g}" does not exist or is not "True".' for g in gates
        )
        ready = {"type": "Ready", "status": "False", "reason": "ReadinessGatesNotReady", "message": message}
    return [
        {"type": "PodReadyToStartContainers", "status": _bool(state.sandbox is not None)},
        _initialized(pod, state),
        ready,
        containers_ready,
        {"type": "PodScheduled", "status": "True"},
        *([_disrupted(state)] if state.ended_reason == "Evicted" else []),
        *_of_resize(state),
    ]


def _of_resize(state: PodState) -> Iterator[Obj]:
    """What a resize waits for, or why it has failed so far (KEP-1287); one that goes well is over too soon to tell."""
    if state.pending_resize is not None:
        yield {"type": PENDING_RESIZE, "status": "True", **state.pending_resize}
    if failure := state.failures.get(RESIZE):
        yield {"type": FAILED_RESIZE, "status": "True", "reason": failure.reason, "message": failure.message}


def _disrupted(state: PodState) -> Obj:
    """The pod ended because the node could not keep it (KEP-3329)."""
    told = {"reason": "TerminationByKubelet", "message": state.ended_message}
    return {"type": "DisruptionTarget", "status": "True", **told}


def _bool(value: bool) -> str:
    return "True" if value else "False"


def _initialized(pod: Obj, state: PodState) -> Obj:
    waiting = [c["name"] for c in podspec.init_containers(pod) if not podspec.init_done(c, pod, state)]
    if state.ended == "Succeeded" or not waiting:
        completed = {"reason": "PodCompleted"} if state.ended == "Succeeded" else {}
        return {"type": "Initialized", "status": "True", **completed}
    message = f"containers with incomplete status: [{' '.join(waiting)}]"
    return {"type": "Initialized", "status": "False", "reason": "ContainersNotInitialized", "message": message}


def _ready_condition(kind: str, unready: list[str], ended: str) -> Obj:
    if ended:
        reason = "PodCompleted" if ended == "Succeeded" else "PodFailed"
        return {"type": kind, "status": "False", "reason": reason}
    if not unready:
        return {"type": kind, "status": "True"}
    message = f"containers with unready status: [{' '.join(unready)}]"
    return {"type": kind, "status": "False", "reason": "ContainersNotReady", "message": message}


def unready_containers(pod: Obj, state: PodState) -> list[str]:
    """Names of the containers (and sidecars) that hold the pod back from being Ready."""
    names = [c["name"] for c in podspec.init_containers(pod) if podspec.is_sidecar(c)]
    names += [c["name"] for c in podspec.containers(pod)]
    return [n for n in names if not is_ready(state.containers.get(n))]


def is_ready(container: Container | None) -> bool:
    return container is not None and container.running and container.ready


def _open_gates(pod: Obj) -> list[str]:
    have = {c["type"]: c["status"] for c in (pod.get("status") or {}).get("conditions") or []}
    gates = [g["conditionType"] for g in pod["spec"].get("readinessGates") or []]
    return [g for g in gates if have.get(g) != "True"]


def merge_conditions(old: list[Obj], new: list[Obj], now: str) -> list[Obj]:
    """New conditions with the transition times of unchanged old ones, plus the old ones that are not ours."""
    before = {c["type"]: c for c in old}
    merged = []
    for condition in new:
        prior = before.get(condition["type"])
        same = prior is not None and prior["status"] == condition["status"]
        since = prior.get("lastTransitionTime") if same and prior is not None else None
        merged.append({**condition, "lastTransitionTime": since or now})
    own = {*OWN_CONDITIONS, *(c["type"] for c in new)}
    return merged + [c for c in old if c["type"] not in own]
