"""Small readings of a Pod object that plan, status and runtime share; all pure."""

from __future__ import annotations

from collections.abc import Iterable

from netsim.agent.model import Container, Obj, PodState
from netsim.api.times import parse_time


def uid(pod: Obj) -> str:
    return str(pod["metadata"]["uid"])


def full_name(pod: Obj) -> str:
    """NAME_NAMESPACE(UID), as kubelet names a pod in its messages."""
    meta = pod["metadata"]
    return f"{meta['name']}_{meta['namespace']}({meta['uid']})"


def init_containers(pod: Obj) -> list[Obj]:
    return list(pod["spec"].get("initContainers") or [])


def containers(pod: Obj) -> list[Obj]:
    return list(pod["spec"]["containers"])


def all_containers(pod: Obj) -> list[Obj]:
    return init_containers(pod) + containers(pod)


def ephemeral_containers(pod: Obj) -> list[Obj]:
    """Containers added to the running pod; they are never restarted and the pod's phase does not look at them."""
    return list(pod["spec"].get("ephemeralContainers") or [])


def find_container(pod: Obj, name: str) -> Obj | None:
    return next((c for c in all_containers(pod) + ephemeral_containers(pod) if c["name"] == name), None)


def field_path(pod: Obj, name: str) -> str:
    """Where a container stands in the pod, as Events say it: "spec.containers{web}"; "" when it is not there."""
    fields = ("containers", "initContainers", "ephemeralContainers")
    found = (field for field in fields if any(c["name"] == name for c in pod["spec"].get(field) or ()))
    return next((f"spec.{field}{{{name}}}" for field in found), "")


def is_ephemeral(pod: Obj, name: str) -> bool:
    return any(c["name"] == name for c in ephemeral_containers(pod))


def is_sidecar(container: Obj) -> bool:
    """An init container with restartPolicy Always (KEP-753) runs beside the others."""
    return container.get("restartPolicy") == "Always"


def restart_policy(pod: Obj) -> str:
    return str(pod["spec"].get("restartPolicy") or "Always")


def is_deleted(pod: Obj) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def host_network(pod: Obj) -> bool:
    return bool(pod["spec"].get("hostNetwork"))


def grace_seconds(pod: Obj) -> float:
    """The grace (seconds) containers get to end: the deletion's, else the spec's, else 30."""
    deletion = pod["metadata"].get("deletionGracePeriodSeconds")
    value = deletion if deletion is not None else pod["spec"].get("terminationGracePeriodSeconds", 30)
    return float(value)


def deletion_deadline(pod: Obj) -> float | None:
    """When (epoch seconds) a deleted pod's grace is over: its deletionTimestamp, which is that far in the future."""
    stamp = pod["metadata"].get("deletionTimestamp")
    return parse_time(stamp).timestamp() if stamp else None


def newest(watched: Obj | None, answer: Obj | None) -> Obj:
    """The later of two states of one object: as it is watched, and as our own last write was answered.

    The watch lags behind the answer; without the answer a status would be written twice. {} when there is neither.
    """
    known = [o for o in (watched, answer) if o]
    return max(known, key=_revision, default={})


def _revision(obj: Obj) -> int:
    text = str(obj["metadata"].get("resourceVersion") or "")
    return int(text) if text.isdigit() else 0


def is_selected(pod: Obj, services: Iterable[Obj]) -> bool:
    """Whether a Service sends its clients to the pod."""
    meta = pod["metadata"]
    labels = (meta.get("labels") or {}).items()
    return any(
        service["metadata"]["namespace"] == meta["namespace"] and selector.items() <= labels
        for service in services
        if (selector := service["spec"].get("selector"))
    )


def will_restart(spec: Obj, pod: Obj, actual: Container) -> bool:
    """Whether a container that has ended is started again, by the pod's restartPolicy or its own, or its rules."""
    if actual.exit is None or is_ephemeral(pod, spec["name"]):
        return False
    if actual.resizing:
        return True
    if any(_fits(rule.get("exitCodes") or {}, actual.exit.code) for rule in spec.get("restartPolicyRules") or ()):
        return True
    policy = str(spec.get("restartPolicy") or restart_policy(pod))
    needed = policy == "Always" and (is_sidecar(spec) or spec not in init_containers(pod))
    return needed or (policy != "Never" and actual.exit.code != 0)


def _fits(codes: Obj, code: int) -> bool:
    """Whether a restartPolicyRule, of which the one action is Restart, is about an exit code."""
    listed = code in [int(value) for value in codes.get("values") or ()]
    return listed == (codes.get("operator") == "In")


def next_init(pod: Obj, state: PodState) -> Obj | None:
    """The init container that holds up the rest, None when all are done (a sidecar is done once it has started)."""
    return next((c for c in init_containers(pod) if not init_done(c, pod, state)), None)


def init_done(container: Obj, pod: Obj, state: PodState) -> bool:
    """Whether an init container lets those after it start; a sidecar that has done so once goes on doing it."""
    actual = state.containers.get(container["name"])
    if actual is None:
        return False
    if is_sidecar(container):
        return actual.started or _passed(container, pod, state)
    return actual.exit is not None and actual.exit.code == 0


def _passed(container: Obj, pod: Obj, state: PodState) -> bool:
    """Whether a container that comes after another has been started in the pod's sandbox."""
    names = [c["name"] for c in all_containers(pod)]
    later = names[names.index(container["name"]) + 1 :]
    since = state.sandbox.created_at if state.sandbox is not None else 0.0
    return any(state.containers[name].started_at >= since for name in later if name in state.containers)
