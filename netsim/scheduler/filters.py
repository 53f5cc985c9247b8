"""Which nodes a pod may run on; the reasons are worded as Kubernetes' scheduler words them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from netsim.scheduler.model import Cluster, NodeState
from netsim.scheduler.needs import PodNeeds
from netsim.scheduler.requests import ports_clash
from netsim.scheduler.situation import Situation

UNSCHEDULABLE_TAINT = ("node.kubernetes.io/unschedulable", "", "NoSchedule")
UNSCHEDULABLE = "node(s) were unschedulable"
NODE_NAME = "node(s) didn't match the requested node name"
TAINTED = "node(s) had untolerated taint(s)"
AFFINITY = "node(s) didn't match Pod's node affinity/selector"
NOT_NAMED = "node(s) didn't satisfy plugin(s) [NodeAffinity]"
PORTS = "node(s) didn't have free ports for the requested pod ports"
TOO_MANY = "Too many pods"
NO_LABEL = "node(s) didn't match pod topology spread constraints (missing required label)"
SKEWED = "node(s) didn't match pod topology spread constraints"
NOT_NEAR = "node(s) didn't match pod affinity rules"
NOT_APART = "node(s) didn't match pod anti-affinity rules"
BANNED = "node(s) didn't satisfy existing pods anti-affinity rules"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a node is not possible. `final`: taking pods from it would not help."""

    reasons: tuple[str, ...]
    final: bool = False


def refusal_of(situation: Situation, node: NodeState, cluster: Cluster | None = None) -> Refusal | None:
    """What the first filter that says no says; None if the pod can run there. With `cluster`, also beside the pods
    of no less priority that wait for room there."""
    refused = fixed_refusal(situation, node) or pods_refusal(situation, node)
    if refused is not None or cluster is None or not node.nominated:
        return refused
    return _beside_nominated(situation, node, cluster)


def _beside_nominated(situation: Situation, node: NodeState, cluster: Cluster) -> Refusal | None:
    needs = situation.needs
    ahead = [n for n in node.nominated.values() if n.priority >= needs.priority and n.uid != needs.uid]
    for each in ahead:
        cluster.put(node, each)
    try:
        return pods_refusal(situation, node) if ahead else None
    finally:
        for each in ahead:
            cluster.take(node, each)


def fixed_refusal(situation: Situation, node: NodeState) -> Refusal | None:
    """By what the Node itself is; no pod that leaves it changes that."""
    needs = situation.needs
    if situation.names is not None and node.name not in situation.names:
        return Refusal((NOT_NAMED,), True)
    if node.unschedulable and not needs.tolerations.cover(UNSCHEDULABLE_TAINT):
        return Refusal((UNSCHEDULABLE,), True)
    wanted = needs.pod["spec"].get("nodeName")
    if wanted and wanted != node.name:
        return Refusal((NODE_NAME,), True)
    if node.taints and not all(needs.tolerations.cover(taint) for taint in node.taints):
        return Refusal((TAINTED,), True)
    if not needs.nodes.empty and not needs.nodes.allow(node.name, node.labels):
        return Refusal((AFFINITY,), True)
    return None


def pods_refusal(situation: Situation, node: NodeState) -> Refusal | None:
    """By the pods that are there, by volumes and devices."""
    needs = situation.needs
    if needs.host_ports and any(ports_clash(port, taken) for port in needs.host_ports for taken in node.host_ports):
        return Refusal((PORTS,))
    short = tuple(_short(needs, node))
    if short:
        return Refusal(short, _never_fits(needs, node))
    if situation.volumes is not None:
        reasons = situation.volumes(node)
        if reasons:
            return Refusal(reasons, True)
    refused = None if situation.simple else _by_other_pods(situation, node)
    if refused is not None or situation.devices is None:
        return refused
    reasons = situation.devices(node)
    return Refusal(reasons, True) if reasons else None


def _short(needs: PodNeeds, node: NodeState) -> Iterator[str]:
    if node.room is not None and len(node.pods) >= node.room:
        yield TOO_MANY
    for resource, wanted in needs.requests.items():
        if not wanted:
            continue
        if not _is_unlimited(node, resource) and wanted > node.allocatable.get(resource, 0) - node.used[resource]:
            yield f"Insufficient {resource}"


def _is_unlimited(node: NodeState, resource: str) -> bool:
    """Whether there is as much of a native resource as is asked for: on a Node that does not say at all what it has.
    Where it does, as every agent's, what it does not name is not there."""
    return not node.allocatable and "/" not in resource and not resource.startswith("hugepages-")


def _never_fits(needs: PodNeeds, node: NodeState) -> bool:
    """Whether even the empty node is too small."""
    for resource, wanted in needs.requests.items():
        if wanted and not _is_unlimited(node, resource) and wanted > node.allocatable.get(resource, 0):
            return True
    return False


def _by_other_pods(situation: Situation, node: NodeState) -> Refusal | None:
    labels = node.labels
    for skew in situation.skews:
        value = labels.get(skew.spread.key)
        if value is None:
            return Refusal((NO_LABEL,), True)
        if skew.too_much(value):
            return Refusal((SKEWED,))
    if situation.near and not _is_near(situation, node):
        return Refusal((NOT_NEAR,), True)
    for term, counts in situation.apart:
        if counts.get(labels.get(term.key, ""), 0) and term.key in labels:
            return Refusal((NOT_APART,))
    for key, counts in situation.banned:
        if key in labels and counts.get(labels[key], 0):
            return Refusal((BANNED,))
    return None


def _is_near(situation: Situation, node: NodeState) -> bool:
    if any(term.key not in node.labels for term, _ in situation.near):
        return False
    return situation.alone or all(counts.get(node.labels[term.key], 0) for term, counts in situation.near)
