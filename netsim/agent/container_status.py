"""ContainerStatus entries: waiting, running, terminated and their reasons. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

from netsim.agent import podspec
from netsim.agent.images.stored import full_name
from netsim.agent.model import Container, Exit, Obj, PodState

SCHEME = "netsim://"


def stamp(epoch: float) -> str:
    """Seconds since the epoch as the API writes times (RFC 3339, whole seconds, Z)."""
    return _stamp(int(epoch))


@lru_cache(256)
def _stamp(epoch: int) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def container_statuses(specs: list[Obj], pod: Obj, state: PodState) -> list[Obj]:
    """One status for each container spec."""
    return [container_status(c, pod, state) for c in specs]


def ephemeral_statuses(pod: Obj, state: PodState) -> list[Obj]:
    """One status for each ephemeral container: never ready or started, as nothing waits for them."""
    return [
        {k: v for k, v in container_status(c, pod, state).items() if k != "started"} | {"ready": False}
        for c in podspec.ephemeral_containers(pod)
    ]


def container_status(spec: Obj, pod: Obj, state: PodState) -> Obj:
    """The status of one container; containers that never ran have no containerID and an empty imageID."""
    actual = state.containers.get(spec["name"])
    status: Obj = {
        "name": spec["name"],
        "image": _resolved(actual.image) if actual else spec["image"],
        "imageID": actual.image_id if actual else "",
        "restartCount": actual.attempt if actual else 0,
        "ready": _ready(spec, pod, actual),
        "started": bool(actual and actual.running and actual.started),
        "state": _state(spec, pod, state, actual),
        "lastState": _last_state(spec, pod, state, actual),
    }
    if actual:
        status["containerID"] = SCHEME + actual.id
        if actual.resources:
            status["resources"] = actual.resources
            status |= {"allocatedResources": asked} if (asked := actual.resources.get("requests")) else {}
    return status


@lru_cache(256)
def _resolved(image: str) -> str:
    """An image's name as a container runtime reports it."""
    return full_name(image)


def _ready(spec: Obj, pod: Obj, actual: Container | None) -> bool:
    if actual is None:
        return False
    if spec in podspec.init_containers(pod) and not podspec.is_sidecar(spec):
        return actual.exit is not None and actual.exit.code == 0
    return actual.running and actual.ready


def _state(spec: Obj, pod: Obj, state: PodState, actual: Container | None) -> Obj:
    if actual is not None and actual.running:
        return {"running": {"startedAt": stamp(actual.started_at)}}
    waiting = _waiting(spec, pod, state, actual)
    if waiting:
        return {"waiting": waiting}
    assert actual is not None and actual.exit is not None
    return {"terminated": terminated(actual.exit)}


def _last_state(spec: Obj, pod: Obj, state: PodState, actual: Container | None) -> Obj:
    if actual is None:
        return {}
    if actual.exit is not None and _waiting(spec, pod, state, actual):
        return {"terminated": terminated(actual.exit)}
    return {"terminated": terminated(actual.previous)} if actual.previous else {}


def _waiting(spec: Obj, pod: Obj, state: PodState, actual: Container | None) -> Obj | None:
    failure = state.failures.get(spec["name"])
    if failure is not None and failure.image == spec["image"] and not state.ended:
        return {"reason": failure.reason} | ({"message": failure.message} if failure.message else {})
    if actual is None:
        return _first_wait(pod, state)
    if state.ended or podspec.is_deleted(pod) or actual.exit is None or not podspec.will_restart(spec, pod, actual):
        return None
    return _crash_loop(spec, pod, actual)


def creating(pod: Obj) -> str:
    """Why a container waits that has not been made yet."""
    return "PodInitializing" if podspec.init_containers(pod) else "ContainerCreating"


def _first_wait(pod: Obj, state: PodState) -> Obj:
    failure = state.failures.get("")
    reason = creating(pod)
    return {"reason": reason, "message": failure.message} if failure else {"reason": reason}


def _crash_loop(spec: Obj, pod: Obj, actual: Container) -> Obj | None:
    if actual.backoff == 0 or (actual.exit is not None and actual.exit.lost):
        return None
    seconds = _go_duration(int(actual.backoff))
    message = f"back-off {seconds} restarting failed container={spec['name']} pod={podspec.full_name(pod)}"
    return {"reason": "CrashLoopBackOff", "message": message}


def _go_duration(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def terminated(end: Exit) -> Obj:
    """ContainerStateTerminated of an attempt."""
    found: Obj = {
        "exitCode": end.code,
        "reason": end.reason,
        "startedAt": stamp(end.started_at),
        "finishedAt": stamp(end.finished_at),
        "containerID": SCHEME + end.container_id,
    }
    return {**found, "message": end.message} if end.message else found
