"""How pods end and come back: order of sidecars, evictions, last words, restarts counted over a boot, pull policies."""

from __future__ import annotations

import asyncio
import signal

import pytest

from netsim.agent import backoff
from netsim.agent.images.policy import is_reference, pull_duration, pull_policy
from netsim.agent.images.skopeo import clean, copy_argv
from netsim.agent.killing import stop_signal
from netsim.agent.objects import parse_auths
from netsim.agent.plan import EndPod, KillContainer, plan_pod
from netsim.agent.probe_runner import ProbeRunner
from netsim.agent.restoring import restore_state
from netsim.agent.runtime.termination import FALLBACK_BYTES, last_words, read_message
from netsim.agent.status import build_status

SIDECARS = [{"name": n, "image": "nginx", "restartPolicy": "Always"} for n in ("first", "second")]


def killed(plan) -> list[tuple[str, float]]:
    return [(action.name, action.grace) for action in plan.actions if isinstance(action, KillContainer)]


def test_sidecars_end_after_the_others_the_last_first(pod, state, container):
    made = pod(initContainers=SIDECARS)
    made["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:30Z", "deletionGracePeriodSeconds": 30}
    now = 1767225610.0  # ten seconds into the grace
    assert killed(plan_pod(made, state(container("first"), container("second"), container()), now)) == [("c", 30)]
    ended = container(code=0)
    assert killed(plan_pod(made, state(container("first"), container("second"), ended), now)) == [("second", 20)]
    alone = state(container("first"), container("second", code=0), ended)
    assert killed(plan_pod(made, alone, now)) == [("first", 20)]
    assert killed(plan_pod(made, alone, now + 60)) == [("first", 2)], "each gets a little"


def test_a_pod_has_ended_when_its_sidecars_have(pod, state, container):
    made = pod(initContainers=SIDECARS[:1], restartPolicy="Never")
    found = state(container("first", started=True, ready=True), container(code=0))
    [end] = plan_pod(made, found, 2000.0).actions
    assert isinstance(end, EndPod) and end.phase == "Succeeded"
    found.ended = end.phase
    assert build_status(made, found, 2000.0, "1.2.3.4")["phase"] == "Running"
    assert killed(plan_pod(made, found, 2000.0)) == [("first", 30)]
    found.containers["first"] = container("first", code=0)
    assert build_status(made, found, 2000.0, "1.2.3.4")["phase"] == "Succeeded"


@pytest.mark.parametrize(("probe", "grace"), [({}, 30), ({"terminationGracePeriodSeconds": 3}, 3)])
def test_a_probes_own_grace_wins(pod, state, container, probe, grace):
    made = pod({"name": "c", "image": "nginx", "livenessProbe": probe})
    assert killed(plan_pod(made, state(container(unhealthy="liveness probe")), 2000.0)) == [("c", grace)]


def test_an_evicted_pod_gets_a_second_and_a_condition(pod, state, container):
    found = state(container())
    found.ended, found.ended_reason, found.ended_message = "Failed", "Evicted", "too much"
    assert killed(plan_pod(pod(), found, 2000.0)) == [("c", 1)]
    assert build_status(pod(), found, 2000.0, "1.2.3.4")["phase"] == "Failed", "as soon as it is decided"
    found.containers["c"] = container(code=137)
    status = build_status(pod(), found, 2000.0, "1.2.3.4")
    assert (status["phase"], status["reason"], status["message"]) == ("Failed", "Evicted", "too much")
    told = [c for c in status["conditions"] if c["type"] == "DisruptionTarget"]
    assert [(c["status"], c["reason"]) for c in told] == [("True", "TerminationByKubelet")]
    again = build_status({**pod(), "status": status}, found, 2001.0, "1.2.3.4")
    assert again["conditions"] == status["conditions"]


def test_restarts_are_counted_on_after_a_boot(pod, state, container):
    made = pod(restartPolicy="Always")
    made["status"] = build_status(made, state(container(attempt=3)), 2000.0, "1.2.3.4")
    found = restore_state(made, 3000.0)
    assert found is not None and found.sandbox is None
    last = found.containers["c"]
    assert last.exit is not None and (last.attempt, last.exit.code, last.exit.reason) == (3, 255, "Unknown")
    found.sandbox = state().sandbox
    [start] = plan_pod(made, found, 3000.0).actions
    assert (start.name, start.attempt) == ("c", 4)
    shown = build_status(made, found, 3000.0, "1.2.3.4")["containerStatuses"][0]
    assert shown["restartCount"] == 3


def test_a_pod_that_never_ran_or_has_ended_is_not_restored(pod, state, container):
    assert restore_state(pod(), 1.0) is None
    ended = state(container(code=0))
    ended.ended = "Succeeded"
    made = pod(restartPolicy="Never")
    made["status"] = build_status(made, ended, 2000.0, "1.2.3.4")
    assert restore_state(made, 3000.0) is None


