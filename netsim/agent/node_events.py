"""What the agent tells of its own node: kubelet's events NodeReady, NodeNotSchedulable and their like (pure)."""

from __future__ import annotations

from netsim.agent.model import Obj
from netsim.api.objects import condition

STARTING = ("Starting", "Starting kubelet.")


def subject(name: str) -> Obj:
    """The node as the object of an event: kubelet's give the node's name as its uid, and kubectl asks for that."""
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": name}}


def node_events(old: Obj | None, new: Obj | None) -> list[tuple[str, str]]:
    """(reason, message) of what changed between two states of the node; `old` is None when it is first seen."""
    if new is None:
        return []
    found = []
    if _ready(new) is not None and _ready(new) != bool(old is not None and _ready(old)):
        found.append("NodeReady" if _ready(new) else "NodeNotReady")
    if _closed(new) != (_closed(old) if old is not None else False):
        found.append("NodeNotSchedulable" if _closed(new) else "NodeSchedulable")
    return [(reason, f"Node {new['metadata']['name']} status is now: {reason}") for reason in found]


def _ready(node: Obj) -> bool | None:
    """Whether the node says it is ready; None while it says nothing, or others say that it is silent."""
    status = (condition(node, "Ready") or {}).get("status")
    return None if status not in ("True", "False") else status == "True"


def _closed(node: Obj) -> bool:
    return bool((node.get("spec") or {}).get("unschedulable"))
