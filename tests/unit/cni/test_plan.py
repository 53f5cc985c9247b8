"""Plans as values: every operation exists, and says the right thing."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.host.netlink import Netlink
from netsim_cni.config import Config, Request
from netsim_cni.plan import HOST_MAC, Op, Plan, alias_of, link_name, mac_of, plan_add, render_result
from netsim_cni.ranges import Lease

MakeRequest = Callable[..., Request]
DUAL = {"ranges": [[{"subnet": "10.244.1.0/24"}], [{"subnet": "fd00:1::/64"}]]}


def leases(config: Config, number: int = 5) -> list[Lease]:
    return [Lease(ip_address(int(one[0].subnet[0]) + number), one[0]) for one in config.range_sets]


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
    request = make_request(mode=mode, ipam=ipam, isDefaultGateway=True, hairpinMode=True, promiscMode=True)
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


def test_bridge(make_request: MakeRequest) -> None:
    request = make_request(mode="bridge", bridge="br7", isGateway=True, hairpinMode=True)
    plan = plan_add(request, leases(request.config))
    assert verbs(plan.bridge) == [("add_bridge",), ("set_link",), ("add_address", "10.244.1.1/24")]
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
    def name(container_id: str) -> str:
        request = Request("ADD", container_id, "/ns", "eth0", {"K8S_POD_NAME": pod}, None)  # type: ignore[arg-type]
        return link_name(request)

    assert 0 < len(name(container).encode()) <= 15
    assert not set(name(container)) & set("/ :")
    assert name(container) != name(container + "x")


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


@pytest.mark.parametrize(("version", "family"), [("0.3.1", True), ("0.4.0", True), ("1.0.0", False), ("1.1.0", False)])
def test_result_in_the_version_asked(make_request: MakeRequest, version: str, family: bool) -> None:
    request = make_request(cniVersion=version, dns={"nameservers": ["10.96.0.10"]})
    result = render_result(request, leases(request.config), HOST_MAC)
    assert result["cniVersion"] == version
    assert ("version" in result["ips"][0]) is family
    assert result["ips"][0]["interface"] == 1 and result["interfaces"][1]["sandbox"] == "/ns"
    assert result["dns"] == {"nameservers": ["10.96.0.10"]}
