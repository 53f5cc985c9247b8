"""`netsim kubectl`: what becomes kubectl's arguments."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from netsim.cli import kubectl
from netsim.lab.paths import LabPaths


@pytest.mark.parametrize(
    ("words", "given"),
    [
        (["get", "pods"], ["get", "pods"]),
        (["--", "get", "pods"], ["get", "pods"]),
        (["exec", "web", "--", "ls"], ["exec", "web", "--", "ls"]),
        (["--", "exec", "web", "--", "ls"], ["exec", "web", "--", "ls"]),
        ([], []),
    ],
)
def test_only_a_first_separator_is_left_out(
    words: list[str], given: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "args"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@" >"$ARGS"\n')
    program.chmod(0o755)
    (tmp_path / "admin.conf").touch()
    monkeypatch.setattr(LabPaths, "kubeconfig", str(tmp_path / "admin.conf"))
    monkeypatch.setattr(kubectl, "find_kubectl", lambda: str(program))
    monkeypatch.setenv("ARGS", str(tmp_path / "told"))
    child = os.fork()
    if child == 0:
        try:
            kubectl.run_kubectl(words)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (tmp_path / "told").read_text().split() == given
