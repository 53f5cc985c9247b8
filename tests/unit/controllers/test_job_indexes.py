"""Indexed Jobs and their policies on values: each index with its own failures, and when a Job ends early."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.api.kinds import JOBS, PODS, Obj
from netsim.api.objects import annotations_of, condition, key_of, labels_of, name_of
from netsim.controllers.job_indexes import format_indexes, parse_indexes
from netsim.controllers.job_pods import index_of, job_pod
from netsim.controllers.view import JOB_FINALIZER
from support.job_play import Play, a_job


def test_indexed_pods_know_their_index(cluster: Any) -> None:
    play = Play(cluster, a_job(completionMode="Indexed", completions=4, parallelism=3))
    play.run()
    pods = sorted(play.pods, key=lambda pod: index_of(pod) or 0)
    assert [index_of(pod) for pod in pods] == [0, 1, 2]
    pod = pods[1]
    assert labels_of(pod)["batch.kubernetes.io/job-completion-index"] == "1"
    assert annotations_of(pod)["batch.kubernetes.io/job-completion-index"] == "1"
    assert pod["metadata"]["generateName"] == "pi-1-" and pod["spec"]["hostname"] == "pi-1"
    (variable,) = pod["spec"]["containers"][0]["env"]
    assert variable["name"] == "JOB_COMPLETION_INDEX"
    for each in (pods[0], pods[2]):
        play.end(each)
    play.run()
    assert (play.status["completedIndexes"], play.status["succeeded"]) == ("0,2", 2)
    assert sorted(index_of(pod) or 0 for pod in play.active) == [1, 3]
    for each in play.active:
        play.end(each)
    play.run()
    assert play.status["completedIndexes"] == "0-3" and play.reason("Complete")


def test_a_long_name_does_not_cut_off_the_index() -> None:
    long = {**a_job(), "metadata": {"name": "x" * 60, "namespace": "ns"}}
    assert job_pod(long, 123)["metadata"]["generateName"] == "x" * 53 + "-123-"


def test_an_indexed_job_shrinks_from_its_highest_index(cluster: Any) -> None:
    play = Play(cluster, a_job(completionMode="Indexed", completions=4, parallelism=4))
    play.run()
    play.end(next(pod for pod in play.active if index_of(pod) == 0))
    cluster.patch(JOBS, "pi", "ns", {"spec": {"completions": 2, "parallelism": 2}})
    play.run()
    assert [index_of(pod) for pod in play.active] == [1]
    assert play.status["completedIndexes"] == "0" and "failed" not in play.status


def test_each_index_has_its_own_back_off_and_limit(cluster: Any) -> None:
    spec = {"completionMode": "Indexed", "completions": 2, "parallelism": 2, "backoffLimitPerIndex": 1}
    play = Play(cluster, a_job(**spec, backoffLimit=None))
    play.run()
    first = min(play.active, key=lambda pod: index_of(pod) or 0)
    assert play.status["failedIndexes"] == ""
    play.fail(first)
    play.run()
    assert [index_of(pod) for pod in play.active] == [1]
    held = cluster.get(PODS, key_of(first))
    assert held["metadata"]["finalizers"] == [JOB_FINALIZER]  # its replacement will inherit the count
    cluster.pass_time(10)
    play.run()
    again = next(pod for pod in play.active if index_of(pod) == 0)
    assert annotations_of(again)["batch.kubernetes.io/job-index-failure-count"] == "1"
    assert "finalizers" not in cluster.get(PODS, key_of(first))["metadata"]
    play.fail(again)
    play.end(next(pod for pod in play.active if index_of(pod) == 1))
    play.run()
    assert (play.status["failedIndexes"], play.status["completedIndexes"]) == ("0", "1")
    assert play.reason("Failed") == "FailedIndexes" and play.status["failed"] == 2


def test_too_many_failed_indexes_end_it_early(cluster: Any) -> None:
    spec = {"completionMode": "Indexed", "completions": 5, "parallelism": 5, "backoffLimitPerIndex": 0}
    play = Play(cluster, a_job(**spec, maxFailedIndexes=1, backoffLimit=None))
    play.run()
    for pod in play.active[:2]:
        play.fail(pod)
    play.run()
    assert play.reason("Failed") == "MaxFailedIndexesExceeded" and not play.active
    assert (play.status["failed"], play.status["failedIndexes"]) == (5, "0,1")


ON_42 = {"operator": "In", "values": [42]}
DISRUPTED = [{"type": "DisruptionTarget", "status": "True"}]


@pytest.mark.parametrize(
    ("rule", "code", "conditions", "failed", "reason"),
    [
        ({"action": "FailJob", "onExitCodes": ON_42}, 42, [], 1, "PodFailurePolicy"),
        ({"action": "FailJob", "onExitCodes": ON_42}, 1, [], 1, None),
        ({"action": "FailJob", "onExitCodes": {**ON_42, "containerName": "other"}}, 42, [], 1, None),
        ({"action": "FailJob", "onExitCodes": {"operator": "NotIn", "values": [42]}}, 1, [], 1, "PodFailurePolicy"),
        ({"action": "Ignore", "onPodConditions": DISRUPTED}, 1, DISRUPTED, 0, None),
        ({"action": "Ignore", "onPodConditions": DISRUPTED}, 1, [], 1, None),
        ({"action": "Count", "onExitCodes": ON_42}, 42, [], 1, None),
    ],
)
def test_pod_failure_policy(
    cluster: Any, rule: Obj, code: int, conditions: list[Obj], failed: int, reason: str | None
) -> None:
    play = Play(cluster, a_job(podFailurePolicy={"rules": [rule]}))
    play.run()
    pod = play.active[0]
    play.fail(pod, code, conditions=conditions)
    play.run()
    assert play.status.get("failed", 0) == failed and play.reason("Failed") == reason
    if reason:
        text = f"Container c for pod ns/{name_of(pod)} failed with exit code {code} matching FailJob rule at index 0"
        assert (condition(play.obj, "Failed") or {})["message"] == text
    if failed == 0:
        cluster.pass_time(10)
        play.run()
        assert len(play.active) == 1  # an ignored failure is replaced


def test_fail_index_gives_up_one_index(cluster: Any) -> None:
    spec = {"completionMode": "Indexed", "completions": 2, "parallelism": 2, "backoffLimitPerIndex": 5}
    rules = {"rules": [{"action": "FailIndex", "onExitCodes": ON_42}]}
    play = Play(cluster, a_job(**spec, podFailurePolicy=rules, backoffLimit=None))
    play.run()
    play.fail(next(pod for pod in play.active if index_of(pod) == 1), 42)
    play.run()
    assert play.status["failedIndexes"] == "1" and [index_of(pod) for pod in play.active] == [0]


def test_success_policy_ends_it_before_all_have_succeeded(cluster: Any) -> None:
    policy = {"rules": [{"succeededIndexes": "0,2-3", "succeededCount": 1}]}
    play = Play(cluster, a_job(completionMode="Indexed", completions=4, parallelism=4, successPolicy=policy))
    play.run()
    by_index = {index_of(pod): pod for pod in play.active}
    play.end(by_index[1])
    play.run()
    assert not play.reason("SuccessCriteriaMet")
    play.end(by_index[2])
    play.run()
    assert play.reason("SuccessCriteriaMet") == play.reason("Complete") == "SuccessPolicy"
    assert (condition(play.obj, "Complete") or {})["message"] == "Matched rules at index 0"
    assert not play.active and play.status["completedIndexes"] == "1,2"
    assert "failed" not in play.status  # those that were stopped for it have not failed


@given(st.sets(st.integers(0, 40)))
def test_indexes_survive_their_text(indexes: set[int]) -> None:
    assert parse_indexes(format_indexes(indexes), 41) == indexes


def test_indexes_as_text() -> None:
    assert format_indexes([1, 2, 4, 5, 6, 9]) == "1,2,4-6,9"
    assert parse_indexes("", 5) == set() and parse_indexes("0-3,x,9", 5) == {0, 1, 2, 3}
