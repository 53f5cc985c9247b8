"""Tells each Node how long its agent may go by Secrets and ConfigMaps that it has read: the annotation
node.alpha.kubernetes.io/ttl, in seconds, which grows with the cluster (kube-controller-manager's ttl-controller)."""

from __future__ import annotations

from netsim.api.kinds import NODES
from netsim.api.objects import annotations_of
from netsim.controllers.controller import Controller
from netsim.controllers.view import View
from netsim.controllers.wakes import by_own_key
from netsim.controllers.writes import Writes, patch_of

TTL = "node.alpha.kubernetes.io/ttl"
_STEPS = ((0, 100, 0), (90, 500, 15), (450, 1000, 30), (900, 2000, 60), (1800, 1 << 62, 300))
"""From how many Nodes to how many a step holds, and its seconds. The steps overlap, so that a Node that comes and goes
changes nothing for all others."""


def next_step(step: int, nodes: int) -> int:
    """The step for so many Nodes, where `step` held before."""
    while nodes > _STEPS[step][1]:
        step += 1
    while nodes < _STEPS[step][0]:
        step -= 1
    return step


def controller() -> Controller:
    step = 0

    def reconcile(key: str, view: View) -> Writes:
        nonlocal step
        step = next_step(step, len(view.values(NODES)))
        node, seconds = view.get(NODES, key), str(_STEPS[step][2])
        if node is None or annotations_of(node).get(TTL) == seconds:
            return []
        return [patch_of(NODES, node, {"metadata": {"annotations": {TTL: seconds}}})]

    return Controller("ttl-controller", reconcile, ((NODES, by_own_key),))
