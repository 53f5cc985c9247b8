"""Pods that are alike, one after another: what was found out for the first serves the next (as in KEP-5598).

A pod lowers the points of the node it is put on, and of no other. So the nodes that were as good as the chosen one are
the best for the next such pod, each once, as long as nothing else has come to them and no Node has changed. That does
not hold where pods are spread over zones, or have rules about each other: such pods are always looked at anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from netsim.scheduler.choose import Decision
from netsim.scheduler.filters import refusal_of
from netsim.scheduler.model import Cluster, NodeState
from netsim.scheduler.needs import PodNeeds
from netsim.scheduler.situation import Situation
from netsim.scheduler.terms import ZONE
from netsim.scheduler.volumes import claim_names

Likeness = tuple[object, ...]


@dataclass(slots=True)
class Alike:
    """The nodes left for pods like the last one, with the pods that each had."""

    _likeness: Likeness | None = None
    _epoch: int = -1
    _left: list[tuple[NodeState, int]] = field(default_factory=list)

    def learn(self, needs: PodNeeds, decision: Decision, cluster: Cluster) -> None:
        """Remember the ties of a decision."""
        if not decision.ties:
            return
        self._likeness, self._epoch = likeness(needs, cluster), cluster.epoch
        if any(ZONE in node.labels for node in decision.ties):
            self._likeness = None
        self._left = [(node, len(node.pods)) for node in reversed(decision.ties)]

    def decide(self, needs: PodNeeds, cluster: Cluster) -> Decision | None:
        """The next of the nodes that were as good; None if the pod has to be looked at anew."""
        if self._likeness is None or self._epoch != cluster.epoch or self._likeness != likeness(needs, cluster):
            return None
        while self._left:
            node, count = self._left.pop()
            if len(node.pods) == count and not node.nominated and refusal_of(Situation(needs), node) is None:
                return Decision(node.name, len(cluster))
        return None


def likeness(needs: PodNeeds, cluster: Cluster) -> Likeness | None:
    """What equals for pods that are alike; None for a pod to which other pods, volumes or devices matter."""
    standing = cluster.standing.apart or cluster.standing.preferred
    if standing or needs.spreads or not needs.pods.empty or needs.host_ports or cluster.nominated_node(needs.uid):
        return None
    if needs.nodes.names is not None or claim_names(needs.pod) or needs.pod["spec"].get("resourceClaims"):
        return None
    services = () if needs.owner else cluster.services_of(needs)
    amounts = tuple(sorted(needs.requests.items())), needs.weight
    rules = needs.nodes, needs.preferred_nodes, needs.tolerations
    return (needs.namespace, needs.owner, services, needs.priority, *amounts, *rules)
