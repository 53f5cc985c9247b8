"""What controllers ask of a pod."""

from __future__ import annotations

from datetime import datetime

from netsim.api.kinds import Obj
from netsim.api.objects import condition, deletion_timestamp, is_pod_ready, pod_phase
from netsim.api.times import seconds_between

FINISHED = frozenset(("Succeeded", "Failed"))


def is_finished(pod: Obj) -> bool:
    """Whether all its containers have ended for good."""
    return pod_phase(pod) in FINISHED


def is_active(pod: Obj) -> bool:
    """Whether the pod counts as a replica: neither finished nor being deleted."""
    return not is_finished(pod) and deletion_timestamp(pod) is None


def is_leaving(pod: Obj) -> bool:
    """Whether the pod is being deleted and has not ended yet."""
    return deletion_timestamp(pod) is not None and not is_finished(pod)


def ready_seconds(pod: Obj, now: datetime) -> float:
    """For how long the pod has been ready; 0 if it is not."""
    ready = condition(pod, "Ready")
    if ready is None or ready.get("status") != "True":
        return 0.0
    since = ready.get("lastTransitionTime")
    return max(seconds_between(since, now), 0.0) if since else 0.0


def is_available(pod: Obj, min_ready_seconds: int, now: datetime) -> bool:
    """Whether the pod has been ready for `min_ready_seconds`."""
    if not is_pod_ready(pod):
        return False
    return min_ready_seconds == 0 or ready_seconds(pod, now) >= min_ready_seconds
