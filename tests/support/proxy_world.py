"""A node with pods, a client and a pod of another node, for packets through the service proxy's rules.

Both address families, side by side: `IPV4` and `IPV6` say who is who.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from netsim.host import netns, sysctl
from netsim.host.exec import run
from netsim_proxy.config import ProxyConfig
from support.labs import until
from support.proxy_api import Api, ProxyThread

CIDRS = ("10.180.0.0/16", "fd00:180::/32")


@dataclass(frozen=True)
class Net:
    """Who has which address in one family. `other` is the second node, `remote` the pod on it, `far_side` the first
    node's address towards it; `friend` is a second address of the client."""

    family: Literal[4, 6]
    node: str
    bridge: str
    client: str
    friend: str
    pod1: str
    pod2: str
    remote: str
    far_side: str
    other: str
    loopback: str
    vip: str

    @property
    def kind(self) -> int:
        return socket.AF_INET if self.family == 4 else socket.AF_INET6

    def cidr(self, address: str) -> str:
        """The address with the length of its link's prefix."""
        return f"{address}/{24 if self.family == 4 else 64}"

    def single(self, address: str) -> str:
        return f"{address}/{32 if self.family == 4 else 128}"


IPV4 = Net(
    4, "192.168.77.2", "10.180.0.1", "192.168.77.100", "192.168.77.101", "10.180.0.11", "10.180.0.12", "10.180.1.21",
    "192.168.78.2", "192.168.78.3", "127.0.0.1", "203.0.113.{}",
)  # fmt: skip
IPV6 = Net(
    6, "fd00:77::2", "fd00:180::1", "fd00:77::100", "fd00:77::101", "fd00:180::11", "fd00:180::12", "fd00:180:0:1::21",
    "fd00:78::2", "fd00:78::3", "::1", "2001:db8::{}",
)  # fmt: skip
NODE, BRIDGE, CLIENT, POD1, POD2, REMOTE = IPV4.node, IPV4.bridge, IPV4.client, IPV4.pod1, IPV4.pod2, IPV4.remote
NODE_ON_REMOTE_SIDE = IPV4.far_side


