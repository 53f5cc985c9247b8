"""A StatefulSet on values, and the rounds of its controller."""

from __future__ import annotations

from typing import Any

from netsim.api.kinds import PODS, STATEFUL_SETS, Obj
from netsim.api.objects import name_of
from netsim.controllers import statefulset
from netsim.controllers.writes import Create, Delete

KEY = "ns/web"


def stateful_set(replicas: int = 3, image: str = "i:1", **spec: Any) -> Obj:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}}
    body = {"replicas": replicas, "serviceName": "web", "selector": {"matchLabels": {"app": "web"}}}
    return {"metadata": {"name": "web", "namespace": "ns"}, "spec": {**body, "template": template, **spec}}


def step(cluster: Any) -> list[Any]:
    cluster.sync()
    writes = list(statefulset.reconcile(KEY, cluster.view()))
    assert not cluster.apply(writes)
    cluster.sync()
    return writes


def settle(cluster: Any, *, ready: bool = True, rounds: int = 60) -> list[str]:
    """Reconcile and play the agent until nothing changes; the order in which pods were created and deleted."""
    done: list[str] = []
    for _ in range(rounds):
        writes = step(cluster)
        done += [f"+{name_of(w.obj)}" for w in writes if isinstance(w, Create) and w.kind is PODS]
        done += [f"-{w.name}" for w in writes if isinstance(w, Delete) and w.kind is PODS]
        waiting = [pod for pod in cluster.all(PODS) if pod["status"]["phase"] == "Pending"] if ready else []
        for pod in waiting:
            cluster.set_pod(pod)
        if not writes and not waiting:
            return done
    raise AssertionError("never settles")


def status(cluster: Any) -> Obj:
    return dict(cluster.get(STATEFUL_SETS, KEY)["status"])


def change(cluster: Any, **spec: Any) -> None:
    cluster.patch(STATEFUL_SETS, "web", "ns", {"spec": spec})


def set_image(cluster: Any, image: str) -> None:
    change(cluster, template={"spec": {"containers": [{"name": "c", "image": image}]}})
