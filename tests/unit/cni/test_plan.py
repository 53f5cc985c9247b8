"""Plans as values: every operation exists, and says the right thing."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.host.netlink import Netlink
from netsim_cni.addressing import Addressing, Assigned
from netsim_cni.config import Config
from netsim_cni.plan import HOST_MAC, Op, Plan, alias_of, link_name, mac_of, plan_add, settle_addressing, settling
from netsim_cni.request import Request

MakeRequest = Callable[..., Request]
DUAL = {"ranges": [[{"subnet": "10.244.1.0/24"}], [{"subnet": "fd00:1::/64"}]]}


def leases(config: Config, number: int = 5) -> Addressing:
    """What host-local would give, the fifth address of each subnet, ready for the plan."""
    firsts = [one[0] for one in config.ipam.range_sets]
    ips = [Assigned(one.subnet[number], one.subnet.prefixlen, one.gateway) for one in firsts]
    return settle_addressing(config, Addressing(tuple(ips), config.ipam.routes))


def every(plan: Plan) -> tuple[Op, ...]:
    return (*plan.bridge, plan.veth, *plan.host, *plan.pod)


def verbs(ops: tuple[Op, ...]) -> list[tuple[Any, ...]]:
    return [
        (op.verb, *(value for key, value in op.args.items() if key in ("address", "dst", "via", "ip"))) for op in ops
    ]


@pytest.mark.parametrize("mode", ["routed", "bridge"])
@pytest.mark.parametrize("ipam", [DUAL, {"subnet": "10.244.1.0/24", "routes": [{"dst": "10.9.0.0/16"}]}])
def test_every_operation_is_a_call_that_netlink_takes(
    make_request: MakeRequest, mode: str, ipam: dict[str, Any]
) -> None:
    more = {"promiscMode": True, "portIsolation": True} if mode == "bridge" else {"hairpinMode": True}
    request = make_request(mode=mode, ipam=ipam, isDefaultGateway=True, enabledad=True, **more)
    for op in every(plan_add(request, leases(request.config))):
        inspect.signature(getattr(Netlink, op.verb)).bind(None, **op.args)


def test_routed(make_request: MakeRequest) -> None:
    request = make_request(args="K8S_POD_NAME=web-1;K8S_POD_NAMESPACE=shop")
    plan = plan_add(request, leases(request.config))
    assert plan.bridge == ()
    assert verbs(plan.host) == [
        ("set_link",),
        ("add_address", "10.244.1.1/32"),
        ("add_route", "10.244.1.5/32"),
        ("add_neighbour", "10.244.1.5"),
    ]
    assert verbs(plan.pod) == [
        ("set_link",),
        ("add_address", "10.244.1.5/32"),
        ("add_route", "10.244.1.1/32"),
        ("add_neighbour", "10.244.1.1"),
        ("add_route", "0.0.0.0/0", "10.244.1.1"),
    ]
    assert (plan.veth.args["mac"], plan.veth.args["peer_mac"]) == (HOST_MAC, "0a:58:0a:f4:01:05")
    assert plan.pod[0].args["ipv6"] is False
    # Once it has a carrier, it would give itself a link-local address.
    assert plan.veth.args["up"] and not plan.host[0].args["ipv6"] and "up" not in plan.host[0].args


def test_bridge(make_request: MakeRequest) -> None:
    request = make_request(mode="bridge", bridge="br7", isGateway=True, hairpinMode=True)
    plan = plan_add(request, leases(request.config))
    assert verbs(plan.bridge) == [("add_bridge",), ("set_link",)]
    assert plan.gateways == ("10.244.1.1/24",)
    assert plan.host[0].args["master"] == "br7" and plan.host[0].args["hairpin"] is True
    assert verbs(plan.pod) == [("set_link",), ("add_address", "10.244.1.5/24")]


def test_dual_stack_turns_ipv6_on_and_shares_a_gateway_once(make_request: MakeRequest) -> None:
    request = make_request(ipam=DUAL)
    plan = plan_add(request, leases(request.config))
    assert plan.pod[0].args["ipv6"] is True
    assert ("add_route", "::/0", "fd00:1::1") in verbs(plan.pod)
    twin = make_request(
        ipam={
            "ranges": [
                [{"subnet": "10.244.1.0/24", "rangeStart": "10.244.1.2", "rangeEnd": "10.244.1.9"}],
                [{"subnet": "10.244.1.0/24", "rangeStart": "10.244.1.20"}],
            ]
        }
    )
    ops = verbs(plan_add(twin, leases(twin.config)).host)
    assert ops.count(("add_address", "10.244.1.1/32")) == 1


@given(pod=st.text(max_size=40), container=st.from_regex(r"[a-z0-9]{1,64}", fullmatch=True))
def test_link_names_fit_the_kernel_and_differ(pod: str, container: str) -> None:
    def name(container_id: str, attempt: int = 0) -> str:
        request = Request("ADD", container_id, "/ns", "eth0", {"K8S_POD_NAME": pod}, None)  # type: ignore[arg-type]
        return link_name(request, attempt)

    assert 0 < len(name(container).encode()) <= 15
    assert not set(name(container)) & set("/ :")
    assert name(container) != name(container + "x")
    assert name(container) == name(container) != name(container, 1) != name(container, 2)


def test_names_tell_whose_they_are(make_request: MakeRequest) -> None:
    request = make_request(args="K8S_POD_NAME=web-6f7d9c-x2x;K8S_POD_NAMESPACE=shop")
    assert link_name(request).startswith("web-6f7d9-")
    assert alias_of(request) == "shop/web-6f7d9c-x2x"
    assert link_name(make_request()).startswith("veth")
    assert alias_of(make_request(container="abc")) == "abc"


@given(st.ip_addresses())
def test_macs_are_local_unicast(ip: Any) -> None:
    first = int(mac_of(ip)[:2], 16)
    assert first & 0b11 == 0b10
    assert len(mac_of(ip)) == 17


def test_a_routed_pod_without_gateway_has_a_next_hop_all_the_same(make_request: MakeRequest) -> None:
    request = make_request(ipam={"type": "static", "addresses": [{"address": "10.9.0.5/24"}]})
    plan = plan_add(request, settle_addressing(request.config, Addressing(request.config.ipam.addresses)))
    assert ("add_address", "169.254.1.1/32") in verbs(plan.host)
    assert verbs(plan.pod)[-1] == ("add_route", "0.0.0.0/0", "169.254.1.1")


def test_routes_have_what_they_ask_and_the_first_of_a_kind_counts(make_request: MakeRequest) -> None:
    routes = [
        {"dst": "0.0.0.0/0", "mtu": 1400, "priority": 7},
        {"dst": "10.9.0.0/16", "gw": "10.244.1.9", "table": 1000, "advmss": 1200},
        {"dst": "10.9.0.0/16", "gw": "10.244.1.8", "table": 1000},
        {"dst": "10.8.0.0/16", "scope": 253},
        {"dst": "fd00::/8"},
    ]
    request = make_request(ipam={"subnet": "10.244.1.0/24", "routes": routes})
    pod = plan_add(request, leases(request.config)).pod
    asked = [{k: v for k, v in op.args.items() if k != "dev"} for op in pod if op.verb == "add_route"]
    assert asked == [
        {"dst": "10.244.1.1/32"},
        {"dst": "0.0.0.0/0", "via": "10.244.1.1", "mtu": 1400, "metric": 7},
        {"dst": "10.9.0.0/16", "via": "10.244.1.9", "advmss": 1200, "table": 1000},
        {"dst": "10.8.0.0/16", "via": "", "scope": 253},
        {"dst": "fd00::/8", "via": ""},
    ]


def test_layer_2_only(make_request: MakeRequest) -> None:
    request = make_request(mode="bridge", ipam={})
    plan = plan_add(request, Addressing())
    assert verbs(plan.pod) == [("set_link",)] and plan.gateways == ()
    down = make_request(ipam={}, disableContainerInterface=True)
    assert plan_add(down, Addressing()).pod == ()


def test_port_settings(make_request: MakeRequest) -> None:
    request = make_request(portIsolation=True, enabledad=True, ipam=DUAL, forceAddress=True, isGateway=True)
    plan = plan_add(request, leases(request.config))
    assert plan.host[0].args["isolated"] is True and plan.force
    assert [op.args.get("dad") for op in plan.pod if op.verb == "add_address"] == [None, True]
    assert settling(request.config, leases(request.config)) == ("fd00:1::5",)
    assert plan.gateways == ("10.244.1.1/24", "fd00:1::1/64")
