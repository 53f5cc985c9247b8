"""Service addresses: allocators by property, and Services through the API."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsim.server.allocator import AllocationError, Allocator, IpAllocator, PortAllocator
from netsim.server.service_values import carry_over, cluster_ips, node_ports
from netsim.server.services import ServiceAllocators

SERVICES = "/api/v1/namespaces/default/services"
OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["allocate", "take", "release"]), st.integers(0, 40), st.sampled_from("abc")), max_size=80
)


@given(OPERATIONS, st.integers(1, 32), st.integers(0, 8), st.integers())
def test_a_value_has_one_owner(operations: list[Any], size: int, static: int, seed: int) -> None:
    allocator, model, holds = Allocator(5, size, static=static), dict[int, str](), Counter[int]()
    rand = random.Random(seed).randrange
    for operation, value, owner in operations:
        if operation == "allocate":
            got = allocator.allocate(owner, rand)
            assert (got is None) == (len(model) >= size and all(v in model for v in range(5, 5 + size)))
            if got is not None:
                assert got not in model and allocator.in_range(got)
                model[got] = owner
                holds[got] += 1
        elif operation == "take" and allocator.in_range(value):
            assert allocator.take(value, owner) == (model.get(value, owner) == owner)
            holds[value] += model.setdefault(value, owner) == owner
        elif operation == "release":
            allocator.release(value, owner)
            holds[value] -= model.get(value) == owner
            if not holds[value]:
                model.pop(value, None)
        assert {v: allocator.owner(v) for v in range(45) if v in allocator} == model


@given(st.sampled_from(["10.0.0.0/29", "10.96.0.0/16", "192.168.1.0/24", "fd00::/120"]), st.integers())
@settings(max_examples=30)
def test_ips_are_inside_and_never_the_edges(cidr: str, seed: int) -> None:
    ips = IpAllocator(cidr)
    rand = random.Random(seed).randrange
    got = [ips.allocate("o", rand) for _ in range(5)]
    assert len(set(got)) == 5 and all(ips.holds(ip) for ip in got)
    assert str(ips.network.network_address) not in got
    if ips.network.version == 4:
        assert not ips.holds(str(ips.network.broadcast_address))


def test_exhaustion_and_range_are_told() -> None:
    ports = PortAllocator(30000, 30001)
    ports.allocate("a", random.Random(0).randrange)
    ports.allocate("b", random.Random(0).randrange)
    with pytest.raises(AllocationError, match="range is full"):
        ports.allocate("c", random.Random(0).randrange)
    with pytest.raises(AllocationError, match="The range of valid ports is 30000-30001"):
        ports.take(80, "a")


def test_restore_tells_of_double_use() -> None:
    allocators = ServiceAllocators(["10.96.0.0/16"], (30000, 32767), random.Random(0).randrange)

    def stored(name: str) -> dict[str, Any]:
        spec = {"type": "NodePort", "clusterIP": "10.96.0.9", "ports": [{"port": 80, "nodePort": 30001}]}
        return {"metadata": {"name": name, "uid": name}, "spec": spec}

    problems = allocators.restore([stored("one"), stored("two")])
    assert len(problems) == 2 and all("service two" in problem for problem in problems)


def test_carry_over() -> None:
    old = {
        "spec": {
            "type": "NodePort", "clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"],
            "externalTrafficPolicy": "Cluster",
            "ports": [{"name": "a", "port": 80, "nodePort": 30001}, {"name": "b", "port": 81, "nodePort": 30002}],
        }
    }  # fmt: skip
    put = {"spec": {"type": "NodePort", "ports": [{"name": "b", "port": 82}, {"name": "c", "port": 83}]}}
    kept = carry_over(put, old)["spec"]
    assert kept["clusterIP"] == "10.96.0.9"
    assert [port.get("nodePort") for port in kept["ports"]] == [30002, None]
    back = carry_over({"spec": {**old["spec"], "type": "ClusterIP"}}, old)
    assert node_ports(back) == set() and "externalTrafficPolicy" not in back["spec"]
    named = carry_over({"spec": {**old["spec"], "type": "ExternalName", "externalName": "x.y"}}, old)
    assert cluster_ips(named) == []


def body(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}


async def test_concurrent_services_never_share(api: Any) -> None:
    made = await asyncio.gather(*(api.post(SERVICES, body(f"s{i}", type="NodePort")) for i in range(40)))
    assert len({service["spec"]["clusterIP"] for service in made}) == 40
    assert len({service["spec"]["ports"][0]["nodePort"] for service in made}) == 40
    wanted = [api.send("POST", SERVICES, body(f"w{i}", clusterIP="10.96.0.10")) for i in range(4)]
    codes = sorted([response.status for response in await asyncio.gather(*wanted)])
    assert codes == [201, 422, 422, 422]


async def test_writes_at_once_of_one_service_keep_its_port(api: Any) -> None:
    await api.post(SERVICES, body("s", type="NodePort"))
    wanted = {"spec": {"ports": [{"port": 80, "nodePort": 30555, "protocol": name} for name in ("TCP", "UDP")]}}
    urls = [f"{SERVICES}/s", f"{SERVICES}/s?dryRun=All", f"{SERVICES}/s", f"{SERVICES}/s?dryRun=All"]
    for port, name in zip(wanted["spec"]["ports"], "ab", strict=True):
        port["name"] = name
    await asyncio.gather(*(api.merge(url, wanted) for url in urls))
    other = body("other", type="NodePort", ports=[{"port": 80, "nodePort": 30555}])
    assert "already allocated" in (await api.refused("POST", SERVICES, other))["message"]
    await api.ok("DELETE", f"{SERVICES}/s")
    await api.post(SERVICES, other)


async def test_nothing_is_held_after_a_finalizer_is_gone(api: Any) -> None:
    made = body("s", type="NodePort", ports=[{"port": 80, "nodePort": 30556}])
    made["metadata"]["finalizers"] = ["a.b/c"]
    await api.post(SERVICES, made)
    await api.ok("DELETE", f"{SERVICES}/s")
    last = await api.merge(f"{SERVICES}/s", {"metadata": {"finalizers": None}, "spec": {"type": "ClusterIP"}})
    assert "finalizers" not in last["metadata"]
    await api.post(SERVICES, body("t", type="NodePort", ports=[{"port": 80, "nodePort": 30556}]))


async def test_refusals(api: Any) -> None:
    status = await api.refused("POST", SERVICES, body("s", clusterIP="10.96.0.1"))
    assert status["details"]["causes"] == [
        {
            "reason": "FieldValueInvalid", "field": "spec.clusterIPs",
            "message": 'Invalid value: ["10.96.0.1"]: failed to allocate IP 10.96.0.1: '
            "provided IP is already allocated",
        }
    ]  # fmt: skip
    status = await api.refused("POST", SERVICES, body("s", clusterIP="10.1.2.3"))
    assert status["message"].endswith("the provided network does not match the current range")
    for spec, where, why in (
        ({"ipFamilies": ["IPv6"]}, "spec.ipFamilies[0]", 'Invalid value: "IPv6": not configured on this cluster'),
        (
            {"ipFamilyPolicy": "RequireDualStack"}, "spec.ipFamilyPolicy",
            'Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services',
        ),
        (
            {"ipFamilies": ["IPv4", "IPv6"]}, "spec.ipFamilyPolicy",
            "Invalid value: \"SingleStack\": must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families "
            "are specified",
        ),
    ):  # fmt: skip
        cause = (await api.refused("POST", SERVICES, body("s", **spec)))["details"]["causes"][0]
        assert (cause["field"], cause["message"]) == (where, why)
    made = await api.post(SERVICES, body("s"))
    changed = {**made, "spec": {**made["spec"], "clusterIP": "10.96.0.77", "clusterIPs": ["10.96.0.77"]}}
    assert "may not change once set" in (await api.refused("PUT", f"{SERVICES}/s", changed))["message"]


async def test_values_come_back_on_delete_and_type_change(api: Any) -> None:
    port = [{"port": 80, "nodePort": 30123}]
    await api.post(SERVICES, body("one", type="NodePort", ports=port))
    assert (await api.refused("POST", SERVICES, body("two", type="NodePort", ports=port)))["code"] == 422
    await api.merge(f"{SERVICES}/one", {"spec": {"type": "ClusterIP"}})
    two = await api.post(SERVICES, body("two", type="NodePort", ports=port))
    await api.ok("DELETE", f"{SERVICES}/two")
    three = await api.post(SERVICES, body("three", type="NodePort", ports=port, clusterIP=two["spec"]["clusterIP"]))
    assert three["spec"]["ports"][0]["nodePort"] == 30123
    await api.merge(f"{SERVICES}/three", {"spec": {"type": "ExternalName", "externalName": "a.b", "ports": None}})
    assert "clusterIP" not in (await api.get(f"{SERVICES}/three"))["spec"]
    await api.post(SERVICES, body("four", clusterIP=two["spec"]["clusterIP"]))


async def test_headless_and_load_balancer(api: Any) -> None:
    headless = await api.post(SERVICES, body("h", clusterIP="None"))
    assert headless["spec"]["clusterIPs"] == ["None"]
    assert headless["spec"]["ipFamilies"] == ["IPv4", "IPv6"]
    assert headless["spec"]["ipFamilyPolicy"] == "RequireDualStack"
    chosen = await api.post(SERVICES, body("hs", clusterIP="None", selector={"a": "b"}))
    assert (chosen["spec"]["ipFamilies"], chosen["spec"]["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")
    balanced = await api.post(SERVICES, body("lb", type="LoadBalancer", externalTrafficPolicy="Local"))
    assert balanced["spec"]["healthCheckNodePort"] and balanced["spec"]["ports"][0]["nodePort"]
    assert balanced["status"] == {"loadBalancer": {}}
    ingress = {"status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}}
    answering = await api.merge(f"{SERVICES}/lb/status", ingress)
    assert answering["status"]["loadBalancer"] == {"ingress": [{"ip": "1.2.3.4", "ipMode": "VIP"}]}
    merge = {"content_type": "application/merge-patch+json"}
    refused = await api.refused("PATCH", f"{SERVICES}/h/status", ingress, **merge)
    assert refused["details"]["causes"][0]["field"] == "status.loadBalancer.ingress"
    plain = await api.merge(f"{SERVICES}/lb", {"spec": {"type": "ClusterIP"}})
    assert plain["status"] == {"loadBalancer": {}}


async def test_allocators_survive_a_restart(api: Any) -> None:
    made = await api.post(SERVICES, body("s", type="NodePort"))
    app = api.app
    await app.close()
    await app.start()
    again = body("t", type="NodePort", ports=[{"port": 80, "nodePort": made["spec"]["ports"][0]["nodePort"]}])
    assert (await api.refused("POST", SERVICES, again))["code"] == 422
    assert (await api.refused("POST", SERVICES, body("u", clusterIP=made["spec"]["clusterIP"])))["code"] == 422


async def test_kubernetes_service(api: Any) -> None:
    found = await api.get(f"{SERVICES}/kubernetes")
    assert found["spec"]["clusterIP"] == "10.96.0.1"
    piece = await api.get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes")
    assert piece["endpoints"][0]["addresses"] == ["127.0.0.1"] and piece["ports"][0]["port"] == 6443


def test_a_client_that_knows_only_cluster_ip_changes_both() -> None:
    old = {"spec": {"type": "ClusterIP", "clusterIP": "10.96.0.5", "clusterIPs": ["10.96.0.5"]}}
    new = {"spec": {**old["spec"], "clusterIP": "10.96.0.9"}}
    assert carry_over(new, old)["spec"]["clusterIPs"] == ["10.96.0.9"]
    given = {"spec": {**new["spec"], "clusterIPs": ["10.96.0.7"]}}
    assert carry_over(given, old)["spec"]["clusterIPs"] == ["10.96.0.7"]  # a contradiction, for validation to tell


async def test_a_new_port_for_two_protocols_has_one_node_port(api: Any) -> None:
    ports = [{"name": "t", "port": 53}, {"name": "u", "port": 53, "protocol": "UDP"}, {"name": "h", "port": 80}]
    tcp, udp, http = (await api.post(SERVICES, body("s", type="NodePort", ports=ports)))["spec"]["ports"]
    assert tcp["nodePort"] == udp["nodePort"] != http["nodePort"]


async def test_a_balancer_without_node_ports_is_still_asked_for_its_health(api: Any) -> None:
    quiet = {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False, "externalTrafficPolicy": "Local"}
    ports = [{"name": "a", "port": 80}, {"name": "b", "port": 81, "nodePort": 30777}]
    spec = (await api.post(SERVICES, body("s", **quiet, ports=ports)))["spec"]
    assert spec["healthCheckNodePort"] >= 30000
    assert [port.get("nodePort") for port in spec["ports"]] == [None, 30777]


def test_every_address_of_a_wide_range_may_be_asked_for() -> None:
    allocator = IpAllocator("10.96.0.0/12")
    allocator.take("10.111.255.254", "a")
    assert allocator.owner("10.111.255.254") == "a"
    assert IpAllocator("fd00::/48").allocate("b", random.Random(1).randrange).startswith("fd00")
