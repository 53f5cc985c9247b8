"""PodDisruptionBudgets: which pods they cover, and the condition that says whether a disruption is allowed. Shared by
the eviction subresource and the disruption controller."""

from __future__ import annotations

from netsim.api.kinds import Obj
from netsim.api.objects import labels_of, namespace_of, set_condition, spec_of
from netsim.api.selectors import SelectorError, label_selector_of

ALLOWED = "DisruptionAllowed"
DELETION_TIMEOUT = 120.0
"""Seconds for which an evicted pod counts as gone although it is still there."""


def covers(budget: Obj, pod: Obj) -> bool:
    """Whether the budget's selector matches the pod. No selector matches nothing, an empty one every pod of the
    namespace (policy/v1)."""
    try:
        selector = label_selector_of(spec_of(budget).get("selector"))
    except SelectorError:
        return False
    return namespace_of(budget) == namespace_of(pod) and selector.matches(labels_of(pod))


def with_allowed_condition(status: Obj, now: str) -> Obj:
    """The status with DisruptionAllowed as its disruptionsAllowed says; `now` is RFC 3339."""
    allowed = int(status.get("disruptionsAllowed") or 0) > 0
    new = {"type": ALLOWED, "status": "True" if allowed else "False", "message": ""}
    new |= {"reason": "SufficientPods" if allowed else "InsufficientPods"}
    new |= {"observedGeneration": status.get("observedGeneration", 0)}
    return {**status, "conditions": set_condition(status.get("conditions") or [], new, now)}
