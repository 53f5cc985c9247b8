"""The claims and revisions of StatefulSets on values."""

from __future__ import annotations

from typing import Any

from netsim.api.kinds import CONTROLLER_REVISIONS, PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS
from netsim.api.objects import name_of
from netsim.controllers import statefulset
from netsim.controllers.writes import Create, Patch
from support.stateful_play import KEY, change, set_image, settle, stateful_set, status

CLAIMS = [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}]


def test_claims_come_first_and_stay(cluster: Any) -> None:
    cluster.create(STATEFUL_SETS, stateful_set(2, volumeClaimTemplates=CLAIMS))
    assert settle(cluster) == ["+web-0", "+web-1"]
    claim = cluster.get(PERSISTENT_VOLUME_CLAIMS, "ns/data-web-1")
    assert claim["metadata"]["labels"] == {"app": "web"} and "ownerReferences" not in claim["metadata"]
    volume = cluster.get(PODS, "ns/web-1")["spec"]["volumes"]
    assert volume == [{"name": "data", "persistentVolumeClaim": {"claimName": "data-web-1"}}]
    change(cluster, replicas=0)
    settle(cluster)
    assert len(cluster.all(PERSISTENT_VOLUME_CLAIMS)) == 2


def test_claims_go_with_the_scaled_down_pod_or_with_the_set(cluster: Any) -> None:
    policy = {"whenDeleted": "Delete", "whenScaled": "Delete"}
    spec = {"volumeClaimTemplates": CLAIMS, "persistentVolumeClaimRetentionPolicy": policy}
    cluster.create(STATEFUL_SETS, stateful_set(2, **spec))
    settle(cluster)

    def owner(claim: str) -> tuple[str, str]:
        (reference,) = cluster.get(PERSISTENT_VOLUME_CLAIMS, f"ns/{claim}")["metadata"]["ownerReferences"]
        return reference["kind"], reference["name"]

    assert owner("data-web-1") == ("StatefulSet", "web")
    change(cluster, replicas=1)
    assert settle(cluster) == ["-web-1"]
    assert (owner("data-web-0"), owner("data-web-1")) == (("StatefulSet", "web"), ("Pod", "web-1"))


def test_a_pod_waits_for_a_claim_that_is_leaving(cluster: Any) -> None:
    claim = {"metadata": {"name": "data-web-0", "namespace": "ns", "finalizers": ["kubernetes.io/pvc-protection"]}}
    cluster.create(PERSISTENT_VOLUME_CLAIMS, claim)
    cluster.delete(PERSISTENT_VOLUME_CLAIMS, "data-web-0", "ns")
    cluster.create(STATEFUL_SETS, stateful_set(1, volumeClaimTemplates=CLAIMS))
    assert settle(cluster) == []
    old = cluster.get(PERSISTENT_VOLUME_CLAIMS, "ns/data-web-0")
    wake = dict((kind.plural, wake) for kind, wake in statefulset.CONTROLLER.watches)["persistentvolumeclaims"]
    cluster.patch(PERSISTENT_VOLUME_CLAIMS, "data-web-0", "ns", {"metadata": {"finalizers": None}})
    cluster.sync()
    assert list(wake(cluster.view(), old, None)) == [KEY]
    assert settle(cluster) == ["+web-0"]


def test_history_is_numbered_restored_and_cut(cluster: Any) -> None:
    cluster.create(STATEFUL_SETS, stateful_set(1, revisionHistoryLimit=2))
    for number in (1, 2, 3, 4, 5):
        set_image(cluster, f"i:{number}")
        settle(cluster)

    def images() -> dict[int, str]:
        found = cluster.all(CONTROLLER_REVISIONS)
        return {r["revision"]: r["data"]["spec"]["template"]["spec"]["containers"][0]["image"] for r in found}

    assert images() == {3: "i:3", 4: "i:4", 5: "i:5"}
    set_image(cluster, "i:3")
    settle(cluster)
    assert images() == {4: "i:4", 5: "i:5", 6: "i:3"}


def test_a_taken_revision_name_gets_the_next_hash(cluster: Any) -> None:
    cluster.create(STATEFUL_SETS, stateful_set(1))
    cluster.sync()
    name = name_of(next(w.obj for w in statefulset.reconcile(KEY, cluster.view()) if isinstance(w, Create)))
    stranger = {"metadata": {"name": name, "namespace": "ns"}, "data": {}, "revision": 1}
    cluster.create(CONTROLLER_REVISIONS, stranger)
    assert settle(cluster) == ["+web-0"]
    assert status(cluster)["collisionCount"] == 1
    assert len(cluster.all(CONTROLLER_REVISIONS)) == 2


def test_a_pod_whose_claims_get_another_owner_is_told_as_updated(cluster: Any) -> None:
    keep = {"whenDeleted": "Retain", "whenScaled": "Retain"}
    spec = {"volumeClaimTemplates": CLAIMS, "persistentVolumeClaimRetentionPolicy": keep}
    cluster.create(STATEFUL_SETS, stateful_set(1, **spec))
    settle(cluster)
    change(cluster, persistentVolumeClaimRetentionPolicy={**keep, "whenDeleted": "Delete"})
    cluster.sync()
    patches = [w for w in statefulset.CONTROLLER.reconcile(KEY, cluster.view()) if isinstance(w, Patch)]
    told = [w.announce.done for w in patches if w.announce is not None]
    assert told == [("SuccessfulUpdate", "Update Pod web-0 in StatefulSet web successful")]
