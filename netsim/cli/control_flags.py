"""Options of kube-controller-manager for those who run its controllers here, under its names."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from netsim.cli.fault import Fault
from netsim.controllers.names import chosen
from netsim.lab.control import ControlSettings

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

Controllers = Annotated[
    str, typer.Option("--controllers", metavar="LIST", help='Controllers to run: names, `*`, `-name` ("": none).')
]
Scheduler = Annotated[bool, typer.Option("--scheduler/--no-scheduler", help="Whether pods are given nodes.")]
MonitorGrace = Annotated[
    str,
    typer.Option("--node-monitor-grace-period", metavar="TIME", help="A node silent for so long is lost, as 50s."),
]
AutoscalerSync = Annotated[
    str,
    typer.Option("--horizontal-pod-autoscaler-sync-period", metavar="TIME", help="How often autoscalers look, as 15s."),
]


_NODES_NEED = {"node-ipam-controller"}
_DNS_NEEDS = {"deployment-controller", "endpointslice-controller", "replicaset-controller"}


def absent(control: ControlSettings) -> tuple[list[str], list[str]]:
    """What a lab does not run itself although without it no node becomes ready, and cluster DNS never answers."""
    running = chosen(control.controllers)
    scheduler = [] if control.scheduler else ["scheduler"]
    return sorted(_NODES_NEED - running), [*sorted(_DNS_NEEDS - running), *scheduler]


def read_control(controllers: str, scheduler: bool, monitor_grace: str, autoscaler_sync: str) -> ControlSettings:
    """The settings. Raises Fault for what cannot be."""
    try:
        chosen(controllers)
    except ValueError as error:
        raise Fault(f"--controllers: {error}") from None
    grace = _seconds("--node-monitor-grace-period", monitor_grace)
    return ControlSettings(
        controllers, scheduler, grace, _seconds("--horizontal-pod-autoscaler-sync-period", autoscaler_sync)
    )


def _seconds(option: str, text: str) -> float:
    """A duration as Go writes it, such as 1m30s, in seconds."""
    found = _DURATION.findall(text)
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in found)
    if "".join(number + unit for number, unit in found) != text or seconds <= 0:
        raise Fault(f"{option}: {text!r} is not a duration above 0; give one such as 50s or 1m30s")
    return seconds
