"""The flags of kube-controller-manager that `netsim server` and `netsim up` take."""

from __future__ import annotations

import pytest

from netsim.cli.control_flags import read_control
from netsim.cli.fault import Fault
from netsim.controllers.names import NAMES, chosen
from netsim.controllers.run import CACHED, ControllerConfig, controllers_of
from netsim.controllers.served import Served
from netsim.lab.control import ControlSettings
from netsim.lab.topology import plan_lab, spec_from_json


@pytest.mark.parametrize(
    ("selection", "running"),
    [
        ("*", NAMES),
        ("", set()),
        ("job-controller, cronjob-controller", {"job-controller", "cronjob-controller"}),
        ("*,-job-controller", NAMES - {"job-controller"}),
        ("-job-controller", set()),
    ],
)
def test_controllers_are_chosen_as_by_kubes_flag(selection: str, running: set[str]) -> None:
    assert chosen(selection) == running
    config = ControllerConfig(controllers=selection, lb_pool="10.0.0.0/24")
    assert {controller.name for controller in controllers_of(config, Served(CACHED))} == running


@pytest.mark.parametrize(("text", "seconds"), [("50s", 50.0), ("1m30s", 90.0), ("250ms", 0.25), ("1.5h", 5400.0)])
def test_times_are_gos(text: str, seconds: float) -> None:
    assert read_control("*", True, text, "15s").node_monitor_grace_period == seconds
    assert read_control("*", True, "50s", text).horizontal_pod_autoscaler_sync_period == seconds


@pytest.mark.parametrize("text", ["", "5", "s", "-5s", "0s", "5s ", "5x", "1m 5s"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(Fault, match=r"--node-monitor-grace-period: .* is not a duration above 0; give one such as 50s"):
        read_control("*", True, text, "15s")


def test_a_controller_that_is_none_is_refused() -> None:
    with pytest.raises(Fault, match=r"--controllers: '-foo' is no controller; give .* cronjob-controller, "):
        read_control("*,-foo", True, "50s", "15s")


def test_what_users_are_told_are_the_defaults() -> None:
    assert read_control("*", True, "50s", "15s") == ControlSettings()
    given = ControllerConfig()
    assert (given.controllers, given.node_monitor_grace, given.hpa_sync) == ("*", 50.0, 15.0)


def test_a_lab_remembers_its_settings() -> None:
    spec = plan_lab("x", 1, control=ControlSettings("", False, 5.0, 1.0))
    assert spec_from_json(spec.to_json()) == spec
