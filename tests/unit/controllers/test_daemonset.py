"""DaemonSets on values: which Nodes, tolerations, rollout, failures, status."""

from __future__ import annotations

from typing import Any

import pytest

from netsim.api.kinds import CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS, Obj
from netsim.api.objects import labels_of, name_of
from netsim.controllers import daemonset
from netsim.controllers.daemonset import Backoff
from netsim.controllers.daemonset_nodes import node_of, tolerations_of, verdict
from netsim.controllers.writes import Create, Delete

KEY = "ns/agent"


def daemon_set(image: str = "i:1", pod: Obj | None = None, **spec: Any) -> Obj:
    pod_spec = {"containers": [{"name": "c", "image": image}], **(pod or {})}
    template = {"metadata": {"labels": {"app": "agent"}}, "spec": pod_spec}
    body = {"selector": {"matchLabels": {"app": "agent"}}, "template": template, **spec}
    annotations = {"deprecated.daemonset.template.generation": "1"}
    return {"metadata": {"name": "agent", "namespace": "ns", "annotations": annotations}, "spec": body}


def node(name: str, taints: list[Obj] | None = None, **labels: str) -> Obj:
    return {"metadata": {"name": name, "labels": labels}, "spec": {"taints": taints or []}}


class Play:
    """A DaemonSet over some Nodes."""

    def __init__(self, cluster: Any, obj: Obj, nodes: int = 3) -> None:
        self.cluster, self.backoff = cluster, Backoff()
        for number in range(1, nodes + 1):
            cluster.create(NODES, node(f"node-{number}"))
        cluster.create(DAEMON_SETS, obj)

    def step(self) -> list[Any]:
        self.cluster.sync()
        writes = list(daemonset.reconcile(KEY, self.cluster.view(), self.backoff))
        assert not self.cluster.apply(writes)
        self.cluster.sync()
        return writes

    def run(self, *, ready: bool = True) -> list[str]:
        """Until nothing changes; what was created (+) and deleted (-), by Node."""
        done: list[str] = []
        for _ in range(40):
            before = {name_of(pod): node_of(pod) for pod in self.cluster.all(PODS)}
            writes = self.step()
            done += [f"+{node_of(w.obj)}" for w in writes if isinstance(w, Create) and w.kind is PODS]
            done += [f"-{before[w.name]}" for w in writes if isinstance(w, Delete) and w.kind is PODS]
            waiting = [pod for pod in self.cluster.all(PODS) if pod["status"]["phase"] == "Pending"] if ready else []
            for pod in waiting:
                self.cluster.set_pod(pod, node=node_of(pod))
            if not waiting and not any(isinstance(w, Create | Delete) for w in writes):
                return done
        raise AssertionError("never settles")

    def change(self, **spec: Any) -> None:
        self.cluster.patch(DAEMON_SETS, "agent", "ns", {"spec": spec})

    def set_image(self, image: str) -> None:
        self.change(template={"spec": {"containers": [{"name": "c", "image": image}]}})

    def pod_on(self, name: str) -> Obj:
        (pod,) = [pod for pod in self.cluster.all(PODS) if node_of(pod) == name]
        return dict(pod)

    @property
    def status(self) -> Obj:
        return dict(self.cluster.get(DAEMON_SETS, KEY)["status"])


def test_one_pod_on_every_node_pinned_for_the_scheduler(cluster: Any) -> None:
    play = Play(cluster, daemon_set())
    play.step()
    assert sorted(play.run(ready=False)) == ["+node-1", "+node-2", "+node-3"]
    pod = play.pod_on("node-2")
    assert "nodeName" not in pod["spec"]
    (revision,) = cluster.all(CONTROLLER_REVISIONS)
    digest = labels_of(revision)["controller-revision-hash"]
    assert name_of(revision) == f"agent-{digest}"
    assert labels_of(pod) == {"app": "agent", "controller-revision-hash": digest, "pod-template-generation": "1"}
    play.run()
    assert play.status == {
        "currentNumberScheduled": 3,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 3,
        "numberReady": 3,
        "observedGeneration": 1,
        "updatedNumberScheduled": 3,
        "numberAvailable": 3,
    }


def test_nodes_come_and_go(cluster: Any) -> None:
    play = Play(cluster, daemon_set(), nodes=1)
    play.run()
    cluster.create(NODES, node("node-9"))
    assert play.run(ready=False) == ["+node-9"]
    cluster.delete(NODES, "node-9")
    assert play.run() == ["-node-9"]  # pending for a Node that is gone


def test_a_node_that_no_longer_suits_loses_its_pod(cluster: Any) -> None:
    play = Play(cluster, daemon_set(pod={"nodeSelector": {"disk": "ssd"}}))
    cluster.create(NODES, node("fast", disk="ssd"))
    assert play.run() == ["+fast"]
    cluster.patch(NODES, "fast", "", {"metadata": {"labels": {"disk": "slow"}}})
    play.cluster.sync()
    daemons = daemonset.reconcile(KEY, cluster.view(), play.backoff)
    statuses = [w.obj["status"] for w in daemons if hasattr(w, "sub")]
    assert statuses[0]["numberMisscheduled"] == 1
    assert play.run() == ["-fast"]


def required(*terms: Obj) -> Obj:
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}}


