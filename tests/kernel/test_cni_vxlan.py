"""The overlay in real namespaces: two nodes in different subnets, with a router between them that knows no pod."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator

import pytest

from netsim.host import exec as exec_
from netsim.host import netns
from netsim.host.netlink import Netlink
from netsim.host.sysctl import write_sysctl
from netsim_cni.plugin import invoke
from netsim_cni.routes import ensure_node_sysctls
from netsim_cni.vxlan.annotations import Peer
from netsim_cni.vxlan.kernel import ensure_vxlan, pod_mtu, remove_vtep
from netsim_cni.vxlan.plan import PORT, Vtep, plan_vtep
from support.labs import until

pytestmark = pytest.mark.root

ADDRESSES = {4: ("172.30.1.11", "172.30.2.12"), 6: ("fd30:1::11", "fd30:2::12")}
NODES = ("node-1", "node-2")
ETH_P_ALL = 0x0003


class World:
    """A router and two nodes with a pod each; `version` is the IP version between the nodes, pods have both."""

    def __init__(self, directory: str, version: int) -> None:
        self.directory, self.addresses = directory, ADDRESSES[version]
        netns.create(self.path("router"))
        netns.run_in(self.path("router"), _forward)
        for node, address in zip(NODES, self.addresses, strict=True):
            self._attach(node, address, 64 if version == 6 else 24)

    def path(self, name: str) -> str:
        return f"{self.directory}/netns/{name}"

    def _attach(self, node: str, address: str, prefix: int) -> None:
        """A node behind a cable of its own; the router's address on it ends in 1."""
        gateway = address[:-2] + "1"
        netns.create(self.path(node))
        netns.run_in(self.path(node), _forward)
        with Netlink(self.path("router")) as router, Netlink(self.path(node)) as machine:
            router.add_veth(node, "eth0", self.path(node), up=True)
            router.add_address(node, f"{gateway}/{prefix}")
            machine.add_address("eth0", f"{address}/{prefix}")
            machine.set_up("eth0")
            machine.add_route(None, via=gateway)

    def vtep(self, node: str) -> Vtep:
        number = NODES.index(node)
        return plan_vtep(node, self.addresses[number], _cidrs(number + 1))

    def peer(self, node: str) -> Peer:
        number = NODES.index(node)
        return Peer(node, self.addresses[number], self.vtep(node).mac, _cidrs(number + 1))

    def sync(self, node: str, *peers: str) -> None:
        netns.run_in(self.path(node), ensure_vxlan, self.vtep(node), [self.peer(name) for name in peers])

    def sync_all(self) -> None:
        self.sync("node-1", "node-2")
        self.sync("node-2", "node-1")

    def add_pod(self, node: str) -> None:
        """A pod with the MTU that the overlay leaves it."""
        pod, number = f"pod-of-{node}", NODES.index(node)
        netns.create(self.path(pod))
        mtu = netns.run_in(self.path(node), pod_mtu, self.addresses[number])
        ranges = [[{"subnet": cidr}] for cidr in _cidrs(number + 1)]
        conf = {"cniVersion": "1.0.0", "name": node, "mtu": mtu, "ipam": {"ranges": ranges, "dataDir": self.directory}}
        env = {"CNI_CONTAINERID": pod, "CNI_NETNS": self.path(pod), "CNI_IFNAME": "eth0"}
        netns.run_in(self.path(node), invoke, "ADD", conf, env)

    def ping(self, target: str, *options: str) -> bool:
        """Whether node-1's pod reaches an address."""
        argv = ["ping", "-n", "-c", "1", "-W", "0.5", *options, target]
        return netns.run_in(self.path("pod-of-node-1"), exec_.run, argv, check=False).returncode == 0

    def facts(self, node: str) -> tuple[object, ...]:
        """All of a node that belongs to the overlay."""
        with Netlink(self.path(node)) as netlink:
            link = netlink.link(f"vx-{node}")
            ours = [n for n in netlink.neighbours(socket.AF_UNSPEC) if n.index == link.index and n.state == 0x80]
            neighbours = {(n.ip, n.mac) for n in ours}  # without the kernel's own multicast groups
            routes = {(r.dst, r.via) for r in netlink.routes(socket.AF_UNSPEC) if r.protocol == 96}
            forwarding = {(f.mac, f.remote) for f in netlink.forwarding(link.index)}
            return link, netlink.vxlan(link.index), neighbours, routes, forwarding


