"""host-gw: the difference of routes."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim_cni.node_routes import PROTOCOL, NodeRoute, plan_node_routes


@dataclass(frozen=True)
class Current:
    dst: str
    via: str
    protocol: int = PROTOCOL


numbers = st.sets(st.integers(1, 9))


def node(number: int) -> tuple[str, str, str]:
    return f"node-{number}", f"172.30.0.{number}", f"10.244.{number}.0/24"


@given(numbers, numbers, st.integers(1, 9))
def test_applying_the_plan_gives_what_is_wanted_and_then_nothing(old: set[int], new: set[int], me: int) -> None:
    table = {f"10.244.{n}.0/24": Current(f"10.244.{n}.0/24", f"172.30.0.{n + 1}") for n in old}
    plan = plan_node_routes(map(node, new), f"node-{me}", list(table.values()))
    for route in plan.add:
        table[route.dst] = Current(route.dst, route.via)
    for route in plan.remove:
        del table[route.dst]
    assert {(r.dst, r.via) for r in table.values()} == {(c, ip) for _, ip, c in map(node, new - {me})}
    assert plan_node_routes(map(node, new), f"node-{me}", list(table.values())) == ([], [])


def test_routes_of_others_stay() -> None:
    current = [Current("10.244.7.0/24", "172.30.0.7", 2), Current("0.0.0.0/0", "172.30.0.1", 4)]
    assert plan_node_routes([node(2)], "node-1", current) == ([NodeRoute("10.244.2.0/24", "172.30.0.2")], [])


def test_nodes_without_address_or_subnet_wait() -> None:
    assert plan_node_routes([("a", "", "10.1.0.0/24"), ("b", "172.30.0.2", "")], "c", []) == ([], [])


def test_families_must_agree() -> None:
    with pytest.raises(ValueError, match="node a: pod CIDR fd00::/64"):
        plan_node_routes([("a", "172.30.0.2", "fd00::/64")], "c", [])
