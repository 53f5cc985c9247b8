"""In-place resize: when a container takes other CPU and memory as it runs, and when it is restarted."""

from __future__ import annotations

from typing import Any

import pytest

from netsim.agent.model import RESIZE as RESIZED
from netsim.agent.model import Failure, dump_state, load_state
from netsim.agent.plan import KillContainer, Plan, ResizeContainer, StartContainer, plan_pod
from netsim.agent.resizing import amounts, asked, choose_pending, held, resize_message, wants_resize, with_actual
from netsim.agent.status import build_status
from netsim.api.pod_resources import quantities

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


NODE, USED = ({"cpu": cpu, "memory": memory} for cpu, memory in ((2000, 1 << 30), (600, 0)))
NEVER = {
    "reason": "Infeasible",
    "message": "Node didn't have enough capacity: memory, requested: 2147483648, capacity: 1073741824",
}
LATER = {
    "reason": "Deferred",
    "message": "Node didn't have enough resource: cpu, requested: 1500, used: 600, capacity: 2000",
}


@pytest.mark.parametrize(
    ("wanted", "pending"),
    [
        ({"cpu": "1400m", "memory": "512Mi"}, None),
        ({"cpu": "3", "memory": "2Gi"}, NEVER),
        ({"cpu": "1500m", "memory": "1Gi"}, LATER),
    ],
)
def test_a_resize_that_the_node_has_no_room_for_waits(pod, state, container, wanted: Any, pending: Any):
    spec = {"name": "c", "image": "nginx", "resources": {"requests": wanted}}
    resized, running = pod(spec), state(container(resources=OLD))
    assert wants_resize(resized, running)
    assert choose_pending(asked(resized), USED, NODE) == pending
    running.pending_resize = pending
    found = plan_pod(resized, running, 2000.0)
    assert found.actions == (() if pending else (RESIZE,))
    assert found.wake == (2005.0 if pending is LATER else None)
    told = [c for c in build_status(resized, running, 2000.0, "h")["conditions"] if c["type"] == "PodResizePending"]
    assert [{k: c[k] for k in ("reason", "message")} for c in told] == ([pending] if pending else [])
    # Meanwhile it has what it had, also when it crashes and is started again; nobody else has to do without the rest.
    assert with_actual(spec, running)["resources"] == (OLD if pending else spec["resources"])
    assert held(resized, running) == amounts(quantities(OLD["requests"] if pending else wanted))
    assert load_state(dump_state(running)) == running


def test_a_resize_that_failed_is_told_and_tried_again_later(pod, state, container):
    resized, running = pod({"name": "c", "image": "nginx", "resources": BIGGER}), state(container(resources=OLD))
    running.failures[RESIZED] = Failure("Error", "busy", 1.0, 2001.0)
    assert plan_pod(resized, running, 2000.0) == Plan(wake=2001.0)
    assert plan_pod(resized, running, 2001.0).actions == (RESIZE,)
    told = build_status(resized, running, 2000.0, "h")["conditions"]
    [told] = [(c["reason"], c["message"]) for c in told if c["type"] == "PodResizeInProgress"]
    assert told == ("Error", "busy")


def test_a_pending_resize_is_told_no_longer_than_it_is_one(pod, state, container):
    resized, running = pod(), state(container(resources={}))
    resized["status"] = {"conditions": [{"type": "PodResizePending", "status": "True", **NEVER}]}
    told = build_status(resized, running, 2000.0, "h")["conditions"]
    assert "PodResizePending" not in [c["type"] for c in told]
    resized["status"]["phase"] = "Failed"
    assert held(resized, None) == amounts({})


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
