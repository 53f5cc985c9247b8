"""Which processes the kernel ends first when the machine's memory is used up. Pure."""

from __future__ import annotations

from netsim.agent import podspec
from netsim.agent.model import Obj
from netsim.api.pod_defaults import qos_class
from netsim.api.quantity import parse_quantity

GUARANTEED, BEST_EFFORT = -997, 1000
NODE_CRITICAL = "system-node-critical"


def oom_score_adj(pod: Obj, container: Obj, memory: float) -> int:
    """oom_score_adj (proc(5)) of a container's processes by its pod's QoS class, as a kubelet sets it.

    `memory` is the node's, in bytes. A sidecar goes no sooner than the containers beside it.
    """
    quality = qos_class(pod["spec"])
    if quality == "Guaranteed" or pod["spec"].get("priorityClassName") == NODE_CRITICAL:
        return GUARANTEED
    if quality == "BestEffort" or not memory:
        return BEST_EFFORT
    beside = podspec.containers(pod) if podspec.is_sidecar(container) else []
    return min(_burstable(c, memory) for c in (container, *beside))


def _burstable(container: Obj, memory: float) -> int:
    resources = container.get("resources") or {}
    asked = (resources.get("requests") or {}).get("memory") or (resources.get("limits") or {}).get("memory") or 0
    wanted = BEST_EFFORT - int(BEST_EFFORT * parse_quantity(asked) / memory)
    return max(BEST_EFFORT + GUARANTEED, min(wanted, BEST_EFFORT - 1))
