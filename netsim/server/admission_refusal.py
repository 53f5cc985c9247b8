"""How admission refuses a new pod before it has a name (pure)."""

from __future__ import annotations

from netsim.api import errors
from netsim.api.kinds import PODS, Obj

_MADE_AT_RANDOM = 5


def refused_pod(pod: Obj, why: str) -> errors.StatusError:
    """The 403. Plugins that change pods are asked before names are made, so they tell what the client gave: its
    generateName, so that all pods of a ReplicaSet are refused in the same words and count as one Event."""
    metadata = pod["metadata"]
    name, prefix = metadata.get("name") or "", metadata.get("generateName") or ""
    is_made = prefix and name.startswith(prefix) and len(name) == len(prefix) + _MADE_AT_RANDOM
    return errors.forbidden(PODS, prefix if is_made else name, why)