NO_SCHEDULE = {"key": "k", "value": "v", "effect": "NoSchedule"}
NO_EXECUTE = {"key": "k", "value": "v", "effect": "NoExecute"}
UNSCHEDULABLE = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
NO_NETWORK = {"key": "node.kubernetes.io/network-unavailable", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("pod", "of_node", "expected"),
    [
        ({}, node("n"), (True, True)),
        ({}, node("n", [NO_SCHEDULE]), (False, True)),
        ({}, node("n", [NO_EXECUTE]), (False, False)),
        ({}, node("n", [{**NO_SCHEDULE, "effect": "PreferNoSchedule"}]), (True, True)),
        ({"tolerations": [{"key": "k", "operator": "Exists"}]}, node("n", [NO_EXECUTE]), (True, True)),
        ({}, node("n", [UNSCHEDULABLE]), (True, True)),
        ({}, node("n", [NO_NETWORK]), (False, True)),
        ({"hostNetwork": True}, node("n", [NO_NETWORK]), (True, True)),
        ({"nodeName": "n"}, node("n"), (True, True)),
        ({"nodeName": "m"}, node("n"), (False, False)),
        ({"nodeSelector": {"a": "b"}}, node("n"), (False, False)),
        ({"affinity": required({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]})},
         node("n", a="b"), (True, True)),
        ({"affinity": required({"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["n"]}]})},
         node("n"), (False, False)),
        ({"affinity": required({})}, node("n"), (False, False)),
    ],
)  # fmt: skip
def test_which_nodes_suit(pod: Obj, of_node: Obj, expected: tuple[bool, bool]) -> None:
    assert verdict(daemon_set(pod=pod), of_node) == expected


def test_tolerations_every_daemon_gets() -> None:
    keys = {(t["key"].partition("/")[2], t["effect"]) for t in tolerations_of({"hostNetwork": True})}
    assert keys == {
        ("not-ready", "NoExecute"),
        ("unreachable", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
        ("network-unavailable", "NoSchedule"),
    }
    assert len(tolerations_of({})) == 6


def test_rolling_update_replaces_one_after_another(cluster: Any) -> None:
    play = Play(cluster, daemon_set())
    play.run()
    play.set_image("i:2")
    done = play.run()
    assert [item[0] for item in done] == ["-", "+"] * 3
    assert done[0::2] == [item.replace("+", "-") for item in done[1::2]]
    assert play.status["updatedNumberScheduled"] == 3
    assert len(cluster.all(CONTROLLER_REVISIONS)) == 2


def test_max_unavailable_counts_what_is_down_and_spares_no_broken_old_one(cluster: Any) -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "50%"}}
    play = Play(cluster, daemon_set(updateStrategy=rolling), nodes=4)
    play.run()
    cluster.set_pod(play.pod_on("node-4"), node="node-4", ready=False)
    play.set_image("broken")
    assert sorted(play.run(ready=False)) == sorted([f"{sign}node-{number}" for sign in "+-" for number in (1, 2, 4)])


def test_max_surge_starts_the_new_one_first(cluster: Any) -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    play = Play(cluster, daemon_set(updateStrategy=rolling), nodes=2)
    play.run()
    play.set_image("i:2")
    assert play.run(ready=False) == ["+node-1"]
    assert play.status["numberAvailable"] == 2
    assert play.run() == ["-node-1", "+node-2", "-node-2"]


def test_on_delete_replaces_only_what_the_user_deletes(cluster: Any) -> None:
    play = Play(cluster, daemon_set(updateStrategy={"type": "OnDelete"}), nodes=2)
    play.run()
    play.set_image("i:2")
    assert play.run() == []
    cluster.delete(PODS, name_of(play.pod_on("node-1")), "ns")
    assert play.run() == ["+node-1"]
    images = {name: play.pod_on(name)["spec"]["containers"][0]["image"] for name in ("node-1", "node-2")}
    assert images == {"node-1": "i:2", "node-2": "i:1"}
    assert play.status["updatedNumberScheduled"] == 1


def test_a_failing_daemon_is_replaced_with_growing_pauses(cluster: Any) -> None:
    play = Play(cluster, daemon_set(), nodes=1)
    play.run()
    for wait in (0.0, 1.0, 2.0, 4.0):
        cluster.patch(PODS, name_of(play.pod_on("node-1")), "ns", {"status": {"phase": "Failed"}}, "status")
        cluster.requeues.clear()
        if wait:
            assert play.run() == []
            assert cluster.requeues[0] == wait
            cluster.pass_time(wait)
        assert play.run() == ["-node-1", "+node-1"]
    assert cluster.notes[0].reason == "FailedDaemonPod"


def test_twins_on_a_node_leave_the_oldest(cluster: Any) -> None:
    play = Play(cluster, daemon_set(), nodes=1)
    play.run()
    first = play.pod_on("node-1")
    cluster.pass_time(5)
    twin = {**first, "metadata": {**first["metadata"], "name": "twin", "uid": "twin", "creationTimestamp": None}}
    del twin["metadata"]["creationTimestamp"]
    cluster.create(PODS, twin)
    play.run()
    assert [name_of(pod) for pod in cluster.all(PODS)] == [name_of(first)]


def test_only_labels_and_taints_of_a_node_wake(cluster: Any) -> None:
    play = Play(cluster, daemon_set(), nodes=0)
    cluster.sync()
    wake = dict((kind.plural, wake) for kind, wake in daemonset.controller().watches)["nodes"]
    plain = node("n")
    beat = {**plain, "status": {"conditions": [{"type": "Ready"}]}}
    assert list(wake(play.cluster.view(), plain, beat)) == []
    assert list(wake(play.cluster.view(), plain, node("n", a="b"))) == [KEY]
    assert list(wake(play.cluster.view(), None, plain)) == [KEY]
