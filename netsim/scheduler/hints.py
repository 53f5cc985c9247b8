"""Which of the pods that found no node a change may help; all others are left alone."""

from __future__ import annotations

from netsim.scheduler.filters import BANNED, NOT_APART, NOT_NEAR, SKEWED, fixed_refusal, pods_refusal
from netsim.scheduler.model import NodeState
from netsim.scheduler.needs import PodNeeds
from netsim.scheduler.queue import Stuck
from netsim.scheduler.situation import Situation
from netsim.scheduler.volumes import claim_names

_OTHERS = frozenset((SKEWED, NOT_NEAR, NOT_APART, BANNED))
_GAINED = frozenset((SKEWED, NOT_NEAR))


def helped_by_node(stuck: Stuck, node: NodeState, old: NodeState | None) -> bool:
    """A Node appeared (`old` is None) or changed: if it could take the pod as far as it alone decides, or keeps it off
    by something else than what was told of it, or of all Nodes before it."""
    if not stuck.reasons or not stuck.needs.pods.empty:
        return True
    now, before = (fixed_refusal(_alone(stuck.needs), each) if each is not None else None for each in (node, old))
    if now is None:
        return True
    if old is None:
        return not stuck.reasons <= set(now.reasons)
    return before is not None and before.reasons != now.reasons


def helped_by_room(stuck: Stuck, node: NodeState | None) -> bool:
    """A pod left that node: if the pod fits now, or it was other pods that kept it off anywhere."""
    if stuck.reasons & _OTHERS or stuck.needs.spreads or node is None:
        return True
    situation = _alone(stuck.needs)
    return fixed_refusal(situation, node) is None and pods_refusal(situation, node) is None


def helped_by_pod(stuck: Stuck) -> bool:
    """A pod got a node or other labels."""
    return bool(stuck.reasons & _GAINED)


def helped_by_storage(stuck: Stuck) -> bool:
    """A claim, volume or class appeared or changed."""
    return bool(claim_names(stuck.needs.pod))


def helped_by_devices(stuck: Stuck) -> bool:
    """A claim for devices or a class of them appeared or changed."""
    return bool(stuck.needs.pod["spec"].get("resourceClaims"))


def _alone(needs: PodNeeds) -> Situation:
    return Situation(needs, names=needs.nodes.names)
