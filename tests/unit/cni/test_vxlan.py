"""The overlay's decisions: what a node tells of its VTEP, what it believes of others, and what it changes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim_cni.node_routes import PROTOCOL
from netsim_cni.vxlan.annotations import Peer, parse_peer, render_annotations
from netsim_cni.vxlan.plan import PERMANENT, Seen, Vtep, plan_changes, plan_vtep, vtep_name

VTEP = 7
FLANNEL = "flannel.alpha.coreos.com/"


@dataclass(frozen=True)
class Route:
    dst: str
    via: str
    dev: int = VTEP
    protocol: int = PROTOCOL


@dataclass(frozen=True)
class Neighbour:
    ip: str
    mac: str
    state: int = PERMANENT


@dataclass(frozen=True)
class Forwarding:
    mac: str
    remote: str


def peer(number: int, mac: int = 0) -> Peer:
    cidrs = (f"10.244.{number}.0/24", f"fd00:244:{number}::/64")
    return Peer(f"node-{number}", f"172.30.{number}.1", f"0e:00:00:00:{mac:02x}:{number:02x}", cidrs)


def test_what_a_node_tells_is_what_flannel_tells() -> None:
    assert render_annotations("172.30.0.11", "0e:11:22:33:44:55") == {
        FLANNEL + "backend-type": "vxlan",
        FLANNEL + "backend-data": '{"VNI":1,"VtepMAC":"0e:11:22:33:44:55"}',
        FLANNEL + "kube-subnet-manager": "true",
        FLANNEL + "public-ip": "172.30.0.11",
    }


@pytest.mark.parametrize(("address", "mine"), [("172.30.0.12", "172.30.0.11"), ("fd00::12", "fd00::11")])
def test_what_a_node_tells_is_what_the_others_read(address: str, mine: str) -> None:
    told = render_annotations(address, "0e:11:22:33:44:55")
    found = parse_peer("node-2", told, ["10.244.2.0/24"], mine)
    assert found == Peer("node-2", address, "0e:11:22:33:44:55", ("10.244.2.0/24",))


def test_a_real_flannels_node_is_a_peer() -> None:
    told = {
        FLANNEL + "backend-data": '{"VNI":1,"VtepMAC":"D2:7C:93:65:F2:A0"}', FLANNEL + "backend-type": "vxlan",
        FLANNEL + "kube-subnet-manager": "true", FLANNEL + "public-ip": "192.168.56.12",
    }  # fmt: skip
    found = parse_peer("w", told, ["10.244.2.0/24"], "192.168.56.11")
    assert found == Peer("w", "192.168.56.12", "d2:7c:93:65:f2:a0", ("10.244.2.0/24",))


def test_nodes_that_have_told_nothing_yet_wait() -> None:
    assert parse_peer("node-2", {}, ["10.244.2.0/24"], "172.30.0.11") is None
    assert parse_peer("node-2", render_annotations("172.30.0.12", "0e:11:22:33:44:55"), [], "172.30.0.11") is None


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("backend-data", "{", r"node node-2: annotation .*/backend-data '\{': expected"),
        ("backend-data", '{"VNI":1,"VtepMAC":"; rm"}', "node node-2: annotation .*/backend-data .*: expected"),
        ("backend-data", '{"VNI":9,"VtepMAC":"0e:11:22:33:44:55"}', "has VNI 9, this cluster's is 1"),
        ("public-ip", "localhost", "public-ip 'localhost' is no address of 172.30.0.11's family"),
        ("public-ip", "fd00::1", "public-ip 'fd00::1' is no address of 172.30.0.11's family"),
    ],
)
def test_annotations_that_cannot_be_used_are_named(key: str, value: str, said: str) -> None:
    told = {**render_annotations("172.30.0.12", "0e:11:22:33:44:55"), FLANNEL + key: value}
    with pytest.raises(ValueError, match=said):
        parse_peer("node-2", told, ["10.244.2.0/24"], "172.30.0.11")


def test_a_vtep_follows_from_its_node() -> None:
    vtep = plan_vtep("node-1", "172.30.0.11", ["10.244.1.0/24", "fd00:244:1::/64"])
    addresses = ("10.244.1.0/32", "fd00:244:1::/128")
    assert vtep == Vtep("vx-node-1", 1, 8472, "172.30.0.11", "b2:68:28:39:8e:51", addresses)
    assert plan_vtep("node-2", "172.30.0.12", []).mac != vtep.mac


@given(st.text("abc-.0", min_size=1, max_size=60))
def test_every_name_of_a_vtep_fits(node: str) -> None:
    assert 3 < len(vtep_name(node)) <= 15


def test_long_names_of_nodes_stay_different() -> None:
    assert vtep_name("worker-in-zone-a-1") != vtep_name("worker-in-zone-a-2")


@given(st.sets(st.integers(1, 9)), st.dictionaries(st.integers(1, 9), st.integers(0, 1)))
def test_applying_the_changes_gives_what_is_wanted_and_then_nothing(old: set[int], new: dict[int, int]) -> None:
    before = _apply(Seen(VTEP, [], [], []), [peer(n) for n in old])
    wanted = [peer(number, mac) for number, mac in new.items()]
    after = _apply(before, wanted)
    assert {(r.dst, r.via) for r in after.routes} == {
        (cidr, cidr.partition("/")[0]) for node in wanted for cidr in node.cidrs
    }
    assert {(f.mac, f.remote) for f in after.forwarding} == {(node.mac, node.remote) for node in wanted}
    assert len(after.neighbours) == 2 * len(wanted)
    assert not any(plan_changes(wanted, after))


def _apply(seen: Seen, peers: list[Peer]) -> Seen:
    """What the kernel has after the changes."""
    changes = plan_changes(peers, seen)
    routes = {r.dst: r for r in seen.routes} | {dst: Route(dst, via) for dst, via in changes.routes}
    neighbours = {n.ip: n for n in seen.neighbours} | {ip: Neighbour(ip, mac) for ip, mac in changes.neighbours}
    forwarding = {f.mac: f for f in seen.forwarding} | {m: Forwarding(m, remote) for m, remote in changes.forwarding}
    for gone, table in (
        (changes.forget_routes, routes),
        (changes.forget_neighbours, neighbours),
        (changes.forget_forwarding, forwarding),
    ):
        for key, _ in gone:
            del table[key]
    return Seen(seen.index, list(routes.values()), list(neighbours.values()), list(forwarding.values()))


def test_routes_of_others_and_learnt_neighbours_stay() -> None:
    routes = [Route("0.0.0.0/0", "172.30.0.1", 2, 4), Route("10.9.0.0/16", "172.30.0.9", 2, 2)]
    assert not any(plan_changes([], Seen(VTEP, routes, [Neighbour("10.244.2.0", "0e:00:00:00:00:02", 2)], [])))


def test_a_route_by_another_interface_is_replaced() -> None:
    """As after a change from host-gw, or of a VTEP that was made anew."""
    seen = _apply(Seen(VTEP, [], [], []), [peer(2)])
    stale = replace(seen, routes=[Route("10.244.2.0/24", "172.30.2.1", 2), *seen.routes[1:]])
    changes = plan_changes([peer(2)], stale)
    assert (changes.routes, changes.forget_routes) == ([("10.244.2.0/24", "10.244.2.0")], [])
