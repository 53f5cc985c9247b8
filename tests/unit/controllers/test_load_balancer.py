"""Load-balancer addresses on values: who gets which, who keeps it, and which node answers for it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsim.api.kinds import ENDPOINT_SLICES, NODES, SERVICES, Obj
from netsim.api.load_balancer import ANNOUNCED_FROM, balancer_addresses, parse_pool
from netsim.api.objects import annotations_of
from netsim.controllers import load_balancer, load_balancer_election
from netsim.controllers.writes import Update

POOL = parse_pool("192.0.2.10-192.0.2.12, fd00::10/126")


def lb(cluster: Any, name: str, status: list[Obj] | None = None, annotations: Obj | None = None, **spec: Any) -> Obj:
    wanted = {"type": "LoadBalancer", "ipFamilies": ["IPv4"], **spec}
    head = {"name": name, "namespace": "ns", "annotations": annotations or {}}
    made: Obj = cluster.create(
        SERVICES, {"metadata": head, "spec": wanted, "status": {"loadBalancer": {"ingress": status or []}}}
    )
    return made


def addresses(cluster: Any, name: str) -> list[str]:
    return [str(address) for address in balancer_addresses(cluster.get(SERVICES, f"ns/{name}"))]


class Balancer:
    """Allocation and election, run until both rest."""

    def __init__(self, cluster: Any, pool: Any = POOL) -> None:
        self.cluster = cluster
        self.allocator, self.election = load_balancer.controller(pool), load_balancer_election.controller(pool)

    def run(self) -> None:
        for _ in range(5):
            self.cluster.sync()
            writes = list(self.allocator.reconcile(load_balancer.ALL, self.cluster.view()))
            assert not self.cluster.apply(writes)
            for service in self.cluster.all(SERVICES):
                self.cluster.sync()
                key = f"ns/{service['metadata']['name']}"
                found = self.election.reconcile(key, self.cluster.view())
                assert not self.cluster.apply(found)
                writes += found
            if not writes:
                return
        raise AssertionError("the load balancer does not come to rest")

    def node_of(self, name: str) -> str:
        return annotations_of(self.cluster.get(SERVICES, f"ns/{name}")).get(ANNOUNCED_FROM, "")


@pytest.fixture
def balancer(cluster: Any) -> Balancer:
    return Balancer(cluster)


def test_a_wish_that_is_no_address_holds_up_nobody(cluster: Any, balancer: Balancer) -> None:
    lb(cluster, "bad", loadBalancerIP="none")
    lb(cluster, "long", loadBalancerIP="fd00:0::0011", ipFamilies=["IPv6"])
    lb(cluster, "plain")
    balancer.run()
    assert addresses(cluster, "bad") == []
    assert (addresses(cluster, "long"), addresses(cluster, "plain")) == (["fd00::11"], ["192.0.2.10"])
    [note] = [note for note in cluster.notes if note.reason == "AllocationFailed"]
    assert "'none' (spec.loadBalancerIP) is no IP address" in note.message


def test_services_get_addresses_in_order_and_keep_them(cluster: Any, balancer: Balancer) -> None:
    lb(cluster, "a")
    lb(cluster, "b")
    cluster.create(SERVICES, {"metadata": {"name": "c", "namespace": "ns"}, "spec": {"type": "ClusterIP"}})
    balancer.run()
    assert (addresses(cluster, "a"), addresses(cluster, "b")) == (["192.0.2.10"], ["192.0.2.11"])
    assert cluster.get(SERVICES, "ns/a")["status"]["loadBalancer"] == {
        "ingress": [{"ip": "192.0.2.10", "ipMode": "VIP"}]
    }
    assert "loadBalancer" not in cluster.get(SERVICES, "ns/c").get("status", {})
    told = [note.message for note in cluster.notes if note.reason == "IPAllocated"]
    assert told == ['Assigned IP ["192.0.2.10"]', 'Assigned IP ["192.0.2.11"]']
    cluster.delete(SERVICES, "a", "ns")
    lb(cluster, "d")
    balancer.run()
    assert (addresses(cluster, "b"), addresses(cluster, "d")) == (["192.0.2.11"], ["192.0.2.10"])


def test_a_wished_address_comes_first_and_only_once(cluster: Any, balancer: Balancer) -> None:
    lb(cluster, "a")
    lb(cluster, "wish", loadBalancerIP="192.0.2.10")
    cluster.pass_time(1)
    lb(cluster, "late", loadBalancerIP="192.0.2.10")
    lb(cluster, "odd", loadBalancerIP="198.51.100.1")
    balancer.run()
    assert (addresses(cluster, "wish"), addresses(cluster, "a")) == (["192.0.2.10"], ["192.0.2.11"])
    assert addresses(cluster, "late") == addresses(cluster, "odd") == []
    failed = [note.message for note in cluster.notes if note.reason == "AllocationFailed"]
    assert len(failed) == 2  # each is told once, however often the plan is made
    assert "192.0.2.10 (spec.loadBalancerIP) is in use by ns/wish" in failed[0]
    assert "198.51.100.1 (spec.loadBalancerIP) is not in the pool 192.0.2.10-192.0.2.12" in failed[1]


def test_a_changed_wish_moves_the_service(cluster: Any, balancer: Balancer) -> None:
    lb(cluster, "a")
    balancer.run()
    cluster.patch(SERVICES, "a", "ns", {"spec": {"loadBalancerIP": "192.0.2.12"}})
    balancer.run()
    assert addresses(cluster, "a") == ["192.0.2.12"]


def test_an_exhausted_pool_is_told_and_what_is_given_back_is_used(cluster: Any, balancer: Balancer) -> None:
    for name in "abcd":
        lb(cluster, name)
    balancer.run()
    assert addresses(cluster, "d") == []
    (failed,) = [note for note in cluster.notes if note.reason == "AllocationFailed"]
    assert (failed.type, failed.about["metadata"]["name"]) == ("Warning", "d")
    assert "no address of family IPv4 is left in the pool" in failed.message
    cluster.patch(SERVICES, "b", "ns", {"spec": {"type": "ClusterIP"}})
    balancer.run()
    assert addresses(cluster, "b") == []
    assert addresses(cluster, "d") == ["192.0.2.11"]


def test_another_class_is_left_alone_and_its_addresses_too(cluster: Any, balancer: Balancer) -> None:
    lb(cluster, "other", [{"ip": "192.0.2.10"}], loadBalancerClass="example.com/lb")
    lb(cluster, "named", [{"hostname": "lb.example.com"}], loadBalancerClass="example.com/lb")
    lb(cluster, "own", loadBalancerClass=load_balancer.OWN_CLASS)
    balancer.run()
    assert cluster.get(SERVICES, "ns/other")["status"]["loadBalancer"]["ingress"] == [{"ip": "192.0.2.10"}]
    assert cluster.get(SERVICES, "ns/named")["status"]["loadBalancer"]["ingress"] == [{"hostname": "lb.example.com"}]
    assert addresses(cluster, "own") == ["192.0.2.11"]


def test_dual_stack_has_one_address_of_each_family(cluster: Any, balancer: Balancer) -> None:
    lb(cluster, "both", ipFamilies=["IPv6", "IPv4"])
    lb(cluster, "six", ipFamilies=["IPv6"])
    balancer.run()
    assert addresses(cluster, "both") == ["fd00::11", "192.0.2.10"]
    assert addresses(cluster, "six") == ["fd00::12"]


def test_a_restart_repairs_what_does_not_fit(cluster: Any) -> None:
    lb(cluster, "old", [{"ip": "192.0.2.11", "ipMode": "VIP"}])
    cluster.pass_time(5)
    lb(cluster, "twin", [{"ip": "192.0.2.11", "ipMode": "VIP"}])
    lb(cluster, "stray", [{"ip": "198.51.100.9", "ipMode": "VIP"}])
    Balancer(cluster).run()
    assert addresses(cluster, "old") == ["192.0.2.11"]
    assert {*addresses(cluster, "twin"), *addresses(cluster, "stray")} == {"192.0.2.10", "192.0.2.12"}


STATUSES = st.lists(st.sampled_from(["192.0.2.9", "192.0.2.10", "192.0.2.11", "192.0.2.12"]), max_size=2)
SPECS = st.tuples(
    st.sampled_from(["LoadBalancer", "ClusterIP"]),
    st.sampled_from([None, load_balancer.OWN_CLASS]),
    st.sampled_from(["", "192.0.2.10", "192.0.2.11"]),
    STATUSES,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(SPECS, max_size=6))
def test_never_do_two_services_have_one_address(specs: list[Any]) -> None:
    services = [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": f"s{number}", "namespace": "ns", "uid": str(number), "resourceVersion": "1"},
            "spec": {"type": kind, "loadBalancerClass": owner, "loadBalancerIP": wish},
            "status": {"loadBalancer": {"ingress": [{"ip": ip} for ip in status]}},
        }
        for number, (kind, owner, wish, status) in enumerate(specs)
    ]
    by_name = {service["metadata"]["name"]: service for service in services}
    for write in load_balancer.plan_addresses(POOL, services):
        if isinstance(write, Update):
            by_name[write.obj["metadata"]["name"]] = write.obj
    asked = [s for s in by_name.values() if s["spec"]["type"] == "LoadBalancer"]
    given_out = [address for service in asked for address in balancer_addresses(service)]
    assert len(given_out) == len(set(given_out))
    assert not [w for w in load_balancer.plan_addresses(POOL, by_name.values()) if isinstance(w, Update)]
    assert all(balancer_addresses(s) for s in asked if not s["spec"]["loadBalancerIP"]) or len(given_out) == 3


def add_node(cluster: Any, name: str, *, ready: str = "True", **head: Any) -> None:
    status = {"conditions": [{"type": "Ready", "status": ready}]}
    cluster.create(NODES, {"metadata": {"name": name, **head}, "spec": {}, "status": status})


def set_ready(cluster: Any, name: str, ready: str) -> None:
    cluster.patch(NODES, name, "", {"status": {"conditions": [{"type": "Ready", "status": ready}]}}, "status")


def test_one_ready_node_announces_until_it_is_lost(cluster: Any, balancer: Balancer) -> None:
    add_node(cluster, "n1")
    add_node(cluster, "n2")
    add_node(cluster, "lost", ready="Unknown")
    add_node(cluster, "fake", annotations={"kwok.x-k8s.io/node": "fake"})
    add_node(cluster, "kept-out", labels={load_balancer_election.EXCLUDED_LABEL: ""})
    lb(cluster, "a")
    balancer.run()
    first = balancer.node_of("a")
    assert first in ("n1", "n2")
    assert [n.message for n in cluster.notes if n.reason == "nodeAssigned"] == [
        f'announcing from node "{first}" with protocol "layer2"'
    ]
    set_ready(cluster, first, "Unknown")
    balancer.run()
    second = balancer.node_of("a")
    assert {first, second} == {"n1", "n2"}
    set_ready(cluster, first, "True")
    balancer.run()
    assert balancer.node_of("a") == second  # what works is not moved
    set_ready(cluster, "n1", "False")
    set_ready(cluster, "n2", "False")
    balancer.run()
    assert balancer.node_of("a") == ""


def test_addresses_spread_over_the_nodes(cluster: Any) -> None:
    for number in range(3):
        add_node(cluster, f"n{number}")
    for number in range(40):
        lb(cluster, f"s{number}")
    wide = Balancer(cluster, parse_pool("192.0.2.0/25"))
    wide.run()
    chosen = [wide.node_of(f"s{number}") for number in range(40)]
    assert {node: chosen.count(node) > 5 for node in set(chosen)} == {"n0": True, "n1": True, "n2": True}


def add_slice(cluster: Any, service: str, ready: dict[str, bool]) -> None:
    endpoints = [
        {"addresses": [f"10.0.0.{number}"], "nodeName": node, "conditions": {"ready": is_ready}}
        for number, (node, is_ready) in zip(itertools.count(1), ready.items(), strict=False)
    ]
    head = {"name": f"{service}-1", "namespace": "ns", "labels": {"kubernetes.io/service-name": service}}
    cluster.create(ENDPOINT_SLICES, {"metadata": head, "addressType": "IPv4", "endpoints": endpoints, "ports": []})


def test_policy_local_wants_a_node_with_a_ready_endpoint(cluster: Any, balancer: Balancer) -> None:
    for name in ("n1", "n2", "n3"):
        add_node(cluster, name)
    lb(cluster, "a", externalTrafficPolicy="Local")
    balancer.run()
    assert balancer.node_of("a") == ""
    add_slice(cluster, "a", {"n2": True, "n3": False})
    balancer.run()
    assert balancer.node_of("a") == "n2"
    endpoints = [{"addresses": ["10.0.0.3"], "nodeName": "n3", "conditions": {"ready": True}}]
    cluster.patch(ENDPOINT_SLICES, "a-1", "ns", {"endpoints": endpoints})
    balancer.run()
    assert balancer.node_of("a") == "n3"


def test_a_service_without_address_is_nobodys(cluster: Any, balancer: Balancer) -> None:
    add_node(cluster, "n1")
    lb(cluster, "a", annotations={ANNOUNCED_FROM: "n1"}, loadBalancerIP="198.51.100.1")
    lb(cluster, "b")
    balancer.run()
    assert (balancer.node_of("a"), balancer.node_of("b")) == ("", "n1")
    cluster.patch(SERVICES, "b", "ns", {"spec": {"type": "NodePort"}})
    balancer.run()
    assert balancer.node_of("b") == ""


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("172.30.0.240/28", "172.30.0.241", "172.30.0.254"),
        ("172.30.0.7", "172.30.0.7", "172.30.0.7"),
        ("10.0.0.1 - 10.0.0.3", "10.0.0.1", "10.0.0.3"),
        ("fd00::/126", "fd00::1", "fd00::2"),
    ],
)
def test_pools_are_cidrs_or_ranges(text: str, first: str, last: str) -> None:
    (found,) = parse_pool(text)
    assert (str(found.first), str(found.last)) == (first, last)


@pytest.mark.parametrize("text", ["10.0.0.9-10.0.0.1", "10.0.0.1-fd00::1", "many", "10.0.0.1/24"])
def test_what_is_no_pool_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no pool"):
        parse_pool(text)
