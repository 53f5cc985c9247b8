from __future__ import annotations

import inspect
import os
import resource
import shutil
import sys
from pathlib import Path

import pytest

from netsim.host.trees import remove_tree


def nest(directory: Path, levels: int) -> None:
    below = os.open(directory, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=below)
        inner = os.open("d", os.O_RDONLY, dir_fd=below)
        os.close(below)
        below = inner
    os.close(below)


def test_a_directory_deeper_than_calls_may_be_is_removed(tmp_path: Path) -> None:
    nest(tmp_path, 150)
    most = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 100)
    try:
        with pytest.raises(RecursionError):
            shutil.rmtree(tmp_path / "d")
        remove_tree(str(tmp_path / "d"))
    finally:
        sys.setrecursionlimit(most)
    assert os.listdir(tmp_path) == []


def test_a_directory_deeper_than_files_may_be_open_is_removed(tmp_path: Path) -> None:
    nest(tmp_path, 150)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, limits[1]))
    try:
        remove_tree(str(tmp_path / "d"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert os.listdir(tmp_path) == []


def test_what_is_not_there_cannot_be_removed(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        remove_tree(str(tmp_path / "nothing"))
