"""When the change happened that new endpoints answer to: what their propagation delay is measured from."""

from __future__ import annotations

from collections.abc import Iterable

from netsim.api.kinds import Obj
from netsim.api.objects import condition, metadata
from netsim.api.times import parse_time

LAST_CHANGE = "endpoints.kubernetes.io/last-change-trigger-time"


def trigger_time(pods: Iterable[Obj], service: Obj | None) -> str:
    """The earliest of the pods' last readiness changes and the Service's creation, "" if there is none. `pods` are
    those whose endpoints are new or changed, `service` is None unless its endpoints are made for the first time."""
    found = [str((condition(pod, "Ready") or {}).get("lastTransitionTime") or "") for pod in pods]
    found += [str(metadata(service).get("creationTimestamp") or "")] if service is not None else []
    return min({text for text in found if text}, key=parse_time, default="")  # of a thousand pods few differ


def with_trigger_time(annotations: dict[str, str], when: str) -> dict[str, str]:
    """The annotations with that trigger time, or without any when there is none."""
    rest = {key: value for key, value in annotations.items() if key != LAST_CHANGE}
    return rest | ({LAST_CHANGE: when} if when else {})
