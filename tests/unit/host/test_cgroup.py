"""Layouts are chosen from mountinfo as recorded on machines of the three kinds."""

from __future__ import annotations

import pytest

from netsim.host.cgroup import check_path, choose_layout
from netsim.host.mount import parse_mountinfo

V2 = """\
24 29 0:22 / /proc rw,nosuid,nodev,noexec,relatime shared:12 - proc proc rw
31 24 0:27 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate
"""
HYBRID = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,release_agent=/lib/x,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
V1 = "".join(line + "\n" for line in HYBRID.splitlines() if "cgroup2" not in line)


def test_v2() -> None:
    layout = choose_layout(parse_mountinfo(V2))
    assert (layout.mode, layout.tree, layout.controllers) == ("v2", "/sys/fs/cgroup", {})
    assert layout.directories("netsim/a") == ["/sys/fs/cgroup/netsim/a"]


def test_hybrid_tracks_in_the_unified_tree() -> None:
    layout = choose_layout(parse_mountinfo(HYBRID))
    assert (layout.mode, layout.tree) == ("hybrid", "/sys/fs/cgroup/unified")
    assert layout.controllers["cpuacct"] == "/sys/fs/cgroup/cpu,cpuacct"
    assert sorted(layout.controllers) == ["cpu", "cpuacct", "name=systemd", "pids"]
    assert layout.directories("netsim/a").count("/sys/fs/cgroup/cpu,cpuacct/netsim/a") == 1


def test_v1_tracks_with_pids() -> None:
    layout = choose_layout(parse_mountinfo(V1))
    assert (layout.mode, layout.tree) == ("v1", "/sys/fs/cgroup/pids")
    assert layout.directories("netsim/a")[0] == "/sys/fs/cgroup/pids/netsim/a"


def test_no_cgroups_says_what_to_do() -> None:
    with pytest.raises(OSError, match="mount one on /sys/fs/cgroup"):
        choose_layout(parse_mountinfo("24 29 0:22 / /proc rw shared:12 - proc proc rw\n"))


@pytest.mark.parametrize("path", ["", "netsim", "/netsim/a", "netsim/../a", "netsim//a", "netsim/a/"])
def test_the_root_and_paths_out_of_ours_are_refused(path: str) -> None:
    with pytest.raises(ValueError, match="expected a relative path"):
        check_path(path)
