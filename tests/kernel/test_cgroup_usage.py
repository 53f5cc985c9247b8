"""What a control group's files say of a busy process."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator

import pytest

from netsim.host import cgroup
from netsim.host.cgroup_usage import read_usage

pytestmark = pytest.mark.root
PARENT = f"netsim/usage-{os.getpid()}"


@pytest.fixture
def group() -> Iterator[str]:
    path = f"{PARENT}/busy"
    layout = cgroup.detect()
    wanted = [layout.controllers[name] for name in ("cpuacct", "memory") if name in layout.controllers]
    for root in wanted or [layout.tree]:
        os.makedirs(f"{root}/{path}")
    yield path
    cgroup.kill(path)
    cgroup.remove(PARENT)


def test_a_busy_group_is_charged(group: str) -> None:
    before = read_usage(group)
    assert before is not None
    assert before.cpu_ns == 0
    with subprocess.Popen(["sh", "-c", "while :; do :; done"]) as busy:
        try:
            for directory in filter(os.path.isdir, cgroup.detect().directories(group)):
                with open(f"{directory}/cgroup.procs", "w", encoding="ascii") as file:
                    file.write(str(busy.pid))
            deadline = time.monotonic() + 10
            while (usage := read_usage(group)) is not None and usage.cpu_ns < 50_000_000:
                assert time.monotonic() < deadline, usage
            assert usage is not None
            assert usage.working_set <= usage.memory
        finally:
            busy.kill()


def test_a_group_that_is_not_there() -> None:
    assert read_usage(f"{PARENT}/none") is None