class Servers:
    """TCP and UDP servers on port 8080 that answer every message with "NAME SOURCE", in one thread."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def add(self, name: str, path: str, address: str, port: int = 8080) -> None:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            sock = netns.open_socket(path, socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((address, port))
            if kind == socket.SOCK_STREAM:
                sock.listen(64)
            self._selector.register(sock, selectors.EVENT_READ, (name, kind, ""))

    def start(self) -> None:
        self._thread.start()

    def _serve(self) -> None:
        while not self._ending.is_set():
            for key, _ in self._selector.select(0.05):
                self._handle(key.fileobj, *key.data)

    def _handle(self, sock: Any, name: str, kind: int, peer: str) -> None:
        if kind == socket.SOCK_DGRAM:
            _, source = sock.recvfrom(100)
            sock.sendto(f"{name} {source[0]}".encode(), source)
        elif not peer:
            connection, source = sock.accept()
            self._selector.register(connection, selectors.EVENT_READ, (name, kind, source[0]))
        else:
            with contextlib.suppress(ConnectionError):  # a client that is gone is none of the server's business
                if sock.recv(100):
                    sock.sendall(f"{name} {peer}".encode())
                    return
            self._selector.unregister(sock)
            sock.close()

    def close(self) -> None:
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(10)
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()


@dataclass
class World:
    """Namespaces: node (bridge cbr0 with pods p1, p2), client on one side, remote (another node's pod) on the other."""

    prefix: str
    api: Api = field(default_factory=Api)
    proxy: ProxyThread | None = None

    def path(self, name: str) -> str:
        return f"/run/netns/{self.prefix}-{name}"

    def start_proxy(self, **flags: Any) -> ProxyThread:
        self.proxy = ProxyThread(self.path("node"), self.api, ProxyConfig("node1", cluster_cidr=CIDRS, **flags))
        return self.proxy

    def connect(self, name: str, address: str, port: int = 80, timeout: float = 3.0) -> socket.socket:
        sock = netns.open_socket(self.path(name), socket.AF_INET, socket.SOCK_STREAM)
        sock.settimeout(timeout)
        try:
            sock.connect((address, port))
        except OSError:
            sock.close()
            raise
        return sock

    def ask(self, name: str, address: str, port: int = 80) -> str:
        with self.connect(name, address, port) as sock:
            return talk(sock)

    def ask_udp(self, name: str, address: str, port: int = 80) -> str:
        with netns.open_socket(self.path(name), socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(3.0)
            sock.connect((address, port))
            return talk(sock)


def talk(sock: socket.socket) -> str:
    sock.send(b"hello")
    return sock.recv(100).decode()


def ip(*args: str) -> None:
    run(["ip", *args])


def give(place: str, device: str, address: str, *life: str) -> None:
    ip("-n", place, "addr", "add", address, "dev", device, *life)


def attach(prefix: str, name: str, ends: list[tuple[Net, str, str]], *, bridge: bool) -> None:
    """Wire a namespace to the node; `ends` are, by family, its address and the node's, which is its default route."""
    node, place = f"{prefix}-node", f"{prefix}-{name}"
    ip("link", "add", f"to-{name}", "netns", node, "type", "veth", "peer", "name", "eth0", "netns", f"{prefix}-{name}")
    if bridge:
        ip("-n", node, "link", "set", f"to-{name}", "master", "cbr0")
        ip("-n", node, "link", "set", f"to-{name}", "type", "bridge_slave", "hairpin", "on")
    ip("-n", node, "link", "set", f"to-{name}", "up")
    ip("-n", place, "link", "set", "lo", "up")
    ip("-n", place, "link", "set", "eth0", "up")
    for net, address, gateway in ends:
        if not bridge:
            give(node, f"to-{name}", net.cidr(gateway))
        give(place, "eth0", net.cidr(address))
        ip("-n", place, f"-{net.family}", "route", "add", "default", "via", gateway)


def set_up_ipv6() -> None:
    """Addresses are ready at once, not looked for a duplicate of: without one of its own, a node asks no neighbour."""
    for which in ("all", "default"):
        sysctl.write_sysctl(f"net.ipv6.conf.{which}.accept_dad", 0)


def set_up_node() -> None:
    for name in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
        sysctl.write_sysctl(name, 1)
    for name in ("net.ipv4.conf.all.rp_filter", "net.ipv4.icmp_ratelimit", "net.ipv6.icmp.ratelimit"):
        sysctl.write_sysctl(name, 0)


@contextmanager
def make_world() -> Iterator[World]:
    """The namespaces with servers on the pods; everything ends with the block."""
    prefix = f"pytest-proxy-{uuid.uuid4().hex[:6]}"
    names = ("node", "p1", "p2", "client", "remote")
    servers, made = Servers(), World(prefix)
    try:
        for name in names:
            ip("netns", "add", f"{prefix}-{name}")
            netns.run_in(made.path(name), set_up_ipv6)
        ip("-n", f"{prefix}-node", "link", "set", "lo", "up")
        ip("-n", f"{prefix}-node", "link", "add", "cbr0", "type", "bridge")
        ip("-n", f"{prefix}-node", "link", "set", "cbr0", "up")
        nets = (IPV4, IPV6)
        for net in nets:
            give(f"{prefix}-node", "cbr0", net.cidr(net.bridge))
        attach(prefix, "p1", [(net, net.pod1, net.bridge) for net in nets], bridge=True)
        attach(prefix, "p2", [(net, net.pod2, net.bridge) for net in nets], bridge=True)
        attach(prefix, "client", [(net, net.client, net.node) for net in nets], bridge=False)
        attach(prefix, "remote", [(net, net.other, net.far_side) for net in nets], bridge=False)
        netns.run_in(made.path("node"), set_up_node)
        for net in nets:
            give(f"{prefix}-remote", "lo", net.single(net.remote))
            ip("-n", f"{prefix}-node", "route", "add", net.single(net.remote), "via", net.other)
            ip("-n", f"{prefix}-node", f"-{net.family}", "route", "add", "default", "dev", "to-client")
            give(f"{prefix}-client", "eth0", net.cidr(net.friend), "preferred_lft", "0")  # only where it is asked for
            for name, address in (("p1", net.pod1), ("p2", net.pod2), ("remote", net.remote), ("node", net.node)):
                servers.add(name, made.path(name), address)
        servers.add("node", made.path("node"), "127.0.0.1", 8081)
        servers.start()
        yield made
    finally:
        if made.proxy:
            made.proxy.stop()
        servers.close()
        for name in names:
            run(["ip", "netns", "del", f"{prefix}-{name}"], check=False)


def service(name: str, cluster_ip: str, node_port: int = 0, protocol: str = "TCP", **spec: Any) -> dict[str, Any]:
    port = {"name": "p", "port": 80, "protocol": protocol} | ({"nodePort": node_port} if node_port else {})
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": "ns", "name": name},
        "spec": {"clusterIP": cluster_ip, "type": "NodePort" if node_port else "ClusterIP", "ports": [port], **spec},
    }


def endpoints(name: str, *addresses: str, protocol: str = "TCP") -> dict[str, Any]:
    here = {POD1, POD2}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"namespace": "ns", "name": f"{name}-1", "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "ports": [{"name": "p", "port": 8080, "protocol": protocol}],
        "endpoints": [
            {"addresses": [address], "nodeName": "node1" if address in here else "node2"} for address in addresses
        ],
    }


def move_udp_client(world: World, **flags: Any) -> ProxyThread:
    """Have a UDP client of a node port answered on its one socket by another server once its endpoint is replaced;
    the running proxy."""
    world.api.put(service("udp", "10.96.0.5", 30085, "UDP"))
    world.api.put(endpoints("udp", POD1, protocol="UDP"))
    proxy = world.start_proxy(**flags)
    proxy.wait_synced()
    with netns.open_socket(world.path("client"), socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(1.0)
        sock.connect((NODE, 30085))
        assert talk(sock).startswith("p1 ")
        proxy.put(endpoints("udp", REMOTE, protocol="UDP"))

        def moved() -> bool:
            try:
                return talk(sock).startswith("remote ")
            except (TimeoutError, ConnectionRefusedError):
                return False

        until(moved)
    return proxy
