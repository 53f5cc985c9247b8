"""In-place resize: when a container takes other CPU and memory as it runs, and when it is restarted."""

from __future__ import annotations

from typing import Any

import pytest

from netsim.agent.plan import KillContainer, ResizeContainer, StartContainer, plan_pod
from netsim.agent.resizing import resize_message
from netsim.agent.status import build_status

OLD = {"limits": {"cpu": "1", "memory": "64Mi"}, "requests": {"cpu": "500m", "memory": "64Mi"}}
FASTER = {**OLD, "requests": {"cpu": "1", "memory": "64Mi"}}
BIGGER = {**OLD, "limits": {"cpu": "1", "memory": "128Mi"}}
POLICY = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}, {"resourceName": "cpu"}]
RESIZE, RESTART = ResizeContainer("c"), KillContainer("c", 30.0, "Container c resize requires restart")


@pytest.mark.parametrize(
    ("before", "now", "policy", "action"),
    [
        (OLD, OLD, POLICY, None),
        (None, FASTER, POLICY, None),
        (OLD, FASTER, POLICY, RESIZE),
        (OLD, BIGGER, POLICY, RESTART),
        (OLD, BIGGER, [], RESIZE),
    ],
)
def test_what_a_resize_takes(pod, state, container, before: Any, now: Any, policy: Any, action: Any):
    made = pod({"name": "c", "image": "nginx", "resources": now, "resizePolicy": policy})
    found = plan_pod(made, state(container(resources=before)), 2000.0)
    assert found.actions == ((action,) if action else ())


def test_what_was_ended_for_a_resize_starts_again_whatever_it_ended_with(pod, state, container):
    made = pod({"name": "c", "image": "nginx", "resources": BIGGER}, restartPolicy="OnFailure")
    ended = state(container(code=0, resources=OLD, resizing=True, backoff=20.0))
    assert plan_pod(made, ended, 1011.0).actions == (StartContainer("c", 1, 20.0),)
    assert build_status(made, ended, 1011.0, "h")["phase"] == "Running"


def test_the_status_tells_what_a_container_runs_with(pod, state, container):
    [told] = build_status(pod(), state(container(resources=OLD)), 2000.0, "h")["containerStatuses"]
    assert (told["resources"], told["allocatedResources"]) == (OLD, OLD["requests"])
    [told] = build_status(pod(), state(container(resources={})), 2000.0, "h")["containerStatuses"]
    assert "resources" not in told


def test_the_event_has_the_resources(pod):
    made = pod({"name": "c", "image": "nginx", "resources": OLD})
    made["metadata"]["generation"] = 2
    assert resize_message(made, "completed") == (
        'Pod resize completed: {"containers":[{"name":"c","resources":{"limits":{"cpu":"1","memory":"64Mi"},'
        '"requests":{"cpu":"500m","memory":"64Mi"}}}],"generation":2}'
    )
    assert resize_message(made, "error", "busy").endswith('"generation":2,"error":"busy"}')
