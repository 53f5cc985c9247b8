"""What `netsim up` waits for: not for what needs controllers or a scheduler that the lab does not run."""

from __future__ import annotations

from typing import Any

import pytest

from netsim.cli import bringup
from netsim.cli.options import lab_paths
from netsim.cli.progress import Progress
from netsim.lab.control import ControlSettings
from netsim.lab.topology import plan_lab

NODES, DNS = "nodes ready: node-1", "DNS answers at 10.96.0.10"


@pytest.mark.parametrize(
    ("control", "said"),
    [
        (ControlSettings(), [NODES, DNS]),
        (ControlSettings("*,-job-controller"), [NODES, DNS]),
        (
            ControlSettings(scheduler=False),
            [NODES, "DNS is not waited for: that takes what does not run here (scheduler)"],
        ),
        (
            ControlSettings("*,-endpointslice-controller"),
            [NODES, "DNS is not waited for: that takes what does not run here", "(endpointslice-controller)"],
        ),
        (
            ControlSettings(""),
            [
                "nodes and DNS are not waited for: that takes what does not run here",
                "(node-ipam-controller, deployment-controller,",
                "endpointslice-controller, replicaset-controller)",
            ],
        ),
    ],
)
async def test_up_waits_for_what_can_come(
    control: ControlSettings, said: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def at_once(*_: Any) -> bool:
        return True

    for step in ("api_ready", "apply_addons", "_nodes_ready", "_dns_ready"):
        monkeypatch.setattr(bringup, step, at_once)
    await bringup._wait_until_ready(plan_lab("x", 1, control=control), lab_paths("x"), Progress(), 0)
    lines = [line[9:] for line in capsys.readouterr().out.splitlines()]
    assert lines[1:] == said and max(map(len, lines)) <= 71
