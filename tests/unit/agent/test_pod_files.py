"""Volumes' places: hostPath types, subPath, stdin options of conmon."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from netsim.agent.env import MountError
from netsim.agent.runtime.processes import terminal_args
from netsim.agent.runtime.volume_files import ensure_host_path


def host_path(path: Path, kind: str = "") -> dict[str, object]:
    return {"name": "v", "hostPath": {"path": str(path), **({"type": kind} if kind else {})}}


@pytest.mark.parametrize(
    ("kind", "check"),
    [("DirectoryOrCreate", os.path.isdir), ("FileOrCreate", os.path.isfile), ("", os.path.isdir)],
)
def test_what_is_to_be_created_is_of_its_type(tmp_path: Path, kind: str, check):
    assert ensure_host_path(host_path(tmp_path / "new", kind)) == str(tmp_path / "new")
    assert check(tmp_path / "new")
    assert ensure_host_path(host_path(tmp_path / "new", kind)) == str(tmp_path / "new")


SORTS = {
    "Directory": "a directory", "File": "a file", "Socket": "a socket file", "CharDevice": "a character device",
    "BlockDevice": "a block device",
}  # fmt: skip


@pytest.mark.parametrize(("kind", "what"), SORTS.items())
def test_a_missing_host_path_is_named(tmp_path: Path, kind: str, what: str):
    text = f'MountVolume.SetUp failed for volume "v" : hostPath type check failed: {tmp_path}/gone is not {what}$'
    with pytest.raises(MountError, match=text):
        ensure_host_path(host_path(tmp_path / "gone", kind))
    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize("kind", ["File", "FileOrCreate", "Socket", "BlockDevice"])
def test_a_directory_is_nothing_else(tmp_path: Path, kind: str):
    with pytest.raises(MountError, match="is not a"):
        ensure_host_path(host_path(tmp_path, kind))


def test_a_device_is_one():
    assert ensure_host_path(host_path(Path("/dev/null"), "CharDevice")) == "/dev/null"


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({}, []),
        ({"stdin": True}, ["-i", "--leave-stdin-open"]),
        ({"stdin": True, "stdinOnce": True}, ["-i"]),
        ({"stdin": True, "tty": True}, ["-i", "--leave-stdin-open", "-t"]),
        ({"tty": True}, ["-t"]),
    ],
)
def test_stdin_outlives_its_first_client_unless_once(spec: Mapping[str, bool], wanted: list[str]):
    assert terminal_args(dict(spec)) == wanted
