"""Where containers' writable layers go, on file systems that can and cannot carry them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from netsim.agent.config import AgentConfig
from netsim.agent.runtime.storage import Storage, carries_layers
from netsim.host import mount

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@pytest.fixture
def nested(tmp_path: Path) -> Iterator[str]:
    """An overlay's mount point: another overlay's upper layer cannot lie there."""
    (tmp_path / "lower").mkdir()
    target = str(tmp_path / "nested")
    mount.overlay([str(tmp_path / "lower")], str(tmp_path / "upper"), str(tmp_path / "work"), target)
    yield target
    mount.unmount(target)


@pytest.fixture
def run_dir(tmp_path: Path) -> Iterator[str]:
    """A tmpfs, as /run is."""
    path = str(tmp_path / "run")
    mount.mount("tmpfs", path)
    yield path
    for left in mount.mounts_under(path):
        mount.unmount(left)


def storage(run_dir: str, state_dir: str) -> Storage:
    return Storage(AgentConfig("n", "lab", "10.0.0.1", run_dir, state_dir, f"{run_dir}/net.d"))


def test_layers_lie_on_disk_where_an_overlay_can(tmp_path: Path, run_dir: str):
    state = str(tmp_path / "state")
    if not carries_layers(str(tmp_path / "trial"), run_dir):
        pytest.skip("the directory of temporary files is itself on a file system that carries no layers")
    found = storage(run_dir, state)
    assert found.writable("c1") == f"{state}/containers/c1"
    assert os.listdir(state) == [] and os.listdir(run_dir) == []


def test_layers_stay_in_the_run_directory_where_it_cannot(run_dir: str, nested: str):
    found = storage(run_dir, nested)
    assert found.writable("c1") == f"{run_dir}/containers/c1"
    assert os.listdir(nested) == [] and os.listdir(run_dir) == []


def test_a_container_and_a_pod_are_removed_from_both_trees(tmp_path: Path, run_dir: str):
    state = str(tmp_path / "state")
    found = storage(run_dir, state)
    os.makedirs(found.writable("c1") + "/upper")
    os.makedirs(found.empty_dir("u1", "cache", ""))
    os.makedirs(found.empty_dir("u1", "fast", "Memory"))
    assert found.containers() == ["c1"] and found.pods() == ["u1"] and found.holds("c1")
    assert found.empty_dir("u1", "cache", "").startswith(state)
    assert found.empty_dir("u1", "fast", "Memory").startswith(run_dir)
    mount.overlay([str(tmp_path)], f"{run_dir}/u", f"{run_dir}/w", f"{found.bundle('c1')}/rootfs")
    found.remove_container("c1")
    found.remove_pod("u1")
    assert found.containers() == [] and found.pods() == [] and not found.holds("c1")
    assert mount.mounts_under(found.bundle("c1")) == []
