"""Reading mountinfo, and finding the mount that a path lies on."""

from __future__ import annotations

import pytest

from netsim.host import mount
from netsim.host.mount import mount_of, overlay, parse_mountinfo

TEXT = """\
1 0 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
2 1 0:20 / /run rw,nosuid shared:5 - tmpfs tmpfs rw,mode=755
3 2 0:20 /netsim/a /run/netsim/a rw,nosuid shared:9 master:2 - tmpfs tmpfs rw,mode=755
4 3 0:4 net:[4026532300] /run/netsim/a/node\\0401 rw - nsfs nsfs rw
5 1 8:1 /srv /run/other rw,relatime - ext4 /dev/sda1 rw
6 5 8:1 /srv /run/other rw,relatime - ext4 /dev/sda1 rw
"""


def test_lines_are_read_with_or_without_optional_fields() -> None:
    mounts = parse_mountinfo(TEXT)
    assert [m.shared for m in mounts] == [True, True, True, False, False, False]
    assert mounts[3].target == "/run/netsim/a/node 1"
    assert (mounts[3].fstype, mounts[3].root, mounts[1].super_options) == (
        "nsfs",
        "net:[4026532300]",
        ("rw", "mode=755"),
    )


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("/", 1),
        ("/etc/x", 1),
        ("/run", 2),
        ("/running", 1),
        ("/run/netsim/a/x", 3),
        ("/run/netsim/ab", 2),
        ("/run/other", 6),
    ],
)
def test_mount_of_a_path(path: str, number: int) -> None:
    assert mount_of(parse_mountinfo(TEXT), path).id == number


def test_mounts_under_are_in_the_order_of_unmounting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mount, "read_mounts", lambda: parse_mountinfo(TEXT))
    assert mount.mounts_under("/run/netsim/a") == ["/run/netsim/a/node 1", "/run/netsim/a"]
    assert mount.mounts_under("/run/other") == ["/run/other", "/run/other"]
    assert mount.mounts_under("/run/nets") == []


def test_self_binds_are_told_from_other_mounts() -> None:
    mounts = parse_mountinfo(TEXT)
    assert [mount._is_self_bind(mounts, one) for one in mounts] == [False, False, True, False, False, True]


def test_overlay_refuses_paths_that_the_options_cannot_carry(tmp_path: object) -> None:
    with pytest.raises(ValueError, match="use another directory"):
        overlay([f"{tmp_path}/a:b"], f"{tmp_path}/u", f"{tmp_path}/w", f"{tmp_path}/t")
