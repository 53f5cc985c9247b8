from __future__ import annotations

from netsim.agent.model import Exit, Failure
from netsim.agent.status import build_status
from netsim.api.kinds import PODS
from netsim.api.schema_fit import fits

NOW = 1020.0


def condition(status, kind):
    return next(c for c in status["conditions"] if c["type"] == kind)


def test_a_running_ready_pod(pod, state, container):
    status = build_status(pod(), state(container(ready=True, started=True, image_id="x@sha")), NOW, "172.30.0.11")
    assert status["phase"] == "Running"
    assert [c["status"] for c in status["conditions"]] == ["True"] * 5
    assert status["podIP"] == "10.244.1.7" and status["podIPs"] == [{"ip": "10.244.1.7"}]
    assert status["hostIP"] == "172.30.0.11" and status["hostIPs"] == [{"ip": "172.30.0.11"}]
    (found,) = status["containerStatuses"]
    assert (
        found["containerID"] == "netsim://id-c" and found["imageID"] == "x@sha" and found["ready"] and found["started"]
    )
    assert found["state"] == {"running": {"startedAt": "1970-01-01T00:16:41Z"}} and found["lastState"] == {}


def test_a_status_is_decoded_the_short_way(pod, state, container):
    for found in (state(container(ready=True, started=True)), state(container(code=0)), state(sandbox=False)):
        status = build_status(pod(), found, NOW, "172.30.0.11")
        assert fits(PODS, {"metadata": {"name": "p"}, "status": status})


def test_a_pod_of_a_dual_stack_node_has_both_of_its_addresses(pod, state):
    status = build_status(pod(), state(), NOW, "172.30.0.11", "fd00:172:30::b")
    assert status["hostIP"] == "172.30.0.11"
    assert status["hostIPs"] == [{"ip": "172.30.0.11"}, {"ip": "fd00:172:30::b"}]


def test_before_the_sandbox(pod, state):
    status = build_status(pod(), state(sandbox=False), NOW, "h")
    assert status["phase"] == "Pending" and "podIP" not in status
    assert status["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert condition(status, "PodReadyToStartContainers")["status"] == "False"
    assert condition(status, "Ready")["reason"] == "ContainersNotReady"
    assert condition(status, "Ready")["message"] == "containers with unready status: [c]"


def test_a_lost_container_is_not_shown_as_a_crash_loop(pod, state, container):
    lost = container(code=255, backoff=10.0, backoff_at=1000.0)
    lost.exit.lost, lost.exit.reason = True, "Unknown"
    (found,) = build_status(pod(), state(lost), NOW, "h")["containerStatuses"]
    assert (found["state"]["terminated"]["exitCode"], found["state"]["terminated"]["reason"]) == (255, "Unknown")


def test_crash_loop(pod, state, container):
    crashed = container(code=3, backoff=80.0, backoff_at=1000.0, attempt=4)
    (found,) = build_status(pod(), state(crashed), NOW, "h")["containerStatuses"]
    message = "back-off 1m20s restarting failed container=c pod=web_shop(u1)"
    assert found["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
    assert found["lastState"]["terminated"]["exitCode"] == 3 and found["restartCount"] == 4


def test_ended_pod_keeps_its_address(pod, state, container):
    found = state(container(code=0))
    found.sandbox, found.ended = None, "Succeeded"
    status = build_status(pod(restartPolicy="Never"), found, NOW, "h")
    assert status["phase"] == "Succeeded" and status["podIP"] == "10.244.1.7"
    assert status["containerStatuses"][0]["state"]["terminated"]["reason"] == "Completed"
    assert condition(status, "Ready")["reason"] == "PodCompleted"


def test_pull_failure_shows_over_the_old_state(pod, state, container):
    old = container(code=143, image="tomcat", previous=Exit(1, "Error", 1.0, 2.0, "p"))
    found = state(old)
    found.failures["c"] = Failure("ImagePullBackOff", "no such image", 10.0, 1030.0, "tomcta")
    (entry,) = build_status(pod({"name": "c", "image": "tomcta"}), found, NOW, "h")["containerStatuses"]
    assert entry["state"] == {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    assert entry["lastState"]["terminated"]["exitCode"] == 143


def test_init_containers(pod, state, container):
    wanted = pod(initContainers=[{"name": "i", "image": "x"}])
    first = build_status(wanted, state(), NOW, "h")["initContainerStatuses"][0]
    assert first["state"]["waiting"]["reason"] == "PodInitializing"  # kubectl shows Init:0/1
    status = build_status(wanted, state(container("i", image="x")), NOW, "h")
    assert status["phase"] == "Pending"
    assert condition(status, "Initialized")["message"] == "containers with incomplete status: [i]"
    assert status["containerStatuses"][0]["state"]["waiting"]["reason"] == "PodInitializing"
    done = build_status(wanted, state(container("i", 0, image="x"), container(ready=True)), NOW, "h")
    assert done["initContainerStatuses"][0]["ready"] and condition(done, "Initialized")["status"] == "True"


def test_transition_times_move_only_with_the_status(pod, state, container):
    first = build_status(pod(), state(container()), NOW, "h")
    later = build_status({**pod(), "status": first}, state(container(ready=True)), NOW + 60, "h")
    assert condition(later, "Ready")["lastTransitionTime"] == "1970-01-01T00:18:00Z"
    assert condition(later, "Initialized")["lastTransitionTime"] == "1970-01-01T00:17:00Z"
    assert later["startTime"] == first["startTime"]


def test_readiness_gates_and_foreign_conditions(pod, state, container):
    foreign = {"type": "example.com/lb", "status": "False"}
    wanted = {**pod(readinessGates=[{"conditionType": "example.com/lb"}]), "status": {"conditions": [foreign]}}
    status = build_status(wanted, state(container(ready=True)), NOW, "h")
    assert condition(status, "ContainersReady")["status"] == "True"
    assert condition(status, "Ready")["reason"] == "ReadinessGatesNotReady"
    assert foreign in status["conditions"]
    foreign["status"] = "True"
    assert condition(build_status(wanted, state(container(ready=True)), NOW, "h"), "Ready")["status"] == "True"


def test_a_deleted_pod_whose_containers_have_ended_says_how(pod, state, container):
    deleted = pod()
    deleted["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    failed = build_status(deleted, state(container(code=143)), NOW, "h")
    assert failed["phase"] == "Failed"
    assert failed["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 143
    assert condition(failed, "Ready")["reason"] == "PodFailed"
    assert build_status(deleted, state(container(code=0)), NOW, "h")["phase"] == "Succeeded"
    assert build_status(deleted, state(container()), NOW, "h")["phase"] == "Running"


def test_the_status_says_which_generation_it_is_of(pod, state, container):
    wanted = pod()
    assert "observedGeneration" not in build_status(wanted, state(container()), NOW, "h")
    wanted["metadata"]["generation"] = 2
    foreign = {"type": "example.com/lb", "status": "True", "observedGeneration": 1}
    status = build_status({**wanted, "status": {"conditions": [foreign]}}, state(container()), NOW, "h")
    assert status["observedGeneration"] == 2
    assert [c["observedGeneration"] for c in status["conditions"]] == [2] * 5 + [1]
