"""Jobs on values: completions, failures, policies, and that every pod is counted once whatever crashes."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netsim.api.kinds import JOBS, PODS, Obj
from netsim.api.objects import condition, name_of, pod_phase
from netsim.controllers import job
from netsim.controllers.view import JOB_FINALIZER
from netsim.controllers.writes import Create, Delete
from support.job_play import KEY, LABELS, Play, a_job


def test_one_pod_succeeds_and_the_job_is_complete(cluster: Any) -> None:
    play = Play(cluster, a_job())
    play.run()
    (pod,) = play.pods
    assert pod["metadata"]["finalizers"] == [JOB_FINALIZER] and name_of(pod).startswith("pi-")
    assert play.status == {
        "active": 1,
        "ready": 0,
        "terminating": 0,
        "startTime": "2026-01-01T00:00:00Z",
        "uncountedTerminatedPods": {},
    }
    cluster.set_pod(pod)
    play.run()
    assert play.status["ready"] == 1
    cluster.pass_time(5)
    play.end(pod)
    play.run()
    (pod,) = play.pods
    assert "finalizers" not in pod["metadata"]
    text = "Reached expected number of succeeded pods"
    times = {"lastProbeTime": "2026-01-01T00:00:05Z", "lastTransitionTime": "2026-01-01T00:00:05Z"}
    said = {**times, "status": "True", "reason": "CompletionsReached", "message": text}
    assert play.status == {
        "startTime": "2026-01-01T00:00:00Z",
        "completionTime": "2026-01-01T00:00:05Z",
        "succeeded": 1,
        "ready": 0,
        "terminating": 0,
        "uncountedTerminatedPods": {},
        "conditions": [{"type": "SuccessCriteriaMet", **said}, {"type": "Complete", **said}],
    }
    assert play.events() == [("Completed", "Job completed")]
    assert play.run() == []


def test_as_many_at_a_time_as_parallelism_says(cluster: Any) -> None:
    play = Play(cluster, a_job(completions=5, parallelism=2))
    seen = []
    for _ in range(5):
        play.run()
        seen.append(len(play.active))
        play.end(play.active[0])
    play.run()
    assert seen == [2, 2, 2, 2, 1]
    assert play.status["succeeded"] == 5 and play.reason("Complete")


def test_a_work_queue_is_complete_when_one_has_succeeded_and_all_have_ended(cluster: Any) -> None:
    play = Play(cluster, a_job(completions=None, parallelism=3))
    play.run()
    first, second, third = play.active
    play.end(first)
    play.end(second)
    play.run()
    assert len(play.active) == 1 and not play.reason("Complete")
    play.end(third)
    play.run()
    assert play.status["succeeded"] == 3 and play.reason("Complete")


def test_failures_are_retried_ever_later_until_too_many(cluster: Any) -> None:
    play = Play(cluster, a_job(backoffLimit=2))
    for wait in (10, 20):
        play.run()
        play.fail(play.active[0])
        cluster.requeues.clear()
        play.run()
        assert not play.active and cluster.requeues[-1] == wait
        cluster.pass_time(wait)
    play.run()
    play.fail(play.active[0])
    play.run()
    assert play.status["failed"] == 3 and "completionTime" not in play.status
    assert play.reason("FailureTarget") == play.reason("Failed") == "BackoffLimitExceeded"
    assert play.events() == [("BackoffLimitExceeded", "Job has reached the specified backoff limit")]


def test_restarts_in_place_count_as_failures(cluster: Any) -> None:
    play = Play(cluster, a_job(pod={"restartPolicy": "OnFailure"}, backoffLimit=2))
    play.run()
    statuses = [{"name": "c", "restartCount": 2}]
    cluster.patch(
        PODS, name_of(play.pods[0]), "ns", {"status": {"phase": "Running", "containerStatuses": statuses}}, "status"
    )
    play.run()
    assert play.reason("Failed") == "BackoffLimitExceeded" and play.pods == []


def test_the_deadline_ends_it(cluster: Any) -> None:
    play = Play(cluster, a_job(activeDeadlineSeconds=30))
    play.run()
    assert cluster.requeues[-1] == 30
    cluster.pass_time(31)
    cluster.patch(PODS, name_of(play.pods[0]), "ns", {"metadata": {"finalizers": [JOB_FINALIZER, "x/y"]}})
    play.run()
    assert play.reason("FailureTarget") == "DeadlineExceeded" and not play.reason("Failed")
    assert play.status["terminating"] == 1
    cluster.patch(PODS, name_of(play.pods[0]), "ns", {"metadata": {"finalizers": None}})
    play.run()
    assert play.reason("Failed") == "DeadlineExceeded" and play.pods == []
    assert play.events()[-1] == ("DeadlineExceeded", "Job was active longer than specified deadline")


def test_suspended_and_resumed(cluster: Any) -> None:
    play = Play(cluster, a_job(parallelism=2, completions=2))
    play.run()
    cluster.patch(JOBS, "pi", "ns", {"spec": {"suspend": True}})
    play.run()
    assert play.pods == [] and "startTime" not in play.status and "failed" not in play.status
    assert play.reason("Suspended") == "JobSuspended"
    cluster.pass_time(60)
    cluster.patch(JOBS, "pi", "ns", {"spec": {"suspend": False}})
    play.run()
    assert len(play.active) == 2 and play.status["startTime"] == "2026-01-01T00:01:00Z"
    assert (condition(play.obj, "Suspended") or {})["reason"] == "JobResumed"
    assert [reason for reason, _ in play.events()] == ["Suspended", "Resumed"]


def test_less_parallelism_stops_pods_without_counting_them(cluster: Any) -> None:
    play = Play(cluster, a_job(parallelism=4, completions=8))
    play.run()
    cluster.patch(JOBS, "pi", "ns", {"spec": {"parallelism": 1}})
    play.run()
    assert len(play.pods) == 1 and "failed" not in play.status


def test_suspended_from_the_start_it_waits(cluster: Any) -> None:
    play = Play(cluster, a_job(suspend=True))
    play.run()
    assert play.pods == [] and "startTime" not in play.status and play.reason("Suspended") == "JobSuspended"


@pytest.mark.parametrize(("policy", "replaced_at_once"), [("TerminatingOrFailed", True), ("Failed", False)])
def test_when_a_deleted_pod_is_replaced(cluster: Any, policy: str, replaced_at_once: bool) -> None:
    play = Play(cluster, a_job(podReplacementPolicy=policy))
    play.run()
    (pod,) = play.active
    cluster.patch(PODS, name_of(pod), "ns", {"metadata": {"finalizers": [JOB_FINALIZER, "x/y"]}})
    cluster.delete(PODS, name_of(pod), "ns")
    cluster.pass_time(10)
    play.run()
    assert (len(play.pods), play.status["terminating"]) == (2 if replaced_at_once else 1, 1)
    assert play.status.get("failed", 0) == int(replaced_at_once)


def test_who_deletes_a_pod_has_its_replacement_wait(cluster: Any) -> None:
    play = Play(cluster, a_job())
    play.run()
    cluster.delete(PODS, name_of(play.active[0]), "ns")
    play.run()
    assert (play.pods, play.status["failed"]) == ([], 1)
    assert cluster.requeues[-1] == 10.0
    cluster.pass_time(10)
    play.run()
    assert len(play.active) == 1 and play.status["failed"] == 1


def test_the_replacement_of_a_pod_that_was_ready_for_long_waits_from_its_deletion_on(cluster: Any) -> None:
    play = Play(cluster, a_job())
    play.run()
    (pod,) = play.active
    cluster.set_pod(pod)
    cluster.patch(PODS, name_of(pod), "ns", {"metadata": {"finalizers": [JOB_FINALIZER, "x/y"]}})
    cluster.pass_time(3600)
    cluster.delete(PODS, name_of(pod), "ns")
    play.run()
    assert len(play.pods) == 1 and cluster.requeues[-1] == 10.0
    cluster.pass_time(8)
    play.end(pod, "Failed", 137)
    play.run()
    assert cluster.requeues[-1] == 2.0


def test_ignored_failures_are_waited_for_too(cluster: Any) -> None:
    rules = [{"action": "Ignore", "onExitCodes": {"operator": "In", "values": [7]}}]
    play = Play(cluster, a_job(podFailurePolicy={"rules": rules}))
    play.run()
    play.fail(play.active[0], 7)
    play.run()
    assert play.active == [] and "failed" not in play.status
    cluster.pass_time(10)
    play.run()
    assert len(play.active) == 1 and "failed" not in play.status


def test_pods_of_a_job_that_is_gone_are_let_go(cluster: Any) -> None:
    play = Play(cluster, a_job())
    play.run()
    cluster.delete(JOBS, "pi", "ns")
    play.run()
    assert "finalizers" not in play.pods[0]["metadata"]
    play.cluster.create(JOBS, a_job())  # a namesake
    play.run()
    assert len(play.pods) == 2


def test_an_adopted_pod_is_tracked_and_a_released_one_let_go(cluster: Any) -> None:
    cluster.create(PODS, {"metadata": {"name": "mine", "namespace": "ns", "labels": LABELS}, "spec": {}})
    play = Play(cluster, a_job())
    play.run()
    assert play.pods[0]["metadata"]["finalizers"] == [JOB_FINALIZER] and len(play.pods) == 1
    cluster.patch(PODS, "mine", "ns", {"metadata": {"labels": {"batch.kubernetes.io/job-name": "x"}}})
    play.run()
    assert "finalizers" not in cluster.get(PODS, "ns/mine")["metadata"] and len(play.pods) == 2


def test_another_manager_is_left_alone(cluster: Any) -> None:
    play = Play(cluster, a_job(managedBy="example.com/kueue"))
    assert play.run() == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), indexed=st.booleans(), per_index=st.booleans())
def test_every_pod_is_counted_once_whatever_crashes(
    make_cluster: Any, seed: int, indexed: bool, per_index: bool
) -> None:
    """Writes get lost, pods end and are deleted, caches lag; in the end the counters equal what happened."""
    rand = random.Random(seed)
    cluster = make_cluster()
    spec: Obj = {"completions": 4, "parallelism": 3, "backoffLimit": 1000}
    if indexed:
        spec |= {"completionMode": "Indexed"} | ({"backoffLimitPerIndex": 1000} if per_index else {})
    play = Play(cluster, a_job(**spec))
    ended: Counter[str] = Counter()
    fates: dict[str, str] = {}
    for _ in range(300):
        cluster.sync()
        writes = list(job.reconcile(KEY, cluster.view()))
        made = [write for write in writes if isinstance(write, Create | Delete)]
        others = [write for write in writes if write not in made]
        crashed = rand.random() < 0.3
        chosen = [write for write in [*others, *made] if not crashed or rand.random() < 0.5]
        cluster.apply(chosen)
        for pod in play.active:
            uid = pod["metadata"]["uid"]
            if uid not in fates and rand.random() < 0.4 and "deletionTimestamp" not in pod["metadata"]:
                fates[uid] = rand.choice(["Succeeded", "Failed"])
                play.end(pod, fates[uid], 0 if fates[uid] == "Succeeded" else 1)
        for pod in play.pods:
            if pod_phase(pod) in ("Succeeded", "Failed") and rand.random() < 0.2:
                cluster.delete(PODS, name_of(pod), "ns")
        cluster.pass_time(rand.choice([1, 700]))
        if play.reason("Complete"):
            break
    assert play.reason("Complete") == "CompletionsReached"
    ended.update(fates.values())
    assert play.status["failed" if ended["Failed"] else "ready"] == (ended["Failed"] or 0)
    assert play.status["succeeded"] == (4 if indexed else ended["Succeeded"])
    cluster.sync()
    play.run()
    assert not [pod for pod in play.pods if pod["metadata"].get("finalizers")]
