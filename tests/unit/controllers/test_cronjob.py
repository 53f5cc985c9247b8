"""CronJobs and the clean-up of finished Jobs on values, with a clock that the tests turn."""

from __future__ import annotations

from typing import Any

import pytest

from netsim.api.kinds import CRON_JOBS, JOBS, Obj
from netsim.api.objects import annotations_of, name_of
from netsim.api.times import format_time
from netsim.controllers import cronjob, ttl_after_finished
from netsim.controllers.writes import Delete

KEY = "ns/tick"
FIRST = 29453760  # minutes from 1970 to 2026
SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"


def cron_job(schedule: str = "*/5 * * * *", **spec: Any) -> Obj:
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"template": {"spec": pod}}}
    body = {"schedule": schedule, "jobTemplate": template, "concurrencyPolicy": "Allow", **spec}
    return {"metadata": {"name": "tick", "namespace": "ns"}, "spec": body}


class Play:
    def __init__(self, cluster: Any, body: Obj) -> None:
        self.cluster = cluster
        cluster.create(CRON_JOBS, body)

    def run(self) -> None:
        for _ in range(10):
            self.cluster.sync()
            self.cluster.requeues.clear()
            writes = [w for w in cronjob.reconcile(KEY, self.cluster.view()) if type(w).__name__ != "Note"]
            assert not self.cluster.apply(writes)
            if all(type(write).__name__ == "Requeue" for write in writes):
                return
        raise AssertionError("never settles")

    def notes(self) -> list[tuple[str, str]]:
        self.cluster.sync()
        found = [w for w in cronjob.reconcile(KEY, self.cluster.view()) if type(w).__name__ == "Note"]
        return [(note.reason, note.message) for note in found]

    def wait(self, minutes: float) -> None:
        self.cluster.pass_time(minutes * 60)
        self.run()

    def finish(self, name: str, kind: str = "Complete") -> None:
        now = format_time(self.cluster.now)
        condition = {"type": kind, "status": "True", "lastTransitionTime": now}
        status = {"conditions": [condition], **({"completionTime": now} if kind == "Complete" else {})}
        self.cluster.patch(JOBS, name, "ns", {"status": status}, "status")

    @property
    def jobs(self) -> list[str]:
        return [name_of(job) for job in self.cluster.all(JOBS)]

    @property
    def status(self) -> Obj:
        return dict(self.cluster.get(CRON_JOBS, KEY).get("status") or {})


def named(*minutes: int) -> list[str]:
    return [f"tick-{FIRST + minute}" for minute in minutes]


