"""Pods wired by the plugin in real namespaces: who reaches whom, and what DEL and GC leave."""

from __future__ import annotations

from ipaddress import ip_interface

import pytest

from netsim.host import netns
from netsim.host.netlink import Netlink, NetlinkError
from netsim.host.sysctl import read_sysctl
from netsim_cni import errors, plugin
from netsim_cni.errors import CniError
from netsim_cni.ipam import leases_at
from netsim_cni.plugin import invoke
from netsim_cni.routes import apply_node_routes, current_routes, ensure_node_sysctls, plan_node_routes
from support.cni_machine import MODES, Machine

pytestmark = pytest.mark.root


@pytest.mark.parametrize("mode", MODES)
def test_two_pods_of_a_node_reach_each_other_and_the_node(machine: Machine, mode: str) -> None:
    machine.make("node-1")
    conf = machine.conf("node-1", mode)
    result, first = machine.add("node-1", "web-1", conf)
    _, second = machine.add("node-1", "web-2", conf)
    assert (first, second) == ("10.244.1.2", "10.244.1.3")
    assert machine.reaches("web-1", second)
    assert machine.reaches("web-2", first)
    assert machine.reaches("web-1", "10.244.1.1")
    assert machine.reaches("node-1", first)
    assert result["interfaces"][-1]["sandbox"] == machine.path("web-1")
    assert {"dst": "0.0.0.0/0", "gw": "10.244.1.1"} in result["routes"]


def test_host_interface_says_whose_it_is(machine: Machine) -> None:
    machine.make("node-1")
    result, _ = machine.add("node-1", "web-frontend-7d4", machine.conf("node-1", linkGroup=4711, mtu=1400))
    with Netlink(machine.path("node-1")) as node, Netlink(machine.path("web-frontend-7d4")) as pod:
        link = node.link(result["interfaces"][0]["name"])
        eth0 = pod.link("eth0")
    assert link.name.startswith("web-front-") and len(link.name) == 15
    assert (link.alias, link.group, link.mtu) == ("shop/web-frontend-7d4", 4711, 1400)
    assert (eth0.mac, eth0.mtu, eth0.link) == ("0a:58:0a:f4:01:02", 1400, link.index)
    assert result["interfaces"][0]["mac"] == link.mac
    assert result["interfaces"][1]["mac"] == eth0.mac


@pytest.mark.parametrize("mode", MODES)
def test_pods_have_no_ipv6_address_unless_asked(machine: Machine, mode: str) -> None:
    machine.make("node-1")
    result, _ = machine.add("node-1", "web-1", machine.conf("node-1", mode))
    with Netlink(machine.path("node-1")) as node, Netlink(machine.path("web-1")) as pod:
        names = [result["interfaces"][-2]["name"]]
        addresses = pod.addresses("eth0") + [address for name in names for address in node.addresses(name)]
    assert [address.address for address in addresses if address.family == 10] == []


@pytest.mark.parametrize("mode", MODES)
def test_dual_stack(machine: Machine, mode: str) -> None:
    machine.make("node-1")
    conf = machine.conf("node-1", mode)
    conf["ipam"]["ranges"].append([{"subnet": "fd00:244:1::/64"}])
    machine.add("node-1", "web-1", conf)
    result, _ = machine.add("node-1", "web-2", conf)
    assert ip_interface(result["ips"][1]["address"]).ip.compressed == "fd00:244:1::3"
    assert machine.reaches("web-1", "10.244.1.3")
    assert machine.reaches("web-1", "fd00:244:1::3")


def _sync_routes(me: str, nodes: list[tuple[str, str, str]]) -> tuple[int, int]:
    ensure_node_sysctls()
    plan = plan_node_routes(nodes, me, current_routes())
    apply_node_routes(plan)
    return len(plan.add), len(plan.remove)


def test_pods_reach_each_other_across_nodes_by_host_gw_routes(machine: Machine) -> None:
    machine.fabric()
    _, first = machine.add("node-1", "web-1")
    _, second = machine.add("node-2", "web-2")
    assert not machine.ping("web-1", second)
    nodes = [("node-1", "172.30.0.11", "10.244.1.0/24"), ("node-2", "172.30.0.12", "10.244.2.0/24")]
    assert [netns.run_in(machine.path(node), _sync_routes, node, nodes) for node, _, _ in nodes] == [(1, 0), (1, 0)]
    assert machine.reaches("web-1", second)
    assert machine.reaches("web-2", first)
    assert netns.run_in(machine.path("node-1"), _sync_routes, "node-1", nodes) == (0, 0)
    assert netns.run_in(machine.path("node-1"), read_sysctl, "net.ipv4.conf.all.send_redirects") == "0"
    assert netns.run_in(machine.path("node-1"), _sync_routes, "node-1", nodes[:1]) == (0, 1)
    assert not machine.ping("web-1", second)


def test_host_gw_routes_carry_ipv6_as_well(machine: Machine) -> None:
    machine.fabric()
    nodes, macs = [], {}
    for number in (1, 2):
        name, conf = f"node-{number}", machine.conf(f"node-{number}")
        conf["ipam"]["ranges"].append([{"subnet": f"fd00:244:{number}::/64"}])
        machine.add(name, f"web-{number}", conf)
        nodes += [
            (name, f"172.30.0.1{number}", f"10.244.{number}.0/24"),
            (name, f"fd30::1{number}", f"fd00:244:{number}::/64"),
        ]
        with Netlink(machine.path(name)) as netlink:
            netlink.add_address("eth0", f"fd30::1{number}/64")
            macs[number] = netlink.link("eth0").mac
    for number, other in ((1, 2), (2, 1)):
        # A node asks for its neighbours once its link-local address is beyond doubt, some seconds later.
        with Netlink(machine.path(f"node-{number}")) as netlink:
            netlink.add_neighbour(f"fd30::1{other}", macs[other], "eth0")
        assert netns.run_in(machine.path(f"node-{number}"), _sync_routes, f"node-{number}", nodes) == (2, 0)
        assert netns.run_in(machine.path(f"node-{number}"), _sync_routes, f"node-{number}", nodes) == (0, 0)
    assert machine.reaches("web-1", "fd00:244:2::2")
    assert machine.reaches("web-2", "10.244.1.2")


