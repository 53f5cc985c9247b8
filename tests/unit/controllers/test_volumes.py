"""Volumes and claims on values: who gets whom, phases, protection."""

from __future__ import annotations

from typing import Any

import pytest

from netsim.api.kinds import NODES, PODS, STORAGE_CLASSES, VOLUME_ATTRIBUTES_CLASSES, Obj
from netsim.api.kinds import PERSISTENT_VOLUME_CLAIMS as PVCS
from netsim.api.kinds import PERSISTENT_VOLUMES as PVS
from netsim.controllers import volume_claims, volume_protection, volumes
from netsim.controllers.volume_nodes import choose_node
from netsim.controllers.volume_protection import CLASS_FINALIZER

DONE, BY = "pv.kubernetes.io/bind-completed", "pv.kubernetes.io/bound-by-controller"


def claim(name: str = "data", size: str = "1Gi", cls: str = "", **spec: Any) -> Obj:
    core = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, "storageClassName": cls}
    return {"metadata": {"name": name, "namespace": "ns"}, "spec": core | spec, "status": {"phase": "Pending"}}


def volume(name: str, size: str = "1Gi", cls: str = "", phase: str = "Available", **spec: Any) -> Obj:
    core = {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": cls}
    core |= {"persistentVolumeReclaimPolicy": "Retain", **spec}
    return {"metadata": {"name": name}, "spec": core, "status": {"phase": phase}}


def settle(cluster: Any) -> None:
    """All volumes and claims until nothing changes any more."""
    for _ in range(10):
        cluster.sync()
        for module, kind in ((volume_claims, PVCS), (volumes, PVS)):
            for obj in cluster.all(kind):
                head = obj["metadata"]
                key = f"{head['namespace']}/{head['name']}" if "namespace" in head else head["name"]
                assert not cluster.apply(module.reconcile(key, cluster.view()))
                cluster.sync()
    cluster.sync()


def bound(cluster: Any) -> dict[str, str]:
    return {c["metadata"]["name"]: c["spec"].get("volumeName", "") for c in cluster.all(PVCS)}


def phases(cluster: Any, kind: Any) -> dict[str, str]:
    return {o["metadata"]["name"]: o["status"]["phase"] for o in cluster.all(kind)}


def test_the_smallest_that_suits_is_bound_from_both_sides(cluster: Any) -> None:
    for name, size in (("big", "5Gi"), ("fit", "2Gi"), ("small", "500Mi")):
        cluster.create(PVS, volume(name, size))
    cluster.create(PVCS, claim(size="1Gi"))
    settle(cluster)
    found, got = cluster.get(PVCS, "ns/data"), cluster.get(PVS, "fit")
    assert found["spec"]["volumeName"] == "fit"
    assert {k: found["metadata"]["annotations"][k] for k in (DONE, BY)} == {DONE: "yes", BY: "yes"}
    assert found["status"] == {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "2Gi"}}
    assert got["metadata"]["annotations"] == {BY: "yes"}
    assert (got["spec"]["claimRef"]["name"], got["spec"]["claimRef"]["uid"]) == ("data", found["metadata"]["uid"])
    assert phases(cluster, PVS) == {"big": "Available", "fit": "Bound", "small": "Available"}


@pytest.mark.parametrize(
    ("wanted", "there"),
    [
        (claim(size="2Gi"), volume("v", "1Gi")),
        (claim(cls="fast"), volume("v")),
        (claim(accessModes=["ReadWriteMany"]), volume("v")),
        (claim(volumeMode="Block"), volume("v")),
        (claim(selector={"matchLabels": {"disk": "ssd"}}), volume("v")),
        (claim(), volume("v", claimRef={"namespace": "ns", "name": "other"})),
        (claim(), volume("v", phase="Released")),
    ],
)
def test_what_does_not_suit_is_not_bound(cluster: Any, wanted: Obj, there: Obj) -> None:
    cluster.create(PVS, there)
    cluster.create(PVCS, wanted)
    cluster.sync()
    writes = volume_claims.reconcile("ns/data", cluster.view())
    cluster.apply(writes)
    assert bound(cluster) == {"data": ""}
    assert cluster.requeues == [15.0]


