"""A node with pods, a client and a pod of another node, for packets through the service proxy's rules."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from netsim.host import netns, sysctl
from netsim.host.exec import run
from netsim_proxy.config import ProxyConfig
from support.proxy_api import Api, ProxyThread

NODE, BRIDGE, CLIENT, POD1, POD2, REMOTE = (
    "192.168.77.2",
    "10.180.0.1",
    "192.168.77.100",
    "10.180.0.11",
    "10.180.0.12",
    "10.180.1.21",
)
NODE_ON_REMOTE_SIDE = "192.168.78.2"


class Servers:
    """TCP and UDP servers on port 8080 that answer every message with "NAME SOURCE", in one thread."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def add(self, name: str, path: str, address: str) -> None:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            sock = netns.open_socket(path, socket.AF_INET, kind)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((address, 8080))
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
        self.proxy = ProxyThread(
            self.path("node"), self.api, ProxyConfig("node1", cluster_cidr=("10.180.0.0/16",), **flags)
        )
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


def attach(prefix: str, name: str, address: str, gateway: str, *, bridge: bool) -> None:
    node = f"{prefix}-node"
    ip("link", "add", f"to-{name}", "netns", node, "type", "veth", "peer", "name", "eth0", "netns", f"{prefix}-{name}")
    if bridge:
        ip("-n", node, "link", "set", f"to-{name}", "master", "cbr0")
        ip("-n", node, "link", "set", f"to-{name}", "type", "bridge_slave", "hairpin", "on")
    else:
        ip("-n", node, "addr", "add", f"{gateway}/24", "dev", f"to-{name}")
    ip("-n", node, "link", "set", f"to-{name}", "up")
    ip("-n", f"{prefix}-{name}", "addr", "add", f"{address}/24", "dev", "eth0")
    ip("-n", f"{prefix}-{name}", "link", "set", "lo", "up")
    ip("-n", f"{prefix}-{name}", "link", "set", "eth0", "up")
    ip("-n", f"{prefix}-{name}", "route", "add", "default", "via", gateway)


def set_up_node() -> None:
    for name, value in (("net.ipv4.ip_forward", 1), ("net.ipv4.conf.all.rp_filter", 0), ("net.ipv4.icmp_ratelimit", 0)):
        sysctl.write_sysctl(name, value)


@contextmanager
def make_world() -> Iterator[World]:
    """The namespaces with servers on the pods; everything ends with the block."""
    prefix = f"nsproxy-{uuid.uuid4().hex[:6]}"
    names = ("node", "p1", "p2", "client", "remote")
    servers, made = Servers(), World(prefix)
    try:
        for name in names:
            ip("netns", "add", f"{prefix}-{name}")
        ip("-n", f"{prefix}-node", "link", "set", "lo", "up")
        ip("-n", f"{prefix}-node", "link", "add", "cbr0", "type", "bridge")
        ip("-n", f"{prefix}-node", "addr", "add", f"{BRIDGE}/24", "dev", "cbr0")
        ip("-n", f"{prefix}-node", "link", "set", "cbr0", "up")
        attach(prefix, "p1", POD1, BRIDGE, bridge=True)
        attach(prefix, "p2", POD2, BRIDGE, bridge=True)
        attach(prefix, "client", CLIENT, NODE, bridge=False)
        attach(prefix, "remote", "192.168.78.3", NODE_ON_REMOTE_SIDE, bridge=False)
        ip("-n", f"{prefix}-remote", "addr", "add", f"{REMOTE}/32", "dev", "lo")
        ip("-n", f"{prefix}-node", "route", "add", "10.180.1.0/24", "via", "192.168.78.3")
        ip("-n", f"{prefix}-node", "route", "add", "default", "dev", "to-client")
        netns.run_in(made.path("node"), set_up_node)
        for name, address in (("p1", POD1), ("p2", POD2), ("remote", REMOTE)):
            servers.add(name, made.path(name), address)
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
