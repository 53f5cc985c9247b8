"""Removing a lab touches what is the lab's by its exact name, and nothing else: real directories, mounts, cgroups."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from netsim.host import cgroup, mount, netns
from netsim.lab.inventory import lab_names, read_inventory
from netsim.lab.labfile import LabExists, claim_lab
from netsim.lab.paths import LabPaths
from netsim.lab.teardown import destroy_lab

pytestmark = pytest.mark.root
NAME = f"pytest-t{os.getpid()}"


@pytest.fixture
def labs() -> Iterator[tuple[LabPaths, LabPaths]]:
    """Two labs of which one's name begins with the other's, each with a namespace and a process in it."""
    made = LabPaths(NAME), LabPaths(f"{NAME}-b")
    started = []
    try:
        for paths in made:
            claim_lab(paths)
            netns.create(paths.netns("node-1"))
            started.append(sleeper(paths))
        yield made
    finally:
        for paths in made:
            destroy_lab(paths)
        for process in started:
            process.kill()
            process.wait()


def sleeper(paths: LabPaths) -> subprocess.Popen[str]:
    """A process in the lab's namespace and cgroup, which is there when this returns."""
    code = (
        "import sys, time; from netsim.host import cgroup, netns\n"
        "netns.enter(sys.argv[1]); cgroup.join(sys.argv[2], 0); print('in', flush=True); time.sleep(60)"
    )
    argv = [sys.executable, "-c", code, paths.netns("node-1"), f"{paths.cgroup}/system"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "in\n"
    process.stdout.close()
    return process


def test_a_lab_whose_name_begins_like_anothers_is_not_touched(labs: tuple[LabPaths, LabPaths]):
    short, long = labs
    before = read_inventory(long)
    assert before.processes and before.mounts and before.cgroups
    assert destroy_lab(short) == []
    assert read_inventory(short).empty
    assert read_inventory(long) == before
    assert destroy_lab(long) == []


def test_a_stopped_process_goes_too(labs: tuple[LabPaths, LabPaths]):
    (pid,) = read_inventory(labs[0]).processes
    os.kill(pid, 19)
    assert destroy_lab(labs[0]) == []


def test_the_rest_of_a_half_done_removal_is_listed_and_removed(labs: tuple[LabPaths, LabPaths]):
    paths = labs[0]
    destroy_lab(paths)
    for rest in (paths.state, paths.run):
        os.makedirs(rest)
        assert NAME in lab_names()
        assert destroy_lab(paths) == []
    cgroup.ensure(paths.cgroup)
    assert not read_inventory(paths).empty
    assert destroy_lab(paths) == []


def test_several_may_remove_a_lab_at_once(labs: tuple[LabPaths, LabPaths]):
    paths = labs[0]
    for number in range(300):
        Path(paths.logs, f"{number}.log").touch()
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(destroy_lab, [paths] * 4)) == [[]] * 4


def test_a_link_in_place_of_a_lab_is_removed_and_what_it_points_to_stays(labs: tuple[LabPaths, LabPaths]):
    victim, before = labs[1], read_inventory(labs[1])
    destroy_lab(labs[0])
    for link, target in ((labs[0].run, victim.run), (labs[0].state, victim.state)):
        os.symlink(target, link)
        assert NAME in lab_names()
        with pytest.raises(LabExists, match="netsim down"):
            claim_lab(labs[0])
        assert destroy_lab(labs[0]) == []
    assert read_inventory(victim) == before


def test_what_is_mounted_into_a_lab_is_unmounted_and_not_emptied(labs: tuple[LabPaths, LabPaths], tmp_path: Path):
    (tmp_path / "kept").write_text("of the host")
    mount.bind(str(tmp_path), f"{labs[0].state}/volume")
    mount.bind(str(tmp_path), f"{labs[0].state}/volume")
    assert destroy_lab(labs[0]) == []
    assert (tmp_path / "kept").read_text() == "of the host"


def test_a_file_that_stays_is_named_with_the_reason(labs: tuple[LabPaths, LabPaths]):
    pinned = Path(labs[0].logs, "pinned.log")
    pinned.touch()
    if subprocess.run(["chattr", "+i", pinned], check=False, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("no immutable files on this file system")
    try:
        left = destroy_lab(labs[0])
    finally:
        subprocess.run(["chattr", "-i", pinned], check=True)
    assert f"directory {labs[0].state}" in left
    assert f"{pinned}: Operation not permitted" in left
    assert destroy_lab(labs[0]) == []


def test_state_of_an_earlier_lab_is_not_taken_over(labs: tuple[LabPaths, LabPaths]):
    destroy_lab(labs[0])
    os.makedirs(labs[0].logs)
    with pytest.raises(LabExists, match=f"{labs[0].state} is left of an earlier lab"):
        claim_lab(labs[0])
