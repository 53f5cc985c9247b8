"""Messages that are filled in say what the plan of the very pod says."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netsim.host.patterns import make_pattern
from netsim_cni.addressing import Addressing, Assigned
from netsim_cni.plan import plan_add, settle_addressing
from netsim_cni.request import Request, parse_request
from netsim_cni.wiring import ALIAS_SIZES, Numbers, changes_of, number_values, values_of, wiring_of

MakeRequest = Callable[..., Request]
NETS = {4: "10.244.0.0/16", 6: "fd00:1::/64"}
KINDS: tuple[dict[str, Any], ...] = (
    {"mode": "routed"},
    {"mode": "routed", "mtu": 1400, "linkGroup": 4711, "enabledad": True},
    {"mode": "routed", "runtimeConfig": {"mac": "c2:00:00:00:00:01"}},
    {"mode": "bridge", "isDefaultGateway": True, "hairpinMode": True, "portIsolation": True},
    {"mode": "bridge", "bridge": "br-of-fifteen-b"},
)
ROUTES = [{"dst": "10.9.0.0/16"}, {"dst": "0.0.0.0/0", "gw": "10.244.0.9", "mtu": 1300}]
names = st.text("abcdefghijklmnopqrstuvwxyz0123456789-%(", min_size=1, max_size=15)


@st.composite
def pods(draw: st.DrawFn) -> tuple[Request, Addressing, str, Numbers]:
    ranges = [[{"subnet": NETS[family]}] for family in draw(st.sampled_from([(4,), (6,), (4, 6), (4, 4)]))]
    routes = draw(
        st.sampled_from([[], [{"dst": "10.9.0.0/16"}, {"dst": "0.0.0.0/0", "gw": "10.244.0.9", "mtu": 1300}]])
    )
    ipam = {"type": "host-local", "ranges": ranges[:1], "routes": routes}
    conf = {"cniVersion": "1.1.0", "name": "pods", "type": "netsim", "ipam": ipam} | draw(st.sampled_from(KINDS))
    args = f"K8S_POD_NAMESPACE=shop;K8S_POD_NAME={draw(st.text('abc%', min_size=1, max_size=240))}"
    env = {"CNI_CONTAINERID": "c1", "CNI_NETNS": "/ns", "CNI_IFNAME": draw(st.sampled_from(["eth0", "net1"]))}
    request = parse_request("ADD", conf, env | {"CNI_ARGS": args})
    ips = []
    for (one,) in ranges:
        net = ip_network(one["subnet"])
        number = draw(st.integers(2, min(net.num_addresses - 2, 2**63)))
        ips.append(Assigned(net[number], net.prefixlen, net[1]))
    addressing = settle_addressing(request.config, Addressing(tuple(ips), request.config.ipam.routes))
    numbers = Numbers(*(draw(st.integers(1, 2**31 - 1)) for _ in range(4)))
    return request, addressing, draw(names), numbers


@given(pods())
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_filled_patterns_are_the_plans_own_messages(pod: tuple[Request, Addressing, str, Numbers]) -> None:
    request, addressing, link, numbers = pod
    assert filled(request, addressing, link, numbers) == planned(request, addressing, link, numbers)


def filled(request: Request, addressing: Addressing, link: str, numbers: Numbers) -> list[list[bytes]]:
    values = values_of(request, addressing, link) | number_values(numbers)
    return [part.fill(values) for part in wiring_of(request, addressing)[1:]]


def planned(request: Request, addressing: Addressing, link: str, numbers: Numbers) -> list[list[bytes]]:
    """What the plan of this pod alone says, its texts with the zeros that fill them up."""
    values = values_of(request, addressing, link)
    plan = plan_add(request, addressing, values[b"link"].decode()[:-1])
    first, *others = plan.host
    aliased = first._replace(args=first.args | {"alias": values[b"alias"].decode()[:-1]})
    own = changes_of(plan._replace(host=(aliased, *others)), request.ifname, numbers)
    return [make_pattern(part, {}).fill({}) for part in own]


def test_pods_of_one_configuration_are_worked_out_once(make_request: MakeRequest) -> None:
    found = set()
    for number in range(3):
        request = make_request(args=f"K8S_POD_NAME=web-{number}", container=f"c{number}")
        ips = (Assigned(ip_address(f"10.244.1.{number + 2}"), 24, ip_address("10.244.1.1")),)
        found.add(id(wiring_of(request, settle_addressing(request.config, Addressing(ips)))))
    assert len(found) == 1


def test_a_long_alias_is_cut_where_the_kernel_would_refuse_it(make_request: MakeRequest) -> None:
    request = make_request(args=f"K8S_POD_NAMESPACE={'n' * 63};K8S_POD_NAME={'p' * 253}")
    value = values_of(request, Addressing(), "link")[b"alias"]
    assert len(value) == ALIAS_SIZES[1] < 256 and value.endswith(b"p\0")


def test_a_configuration_may_have_an_examples_values(make_request: MakeRequest) -> None:
    ips = (Assigned(ip_address("10.244.1.5"), 24, ip_address("10.244.1.1")),)
    for place in range(4):
        request = make_request(linkGroup=0x61A2B3C4 + 0x01030507 * place)
        addressing = settle_addressing(request.config, Addressing(ips))
        numbers = Numbers(1, 2, 3, 4)
        assert filled(request, addressing, "link", numbers) == planned(request, addressing, "link", numbers)
