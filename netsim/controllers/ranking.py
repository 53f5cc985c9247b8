"""Which pods of a ReplicaSet are deleted first (the criteria of Kubernetes' ActivePodsWithRanks, in their order)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from netsim.api.kinds import Obj
from netsim.api.objects import annotations_of, dig, is_pod_ready, pod_phase, uid_of
from netsim.api.times import seconds_between
from netsim.controllers.pods import ready_seconds

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_PHASES = {"Pending": 0, "Unknown": 1}
_RUNNING = 2

SortKey = tuple[bool, int, bool, int, int, int, int, int, str]


def choose_victims(pods: Sequence[Obj], related: Iterable[Obj], count: int, now: datetime) -> list[Obj]:
    """The `count` pods of `pods` to delete. `related` are the active pods of the same owner, also of its other
    ReplicaSets: of two pods the one with more of them on its node goes first."""
    if count >= len(pods):
        return list(pods)
    crowd = Counter(node_of(pod) for pod in related)
    return sorted(pods, key=lambda pod: deletion_key(pod, crowd[node_of(pod)], now))[:count]


def deletion_key(pod: Obj, crowd: int, now: datetime) -> SortKey:
    """Sorts pods to delete first to the front: unassigned, not running, not ready, cheap, crowded, ready for a
    shorter time, restarted more often, younger. Times count by powers of two, so that among pods of about the same
    age the uid, which is random, decides."""
    return (
        bool(node_of(pod)),
        _PHASES.get(pod_phase(pod), _RUNNING),
        is_pod_ready(pod),
        deletion_cost(pod),
        -crowd,
        _magnitude(ready_seconds(pod, now)),
        -_restarts(pod),
        _magnitude(_age(pod, now)),
        uid_of(pod),
    )


def node_of(pod: Obj) -> str:
    """The node it is bound to, "" before that."""
    return str(dig(pod, "spec", "nodeName") or "")


def deletion_cost(pod: Obj) -> int:
    """The pod-deletion-cost annotation, 0 where it is missing or no number."""
    text = annotations_of(pod).get(DELETION_COST, "0")
    return int(text) if text.lstrip("-").isdigit() else 0


def _restarts(pod: Obj) -> int:
    statuses = dig(pod, "status", "containerStatuses") or []
    return max((int(status.get("restartCount", 0)) for status in statuses), default=0)


def _age(pod: Obj, now: datetime) -> float:
    created = dig(pod, "metadata", "creationTimestamp")
    return seconds_between(created, now) if created else 0.0


def _magnitude(seconds: float) -> int:
    return int(math.log2(seconds)) if seconds >= 1 else 0
