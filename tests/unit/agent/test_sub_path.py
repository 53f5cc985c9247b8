"""Paths inside volumes, for mounts with subPath."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from netsim.agent.env import ConfigError
from netsim.agent.runtime.sub_path import SubPaths, release_sub_paths
from netsim.host.mount import mounts_under

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SubPaths]:
    with SubPaths(str(tmp_path_factory.mktemp("bundle") / "sub-paths")) as found:
        yield found


def test_it_is_made_inside_its_volume(tmp_path: Path, held: SubPaths):
    assert os.path.samefile(held.hold(str(tmp_path), "a/b"), tmp_path / "a" / "b")
    assert os.path.samefile(held.hold("/", "etc/passwd"), "/etc/passwd")
    assert os.path.samefile(held.hold(str(tmp_path), "."), tmp_path)


def test_only_what_is_made_is_as_open_as_the_volume(tmp_path: Path, held: SubPaths):
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    tmp_path.chmod(0o777)
    made = held.hold(str(tmp_path), "private/a/b")
    assert [os.stat(path).st_mode & 0o777 for path in (private, private / "a", made)] == [0o700, 0o777, 0o777]


@pytest.mark.parametrize("path", ["../x", "/etc", "out", "out/new"])
def test_what_leads_out_is_refused(tmp_path: Path, path: str, held: SubPaths):
    volume, outside = tmp_path / "volume", tmp_path / "outside"
    volume.mkdir()
    outside.mkdir()
    (volume / "out").symlink_to(outside)
    with pytest.raises(ConfigError):
        held.hold(str(volume), path)
    assert list(outside.iterdir()) == [], "nothing was made outside either"


def test_a_link_that_takes_its_place_later_is_not_followed(tmp_path: Path, held: SubPaths):
    (tmp_path / "logs").mkdir()
    source = held.hold(str(tmp_path), "logs")
    (tmp_path / "logs").rename(tmp_path / "old")
    (tmp_path / "logs").symlink_to("/etc")
    assert os.path.samefile(source, tmp_path / "old")
    with SubPaths(held.directory) as more:
        more.hold(str(tmp_path), "old/x")
    assert mounts_under(held.directory) == [source]
    release_sub_paths(held.directory)
    assert mounts_under(held.directory) == [] and (tmp_path / "old/x").is_dir()


def test_a_link_put_there_between_the_looks_is_refused(tmp_path: Path, held: SubPaths, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "logs").symlink_to("/etc")
    monkeypatch.setattr(os.path, "realpath", os.path.abspath)  # as if it had been a directory at the first look
    for path in ("logs", "logs/new"):
        with pytest.raises(ConfigError, match="has become a symbolic link"):
            held.hold(str(tmp_path), path)
