"""Who a change wakes, beside what could be done about it: whoever is left asleep has nothing to do."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import assume, given
from hypothesis import strategies as st

from netsim.api.kinds import NODES, PODS, REPLICA_SETS, SERVICES, Kind, Obj
from netsim.api.objects import controller_of, deletion_timestamp, labels_of
from netsim.controllers import taint_eviction
from netsim.controllers.endpointslice import endpoint_of
from netsim.controllers.pods import is_finished
from netsim.controllers.run import new_caches
from netsim.controllers.service_endpoints import address_of, wake_services
from netsim.controllers.view import View
from netsim.controllers.wakes import by_owner_or_orphan

NOW = "2026-01-01T00:00:00Z"
OWNER = {"kind": "ReplicaSet", "name": "web", "uid": "u", "controller": True}

pods = st.builds(
    lambda app, owners, deleted, node, ip, ready, phase: {
        "metadata": {"name": "p", "namespace": "ns", "labels": {"app": app}, "ownerReferences": owners, **deleted},
        "spec": {"containers": [], "nodeName": node},
        "status": {"podIP": ip, "phase": phase, "conditions": [{"type": "Ready", "status": ready}]},
    },
    st.sampled_from(["web", "db"]),
    st.sampled_from([[], [OWNER]]),
    st.sampled_from([{}, {"deletionTimestamp": NOW}]),
    st.sampled_from(["", "node-1", "node-2"]),
    st.sampled_from(["", "10.0.0.1", "10.0.0.2"]),
    st.sampled_from(["True", "False"]),
    st.sampled_from(["Pending", "Running", "Succeeded"]),
)


WEB: Obj = {"metadata": {"name": "web", "namespace": "ns", "uid": "u"}}
REPLICAS: Obj = {**WEB, "spec": {"selector": {"matchLabels": {"app": "web"}}}}
SERVICE: Obj = {**WEB, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}
TAINTED = {"metadata": {"name": "node-2"}, "spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}}


def view_of(*placed: tuple[Kind, Obj]) -> View:
    caches = new_caches()
    for kind, obj in ((REPLICA_SETS, REPLICAS), (SERVICES, SERVICE), (NODES, TAINTED), *placed):
        caches[kind.resource].put({**obj, "kind": kind.kind}, "1")
    return View(caches, datetime(2026, 1, 1, tzinfo=UTC))


def endpoint(view: View, pod: Obj | None) -> Obj | None:
    """What the Service's slices say of the pod."""
    if pod is None or labels_of(pod)["app"] != "web" or is_finished(pod) or not address_of(pod, "IPv4"):
        return None
    return endpoint_of(view, SERVICE, pod, address_of(pod, "IPv4"))


@given(st.none() | pods, st.none() | pods)
def test_a_service_is_woken_when_its_endpoints_change(old: Obj | None, new: Obj | None) -> None:
    view = view_of()
    if endpoint(view, old) != endpoint(view, new):
        assert list(wake_services(view, old, new)) == ["ns/web"]


def may_be_adopted(pod: Obj) -> bool:
    return labels_of(pod)["app"] == "web" and controller_of(pod) is None and not deletion_timestamp(pod)


@given(st.none() | pods, pods)
def test_a_controller_is_woken_by_its_pods_and_by_those_it_may_adopt_now(old: Obj | None, new: Obj) -> None:
    assume(old is None or deletion_timestamp(old) is None or deletion_timestamp(new))  # there is no way back
    woken = list(by_owner_or_orphan(REPLICA_SETS)(view_of(), old, new))
    newly = may_be_adopted(new) and (old is None or not may_be_adopted(old))
    if newly or any(pod is not None and controller_of(pod) for pod in (old, new)):
        assert woken == ["ns/web"]
    elif old is not None and labels_of(old) == labels_of(new):
        assert woken == []


@given(st.none() | pods, pods)
def test_a_pod_that_is_not_looked_at_for_its_nodes_taints_may_stay(old: Obj | None, new: Obj) -> None:
    view = view_of((NODES, {"metadata": {"name": "node-1"}, "spec": {}}), (PODS, new))
    if not taint_eviction.wake_on_tainted(view, old, new):
        assert not taint_eviction.controller().reconcile("ns/p", view)
