"""A lab's directories on a machine where other labs come and go."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from netsim.lab import paths as lab_paths
from netsim.lab.labfile import make_directories
from netsim.lab.paths import LabPaths


def test_directories_are_made_though_a_down_removes_the_empty_roots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lab_paths, "RUN_ROOT", str(tmp_path / "run"))
    monkeypatch.setattr(lab_paths, "STATE_ROOT", str(tmp_path / "state"))
    lab, make, removed = LabPaths("x"), os.mkdir, list[str]()

    def mkdir(path: str, mode: int = 0o777) -> None:
        if path in (lab.run, lab.state) and path not in removed:
            removed.append(path)
            os.rmdir(os.path.dirname(path))
        make(path, mode)

    monkeypatch.setattr(os, "mkdir", mkdir)
    make_directories(lab)
    make_directories(lab)
    assert removed == [lab.run, lab.state]
    assert os.path.isdir(lab.run) and os.path.isdir(lab.state)
