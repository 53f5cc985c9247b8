from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netsim.agent import backoff
from netsim.agent.model import Container, Exit, Failure, dump_state, load_state
from netsim.agent.plan import (
    BackOffPull,
    CreateSandbox,
    DeletePod,
    EndPod,
    ForgetPod,
    KillContainer,
    Plan,
    RemoveSandbox,
    StartContainer,
    plan,
    plan_pod,
)

NOW = 1020.0


def test_a_new_pod_gets_a_sandbox_then_its_containers(pod, state):
    wanted = pod({"name": "a", "image": "x"}, {"name": "b", "image": "y"})
    assert plan_pod(wanted, None, NOW) == Plan((CreateSandbox(),))
    assert plan_pod(wanted, state(), NOW) == Plan((StartContainer("a", 0, 0.0), StartContainer("b", 0, 0.0)))


def test_a_running_pod_is_left_alone(pod, state, container):
    assert plan_pod(pod(), state(container()), NOW) == Plan()


def test_a_pod_that_ended_before_our_records_is_not_run_again(pod):
    assert plan_pod({**pod(), "status": {"phase": "Succeeded"}}, None, NOW) == Plan()


def test_image_change_replaces_only_that_container(pod, state, container):
    wanted = pod({"name": "a", "image": "tomcat:8.5.5"}, {"name": "b", "image": "mysql"})
    running = state(container("a", image="tomcat"), container("b", image="mysql"))
    (kill,) = plan_pod(wanted, running, NOW).actions
    assert isinstance(kill, KillContainer) and kill.name == "a"
    running.containers["a"] = container("a", 143, image="tomcat", end=NOW)
    assert plan_pod(wanted, running, NOW) == Plan((StartContainer("a", 1, 0.0),))


def test_image_change_replaces_also_where_nothing_restarts(pod, state, container):
    wanted = pod({"name": "c", "image": "tomcat:9"}, restartPolicy="Never")
    assert plan_pod(wanted, state(container(code=143, image="tomcat")), NOW) == Plan((StartContainer("c", 1, 0.0),))


@pytest.mark.parametrize(
    ("policy", "code", "expected"),
    [
        ("Always", 0, StartContainer("c", 1, 10.0)),
        ("Always", 1, StartContainer("c", 1, 10.0)),
        ("OnFailure", 1, StartContainer("c", 1, 10.0)),
        ("OnFailure", 0, EndPod("Succeeded")),
        ("Never", 0, EndPod("Succeeded")),
        ("Never", 1, EndPod("Failed")),
    ],
)
def test_restart_policy(pod, state, container, policy, code, expected):
    assert plan_pod(pod(restartPolicy=policy), state(container(code=code)), NOW).actions == (expected,)


def test_crash_back_off_doubles_to_five_minutes_and_is_forgotten(container):
    found, delays = container(code=1), []
    for _ in range(7):
        following = backoff.next_backoff(found)
        delays.append(following)
        started = found.exit.finished_at
        found = Container("c", "i", "nginx", 0, "workload", started, backoff=following, backoff_at=started)
        found.exit = Exit(1, "Error", started, started + 1, "i")
    assert delays == [10, 20, 40, 80, 160, 300, 300]
    assert backoff.restart_at(found) == found.exit.finished_at + 300
    found.exit.finished_at = found.backoff_at + 601
    assert backoff.restart_at(found) == 0 and backoff.next_backoff(found) == 10


def test_a_container_in_back_off_waits(pod, state, container):
    crashed = container(code=1, end=1015.0, backoff=10.0, backoff_at=1001.0)
    assert plan_pod(pod(), state(crashed), NOW) == Plan(wake=1025.0)
    assert plan_pod(pod(), state(crashed), 1025.0).actions == (StartContainer("c", 1, 20.0),)


def test_init_containers_run_in_order(pod, state, container):
    wanted = pod(initContainers=[{"name": "i1", "image": "busybox"}, {"name": "i2", "image": "busybox"}])
    assert plan_pod(wanted, state(), NOW).actions == (StartContainer("i1", 0, 0.0),)
    assert plan_pod(wanted, state(container("i1", image="busybox")), NOW) == Plan()
    one = container("i1", 0, image="busybox")
    assert plan_pod(wanted, state(one), NOW).actions == (StartContainer("i2", 0, 0.0),)
    two = container("i2", 0, image="busybox")
    assert plan_pod(wanted, state(one, two), NOW).actions == (StartContainer("c", 0, 0.0),)


def test_a_failed_init_container_ends_a_pod_that_never_restarts(pod, state, container):
    init = [{"name": "i", "image": "busybox"}]
    failed = container("i", 1, image="busybox")
    assert plan_pod(pod(initContainers=init, restartPolicy="Never"), state(failed), NOW).actions == (EndPod("Failed"),)
    assert plan_pod(pod(initContainers=init), state(failed), NOW).actions == (StartContainer("i", 1, 10.0),)


def test_a_sidecar_that_never_started_holds_the_others_back(pod, state, container):
    """However often its startup probe had it restarted; and again after the sandbox was made anew."""
    made = pod(initContainers=[{"name": "s", "image": "x", "restartPolicy": "Always"}])
    crashing = container("s", code=137, image="x", attempt=3)
    assert plan_pod(made, state(crashing), NOW).actions == (StartContainer("s", 4, backoff.FIRST),)
    assert plan_pod(made, state(container("s", image="x", attempt=3)), NOW) == Plan()
    waiting = container("s", image="x", attempt=3)
    assert plan_pod(made, state(waiting, container(code=0)), NOW).actions == (StartContainer("c", 1, backoff.FIRST),)
    anew = state(waiting, container(code=0))
    anew.sandbox.created_at = NOW
    assert plan_pod(made, anew, NOW) == Plan()


