"""Host ports, limits and checks of a port: what packets show of them, and that nothing of them stays."""

from __future__ import annotations

import re
import socket
from typing import Any

import pytest

from netsim.host import firewall, netns
from netsim.host.netlink import Netlink
from netsim_cni import errors
from netsim_cni.errors import CniError
from netsim_cni.plugin import invoke
from support.cni_machine import MODES, Machine, answering, ask
from support.labs import until

pytestmark = pytest.mark.root

TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM


def mappings(*ports: dict[str, Any]) -> dict[str, Any]:
    return {"portMappings": list(ports)}


@pytest.mark.parametrize("mode", MODES)
def test_host_ports_lead_to_the_pod_from_everywhere(machine: Machine, mode: str) -> None:
    machine.fabric()
    ports = mappings(
        {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
        {"hostPort": 9090, "containerPort": 80, "protocol": "tcp", "hostIP": "172.30.0.11"},
        {"hostPort": 132, "containerPort": 132, "protocol": "sctp"},
    )
    conf = machine.conf("node-1", mode, runtimeConfig=ports)
    result, _ = machine.add("node-1", "web-1", conf)
    machine.add("node-1", "web-2", machine.conf("node-1", mode))
    machine.cni("CHECK", "node-1", "web-1", conf | {"prevResult": result})
    node, outside, pod = (machine.path(name) for name in ("node-1", "node-2", "web-1"))
    with answering(pod, TCP, 80):
        asked = [
            ask(outside, TCP, "172.30.0.11", 8080, seconds=15),
            ask(outside, TCP, "172.30.0.11", 9090, seconds=15),
            ask(node, TCP, "127.0.0.1", 8080, seconds=15),
            ask(pod, TCP, "172.30.0.11", 8080, seconds=15),
            ask(machine.path("web-2"), TCP, "172.30.0.11", 8080, seconds=15),
            ask(node, TCP, "127.0.0.1", 9090, seconds=15),
        ]
    # A neighbour on a routed node is seen by its own address; the others that would miss the answer are masqueraded.
    neighbour = "10.244.1.3" if mode == "routed" else "10.244.1.1"
    assert asked == ["172.30.0.12", "172.30.0.12", "10.244.1.1", "10.244.1.1", neighbour, "ConnectionRefusedError"]
    assert "-p sctp -m comment" in machine.rules("node-1")
    machine.cni("DEL", "node-1", "web-1", conf)
    assert "CNI-DN-" not in machine.rules("node-1")
    assert ask(outside, TCP, "172.30.0.11", 8080, seconds=15) == "ConnectionRefusedError"


def test_host_ports_of_both_families(machine: Machine) -> None:
    machine.make("node-1")
    conf = machine.conf("node-1", runtimeConfig=mappings({"hostPort": 8080, "containerPort": 80}))
    conf["ipam"]["ranges"].append([{"subnet": "fd00:244:1::/64"}])
    machine.add("node-1", "web-1", conf)
    with Netlink(machine.path("node-1")) as node:
        node.add_address("lo", "fd00:9::1/128")
    with answering(machine.path("web-1"), TCP, 80, "::"):
        assert ask(machine.path("node-1"), TCP, "fd00:9::1", 8080, seconds=15) == "fd00:9::1"
        assert ask(machine.path("node-1"), TCP, "127.0.0.1", 8080, seconds=15) == "::ffff:10.244.1.1"
    machine.cni("DEL", "node-1", "web-1", conf)
    assert "CNI-DN-" not in netns.run_in(machine.path("node-1"), firewall.save, 6, "nat")


def test_a_datagram_flow_that_began_before_the_mapping_follows_it(machine: Machine) -> None:
    machine.fabric()
    conf = machine.conf("node-1", runtimeConfig=mappings({"hostPort": 5300, "containerPort": 53, "protocol": "udp"}))
    outside = machine.path("node-2")
    # With a conntrack entry for the flow, as any rule of the nat table makes one.
    machine.run("node-1", "iptables", "-t", "nat", "-A", "PREROUTING", "-p", "udp", "-j", "ACCEPT")
    with answering(machine.path("node-1"), UDP, 5300):
        assert ask(outside, UDP, "172.30.0.11", 5300, source=7000, seconds=15) == "172.30.0.12"
    machine.run("node-1", "iptables", "-t", "nat", "-F", "PREROUTING")
    machine.add("node-1", "dns-1", conf)
    with answering(machine.path("dns-1"), UDP, 53):
        answer = until(lambda: ask(outside, UDP, "172.30.0.11", 5300, source=7000) == "172.30.0.12", 15)
    assert answer


def test_gc_removes_rules_whose_attachment_nobody_knows(machine: Machine) -> None:
    machine.make("node-1")
    conf = machine.conf("node-1", ipMasq=True, runtimeConfig=mappings({"hostPort": 80, "containerPort": 80}))
    machine.add("node-1", "web-1", conf)
    machine.add("node-1", "web-2", conf)
    other = {**conf, "name": "other-1", "ipam": {"subnet": "10.9.0.0/24"}}
    machine.add("node-1", "web-3", other)
    kept = machine.rules("node-1").count("\n")
    lost = machine.conf("node-1") | {"dataDir": f"{machine.directory}/lost"}
    valid = [{"containerID": "id-web-1", "ifname": "eth0"}]
    machine.cni("GC", "node-1", "-", lost | {"cni.dev/valid-attachments": valid})
    rules = machine.rules("node-1")
    assert 0 < rules.count("\n") < kept and "10.244.1.3" not in rules
    assert rules.count("10.244.1.2") == 3 and "10.9.0.2" in rules


@pytest.mark.parametrize("mode", MODES)
def test_bandwidth_is_limited_both_ways(machine: Machine, mode: str) -> None:
    machine.make("node-1")
    limits = {"ingressRate": 8_000_000, "ingressBurst": 800_000, "egressRate": 4_000_000, "egressBurst": 400_000}
    conf = machine.conf("node-1", mode, runtimeConfig={"bandwidth": limits})
    result, _ = machine.add("node-1", "web-1", conf)
    link = result["interfaces"][-2]["name"]
    assert "tbf" in machine.shown("node-1", "tc", "qdisc", "show", "dev", link)
    assert "rate 4Mbit burst 50000b" in machine.shown("web-1", "tc", "qdisc", "show", "dev", "eth0")
    checked = conf | {"prevResult": result}
    machine.cni("CHECK", "node-1", "web-1", checked)
    machine.run("web-1", "tc", "qdisc", "del", "dev", "eth0", "root")
    with pytest.raises(CniError, match="egress limit of eth0 is missing"):
        machine.cni("CHECK", "node-1", "web-1", checked)


@pytest.mark.parametrize("way", ["ingress", "egress"])
def test_what_is_sent_faster_than_the_limit_waits(machine: Machine, way: str) -> None:
    machine.make("node-1")
    limits = {f"{way}Rate": 8_000_000, f"{way}Burst": 80_000}
    result, ip = machine.add("node-1", "web-1", machine.conf("node-1", runtimeConfig={"bandwidth": limits}))
    ends = {"ingress": ("node-1", result["interfaces"][0]["name"], ip), "egress": ("web-1", "eth0", "10.244.1.1")}
    where, dev, to = ends[way]
    with netns.open_socket(machine.path(where), socket.AF_INET, UDP) as sender:
        for _ in range(40):
            sender.sendto(b"x" * 1000, (to, 9))
    shown = machine.shown(where, "tc", "-s", "qdisc", "show", "dev", dev)
    found = re.search(r"overlimits (\d+)", shown)
    assert found is not None and int(found.group(1)) > 0
    other = ends["egress" if way == "ingress" else "ingress"]
    assert "tbf" not in machine.shown(other[0], "tc", "qdisc", "show", "dev", other[1])


def test_mac_spoof_check_and_port_isolation(machine: Machine) -> None:
    machine.make("node-1")
    conf = machine.conf("node-1", "bridge", macspoofchk=True)
    result, _ = machine.add("node-1", "web-1", conf)
    machine.cni("CHECK", "node-1", "web-1", conf | {"prevResult": result})
    machine.reaches("web-1", "10.244.1.1")
    with Netlink(machine.path("web-1")) as pod:
        pod.set_link("eth0", mac="02:00:00:00:00:01")
    assert not machine.ping("web-1", "10.244.1.1")
    machine.cni("DEL", "node-1", "web-1", conf)
    assert "port_" not in machine.shown("node-1", "nft", "list", "ruleset")
    isolated = machine.conf("node-1", "bridge", portIsolation=True)
    machine.add("node-1", "web-2", isolated)
    _, third = machine.add("node-1", "web-3", isolated)
    machine.reaches("web-2", "10.244.1.1")
    assert not machine.ping("web-2", third)


def test_layer_2_only(machine: Machine) -> None:
    machine.make("node-1")
    conf = machine.conf("node-1", "bridge", ipam={}, isDefaultGateway=False)
    machine.make("web-1")
    result = machine.cni("ADD", "node-1", "web-1", conf)
    assert (result["ips"], result["routes"]) == ([], [])
    machine.cni("CHECK", "node-1", "web-1", conf | {"prevResult": result})
    down = conf | {"disableContainerInterface": True}
    machine.make("web-2")
    machine.cni("ADD", "node-1", "web-2", down)
    with Netlink(machine.path("web-1")) as first, Netlink(machine.path("web-2")) as second:
        assert (first.link("eth0").up, second.link("eth0").up) == (True, False)
        assert result["interfaces"][-1]["mac"] == first.link("eth0").mac
    machine.cni("DEL", "node-1", "web-1", conf)
    assert len([name for name in machine.facts("node-1")[0] if name != "lo"]) == 2  # type: ignore[attr-defined]


def test_another_address_on_the_bridge_is_an_error_or_gives_way(machine: Machine) -> None:
    machine.make("node-1")
    with Netlink(machine.path("node-1")) as node:
        node.add_bridge("cni0", up=True)
        node.add_address("cni0", "10.244.1.9/24")
    machine.make("web-1")
    before = machine.facts("node-1")
    with pytest.raises(CniError, match=r"bridge 'cni0' has address 10\.244\.1\.9/24"):
        machine.cni("ADD", "node-1", "web-1", machine.conf("node-1", "bridge"))
    assert machine.facts("node-1")[1] == before[1]
    machine.cni("ADD", "node-1", "web-1", machine.conf("node-1", "bridge", forceAddress=True))
    with Netlink(machine.path("node-1")) as node:
        assert [one.address for one in node.addresses("cni0") if one.family == 2] == ["10.244.1.1/24"]
        node.add_veth("eth9", "peer9")
    machine.make("web-2")
    with pytest.raises(CniError, match="bridge 'eth9' is there and no bridge"):
        machine.cni("ADD", "node-1", "web-2", machine.conf("node-1", "bridge", bridge="eth9"))


def test_duplicate_address_detection(machine: Machine) -> None:
    machine.make("node-1")
    ipam = {"type": "static", "addresses": [{"address": "fd00::5/64"}]}
    conf = machine.conf("node-1", "bridge", ipam=ipam, isDefaultGateway=False, enabledad=True)
    first = {**conf, "name": "first", "enabledad": False}
    machine.add("node-1", "web-1", first)
    with Netlink(machine.path("web-1")) as pod:
        until(lambda: not any(one.tentative for one in pod.addresses("eth0")))
    machine.make("web-2")
    with pytest.raises(CniError, match="fd00::5/64 is in use by another machine"):
        machine.cni("ADD", "node-1", "web-2", conf)
    machine.cni("DEL", "node-1", "web-1", first)
    result = machine.cni("ADD", "node-1", "web-2", conf)
    with Netlink(machine.path("web-2")) as pod:
        assert [one.tentative for one in pod.addresses("eth0") if one.address == "fd00::5/64"] == [False]
    assert result["ips"][0]["address"] == "fd00::5/64"


def test_vlans_or_a_word_that_the_kernel_has_none(machine: Machine) -> None:
    machine.make("node-1")
    machine.make("web-1")
    conf = machine.conf("node-1", "bridge", isDefaultGateway=False, vlan=100)
    able = machine.run("node-1", "ip", "link", "add", "try0", "type", "bridge", "vlan_filtering", "1") == 0
    if able:
        machine.cni("ADD", "node-1", "web-1", conf)
        shown = machine.shown("node-1", "bridge", "vlan", "show")
        assert "100 PVID Egress Untagged" in shown
        return
    with pytest.raises(CniError, match="unsupported field vlan: 100") as caught:
        machine.cni("ADD", "node-1", "web-1", conf)
    assert caught.value.code == errors.UNSUPPORTED_FIELD
    with Netlink(machine.path("node-1")) as node, Netlink(machine.path("web-1")) as pod:
        assert [link.kind for link in node.links()] == ["", "bridge"]
        assert [link.name for link in pod.links()] == ["lo"]


def test_routes_of_the_configuration(machine: Machine) -> None:
    machine.make("node-1")
    routes = [{"dst": "10.9.0.0/16", "mtu": 1400, "table": 1000, "priority": 7}, {"dst": "0.0.0.0/0", "advmss": 1200}]
    conf = machine.conf("node-1", ipam={"type": "host-local", "subnet": "10.244.1.0/24", "routes": routes})
    result, _ = machine.add("node-1", "web-1", conf)
    assert "10.9.0.0/16 via 10.244.1.1" in machine.shown("web-1", "ip", "route", "show", "table", "1000")
    assert "advmss 1200" in machine.shown("web-1", "ip", "route", "show", "default")
    checked = conf | {"prevResult": result}
    machine.cni("CHECK", "node-1", "web-1", checked)
    machine.run("web-1", "ip", "route", "flush", "table", "1000")
    with pytest.raises(CniError, match=r"pod route 10\.9\.0\.0/16 via 10\.244\.1\.1 in table 1000 is missing"):
        machine.cni("CHECK", "node-1", "web-1", checked)


def test_a_requested_mac_address_and_static_addresses(machine: Machine) -> None:
    machine.make("node-1")
    ipam = {"type": "static", "addresses": [{"address": "10.7.0.5/24"}]}
    conf = machine.conf("node-1", ipam=ipam, runtimeConfig={"mac": "c2:00:00:00:00:01", "ips": ["10.7.0.6/24"]})
    machine.make("web-1")
    result = machine.cni("ADD", "node-1", "web-1", conf)
    assert (result["ips"][0]["address"], result["interfaces"][-1]["mac"]) == ("10.7.0.6/32", "c2:00:00:00:00:01")
    machine.reaches("node-1", "10.7.0.6")
    machine.cni("CHECK", "node-1", "web-1", conf | {"prevResult": result})
    machine.make("web-2")
    with pytest.raises(CniError, match=r"10\.7\.0\.6 is leased to another pod"):
        netns.run_in(machine.path("node-1"), invoke, "ADD", conf, machine.env("web-2"))
