"""The plugin in real namespaces: what packets and the kernel say after ADD, CHECK, DEL and GC."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_interface
from typing import Any

import pytest

from netsim.host import exec as exec_
from netsim.host import firewall, netns
from netsim.host.netlink import Netlink, NetlinkError
from netsim.host.sysctl import read_sysctl
from netsim_cni import errors
from netsim_cni.errors import CniError
from netsim_cni.ipam import leases_at
from netsim_cni.plugin import invoke
from netsim_cni.routes import apply_node_routes, current_routes, ensure_node_sysctls, plan_node_routes

pytestmark = pytest.mark.root

MODES = ("routed", "bridge")


@dataclass
class Machine:
    """Namespaces below one directory; nodes and pods are known by their names."""

    directory: str
    names: list[str] = field(default_factory=list)

    def path(self, name: str) -> str:
        return f"{self.directory}/netns/{name}"

    def make(self, name: str) -> str:
        netns.create(self.path(name))
        self.names.append(name)
        return self.path(name)

    def conf(self, node: str, mode: str = "routed", **more: Any) -> dict[str, Any]:
        number = node.rpartition("-")[2]
        ipam = {"type": "host-local", "ranges": [[{"subnet": f"10.244.{number}.0/24"}]], "dataDir": self.directory}
        extra = {"bridge": "cni0", "isDefaultGateway": True, "hairpinMode": True} if mode == "bridge" else {}
        return {"cniVersion": "1.1.0", "name": node, "type": "netsim", "mode": mode, "ipam": ipam, **extra, **more}

    def env(self, pod: str) -> dict[str, str]:
        args = f"K8S_POD_NAMESPACE=shop;K8S_POD_NAME={pod}"
        return {
            "CNI_CONTAINERID": f"id-{pod}",
            "CNI_NETNS": self.path(pod),
            "CNI_IFNAME": "eth0",
            "CNI_ARGS": args,
        }

    def cni(self, command: str, node: str, pod: str, conf: dict[str, Any] | None = None) -> dict[str, Any]:
        result = netns.run_in(self.path(node), invoke, command, conf or self.conf(node), self.env(pod))
        return result or {}

    def add(self, node: str, pod: str, conf: dict[str, Any] | None = None) -> tuple[dict[str, Any], str]:
        """A new pod: ADD's result, and the address."""
        self.make(pod)
        result = self.cni("ADD", node, pod, conf)
        return result, str(ip_interface(result["ips"][0]["address"]).ip)

    def run(self, where: str, *argv: str) -> int:
        return netns.run_in(self.path(where), exec_.run, argv, check=False, timeout=15).returncode

    def ping(self, pod: str, ip: str) -> bool:
        return self.run(pod, "ping", "-n", "-c", "1", "-W", "2", ip) == 0

    def facts(self, node: str) -> tuple[object, ...]:
        """All that an attachment changes in a node."""
        with Netlink(self.path(node)) as netlink:
            # Of neighbours those that somebody set: the kernel adds multicast groups when it likes.
            neighbours = [entry for entry in netlink.neighbours() if entry.state == 0x80]
            return [link.name for link in netlink.links()], netlink.addresses(), netlink.routes(), neighbours

    def rules(self, node: str) -> str:
        text = netns.run_in(self.path(node), firewall.save, 4, "nat")
        return "\n".join(line for line in text.splitlines() if not line.startswith(("#", ":")))


@pytest.fixture
def machine() -> Iterator[Machine]:
    directory = f"/run/netsim/hc-cni-{os.getpid()}"
    made = Machine(directory)
    yield made
    for name in made.names:
        netns.delete(made.path(name))
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(autouse=True, scope="module")
def root_namespace_untouched() -> Iterator[None]:
    before = _root()
    yield
    assert _root() == before


def _root() -> tuple[object, ...]:
    with Netlink() as netlink:
        links = [(link.name, link.kind, link.up) for link in netlink.links()]
        return (
            links,
            netlink.addresses(),
            netlink.routes(),
            firewall.save(4, "nat").count("\n-A"),
            read_sysctl("net.ipv4.ip_forward"),
        )


@pytest.mark.parametrize("mode", MODES)
def test_two_pods_of_a_node_reach_each_other_and_the_node(machine: Machine, mode: str) -> None:
    machine.make("node-1")
    conf = machine.conf("node-1", mode)
    result, first = machine.add("node-1", "web-1", conf)
    _, second = machine.add("node-1", "web-2", conf)
    assert (first, second) == ("10.244.1.2", "10.244.1.3")
    assert machine.ping("web-1", second)
    assert machine.ping("web-2", first)
    assert machine.ping("web-1", "10.244.1.1")
    assert machine.ping("node-1", first)
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
    assert machine.ping("web-1", "10.244.1.3")
    assert machine.ping("web-1", "fd00:244:1::3")