def test_a_sidecar_starts_first_and_is_restarted(pod, state, container):
    wanted = pod(initContainers=[{"name": "s", "image": "x", "restartPolicy": "Always"}])
    assert plan_pod(wanted, state(), NOW).actions == (StartContainer("s", 0, 0.0),)
    assert plan_pod(wanted, state(container("s", image="x", started=True)), NOW).actions == (
        StartContainer("c", 0, 0.0),
    )
    died = container("s", 0, image="x", attempt=1)
    assert plan_pod(wanted, state(died, container()), NOW).actions == (StartContainer("s", 2, 10.0),)


def test_deletion_kills_then_removes_then_deletes(pod, state, container):
    wanted = pod()
    wanted["metadata"] |= {"deletionTimestamp": "t", "deletionGracePeriodSeconds": 7}
    assert plan_pod(wanted, state(container()), NOW).actions == (KillContainer("c", 7.0, "the pod was deleted"),)
    assert plan_pod(wanted, state(container(code=0)), NOW).actions == (RemoveSandbox(),)
    assert plan_pod(wanted, state(container(code=0), sandbox=False), NOW).actions == (DeletePod(),)
    assert plan_pod(wanted, None, NOW).actions == (DeletePod(),)


def test_an_orphan_goes_at_once(state, container):
    (kill,) = plan_pod(None, state(container()), NOW).actions
    assert isinstance(kill, KillContainer) and kill.grace == 0
    assert plan_pod(None, state(sandbox=False), NOW).actions == (ForgetPod(),)


def test_a_lost_container_starts_again_at_once_and_counts_as_no_crash(pod, state, container):
    lost = container(code=255, end=NOW, backoff=10.0, backoff_at=NOW - 1)
    lost.exit.lost = True
    assert plan_pod(pod(), state(lost), NOW).actions == (StartContainer("c", 1, 10.0),)
    assert plan_pod(pod(restartPolicy="Never"), state(lost), NOW).actions == (EndPod("Failed"),)


def test_a_failed_pull_becomes_back_off_and_is_tried_again(pod, state):
    found = state()
    found.failures["c"] = Failure("ErrImagePull", "no", 10.0, 1030.0, "nginx", 1020.0)
    assert plan_pod(pod(), found, 1020.5) == Plan(wake=1021.0)
    assert plan_pod(pod(), found, 1021.0).actions == (BackOffPull("c"),)
    found.failures["c"].reason = "ImagePullBackOff"
    assert plan_pod(pod(), found, 1022.0) == Plan(wake=1030.0)
    assert plan_pod(pod(), found, 1030.0).actions == (StartContainer("c", 0, 0.0),)
    corrected = pod({"name": "c", "image": "httpd"})
    assert plan_pod(corrected, found, 1022.0).actions == (StartContainer("c", 0, 0.0),)


def test_a_failed_sandbox_waits(pod, state):
    found = state(sandbox=False)
    found.failures[""] = Failure("FailedCreatePodSandBox", "no", 1.0, 1021.0)
    assert plan_pod(pod(), found, NOW) == Plan(wake=1021.0)


def test_unhealthy_is_killed(pod, state, container):
    (kill,) = plan_pod(pod(), state(container(unhealthy="liveness probe")), NOW).actions
    assert "failed liveness probe" in kill.why


def test_deadline(pod, state, container):
    found = state(container())
    assert plan_pod(pod(activeDeadlineSeconds=60), found, NOW) == Plan(wake=1060.0)
    (end,) = plan_pod(pod(activeDeadlineSeconds=60), found, 1060.0).actions
    assert end.phase == "Failed" and end.reason == "DeadlineExceeded"


def test_plan_covers_wanted_and_unwanted(pod, state):
    found = plan({"u1": pod()}, {"u2": state(sandbox=False)}, NOW)
    assert found["u1"].actions == (CreateSandbox(),) and found["u2"].actions == (ForgetPod(),)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # they are plain functions
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.one_of(st.none(), st.integers(0, 2))), max_size=3),
    st.sampled_from(["Always", "OnFailure", "Never"]),
    st.floats(1000, 5000),
)
def test_following_the_plan_comes_to_rest(pod, state, container, containers, policy, now):
    """Doing what the plan says, with containers that run on, ends in an empty plan after a few rounds."""
    wanted = pod(*({"name": n, "image": "nginx"} for n in "abc"), restartPolicy=policy)
    found = state(*(container(n, code) for n, code in containers))
    for _ in range(10):
        step = plan_pod(wanted, found, now)
        if not step.actions:
            break
        for action in step.actions:
            if isinstance(action, StartContainer):
                found.containers[action.name] = container(action.name, attempt=action.attempt)
            elif isinstance(action, EndPod):
                found.ended = action.phase
            elif isinstance(action, KillContainer):
                found.containers[action.name] = container(action.name, 0)
            elif isinstance(action, RemoveSandbox):
                found.sandbox = None
    assert not plan_pod(wanted, found, now).actions
    assert load_state(dump_state(found)) == found