def test_a_job_at_every_time_and_none_twice(cluster: Any) -> None:
    play = Play(cluster, cron_job())
    play.run()
    assert play.jobs == [] and cluster.requeues == [pytest.approx(300.02)]
    play.wait(5)
    play.wait(1)
    assert play.jobs == named(5)
    (job,) = cluster.all(JOBS)
    assert annotations_of(job) == {SCHEDULED: "2026-01-01T00:05:00Z"} and job["metadata"]["labels"] == {"a": "b"}
    owner = job["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["controller"]) == ("CronJob", True)
    assert play.status["lastScheduleTime"] == "2026-01-01T00:05:00Z"
    assert [reference["name"] for reference in play.status["active"]] == named(5)
    play.finish(named(5)[0])
    assert play.notes() == [("SawCompletedJob", f"Saw completed job: {named(5)[0]}, condition: Complete")]
    play.wait(4)
    assert play.jobs == named(10, 5) or play.jobs == named(5, 10)
    assert play.status["lastSuccessfulTime"] == "2026-01-01T00:06:00Z"


def test_of_missed_times_only_the_last_is_made_up_for(cluster: Any) -> None:
    play = Play(cluster, cron_job())
    play.wait(17)
    assert play.jobs == named(15)


def test_many_missed_times_are_told(cluster: Any) -> None:
    play = Play(cluster, cron_job("* * * * *"))
    cluster.pass_time(3 * 3600)
    reasons = [reason for reason, _ in play.notes()]
    assert reasons == ["TooManyMissedTimes"]
    play.run()
    assert play.jobs == named(180)


def test_what_is_too_late_is_not_started(cluster: Any) -> None:
    play = Play(cluster, cron_job("0 * * * *", startingDeadlineSeconds=60))
    play.wait(62)
    assert play.jobs == []
    play.wait(58.5)
    assert play.jobs == named(120)


@pytest.mark.parametrize(("policy", "left"), [("Allow", named(5, 10)), ("Forbid", named(5)), ("Replace", named(10))])
def test_concurrency(cluster: Any, policy: str, left: list[str]) -> None:
    play = Play(cluster, cron_job(concurrencyPolicy=policy))
    play.wait(5)
    play.wait(5)
    assert sorted(play.jobs) == sorted(left)
    if policy == "Forbid":
        assert play.notes()[0][0] == "JobAlreadyActive"
        play.finish(named(5)[0])
        play.run()
        assert sorted(play.jobs) == sorted(named(5, 10))  # the time has not passed unused


def test_suspended_starts_none(cluster: Any) -> None:
    play = Play(cluster, cron_job(suspend=True))
    play.wait(7)
    assert play.jobs == [] and cluster.requeues == []


def test_history_limits(cluster: Any) -> None:
    play = Play(cluster, cron_job(successfulJobsHistoryLimit=2, failedJobsHistoryLimit=1))
    for number in range(1, 7):
        play.wait(5)
        play.finish(named(5 * number)[0], "Failed" if number % 2 else "Complete")
        play.run()
    assert sorted(play.jobs) == sorted(named(20, 25, 30))


def test_in_its_own_time_zone(cluster: Any) -> None:
    play = Play(cluster, cron_job("30 9 * * *", timeZone="Asia/Kolkata"))
    play.wait(4 * 60)
    assert play.jobs == named(240)
    assert annotations_of(cluster.all(JOBS)[0])[SCHEDULED] == "2026-01-01T09:30:00+05:30"
    assert play.status["lastScheduleTime"] == "2026-01-01T04:00:00Z"


@pytest.mark.parametrize(
    ("spec", "reason"),
    [({"schedule": "x"}, "UnparseableSchedule"), ({"timeZone": "Mars/Base"}, "UnknownTimeZone")],
)
def test_what_cannot_be_read_is_told_and_not_tried_again(cluster: Any, spec: Obj, reason: str) -> None:
    play = Play(cluster, cron_job(**spec))
    play.run()
    assert [found for found, _ in play.notes()] == [reason] and cluster.requeues == []


def test_a_job_made_by_hand_is_told_apart(cluster: Any) -> None:
    play = Play(cluster, cron_job())
    play.run()
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "tick", "controller": True}
    owner["uid"] = cluster.get(CRON_JOBS, KEY)["metadata"]["uid"]
    cluster.create(JOBS, {"metadata": {"name": "manual", "namespace": "ns", "ownerReferences": [owner]}, "spec": {}})
    assert [reason for reason, _ in play.notes()] == ["UnexpectedJob"]
    play.run()
    assert "active" not in play.status


def test_a_missing_job_is_told(cluster: Any) -> None:
    play = Play(cluster, cron_job())
    play.wait(5)
    cluster.delete(JOBS, named(5)[0], "ns")
    assert play.notes() == [("MissingJob", f"Active job went missing: {named(5)[0]}")]
    play.run()
    assert "active" not in play.status and play.jobs == []


def test_every_interval_counts_from_the_creation(cluster: Any) -> None:
    play = Play(cluster, cron_job("@every 7m"))
    play.wait(8)
    assert play.jobs == named(7)
    assert cluster.requeues == [pytest.approx(6 * 60 + 0.02)]


def test_finished_jobs_go_when_their_time_is_over(cluster: Any) -> None:
    done = {"type": "Failed", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    for name, ttl, conditions in (("a", 100, [done]), ("b", None, [done]), ("c", 0, [])):
        spec = {"ttlSecondsAfterFinished": ttl} if ttl is not None else {}
        body = {"metadata": {"name": name, "namespace": "ns"}, "spec": spec, "status": {"conditions": conditions}}
        cluster.create(JOBS, body)
    cluster.pass_time(40)
    cluster.sync()
    view = cluster.view()
    (wait,) = ttl_after_finished.reconcile("ns/a", view)
    assert wait.after == 60
    assert not ttl_after_finished.reconcile("ns/b", view) and not ttl_after_finished.reconcile("ns/c", view)
    cluster.pass_time(60)
    (gone,) = ttl_after_finished.reconcile("ns/a", cluster.view())
    assert isinstance(gone, Delete) and gone.propagation == "Foreground"
