"""What a pod counts for while its containers are being resized (KEP-1287)."""

from __future__ import annotations

from typing import Any

import pytest

from netsim.scheduler.choose import choose_node
from netsim.scheduler.model import Cluster
from netsim.scheduler.needs import needs_of

Obj = dict[str, Any]


def resized(make: Any, asked: str, has: str, promised: str, why: str = "") -> Obj:
    """A pod on node a whose spec asks for `asked` CPU, whose container has `has`, and which was promised `promised`."""
    pod: Obj = make.pod("p", cpu=asked, nodeName="a")
    state = {"name": "c", "resources": {"requests": {"cpu": has}}, "allocatedResources": {"cpu": promised}}
    pending = [{"type": "PodResizePending", "status": "True", "reason": why}] if why else []
    pod["status"] |= {"phase": "Running", "containerStatuses": [state], "conditions": pending}
    return pod


@pytest.mark.parametrize(
    ("asked", "has", "promised", "why", "counted"),
    [
        ("1", "1", "1", "", 1000),
        ("1", "3", "1", "", 3000),  # less is asked for, and the container still has more
        ("1", "1", "2", "", 2000),
        ("3", "1", "1", "Deferred", 3000),  # waits for room, which is kept for it
        ("30", "1", "1", "Infeasible", 1000),  # will never have it
    ],
)
def test_the_most_counts_unless_it_cannot_be(
    make: Any, asked: str, has: str, promised: str, why: str, counted: int
) -> None:
    assert needs_of(resized(make, asked, has, promised, why)).requests["cpu"] == counted


def test_the_room_is_free_only_when_the_container_has_given_it_up(make: Any) -> None:
    cluster = Cluster([make.node("a")], [resized(make, "1", "3", "3")])
    state = cluster.get("a")
    assert state is not None and state.used["cpu"] == 3000
    cluster.set_pod(resized(make, "1", "1", "1"))
    assert state.used["cpu"] == 1000


def test_a_pod_waits_for_a_resize_to_be_carried_out(make: Any) -> None:
    nodes, waiting = [make.node("a")], make.pod("w", cpu="2")
    assert choose_node(waiting, nodes, [resized(make, "1", "3", "3")]).node == ""
    assert choose_node(waiting, nodes, [resized(make, "1", "1", "1")]).node == "a"


def test_of_the_init_containers_only_sidecars_are_resized(make: Any) -> None:
    pod = resized(make, "1", "1", "1")
    pod["spec"]["initContainers"] = [{"name": "i", "restartPolicy": "Always"}, {"name": "j"}]
    pod["status"]["initContainerStatuses"] = [
        {"name": name, "resources": {"requests": {"cpu": "2"}}} for name in ("i", "j")
    ]
    assert needs_of(pod).requests["cpu"] == 3000