def test_two_claims_share_no_volume(cluster: Any) -> None:
    cluster.create(PVS, volume("only"))
    for name in ("a", "b"):
        cluster.create(PVCS, claim(name))
    cluster.sync()
    views = [volume_claims.reconcile(f"ns/{name}", cluster.view()) for name in ("a", "b")]
    assert [len(cluster.apply(writes)) for writes in views] == [0, 1]
    settle(cluster)
    assert sorted(bound(cluster).values()) == ["", "only"]
    assert cluster.notes[-1].reason == "FailedBinding"


def test_a_claim_may_name_its_volume_and_a_volume_its_claim(cluster: Any) -> None:
    cluster.create(PVS, volume("named", "9Gi"))
    cluster.create(PVCS, claim("a", volumeName="named"))
    cluster.create(PVS, volume("kept", "9Gi", claimRef={"namespace": "ns", "name": "b"}))
    cluster.create(PVS, volume("free"))
    cluster.create(PVCS, claim("b"))
    settle(cluster)
    assert bound(cluster) == {"a": "named", "b": "kept"}
    assert BY not in cluster.get(PVCS, "ns/a")["metadata"]["annotations"]
    assert "annotations" not in cluster.get(PVS, "kept")["metadata"]


@pytest.mark.parametrize(
    ("there", "reason", "text"),
    [
        (volume("v", "1Mi"), "VolumeMismatch", "requested PV is too small"),
        (volume("v", cls="fast"), "VolumeMismatch", "storageClassName does not match"),
        (volume("v", accessModes=[]), "VolumeMismatch", "incompatible accessMode"),
        (volume("v", claimRef={"namespace": "x", "name": "y", "uid": "z"}), "FailedBinding", "already bound"),
    ],
)
def test_a_named_volume_that_cannot_be(cluster: Any, there: Obj, reason: str, text: str) -> None:
    cluster.create(PVS, there)
    cluster.create(PVCS, claim(volumeName="v"))
    cluster.sync()
    cluster.apply(volume_claims.reconcile("ns/data", cluster.view()))
    (note,) = cluster.notes
    assert (note.reason, note.type) == (reason, "Warning") and text in note.message
    assert phases(cluster, PVCS) == {"data": "Pending"}


def add_class(cluster: Any, mode: str = "Immediate", provisioner: str = "netsim.io/local-path") -> None:
    cluster.create(
        STORAGE_CLASSES, {"metadata": {"name": "std"}, "provisioner": provisioner, "volumeBindingMode": mode}
    )


@pytest.mark.parametrize(
    ("mode", "provisioner", "annotations", "reason"),
    [
        ("Immediate", "example.org/nfs", {}, "ExternalProvisioning"),
        ("Immediate", "netsim.io/local-path", {}, "ProvisioningFailed"),
        ("WaitForFirstConsumer", "netsim.io/local-path", {}, "WaitForFirstConsumer"),
        ("WaitForFirstConsumer", "netsim.io/local-path", {"volume.kubernetes.io/selected-node": "n"},
         "ExternalProvisioning"),
        ("Immediate", "kubernetes.io/no-provisioner", {}, "FailedBinding"),
        ("", "", {}, "ProvisioningFailed"),
    ],
)  # fmt: skip
def test_what_a_claim_waits_for(cluster: Any, mode: str, provisioner: str, annotations: Obj, reason: str) -> None:
    if mode:
        add_class(cluster, mode, provisioner)
    made = claim(cls="std")
    cluster.create(PVCS, {**made, "metadata": {**made["metadata"], "annotations": annotations}})
    cluster.sync()
    cluster.apply(volume_claims.reconcile("ns/data", cluster.view()))
    assert [note.reason for note in cluster.notes] == [reason]
    asked = cluster.get(PVCS, "ns/data")["metadata"]["annotations"].get("volume.kubernetes.io/storage-provisioner")
    assert asked == (provisioner if reason == "ExternalProvisioning" else None)


