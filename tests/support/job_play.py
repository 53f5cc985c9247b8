"""A Job on values, and the cluster that its controller sees."""

from __future__ import annotations

from typing import Any

from netsim.api.kinds import JOBS, PODS, Obj
from netsim.api.objects import condition, is_true, name_of, pod_phase
from netsim.api.times import format_time
from netsim.controllers import job
from netsim.controllers.job_backoff import Backoffs

KEY = "ns/pi"
LABELS = {"batch.kubernetes.io/job-name": "pi"}


def a_job(pod: Obj | None = None, **spec: Any) -> Obj:
    pod_spec = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}], **(pod or {})}
    template = {"metadata": {"labels": LABELS}, "spec": pod_spec}
    body = {"parallelism": 1, "completions": 1, "backoffLimit": 6, "selector": {"matchLabels": LABELS}}
    merged = {name: value for name, value in {**body, "template": template, **spec}.items() if value is not None}
    return {"metadata": {"name": "pi", "namespace": "ns"}, "spec": merged}


class Play:
    def __init__(self, cluster: Any, body: Obj) -> None:
        self.cluster = cluster
        self.backoffs = Backoffs()
        cluster.create(JOBS, body)

    def step(self) -> list[Any]:
        self.cluster.sync()
        writes = list(job.reconcile(KEY, self.cluster.view(), self.backoffs))
        assert not self.cluster.apply(writes)
        self.cluster.sync()
        return writes

    def run(self) -> list[Any]:
        """Until there is nothing to write."""
        done: list[Any] = []
        for _ in range(40):
            writes = [write for write in self.step() if type(write).__name__ != "Requeue"]
            done += writes
            if not writes:
                return done
        raise AssertionError("never settles")

    @property
    def pods(self) -> list[Obj]:
        return list(self.cluster.all(PODS))

    @property
    def active(self) -> list[Obj]:
        return [pod for pod in self.pods if pod_phase(pod) in ("Pending", "Running")]

    def end(self, pod: Obj, phase: str = "Succeeded", code: int = 0, **status: Any) -> None:
        ended = {"terminated": {"exitCode": code, "finishedAt": format_time(self.cluster.now)}}
        containers = [{"name": "c", "state": ended}]
        patch = {"status": {"phase": phase, "containerStatuses": containers, **status}}
        self.cluster.patch(PODS, name_of(pod), "ns", patch, "status")

    def fail(self, pod: Obj, code: int = 1, **status: Any) -> None:
        self.end(pod, "Failed", code, **status)

    @property
    def obj(self) -> Obj:
        return dict(self.cluster.get(JOBS, KEY))

    @property
    def status(self) -> Obj:
        return dict(self.obj.get("status") or {})

    def reason(self, kind: str) -> str | None:
        return (condition(self.obj, kind) or {}).get("reason") if is_true(self.obj, kind) else None

    def events(self) -> list[tuple[str, str]]:
        return [(note.reason, note.message) for note in self.cluster.notes]