def _cidrs(number: int) -> tuple[str, ...]:
    return f"10.244.{number}.0/24", f"fd00:244:{number}::/64"


def _forward() -> None:
    ensure_node_sysctls()
    write_sysctl("net.ipv6.conf.all.forwarding", 1)
    write_sysctl("net.ipv6.conf.default.accept_dad", 0)  # a router asks nobody while its own address is in doubt


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    directory = f"/run/netsim/vx-test-{os.getpid()}"
    yield World(directory, getattr(request, "param", 4))
    for name in os.listdir(f"{directory}/netns"):
        netns.delete(f"{directory}/netns/{name}")
    shutil.rmtree(directory)


@pytest.mark.parametrize("world", [4, 6], indirect=True)
def test_pods_of_nodes_in_different_subnets_talk_in_udp_frames(world: World) -> None:
    for node in NODES:
        world.add_pod(node)
    overhead = 50 if "." in world.addresses[0] else 70
    wire = netns.open_socket(world.path("router"), socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    with wire:
        world.sync_all()
        wire.settimeout(5)
        # 28 and 48 bytes are the IP and ICMP headers: the packet is as long as the pod's MTU.
        until(lambda: world.ping("10.244.2.2", "-M", "do", "-s", str(1500 - overhead - 28)))
        until(lambda: world.ping("fd00:244:2::2", "-M", "do", "-s", str(1500 - overhead - 48)))
        assert not world.ping("10.244.2.2", "-W", "0.1", "-M", "do", "-s", str(1500 - overhead - 27))
        frames = [wire.recv(2048) for _ in range(4)]
        while not any(len(frame) > 1500 and PORT.to_bytes(2, "big") in frame[34:60] for frame in frames):
            frames.append(wire.recv(2048))
    assert max(len(frame) for frame in frames) == 1514


def test_what_is_right_is_left_alone_and_what_is_wrong_is_repaired(world: World) -> None:
    world.sync_all()
    before = world.facts("node-1")
    world.sync("node-1", "node-2")
    assert world.facts("node-1") == before
    peer = world.peer("node-2")
    with Netlink(world.path("node-1")) as netlink:
        netlink.del_neighbour("10.244.2.0", "vx-node-1")
        netlink.del_forwarding(peer.mac, peer.remote, "vx-node-1")
        netlink.del_route("10.244.2.0/24", via="10.244.2.0")
        netlink.set_link("vx-node-1", mtu=1000)
    assert world.facts("node-1") != before
    world.sync("node-1", "node-2")
    assert world.facts("node-1") == before


def test_a_vtep_of_other_properties_is_replaced_and_one_not_wanted_removed(world: World) -> None:
    with Netlink(world.path("node-1")) as netlink:
        netlink.add_vxlan("vx-node-1", 99, local="172.30.1.11", dev="eth0", port=4789)
        world.sync("node-1", "node-2")
        found = netlink.vxlan("vx-node-1")
        assert found is not None and (found.vni, found.port, found.learning) == (1, PORT, False)
        netns.run_in(world.path("node-1"), remove_vtep, "vx-node-1")
        assert [link.name for link in netlink.links()] == ["lo", "eth0"]
        assert [route for route in netlink.routes() if route.protocol == 96] == []


def test_a_node_that_leaves_takes_its_entries_with_it(world: World) -> None:
    world.sync_all()
    world.sync("node-1")
    _, _, neighbours, routes, forwarding = world.facts("node-1")
    assert (routes, forwarding) == (set(), set())
    assert not any(ip.startswith(("10.244", "fd00:244")) for ip, _ in neighbours)


def test_an_address_that_no_interface_has_is_named(world: World) -> None:
    with pytest.raises(OSError, match=r"no interface has this node's address 172\.30\.9\.9"):
        netns.run_in(world.path("node-1"), pod_mtu, "172.30.9.9")
