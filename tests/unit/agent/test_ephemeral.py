"""Ephemeral containers: started once, never restarted, and of no weight for the pod."""

from __future__ import annotations

from typing import Any

from netsim.agent.plan import StartContainer, plan_pod
from netsim.agent.runtime.spec import ProcessSpec, oci_config
from netsim.agent.status import build_status

DEBUG = {"name": "debug", "image": "busybox", "targetContainerName": "c"}


def status_of(pod: Any, state: Any) -> dict[str, Any]:
    return build_status(pod, state, 2000.0, "172.30.0.11")


def test_it_is_started_once_even_while_init_containers_hold_up_the_rest(pod: Any, state: Any, container: Any) -> None:
    waiting = pod(ephemeralContainers=[DEBUG], initContainers=[{"name": "i", "image": "x"}])
    found = plan_pod(waiting, state(container("i", image="x")), 2000.0)
    assert found.actions == (StartContainer("debug", 0, 0.0),)
    for code in (None, 0, 1):
        found = plan_pod(pod(ephemeralContainers=[DEBUG]), state(container(), container("debug", code)), 2000.0)
        assert found.actions == ()


def test_its_end_does_not_change_the_pods_phase(pod: Any, state: Any, container: Any) -> None:
    debugged = pod(ephemeralContainers=[DEBUG])
    running = state(container(ready=True, started=True), container("debug", 1))
    status = status_of(debugged, running)
    assert status["phase"] == "Running"
    assert next(c for c in status["conditions"] if c["type"] == "Ready")["status"] == "True"
    (shown,) = status["ephemeralContainerStatuses"]
    assert (shown["ready"], shown["restartCount"]) == (False, 0)
    assert shown["state"]["terminated"]["exitCode"] == 1
    debugged["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    ended = state(container(code=0), container("debug", 137))
    assert status_of(debugged, ended)["phase"] == "Succeeded"


def test_pods_without_any_have_no_such_status(pod: Any, state: Any, container: Any) -> None:
    assert "ephemeralContainerStatuses" not in status_of(pod(), state(container()))


def test_the_targets_process_namespace_is_joined() -> None:
    spec = ProcessSpec(["sh"], {}, "/root", "web", "cg", netns="/ns", pid="/proc/7/ns/pid")
    kinds = {n["type"]: n.get("path") for n in oci_config(spec)["linux"]["namespaces"]}
    assert kinds == {"pid": "/proc/7/ns/pid", "mount": None, "network": "/ns"}
