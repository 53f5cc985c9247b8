"""The local provisioner, and what a claim is to the agent."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from netsim.agent import provisioning
from netsim.agent.claims import bound_volume, claim_volumes, source_of
from netsim.agent.env import ConfigError
from netsim.agent.model import Obj
from netsim.agent.provisioner import Provisioner, make_directory, remove_directory

MARKS = {
    "volume.kubernetes.io/storage-provisioner": "netsim.io/local-path",
    "volume.kubernetes.io/selected-node": "node-1",
}


def claim(annotations: Obj = MARKS, **spec: Any) -> Obj:
    core = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "s"}
    head = {"name": "data", "namespace": "ns", "uid": "u1", "resourceVersion": "7", "annotations": annotations}
    return {"metadata": head, "spec": core | spec, "status": {"phase": "Pending"}}


@pytest.mark.parametrize(
    ("found", "ours"),
    [
        (claim(), True),
        (claim({**MARKS, "volume.kubernetes.io/selected-node": "node-2"}), False),
        (claim({"volume.kubernetes.io/selected-node": "node-1"}), False),
        (claim(volumeName="pvc-u1"), False),
        (claim(storageClassName=""), False),
    ],
)
def test_whose_claim_it_is(found: Obj, ours: bool) -> None:
    assert provisioning.is_to_provision(found, "node-1") is ours


def made(**status: Any) -> Obj:
    storage_class = {"metadata": {"name": "s"}, "reclaimPolicy": "Delete"}
    volume = provisioning.volume_for(claim(), storage_class, "node-1", "/s/volumes/x")
    return {**volume, "status": status}


def test_the_volume_of_a_claim() -> None:
    volume = made()
    assert volume["metadata"]["name"] == "pvc-u1"
    assert volume["spec"]["claimRef"]["uid"] == "u1"
    assert (volume["spec"]["local"], volume["spec"]["capacity"]) == ({"path": "/s/volumes/x"}, {"storage": "1Gi"})
    assert provisioning.node_of(volume) == "node-1"
    assert provisioning.directory_of("/s", claim()) == "/s/volumes/pvc-u1_ns_data"


@pytest.mark.parametrize(("phase", "node", "gone"), [
    ("Released", "node-1", True), ("Bound", "node-1", False), ("Released", "node-2", False), (None, "node-1", False),
])  # fmt: skip
def test_which_volumes_are_deleted(phase: str | None, node: str, gone: bool) -> None:
    assert provisioning.is_to_delete(made(phase=phase), node) is gone
    kept = made(phase=phase)
    kept["spec"]["persistentVolumeReclaimPolicy"] = "Retain"
    assert not provisioning.is_to_delete(kept, node)


def test_a_volume_is_held_until_its_directory_is_gone() -> None:
    volume = made(phase="Released")
    assert volume["metadata"]["finalizers"] == [provisioning.FINALIZER]
    volume["metadata"] |= {"resourceVersion": "3", "deletionTimestamp": "2026-01-01T00:00:00Z"}
    assert provisioning.without_finalizer(volume) == {"metadata": {"finalizers": None, "resourceVersion": "3"}}
    assert not provisioning.is_to_let_go(volume, "node-1")
    volume["spec"]["persistentVolumeReclaimPolicy"] = "Retain"
    assert provisioning.is_to_let_go(volume, "node-1")
    assert not provisioning.is_to_let_go(volume, "node-2")


def test_what_it_cannot_make() -> None:
    assert provisioning.refusal(claim()) == ""
    assert "volumeMode Block" in provisioning.refusal(claim(volumeMode="Block"))
    assert "ReadWriteOnce" in provisioning.refusal(claim(accessModes=["ReadWriteMany"]))


def test_only_its_own_directories_are_removed(tmp_path: Path) -> None:
    state = str(tmp_path)
    make_directory(f"{state}/volumes/a")
    (tmp_path / "volumes/a/file").write_text("x")
    (tmp_path / "else").mkdir()
    (tmp_path / "volumes/link").symlink_to(tmp_path / "else")
    remove_directory(state, f"{state}/volumes/a")
    remove_directory(state, f"{state}/volumes/a")
    assert not (tmp_path / "volumes/a").exists()
    below = [f"{state}/volumes/{name}" for name in ("link", "../else", "", ".", "..")]
    for path in (f"{state}/else", *below, "/", ""):
        with pytest.raises(ValueError, match="by hand"):
            remove_directory(state, path)
    assert (tmp_path / "else").is_dir() and (tmp_path / "volumes").is_dir()


async def test_what_cannot_be_done_is_tried_again(tmp_path: Path) -> None:
    """A volume whose path is nobody's, and a server that does not answer, end nothing."""

    class Gone:
        async def patch(self, *_: Any, **__: Any) -> Obj:
            raise ConnectionRefusedError

        create = delete = patch

    found = Provisioner(cast(Any, Gone()), "node-1", str(tmp_path))
    held, strange = made(), made(phase="Released")
    held["metadata"] |= {"name": "held", "resourceVersion": "3", "deletionTimestamp": "2026-01-01T00:00:00Z"}
    held["spec"]["persistentVolumeReclaimPolicy"] = "Retain"
    strange["metadata"] |= {"name": "strange", "uid": "u2", "resourceVersion": "4"}
    strange["spec"]["hostPath"] = strange["spec"].pop("local")
    for volume in (held, strange):
        found.volumes.replace([volume], "4")
        assert not await found._serve_all()


def test_claims_of_a_pod() -> None:
    volumes = [
        {"name": "a", "persistentVolumeClaim": {"claimName": "data"}}, {"name": "b", "ephemeral": {}},
        {"name": "c", "ephemeral": {"volumeClaimTemplate": {}}}, {"name": "d", "emptyDir": {}},
    ]  # fmt: skip
    pod = {"metadata": {"name": "p"}, "spec": {"volumes": volumes}}
    assert claim_volumes(pod) == {"a": "data", "c": "p-c"}


def test_what_a_claim_is_bound_to() -> None:
    bound = {**claim(volumeName="pvc-u1"), "status": {"phase": "Bound"}}
    assert bound_volume("data", bound) == "pvc-u1"
    for unbound in (None, claim(), claim(volumeName="v")):
        with pytest.raises(ConfigError):
            bound_volume("data", unbound)
    found = source_of(made(), bound)
    assert found["name"] == "pvc-u1" and found["hostPath"] == {"path": "/s/volumes/x", "type": "Directory"}
    assert "local" in found
    other = made()
    other["spec"]["claimRef"]["uid"] = "u2"
    with pytest.raises(ConfigError, match="is not bound to claim"):
        source_of(other, bound)
    foreign = made()
    del foreign["spec"]["local"]
    foreign["spec"]["nfs"] = {"server": "x"}
    with pytest.raises(ConfigError, match="of type nfs"):
        source_of(foreign, bound)
    foreign["spec"]["hostPath"] = {"path": "/srv"}
    assert source_of(foreign, bound)["hostPath"] == {"path": "/srv"}
