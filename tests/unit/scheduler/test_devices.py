"""Pods that claim devices: they wait in kube-scheduler's words, and nobody makes room for them in vain."""

from __future__ import annotations

from typing import Any

import pytest

from netsim.api.kinds import Obj
from netsim.scheduler.choose import decide
from netsim.scheduler.devices import NO_DEVICES, PodDevices, blocked, device_reasons, devices_of, settled
from netsim.scheduler.model import Cluster
from netsim.scheduler.needs import needs_of
from netsim.scheduler.preempt import plan_preemption
from netsim.scheduler.situation import situation_of
from netsim.scheduler.texts import failure_message

CLASSES: dict[str, Obj] = {"gpu": {"metadata": {"name": "gpu"}}}
ON_A = {"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]}]}
NO_HELP = "Preemption is not helpful for scheduling."


def claim(status: Obj | None = None, wanted: str = "gpu", **metadata: Any) -> dict[str, Obj]:
    spec = {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": wanted}}]}}
    return {"ns/c": {"metadata": {"name": "c", "namespace": "ns", **metadata}, "spec": spec, "status": status or {}}}


def devices(pod: Obj, claims: dict[str, Obj]) -> PodDevices:
    return devices_of(pod, claims.get, CLASSES.get)


def message(pod: Obj, claims: dict[str, Obj], cluster: Cluster) -> str:
    """What the scheduler says of a pod, "" if it finds a node."""
    needs, found = needs_of(pod), devices(pod, claims)
    if found.problem:
        decision = blocked(found, cluster)
    else:
        situation = situation_of(needs, cluster, devices=lambda node: device_reasons(found, node))
        decision = settled(decide(situation, cluster), found, cluster)
    return "" if decision.node else failure_message(decision, plan_preemption(needs, decision, cluster, []))


NAMED = [{"name": "d", "resourceClaimName": "c"}]
MADE = [{"name": "d", "resourceClaimTemplateName": "t"}]
ALTERNATIVES = {
    "ns/c": {
        "metadata": {"name": "c"},
        "spec": {"devices": {"requests": [{"name": "r", "firstAvailable": [{"name": "x", "deviceClassName": "no"}]}]}},
    }
}


@pytest.mark.parametrize(
    ("wanted", "claims", "problem"),
    [
        (NAMED, {}, 'resourceclaim.resource.k8s.io "c" not found'),
        (MADE, {}, 'pod "ns/p": ResourceClaim not created yet'),
        (NAMED, claim(deletionTimestamp="2026-01-01T00:00:00Z"), 'resourceclaim "c" is being deleted'),
        (NAMED, claim(wanted="fpga"), "request r: device class fpga does not exist"),
        (NAMED, ALTERNATIVES, "request r/x: device class no does not exist"),
        (
            NAMED,
            claim({"allocation": {}, "reservedFor": [{"uid": str(i)} for i in range(256)]}),
            "resourceclaim in use",
        ),
    ],
)
def test_claims_that_are_not_as_they_must_be(make: Any, wanted: Any, claims: dict[str, Obj], problem: str) -> None:
    cluster = Cluster([make.node("a"), make.node("b")])
    assert message(make.pod("p", resourceClaims=wanted), claims, cluster) == (
        f"0/2 nodes are available: {problem}. no new claims to deallocate, preemption: "
        f"0/2 nodes are available: 2 {NO_HELP}"
    )


def made_for(make: Any, name: str | None) -> Obj:
    pod: Obj = make.pod("p", resourceClaims=MADE)
    return {
        **pod,
        "status": {**pod.get("status", {}), "resourceClaimStatuses": [{"name": "d", "resourceClaimName": name}]},
    }


def test_a_claim_made_from_a_template_is_its_pods_own(make: Any) -> None:
    pod = made_for(make, "c")
    problem = "ResourceClaim ns/c was not created for Pod ns/p (Pod is not owner)"
    assert devices(pod, claim()).problem == problem
    owner = {"uid": pod["metadata"]["uid"], "kind": "Pod", "name": "p", "controller": True}
    assert devices(pod, claim(ownerReferences=[owner])) == PodDevices(missing=True)


def test_a_pod_whose_template_needs_no_claim_goes_anywhere(make: Any) -> None:
    pod = made_for(make, None)
    assert devices(pod, {}) == NO_DEVICES
    assert message(pod, {}, Cluster([make.node("a")])) == ""


def test_devices_are_not_allocated_here_and_no_pod_goes_for_them(make: Any) -> None:
    nodes = [make.node("a"), make.node("b")]
    weak = make.pod("weak", cpu="4", nodeName="a", priority=1)
    pod = make.pod("p", cpu="2", priority=100, resourceClaims=NAMED)
    assert message(pod, claim(), Cluster(nodes, [weak])) == (
        "0/2 nodes are available: 1 Insufficient cpu, 1 cannot allocate all claims. still not schedulable, preemption: "
        f"0/2 nodes are available: 2 {NO_HELP}"
    )


def test_a_pod_goes_where_its_devices_are(make: Any) -> None:
    pod, claims = make.pod("p", resourceClaims=NAMED), claim({"allocation": {"nodeSelector": ON_A}})
    assert message(pod, claims, Cluster([make.node("a"), make.node("b")])) == ""
    assert "1 resourceclaim not available on the node." in message(pod, claims, Cluster([make.node("b")]))
    anywhere = claim({"allocation": {}})
    assert message(pod, anywhere, Cluster([make.node("b")])) == ""
