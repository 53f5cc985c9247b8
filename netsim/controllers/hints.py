"""Topology hints: for the clients of which zone or node an endpoint is meant (KEP-2433, KEP-4444, KEP-3015)."""

from __future__ import annotations

from netsim.api.kinds import Obj
from netsim.api.objects import annotations_of

CLOSE = frozenset(("PreferClose", "PreferSameZone", "PreferSameNode"))

_MODE, _OLD_MODE = "service.kubernetes.io/topology-mode", "service.kubernetes.io/topology-aware-hints"


def wants_auto_hints(service: Obj) -> bool:
    """Whether an annotation asks for hints by the zones' CPUs; its older name counts before the newer one."""
    annotations = annotations_of(service)
    return annotations.get(_OLD_MODE, annotations.get(_MODE)) in {"Auto", "auto"}


def hints_of(endpoint: Obj, distribution: str) -> Obj:
    """The `hints` of a ready endpoint under a Service's trafficDistribution, {} for none."""
    if distribution not in CLOSE or not endpoint["conditions"].get("ready"):
        return {}
    zone, node = endpoint.get("zone"), endpoint.get("nodeName")
    hints: Obj = {"forZones": [{"name": zone}]} if zone else {}
    if node and distribution == "PreferSameNode":
        hints["forNodes"] = [{"name": node}]
    return hints