def _fabric(machine: Machine) -> None:
    """Two nodes, .11 and .12, on the bridge of a fabric namespace."""
    machine.make("fabric")
    with Netlink(machine.path("fabric")) as fabric:
        fabric.add_bridge("br0", up=True)
        for number in (1, 2):
            node = f"node-{number}"
            machine.make(node)
            fabric.add_veth(f"to-{node}", "eth0", machine.path(node), up=True)
            fabric.set_master(f"to-{node}", "br0")
            with Netlink(machine.path(node)) as netlink:
                netlink.set_up("eth0")
                netlink.add_address("eth0", f"172.30.0.1{number}/24")


def _sync_routes(me: str, nodes: list[tuple[str, str, str]]) -> tuple[int, int]:
    ensure_node_sysctls()
    plan = plan_node_routes(nodes, me, current_routes())
    apply_node_routes(plan)
    return len(plan.add), len(plan.remove)


def test_pods_reach_each_other_across_nodes_by_host_gw_routes(machine: Machine) -> None:
    _fabric(machine)
    _, first = machine.add("node-1", "web-1")
    _, second = machine.add("node-2", "web-2")
    assert not machine.ping("web-1", second)
    nodes = [("node-1", "172.30.0.11", "10.244.1.0/24"), ("node-2", "172.30.0.12", "10.244.2.0/24")]
    assert [netns.run_in(machine.path(node), _sync_routes, node, nodes) for node, _, _ in nodes] == [(1, 0), (1, 0)]
    assert machine.ping("web-1", second)
    assert machine.ping("web-2", first)
    assert netns.run_in(machine.path("node-1"), _sync_routes, "node-1", nodes) == (0, 0)
    assert netns.run_in(machine.path("node-1"), read_sysctl, "net.ipv4.conf.all.send_redirects") == "0"
    assert netns.run_in(machine.path("node-1"), _sync_routes, "node-1", nodes[:1]) == (0, 1)
    assert not machine.ping("web-1", second)


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


@pytest.mark.parametrize(
    ("mode", "where", "spoil", "fault"),
    [
        ("routed", "web-1", lambda nl: nl.del_route(None, via="10.244.1.1"), "pod route 0.0.0.0/0"),
        ("routed", "web-1", lambda nl: nl.add_address("eth0", "10.9.9.9/32"), ""),
        ("routed", "web-1", lambda nl: nl.del_address("eth0", "10.244.1.2/32"), "pod address 10.244.1.2/32"),
        ("routed", "web-1", lambda nl: nl.set_down("eth0"), "pod interface eth0 is down"),
        ("routed", "web-1", lambda nl: nl.delete_link("eth0"), "pod interface eth0 is missing"),
        ("routed", "node-1", lambda nl: nl.del_route("10.244.1.2/32"), "host route 10.244.1.2/32"),
        ("bridge", "node-1", lambda nl: nl.set_link(_port(nl), master=""), "no port of bridge cni0"),
        ("bridge", "node-1", lambda nl: nl.delete_link(_port(nl)), "host interface is missing"),
    ],
)
def test_check_finds_what_is_missing(
    machine: Machine, mode: str, where: str, spoil: Callable[[Netlink], None], fault: str
) -> None:
    machine.make("node-1")
    conf = machine.conf("node-1", mode)
    result, _ = machine.add("node-1", "web-1", conf)
    checked = conf | {"prevResult": result}
    machine.cni("CHECK", "node-1", "web-1", checked)
    with Netlink(machine.path(where)) as netlink:
        spoil(netlink)
    if not fault:
        machine.cni("CHECK", "node-1", "web-1", checked)
        return
    with pytest.raises(CniError, match=fault) as caught:
        machine.cni("CHECK", "node-1", "web-1", checked)
    assert caught.value.code == errors.CHECK_FAILED


def _port(netlink: Netlink) -> str:
    return next(link.name for link in netlink.links() if link.kind == "veth")


def test_a_failed_add_leaves_nothing(machine: Machine) -> None:
    machine.make("node-1")
    machine.make("web-1")
    with Netlink(machine.path("web-1")) as pod:
        pod.add_bridge("eth0")
    before = machine.facts("node-1")
    with pytest.raises(CniError, match=r"eth0.*File exists") as caught:
        machine.cni("ADD", "node-1", "web-1")
    assert caught.value.code == errors.DUPLICATE_ATTACHMENT
    assert machine.facts("node-1") == before
    assert leases_at(machine.directory, "node-1").holders() == []