@pytest.mark.parametrize("mode", MODES)
def test_del_removes_all_and_may_be_repeated(machine: Machine, mode: str) -> None:
    machine.make("node-1")
    conf = machine.conf("node-1", mode, ipMasq=True)
    machine.add("node-1", "web-0", conf)  # makes the bridge, which stays
    before, rules = machine.facts("node-1"), machine.rules("node-1")
    machine.add("node-1", "web-1", conf)
    assert machine.facts("node-1") != before
    assert machine.rules("node-1") != rules
    for _ in range(2):
        machine.cni("DEL", "node-1", "web-1", conf)
        assert machine.facts("node-1") == before
        assert machine.rules("node-1") == rules
    with Netlink(machine.path("web-1")) as pod:
        assert [link.name for link in pod.links()] == ["lo"]


def test_del_works_when_the_namespace_is_gone_or_not_named(machine: Machine) -> None:
    machine.make("node-1")
    before = machine.facts("node-1")
    machine.add("node-1", "web-1")
    netns.delete(machine.path("web-1"))
    machine.cni("DEL", "node-1", "web-1")
    machine.add("node-1", "web-2")
    env = machine.env("web-2") | {"CNI_NETNS": "", "CNI_ARGS": ""}
    netns.run_in(machine.path("node-1"), invoke, "DEL", machine.conf("node-1"), env)
    assert machine.facts("node-1") == before


def test_gc_removes_what_is_not_named(machine: Machine) -> None:
    machine.make("node-1")
    _, kept = machine.add("node-1", "web-1")
    _, gone = machine.add("node-1", "web-2")
    valid = [{"containerID": "id-web-1", "ifname": "eth0"}]
    machine.cni("GC", "node-1", "-", machine.conf("node-1") | {"cni.dev/valid-attachments": valid})
    assert machine.reaches("node-1", kept)
    assert not machine.ping("node-1", gone)
    assert [holder.container_id for holder in leases_at(machine.directory, "node-1").holders()] == ["id-web-1"]


def test_masquerade_hides_pods_outside_and_shows_them_inside(machine: Machine) -> None:
    machine.fabric()
    conf = machine.conf("node-1", ipMasq=True, nonMasqueradeCIDRs=["10.244.0.0/16"])
    _, first = machine.add("node-1", "web-1", conf)
    assert machine.reaches("web-1", "172.30.0.12"), (
        "node-2 has no route to the pod: only a masqueraded ping is answered"
    )
    rules = machine.rules("node-1")
    assert f"-A POSTROUTING -s {first}/32 -m comment --comment " in rules and "-j CNI-netsim-" in rules
    assert "-d 10.244.0.0/16 -m comment" in rules
    machine.cni("DEL", "node-1", "web-1", conf)
    assert machine.rules("node-1") == "*nat\nCOMMIT"


def test_exhaustion_and_reuse_after_del(machine: Machine) -> None:
    machine.make("node-1")
    conf = machine.conf("node-1")
    conf["ipam"]["ranges"] = [[{"subnet": "10.244.1.0/24", "rangeStart": "10.244.1.10", "rangeEnd": "10.244.1.11"}]]
    machine.add("node-1", "web-1", conf)
    machine.add("node-1", "web-2", conf)
    machine.make("web-3")
    with pytest.raises(CniError, match=r"no IP addresses available in range set: 10\.244\.1\.10-10\.244\.1\.11"):
        machine.cni("ADD", "node-1", "web-3", conf)
    with pytest.raises(CniError) as caught:
        machine.cni("STATUS", "node-1", "-", conf)
    assert caught.value.code == errors.NOT_AVAILABLE
    machine.cni("DEL", "node-1", "web-1", conf)
    machine.cni("STATUS", "node-1", "-", conf)
    assert machine.cni("ADD", "node-1", "web-3", conf)["ips"][0]["address"] == "10.244.1.10/32"


def test_fixture_links_do_not_outlive_their_namespaces(machine: Machine) -> None:
    machine.make("node-1")
    result, _ = machine.add("node-1", "web-1")
    machine.cni("DEL", "node-1", "web-1")
    with Netlink(machine.path("node-1")) as node, pytest.raises(NetlinkError):
        node.link(result["interfaces"][0]["name"])


def test_interfaces_whose_names_would_be_the_same(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "link_name", lambda request, attempt=0: f"same-{attempt}")
    machine.make("node-1")
    results = [machine.add("node-1", f"web-{number}")[0] for number in range(3)]
    assert [result["interfaces"][0]["name"] for result in results] == ["same-0", "same-1", "same-2"]
    for _ in range(2):  # the second would have the first name that is tried, which is web-0's
        machine.cni("DEL", "node-1", "web-1")
    assert machine.reaches("web-0", "10.244.1.4")
    assert set(machine.facts("node-1")[0]) == {"lo", "same-0", "same-2"}  # type: ignore[call-overload]
