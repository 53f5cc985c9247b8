"""How a cluster's controllers and scheduler run, in the terms of kube-controller-manager's flags (pure)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """`controllers` is the list that says which run (`netsim.controllers.names`); a Node silent for
    `node_monitor_grace_period` seconds is lost; autoscalers look every `horizontal_pod_autoscaler_sync_period` seconds.
    The defaults are those of kube-controller-manager 1.36."""

    controllers: str = "*"
    scheduler: bool = True
    node_monitor_grace_period: float = 50.0
    horizontal_pod_autoscaler_sync_period: float = 15.0
