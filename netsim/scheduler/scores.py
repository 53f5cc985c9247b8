"""Which of the possible nodes is best: the one with the fewest pods of the same group, then the emptiest."""

from __future__ import annotations

from netsim.scheduler.model import CPU, MEMORY, NodeState, PodNeeds

_CPU_IF_UNKNOWN, _MEMORY_IF_UNKNOWN = 64_000, 256 * 1024**3

Score = tuple[int, float, int, str]


def score(needs: PodNeeds, node: NodeState) -> Score:
    """Lower is better. In order: pods of the same group there; the share of CPU and memory taken with this pod; pods at
    all; the name, so that equal states give equal answers."""
    peers = node.groups[needs.group] if needs.group else 0
    return (peers, round(_share(needs, node), 6), len(node.pods), node.name)


def _share(needs: PodNeeds, node: NodeState) -> float:
    cpu = (node.weight[0] + needs.weight[0]) / (node.allocatable.get(CPU) or _CPU_IF_UNKNOWN)
    memory = (node.weight[1] + needs.weight[1]) / (node.allocatable.get(MEMORY) or _MEMORY_IF_UNKNOWN)
    return (cpu + memory) / 2