def test_a_failed_containers_end_is_restored_as_it_was(pod, state, container):
    made = pod(restartPolicy="Always")
    made["status"] = build_status(made, state(container(code=3, backoff=20.0)), 2000.0, "1.2.3.4")
    found = restore_state(made, 3000.0)
    assert found is not None
    end = found.containers["c"].exit
    assert end is not None and (end.code, end.reason, end.finished_at) == (3, "Error", 1010.0)


def test_last_words(tmp_path):
    lines = [b"2026-01-01T00:00:00Z stdout F line %d\n" % i for i in range(200)]
    assert last_words(lines).splitlines() == [b"line %d" % i for i in range(120, 200)]
    assert len(last_words([b"2026-01-01T00:00:00Z stdout F " + b"x" * 5000 + b"\n"])) == FALLBACK_BYTES
    log = tmp_path / "0.log"
    log.write_bytes(b"".join(lines[:2]))
    fallback = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    assert read_message(str(tmp_path), str(log), fallback, 1) == "line 0\nline 1\n"
    assert read_message(str(tmp_path), str(log), fallback, 0) == "" == read_message(str(tmp_path), str(log), {}, 1)
    (tmp_path / "termination-log").write_text("y" * 5000)
    assert read_message(str(tmp_path), str(log), fallback, 1) == "y" * 4096


@pytest.mark.parametrize(
    ("name", "number"),
    [("", 15), ("SIGQUIT", 3), ("quit", 3), ("9", 9), ("SIGRTMIN+3", signal.SIGRTMIN + 3), ("SIGNONSENSE", 15)],
)
def test_stop_signals(name: str, number: int):
    assert stop_signal(name) == number


@pytest.mark.parametrize(
    ("container", "policy"),
    [
        ({"image": "nginx"}, "Always"),
        ({"image": "nginx:latest"}, "Always"),
        ({"image": "nginx:1"}, "IfNotPresent"),
        ({"image": "nginx@sha256:" + "0" * 64}, "IfNotPresent"),
        ({"image": "nginx", "imagePullPolicy": "Never"}, "Never"),
    ],
)
def test_pull_policies(container: dict[str, str], policy: str):
    assert pull_policy(container) == policy


@pytest.mark.parametrize("good", ["nginx", "a/b:1.2-x", "localhost:5000/x", "REG.example/x", "x@sha256:" + "a" * 64])
def test_names_of_images(good: str):
    assert is_reference(good)


@pytest.mark.parametrize("bad", ["Nginx", "nginx:", "nginx:a b", "a//b", "x@sha256:1", "-x", "", "a/B:1"])
def test_what_is_no_name_of_an_image(bad: str):
    assert not is_reference(bad)


def test_skopeo():
    assert copy_argv("nginx", "amd64", "/l")[-2:] == ["docker://docker.io/library/nginx:latest", "oci:/l"]
    assert copy_argv("a.io/x:1@sha256:ab", "amd64", "/l")[-2] == "docker://a.io/x@sha256:ab"
    said = 'time="2026" level=fatal msg="initializing \\"x\\": denied"\n'
    assert clean(said) == 'initializing "x": denied' and clean("plain\n") == "plain" and clean("") == "no message"
    assert [pull_duration(s) for s in (0.3451, 1.5, 123.25)] == ["345ms", "1.5s", "2m3.25s"]


def test_registry_credentials():
    assert parse_auths({".dockerconfigjson": b'{"auths": {"r": {"auth": "eA=="}}}'}) == {"r": {"auth": "eA=="}}
    assert parse_auths({".dockercfg": b'{"r": {}}'}) == {"r": {}}
    assert parse_auths({".dockerconfigjson": b"nonsense"}) == {} == parse_auths({"key": b"x"})


def test_what_no_back_off_is_told_of_is_tried_again_soon():
    failure = None
    for _ in range(8):
        failure = backoff.fail(failure, "CreateContainerConfigError", "", 100.0, first=1.0, longest=backoff.SYNC)
    assert failure is not None and failure.retry_at == 100.0 + backoff.SYNC


async def test_a_container_that_has_to_be_restarted_is_asked_no_more(container):
    asked, made = [], container()

    async def execute(_command: list[str]) -> tuple[int, str]:
        asked.append(1)
        return 1, "no"

    probe = {"exec": {"command": ["x"]}, "periodSeconds": 0.01, "failureThreshold": 2}
    runner = ProbeRunner({"name": "c", "startupProbe": probe}, made, "", execute, lambda: None, lambda _text: None)
    await asyncio.wait_for(runner.run(), 10)
    assert (len(asked), made.unhealthy, made.started) == (2, "startup probe", False)
