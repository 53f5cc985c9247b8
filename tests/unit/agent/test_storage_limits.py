"""Eviction for what a pod holds on disk, volumes' groups, what a container changed, and kernel settings."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from netsim.agent.eviction import Usage, is_limited, judge
from netsim.agent.runtime.diff import Change, find_changes
from netsim.agent.runtime.storage_usage import disk_usage
from netsim.agent.runtime.sysctls import forbidden, of_ipc, of_network
from netsim.agent.runtime.volume_files import own_by_group, write_files

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
Mi = 2**20


def limited(limit: str | None, *limits: str | None, medium: str = "") -> tuple[dict[str, Any], ...]:
    source = {"medium": medium, **({"sizeLimit": limit} if limit else {})}
    resources = [{"limits": {"ephemeral-storage": one}} if one else {} for one in limits]
    containers = [{"name": f"c{i}", "image": "x", "resources": one} for i, one in enumerate(resources)]
    return ({"name": "cache", "emptyDir": source}, *containers)


@pytest.mark.parametrize(
    ("what", "usage", "message"),
    [
        (limited("1Mi", None), Usage({"cache": Mi + 1}), 'Usage of EmptyDir volume "cache" exceeds the limit "1Mi". '),
        (limited("1Mi", None), Usage({"cache": Mi}), ""),
        (limited(None, None), Usage({"cache": 9 * Mi}), ""),
        (limited("0", None), Usage({"cache": 9 * Mi}), ""),
        (
            limited(None, "1Mi"),
            Usage({"cache": 1}, {"c0": Mi}),
            "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. ",
        ),
        (
            limited(None, "1Mi", "3Mi"),
            Usage({}, {"c0": 2 * Mi, "c1": 0}),
            'Container c0 exceeded its local ephemeral storage limit "1Mi". ',
        ),
        (limited(None, "1Mi", None), Usage({}, {"c0": 1, "c1": 9 * Mi}), ""),
        (limited(None, "1Mi", medium="Memory"), Usage({"cache": 9 * Mi}, {"c0": 0}), ""),
    ],
)
def test_who_is_evicted(pod, what, usage: Usage, message: str):
    volume, *containers = what
    assert judge(pod(*containers, volumes=[volume]), usage) == message


def test_what_need_not_be_looked_at(pod):
    assert not is_limited(pod())
    volume, container = limited("1Mi", None)
    assert is_limited(pod(container, volumes=[volume]))


def test_what_lies_deeper_than_a_path_can_tell_stops_nobody(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"x" * 65536)
    top = os.open(tmp_path, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=top)
        below = os.open("d" * 250, os.O_RDONLY, dir_fd=top)
        os.close(top)
        top = below
    os.close(top)
    assert disk_usage(str(tmp_path)) >= 65536


def test_disk_usage_counts_blocks_once(tmp_path: Path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a").write_bytes(b"x" * Mi)
    os.link(tmp_path / "d/a", tmp_path / "b")
    (tmp_path / "up").symlink_to("/usr")
    assert Mi <= disk_usage(str(tmp_path)) < Mi + 65536
    assert disk_usage(str(tmp_path / "gone")) == 0


@needs_root
def test_a_volume_belongs_to_its_group(tmp_path: Path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_text("x")
    os.chmod(tmp_path / "d/f", 0o600)
    own_by_group(str(tmp_path), 4000, read_only=False)
    for path, mode in ((tmp_path, 0o2770), (tmp_path / "d", 0o2770), (tmp_path / "d/f", 0o660)):
        found = os.stat(path)
        assert found.st_gid == 4000 and stat.S_IMODE(found.st_mode) & mode == mode
    assert write_files(str(tmp_path / "secret"), {"key": (b"x", 0o440)}, 4000)
    found = os.stat(tmp_path / "secret/key")
    assert (found.st_gid, stat.S_IMODE(found.st_mode)) == (4000, 0o440)
    assert not write_files(str(tmp_path / "secret"), {"key": (b"x", 0o440)}, 4000), "nothing has changed"


@needs_root
def test_changes_of_a_container(tmp_path: Path):
    base, top, upper = tmp_path / "base", tmp_path / "top", tmp_path / "upper"
    for path in ("etc", "srv/dir", "tmp", "var/log", "hidden"):
        (base / path).mkdir(parents=True)
    for path in ("etc/passwd", "srv/old", "srv/dir/a", "hidden/x", "var/log/x"):
        (base / path).write_text("1")
    top.mkdir()
    os.mknod(top / "hidden", stat.S_IFCHR | 0o600, 0)
    for path in ("etc", "srv/dir", "new/inner", "data", "var/log", "tmp", "hidden"):
        (upper / path).mkdir(parents=True)
    for path in ("etc/passwd", "srv/dir/b", "new/inner/f", "hidden/x"):
        (upper / path).write_text("2")
    os.chmod(upper / "tmp", 0o700)
    os.setxattr(upper / "srv/dir", "trusted.overlay.opaque", b"y")
    for path in ("srv/old", "srv/never"):
        os.mknod(upper / path, stat.S_IFCHR | 0o600, 0)
    (upper / "data/volume").mkdir()
    found = find_changes(str(upper), [str(top), str(base)], ["/data/volume", "/proc"])
    assert found == [
        Change("C", "/etc"), Change("C", "/etc/passwd"), Change("A", "/hidden"), Change("A", "/hidden/x"),
        Change("A", "/new"), Change("A", "/new/inner"), Change("A", "/new/inner/f"), Change("C", "/srv"),
        Change("C", "/srv/dir"), Change("D", "/srv/dir/a"), Change("A", "/srv/dir/b"), Change("D", "/srv/old"),
        Change("C", "/tmp"),
    ]  # fmt: skip


def test_kernel_settings(pod):
    def asking(*names: str) -> dict[str, Any]:
        return pod(securityContext={"sysctls": [{"name": name, "value": "1"} for name in names]})

    assert forbidden(asking("net.ipv4.tcp_syncookies", "kernel/shm_rmid_forced")) == ""
    assert forbidden(asking("kernel.msgmax")) == 'forbidden sysctl: "kernel.msgmax" not allowlisted'
    both = asking("net.ipv4.tcp_syncookies", "kernel.shm_rmid_forced")
    assert of_network(both) == {"net.ipv4.tcp_syncookies": "1"} and of_ipc(both) == {"kernel.shm_rmid_forced": "1"}