def test_an_add_that_fails_midway_leaves_nothing(machine: Machine) -> None:
    """The route is there already, of another interface: the kernel refuses the last step but two."""
    machine.make("node-1")
    machine.make("web-1")
    with Netlink(machine.path("node-1")) as node:
        node.add_bridge("other", up=True)
        node.add_route("10.244.1.2/32", dev="other")
    before = machine.facts("node-1")
    with pytest.raises(CniError, match=r"add route 10\.244\.1\.2/32"):
        machine.cni("ADD", "node-1", "web-1")
    with Netlink(machine.path("web-1")) as pod:
        assert [link.name for link in pod.links()] == ["lo"]
    assert machine.facts("node-1") == before
    assert leases_at(machine.directory, "node-1").holders() == []


def test_add_into_a_missing_namespace_says_so(machine: Machine) -> None:
    machine.make("node-1")
    with pytest.raises(CniError, match="no such network namespace") as caught:
        machine.cni("ADD", "node-1", "nowhere")
    assert caught.value.code == errors.UNKNOWN_CONTAINER
    assert leases_at(machine.directory, "node-1").holders() == []


def test_second_add_of_the_same_attachment_is_refused_and_harmless(machine: Machine) -> None:
    machine.make("node-1")
    _, ip = machine.add("node-1", "web-1")
    with pytest.raises(CniError) as caught:
        machine.cni("ADD", "node-1", "web-1")
    assert caught.value.code == errors.DUPLICATE_ATTACHMENT
    assert machine.ping("node-1", ip)


def test_gc_removes_what_is_not_named(machine: Machine) -> None:
    machine.make("node-1")
    _, kept = machine.add("node-1", "web-1")
    _, gone = machine.add("node-1", "web-2")
    valid = [{"containerID": "id-web-1", "ifname": "eth0"}]
    machine.cni("GC", "node-1", "-", machine.conf("node-1") | {"cni.dev/valid-attachments": valid})
    assert machine.ping("node-1", kept)
    assert not machine.ping("node-1", gone)
    assert [holder.container_id for holder in leases_at(machine.directory, "node-1").holders()] == ["id-web-1"]


def test_masquerade_hides_pods_outside_and_shows_them_inside(machine: Machine) -> None:
    _fabric(machine)
    conf = machine.conf("node-1", ipMasq=True, nonMasqueradeCIDRs=["10.244.0.0/16"])
    _, first = machine.add("node-1", "web-1", conf)
    assert machine.ping("web-1", "172.30.0.12"), "node-2 has no route to the pod: only a masqueraded ping is answered"
    rules = machine.rules("node-1")
    assert f"-A POSTROUTING -s {first}/32 -m comment --comment " in rules and "-j CNI-netsim-" in rules
    assert "-d 10.244.0.0/16 -m comment" in rules
    machine.cni("DEL", "node-1", "web-1", conf)
    assert machine.rules("node-1") == "*nat\nCOMMIT"


def _plugin(machine: Machine, node: str, command: str, pod: str, stdin: str) -> subprocess.CompletedProcess[str]:
    argv = ["nsenter", f"--net={machine.path(node)}", sys.executable, "-m", "netsim_cni.plugin"]
    env = os.environ | machine.env(pod) | {"CNI_COMMAND": command, "CNI_PATH": "/nonexistent"}
    env["PYTHONPATH"] = os.pathsep.join(sys.path)
    return subprocess.run(argv, input=stdin, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_exec_protocol(machine: Machine) -> None:
    import json

    machine.make("node-1")
    machine.make("web-1")
    conf = json.dumps(machine.conf("node-1") | {"cniVersion": "0.4.0"})
    added = _plugin(machine, "node-1", "ADD", "web-1", conf)
    assert (added.returncode, added.stderr) == (0, "")
    result = json.loads(added.stdout)
    assert result["cniVersion"] == "0.4.0"
    assert result["ips"] == [{"version": "4", "address": "10.244.1.2/32", "gateway": "10.244.1.1", "interface": 1}]
    assert machine.ping("web-1", "10.244.1.1")
    again = _plugin(machine, "node-1", "ADD", "web-1", conf)
    assert (again.returncode, json.loads(again.stdout)["code"]) == (1, errors.DUPLICATE_ATTACHMENT)
    for _ in range(2):
        removed = _plugin(machine, "node-1", "DEL", "web-1", conf)
        assert (removed.returncode, removed.stdout) == (0, "")


def test_concurrent_processes_get_different_addresses(machine: Machine) -> None:
    """Eight executables at once; the database is new, so they race for making it as well."""
    import json
    from concurrent.futures import ThreadPoolExecutor

    machine.make("node-1")
    pods = [machine.make(f"web-{number}").rpartition("/")[2] for number in range(8)]
    conf = json.dumps(machine.conf("node-1"))
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda pod: _plugin(machine, "node-1", "ADD", pod, conf), pods))
    assert [one.stdout for one in done if one.returncode != 0] == []
    addresses = {json.loads(one.stdout)["ips"][0]["address"] for one in done}
    assert len(addresses) == 8
    assert all(machine.ping("node-1", str(ip_interface(address).ip)) for address in addresses)


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