def node(name: str, ready: str = "True", zone: str = "z", **spec: Any) -> Obj:
    head = {"name": name, "labels": {"zone": zone, "kubernetes.io/hostname": name}}
    return {"metadata": head, "spec": spec, "status": {"conditions": [{"type": "Ready", "status": ready}]}}


def test_an_immediate_claim_is_sent_to_the_node_with_the_fewest_volumes(cluster: Any) -> None:
    add_class(cluster)
    taint = {"key": "k", "effect": "NoSchedule"}
    for made in (node("a"), node("b"), node("c"), node("d", "False"), node("e", taints=[taint])):
        cluster.create(NODES, made)
    cluster.create(NODES, node("f", unschedulable=True))
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["a"]}
    affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}
    cluster.create(PVS, volume("held", cls="other", nodeAffinity=affinity))
    for name in ("x", "y", "z"):
        cluster.create(PVCS, claim(name, cls="std"))
    settle(cluster)
    marks = [c["metadata"]["annotations"] for c in cluster.all(PVCS)]
    assert [mark["volume.kubernetes.io/selected-node"] for mark in marks] == ["b", "c", "a"]
    assert {mark["volume.kubernetes.io/storage-provisioner"] for mark in marks} == {"netsim.io/local-path"}
    cluster.delete(NODES, "b", "")
    settle(cluster)
    assert cluster.get(PVCS, "ns/x")["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] in ("a", "c")


def test_an_immediate_claim_stays_within_the_topologies_of_its_class() -> None:
    labels = [{"key": "zone", "values": ["far"]}]
    storage_class = {"allowedTopologies": [{"matchLabelExpressions": labels}]}
    fake = node("0", zone="far")
    fake["metadata"]["annotations"] = {"kwok.x-k8s.io/node": "fake"}
    assert choose_node(storage_class, [fake, node("a"), node("b", zone="far")], []) == "b"
    assert choose_node(storage_class, [node("a")], []) == ""


def test_the_first_consumers_choice_is_bound(cluster: Any) -> None:
    add_class(cluster, "WaitForFirstConsumer")
    made = cluster.create(PVCS, claim(cls="std"))
    cluster.create(PVS, volume("free", cls="std"))
    settle(cluster)
    assert bound(cluster) == {"data": ""}
    reference = {"namespace": "ns", "name": "data", "uid": made["metadata"]["uid"]}
    cluster.patch(PVS, "free", "", {"spec": {"claimRef": reference}})
    settle(cluster)
    assert (bound(cluster), phases(cluster, PVS)) == ({"data": "free"}, {"free": "Bound"})


@pytest.mark.parametrize(
    ("policy", "annotations", "phase"),
    [
        ("Retain", {}, "Released"),
        ("Delete", {"pv.kubernetes.io/provisioned-by": "netsim.io/local-path"}, "Released"),
        ("Delete", {}, "Failed"),
    ],
)
def test_a_volume_whose_claim_is_gone(cluster: Any, policy: str, annotations: Obj, phase: str) -> None:
    made = volume("v", persistentVolumeReclaimPolicy=policy)
    cluster.create(PVS, {**made, "metadata": {"name": "v", "annotations": annotations}})
    cluster.create(PVCS, claim())
    settle(cluster)
    cluster.delete(PVCS, "data", "ns")
    settle(cluster)
    assert phases(cluster, PVS) == {"v": phase}
    cluster.create(PVCS, claim())
    settle(cluster)
    assert bound(cluster) == {"data": ""}
    cluster.patch(PVS, "v", "", {"spec": {"claimRef": None}})
    settle(cluster)
    assert (bound(cluster), phases(cluster, PVS)) == ({"data": "v"}, {"v": "Bound"})


def test_a_claim_without_its_volume_is_lost(cluster: Any) -> None:
    cluster.create(PVS, volume("v"))
    cluster.create(PVCS, claim())
    settle(cluster)
    cluster.delete(PVS, "v")
    settle(cluster)
    assert cluster.get(PVCS, "ns/data")["status"] == {"phase": "Lost"}
    assert [note.reason for note in cluster.notes] == ["ClaimLost"]


def test_storage_in_use_is_kept(cluster: Any) -> None:
    head = {"name": "data", "namespace": "ns", "finalizers": ["kubernetes.io/pvc-protection"]}
    cluster.create(PVCS, {**claim(), "metadata": head})
    used = [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]
    pod = {"metadata": {"name": "p", "namespace": "ns"}, "spec": {"nodeName": "n", "containers": [], "volumes": used}}
    cluster.create(PODS, pod)
    cluster.delete(PVCS, "data", "ns")
    cluster.sync()
    assert volume_protection.release_claim("ns/data", cluster.view()) == []
    cluster.delete(PODS, "p", "ns")
    cluster.sync()
    cluster.apply(volume_protection.release_claim("ns/data", cluster.view()))
    assert not cluster.all(PVCS)


def test_a_bound_volume_is_kept(cluster: Any) -> None:
    made = volume("v", phase="Bound")
    cluster.create(PVS, {**made, "metadata": {"name": "v", "finalizers": ["kubernetes.io/pv-protection"]}})
    cluster.delete(PVS, "v")
    cluster.sync()
    assert volume_protection.release_volume("v", cluster.view()) == []
    cluster.patch(PVS, "v", "", {"status": {"phase": "Released"}}, "status")
    cluster.sync()
    cluster.apply(volume_protection.release_volume("v", cluster.view()))
    assert not cluster.all(PVS)


def test_a_class_of_attributes_is_kept_while_a_claim_or_volume_names_it(cluster: Any) -> None:
    cluster.create(VOLUME_ATTRIBUTES_CLASSES, {"metadata": {"name": "fast", "finalizers": [CLASS_FINALIZER]}})
    claim = {"metadata": {"name": "c", "namespace": "ns"}, "status": {"currentVolumeAttributesClassName": "fast"}}
    cluster.create(PVCS, claim)
    cluster.create(PVS, {"metadata": {"name": "v"}, "spec": {"volumeAttributesClassName": "fast"}})
    cluster.delete(VOLUME_ATTRIBUTES_CLASSES, "fast")
    for kind, name, namespace in ((PVCS, "c", "ns"), (PVS, "v", "")):
        cluster.sync()
        assert volume_protection.release_class("fast", cluster.view()) == []
        cluster.delete(kind, name, namespace)
    cluster.sync()
    cluster.apply(volume_protection.release_class("fast", cluster.view()))
    assert not cluster.all(VOLUME_ATTRIBUTES_CLASSES)


def test_ephemeral_volumes_get_claims_of_their_pod(cluster: Any) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": claim()["spec"]}
    wanted = [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}]
    cluster.create(PODS, {"metadata": {"name": "p", "namespace": "ns"}, "spec": {"containers": [], "volumes": wanted}})
    cluster.sync()
    cluster.apply(volume_protection.make_ephemeral("ns/p", cluster.view()))
    made = cluster.get(PVCS, "ns/p-scratch")
    assert made["metadata"]["labels"] == {"a": "b"}
    assert made["metadata"]["ownerReferences"][0]["name"] == "p"
    cluster.sync()
    assert volume_protection.make_ephemeral("ns/p", cluster.view()) == []


def test_who_is_woken(cluster: Any) -> None:
    cluster.create(PVCS, claim("a", cls="std"))
    cluster.create(PVCS, claim("b"))
    cluster.sync()
    wakes = {kind.resource: wake for kind, wake in volume_claims.CONTROLLER.watches}
    view = cluster.view()
    assert set(wakes["persistentvolumes"](view, None, volume("v"))) == {"ns/a", "ns/b"}
    taken = volume("v", claimRef={"namespace": "ns", "name": "b", "uid": "x"})
    assert set(wakes["persistentvolumes"](view, None, taken)) == {"ns/b"}
    add_class(cluster)
    assert list(wakes["storageclasses.storage.k8s.io"](view, None, cluster.get(STORAGE_CLASSES, "std"))) == ["ns/a"]
