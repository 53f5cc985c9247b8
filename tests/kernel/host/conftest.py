"""A directory, namespaces and a cgroup for the tests of the host layer."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator

import pytest

from netsim.host import cgroup, mount, netns

Make = Callable[[str], str]


@pytest.fixture
def directory() -> Iterator[str]:
    path = f"/run/netsim/hc-host-{os.getpid()}"
    yield path
    for target in mount.mounts_under(path):
        mount.unmount(target)
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def make(directory: str) -> Iterator[Make]:
    made: list[str] = []

    def make_(name: str) -> str:
        path = f"{directory}/netns/{name}"
        netns.create(path)
        made.append(path)
        return path

    yield make_
    for path in made:
        netns.delete(path)


@pytest.fixture
def group() -> Iterator[str]:
    top = f"netsim-hc-{os.getpid()}"
    yield f"{top}/a"
    cgroup.kill(f"{top}/a")
    cgroup.remove(f"{top}/a")
    for directory in cgroup.detect().directories(top):
        if os.path.isdir(directory):
            os.rmdir(directory)
