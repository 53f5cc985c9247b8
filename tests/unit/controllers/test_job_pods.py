"""When a Job's pod counts as ended."""

from __future__ import annotations

import pytest

from netsim.api.kinds import Obj
from netsim.api.times import parse_time
from netsim.controllers.job_pods import finish_time

_READY = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:01Z"}
_DELETED = {"deletionTimestamp": "2026-01-01T00:00:35Z", "deletionGracePeriodSeconds": 30}


def _ended(name: str, second: int | None) -> Obj:
    state = {"running": {}} if second is None else {"terminated": {"finishedAt": f"2026-01-01T00:00:{second:02}Z"}}
    return {"name": name, "state": state}


@pytest.mark.parametrize(
    ("metadata", "status", "second"),
    [
        ({}, {"containerStatuses": [_ended("a", 7), _ended("b", 8)], "conditions": [_READY]}, 8),
        ({}, {"containerStatuses": [_ended("a", 7)], "initContainerStatuses": [_ended("proxy", 9)]}, 9),
        ({}, {"containerStatuses": [_ended("a", 7)], "initContainerStatuses": [_ended("first", 9)]}, 7),
        (_DELETED, {"containerStatuses": [_ended("a", 3), _ended("b", None)], "conditions": [_READY]}, 5),
        (_DELETED, {"conditions": [{**_READY, "status": "False"}]}, 1),
        ({}, {"conditions": [_READY]}, 0),
    ],
)
def test_when_a_pod_ended(metadata: Obj, status: Obj, second: int) -> None:
    init = [{"name": "first"}, {"name": "proxy", "restartPolicy": "Always"}]
    head = {"creationTimestamp": "2026-01-01T00:00:00Z", **metadata}
    pod = {"metadata": head, "spec": {"initContainers": init}, "status": status}
    now = parse_time("2026-01-01T00:10:00Z")
    assert finish_time(pod, now) == parse_time(f"2026-01-01T00:00:{second:02}Z")
