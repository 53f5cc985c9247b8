from __future__ import annotations

import pytest

from netsim.agent.node_events import node_events


def node(ready, closed=False):
    conditions = [] if ready is None else [{"type": "Ready", "status": ready}]
    spec = {"unschedulable": True} if closed else {}
    return {"metadata": {"name": "n"}, "spec": spec, "status": {"conditions": conditions}}


@pytest.mark.parametrize(
    ("old", "new", "reasons"),
    [
        (None, node("True"), ["NodeReady"]),
        (None, node("False"), []),
        (None, node(None), []),
        (node("Unknown"), node("True"), ["NodeReady"]),
        (node("False"), node("True"), ["NodeReady"]),
        (node("True"), node("False"), ["NodeNotReady"]),
        (node("True"), node("Unknown"), []),
        (node("True"), node("True", closed=True), ["NodeNotSchedulable"]),
        (node("True", closed=True), node("True"), ["NodeSchedulable"]),
        (node("True"), node("True"), []),
        (node("True"), None, []),
    ],
)
def test_what_a_change_of_the_node_tells(old, new, reasons):
    found = node_events(old, new)
    assert found == [(reason, f"Node n status is now: {reason}") for reason in reasons]
