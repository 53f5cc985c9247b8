"""The pods of a Job: how they are made, which have ended and when, and which index they work on."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta

from netsim.api.kinds import JOBS, PODS, Obj
from netsim.api.objects import (
    annotations_of,
    condition,
    deletion_timestamp,
    dig,
    metadata,
    name_of,
    pod_phase,
    status_of,
)
from netsim.api.times import parse_time
from netsim.controllers.new_pod import pod_of
from netsim.controllers.view import JOB_FINALIZER as FINALIZER
from netsim.controllers.writes import Patch, patch_of

INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED_FAILURES = "batch.kubernetes.io/job-index-ignored-failure-count"
_INDEX_VARIABLE = "JOB_COMPLETION_INDEX"
_PREFIX = 58
"""Characters of a generateName that are kept: the index must be among them."""
_NUMBER = re.compile(r"[0-9]{1,10}")


def job_pod(job: Obj, index: int | None = None, failures: tuple[int, int] | None = None) -> Obj:
    """A pod of the Job, for one index of an Indexed one. `failures` are those of the index so far: counted, ignored."""
    pod = pod_of(JOBS, job, job["spec"]["template"])
    head = pod["metadata"]
    head["finalizers"] = [*(head.get("finalizers") or []), FINALIZER]
    if index is None:
        return pod
    head["generateName"] = f"{name_of(job)[: _PREFIX - len(str(index)) - 2]}-{index}-"
    head["labels"][INDEX] = str(index)
    head["annotations"] = {**(head.get("annotations") or {}), INDEX: str(index)}
    if failures is not None:
        head["annotations"][FAILURES] = str(failures[0])
        if failures[1]:
            head["annotations"][IGNORED_FAILURES] = str(failures[1])
    pod["spec"] = {**pod["spec"], "hostname": f"{name_of(job)}-{index}", **_with_variable(pod["spec"])}
    return pod


def _with_variable(spec: Obj) -> Obj:
    """The container lists, each container with JOB_COMPLETION_INDEX unless it sets that itself."""
    source = {"fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.labels['{INDEX}']"}}
    variable = {"name": _INDEX_VARIABLE, "valueFrom": source}

    def extended(container: Obj) -> Obj:
        given = container.get("env") or []
        taken = any(each.get("name") == _INDEX_VARIABLE for each in given)
        return container if taken else {**container, "env": [*given, variable]}

    groups = (group for group in ("initContainers", "containers") if spec.get(group))
    return {group: [extended(container) for container in spec[group]] for group in groups}


def is_indexed(job: Obj) -> bool:
    """Whether every completion has its index."""
    return bool(job["spec"].get("completionMode") == "Indexed")


def index_of(pod: Obj) -> int | None:
    """The index a pod works on."""
    text = annotations_of(pod).get(INDEX, "")
    return int(text) if _NUMBER.fullmatch(text) else None


def failures_of(pod: Obj) -> tuple[int, int]:
    """How often its index had failed before this pod: counted, ignored."""
    annotations = annotations_of(pod)
    texts = (annotations.get(FAILURES, ""), annotations.get(IGNORED_FAILURES, ""))
    counted, ignored = (int(text) if _NUMBER.fullmatch(text) else 0 for text in texts)
    return counted, ignored


def is_tracked(pod: Obj) -> bool:
    """Whether the pod's end has not been counted yet."""
    return FINALIZER in (metadata(pod).get("finalizers") or ())


def untrack(pod: Obj) -> Patch:
    """Let go of a pod."""
    rest = [finalizer for finalizer in metadata(pod).get("finalizers") or () if finalizer != FINALIZER]
    return patch_of(PODS, pod, {"metadata": {"finalizers": rest or None}}, locked=True)


def replaces_failed_only(job: Obj) -> bool:
    """Whether a pod being deleted is replaced (and counted) only when it has really ended: podReplacementPolicy."""
    spec = job["spec"]
    given = spec.get("podReplacementPolicy") or ("Failed" if spec.get("podFailurePolicy") else "")
    return bool(given == "Failed")


def has_succeeded(pod: Obj) -> bool:
    return pod_phase(pod) == "Succeeded"


def has_failed(job: Obj, pod: Obj) -> bool:
    """Whether the pod counts as failed: so does one being deleted, unless the Job waits for its end."""
    if pod_phase(pod) == "Failed":
        return True
    return not replaces_failed_only(job) and deletion_timestamp(pod) is not None and not has_succeeded(pod)


def finish_time(pod: Obj, now: datetime) -> datetime:
    """When its last container ended, sidecars too; while one has not, when it stopped being ready, was deleted, or was
    created."""
    text = _last_end(pod) or _unready_since(pod)
    if text:
        return min(parse_time(text), now)
    if deleted := deletion_timestamp(pod):
        grace = timedelta(seconds=metadata(pod).get("deletionGracePeriodSeconds") or 0)
        return min(parse_time(deleted) - grace, now)
    created = metadata(pod).get("creationTimestamp")
    return min(parse_time(created), now) if created else now


def _last_end(pod: Obj) -> str:
    """When the last container ended, or "" if one has not."""
    status, specs = status_of(pod), pod["spec"].get("initContainers") or ()
    sidecars = {container["name"] for container in specs if container.get("restartPolicy") == "Always"}
    states = [*(status.get("containerStatuses") or ())]
    states += [state for state in status.get("initContainerStatuses") or () if state["name"] in sidecars]
    ends = [str(dig(state, "state", "terminated", "finishedAt") or "") for state in states]
    return max(ends, default="") if all(ends) else ""


def _unready_since(pod: Obj) -> str:
    ready = condition(pod, "Ready") or {}
    return str(ready.get("lastTransitionTime") or "") if ready.get("status") == "False" else ""


def restarts(pods: Iterable[Obj]) -> int:
    """The container restarts of pods that have not ended."""
    return sum(
        int(status.get("restartCount") or 0)
        for pod in pods
        if pod_phase(pod) in ("Pending", "Running")
        for group in ("initContainerStatuses", "containerStatuses")
        for status in status_of(pod).get(group) or ()
    )
