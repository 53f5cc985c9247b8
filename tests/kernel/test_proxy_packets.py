"""The whole proxy against a small API, with packets: rows P-01 to P-11, P-20 to P-25 and P-48 of kube-proxy.md."""

from __future__ import annotations

import asyncio
import contextlib
import json
import selectors
import socket
import threading
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from netsim.client.rest import Client
from netsim.client.transport import InProcessTransport
from netsim.host import firewall, netns, sysctl
from netsim.host.exec import run
from netsim.http.types import Peer, Request, Response
from netsim_proxy.config import ProxyConfig
from netsim_proxy.sync import Proxy

pytestmark = pytest.mark.root

NODE, BRIDGE, CLIENT, POD1, POD2, REMOTE = (
    "192.168.77.2",
    "10.180.0.1",
    "192.168.77.100",
    "10.180.0.11",
    "10.180.0.12",
    "10.180.1.21",
)
NODE_ON_REMOTE_SIDE = "192.168.78.2"
PATHS = {"Service": "/services", "EndpointSlice": "/endpointslices", "Node": "/nodes"}


class Api:
    """Lists and watches of three kinds, as far as the proxy asks; everything runs in the proxy's event loop."""

    def __init__(self) -> None:
        self.revision = 1
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.requests: list[str] = []
        self.hold = threading.Event()
        self._watchers: list[tuple[str, asyncio.Queue[bytes]]] = []

    async def __call__(self, request: Request) -> Response:
        kind = next(kind for kind, end in PATHS.items() if request.path.endswith(end))
        self.requests.append(f"{kind} {request.param('labelSelector')} {request.param('fieldSelector')}")
        if request.param("watch"):
            return Response(body=self._watch(kind))
        while kind == "EndpointSlice" and self.hold.is_set():
            await asyncio.sleep(0.01)
        items = [obj for (owner, _), obj in self.objects.items() if owner == kind]
        body = {"kind": f"{kind}List", "metadata": {"resourceVersion": str(self.revision)}, "items": items}
        return Response(headers=[("content-type", "application/json")], body=json.dumps(body).encode())

    async def _watch(self, kind: str) -> AsyncIterator[bytes]:
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        watcher = (kind, queue)
        self._watchers.append(watcher)
        try:
            while True:
                yield await queue.get()
        finally:
            self._watchers.remove(watcher)

    def put(self, obj: dict[str, Any], *, delete: bool = False) -> None:
        """Create, change or delete an object; to be called in the event loop, or before it runs."""
        self.revision += 1
        key = (obj["kind"], f"{obj['metadata'].get('namespace', '')}/{obj['metadata']['name']}")
        event = "DELETED" if delete else "MODIFIED" if key in self.objects else "ADDED"
        obj = json.loads(json.dumps(obj))
        obj["metadata"] |= {"resourceVersion": str(self.revision), "uid": key[1]}
        if delete:
            del self.objects[key]
        else:
            self.objects[key] = obj
        for kind, queue in self._watchers:
            if kind == key[0]:
                queue.put_nowait(json.dumps({"type": event, "object": obj}).encode() + b"\n")


class ProxyThread:
    """A proxy in the node's namespace, in a thread of its own."""

    def __init__(self, path: str, api: Api, config: ProxyConfig) -> None:
        self.api, self._config, self._path = api, config, path
        self._started, self._synced = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._main)
        self._thread.start()
        assert self._started.wait(10)

    def _main(self) -> None:
        netns.enter(self._path)
        asyncio.run(self._run())

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        client = Client(InProcessTransport(self.api, Peer(trusted=True)))
        proxy = Proxy(self._config, client)
        task = asyncio.create_task(proxy.run())
        waiter = asyncio.create_task(proxy.wait_synced())
        waiter.add_done_callback(lambda done: None if done.cancelled() else self._synced.set())
        self._started.set()
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
        for each in (task, waiter, stopping):
            each.cancel()
        await asyncio.wait([task, waiter, stopping])
        await client.close()

    def wait_synced(self) -> None:
        assert self._synced.wait(20), "the proxy did not sync"

    @property
    def synced(self) -> bool:
        return self._synced.is_set()

    def put(self, obj: dict[str, Any], *, delete: bool = False) -> None:
        done = threading.Event()

        def change() -> None:
            self.api.put(obj, delete=delete)
            done.set()

        self._loop.call_soon_threadsafe(change)
        assert done.wait(10)

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(20)
            assert not self._thread.is_alive()


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


def eventually(check: Callable[[], Any], seconds: float = 15.0) -> None:
    """Wait until `check` gives something true."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "condition not met in time"
        time.sleep(0.02)


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


@pytest.fixture
def world() -> Iterator[World]:
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


def refused(call: Callable[[], str]) -> bool:
    try:
        call()
    except ConnectionRefusedError:
        return True
    except TimeoutError:
        return False
    return False


def test_who_answers_and_whom_the_server_sees(world: World) -> None:
    for obj in (
        service("one", "10.96.0.1", 30081),
        endpoints("one", POD1),
        service("one-udp", "10.96.0.1", 30081, "UDP"),
        endpoints("one-udp", POD1, protocol="UDP"),
        service("three", "10.96.0.2"),
        endpoints("three", POD1, POD2, REMOTE),
        service("far", "10.96.0.3", 30083),
        endpoints("far", REMOTE),
        service("far-udp", "10.96.0.3", 30083, "UDP"),
        endpoints("far-udp", REMOTE, protocol="UDP"),
    ):
        world.api.put(obj)
    world.start_proxy().wait_synced()
    assert world.ask("p2", "10.96.0.1") == f"p1 {POD2}"  # P-01
    assert world.ask("p1", "10.96.0.1") == f"p1 {BRIDGE}"  # P-02
    assert world.ask_udp("p1", "10.96.0.1") == f"p1 {BRIDGE}"  # P-03
    assert world.ask("node", "10.96.0.1") == f"p1 {BRIDGE}"  # P-04
    assert world.ask("client", "10.96.0.1") == f"p1 {BRIDGE}"  # P-05
    answers = Counter(world.ask("p2", "10.96.0.2").split()[0] for _ in range(90))  # P-06
    assert answers.keys() == {"p1", "p2", "remote"} and min(answers.values()) >= 10
    assert world.ask("client", NODE, 30083) == f"remote {NODE_ON_REMOTE_SIDE}"  # P-07
    assert world.ask_udp("client", NODE, 30083) == f"remote {NODE_ON_REMOTE_SIDE}"  # P-08
    assert world.ask("p1", NODE, 30083) == f"remote {NODE_ON_REMOTE_SIDE}"  # P-09
    assert world.ask("node", "127.0.0.1", 30083) == f"remote {NODE_ON_REMOTE_SIDE}"  # P-10
    assert world.ask("node", NODE, 30083) == f"remote {NODE_ON_REMOTE_SIDE}"  # P-11
    assert world.ask("p1", BRIDGE, 30083) == f"remote {NODE_ON_REMOTE_SIDE}"  # P-12
    assert "Service !service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name " in world.api.requests
    assert "Node  metadata.name=node1" in world.api.requests


def test_without_endpoints_clients_are_refused(world: World) -> None:
    world.api.put(service("none", "10.96.0.9", 30089, externalIPs=["192.168.99.33"]))
    world.api.put(service("none-udp", "10.96.0.9", 30089, "UDP"))
    world.start_proxy().wait_synced()
    assert refused(lambda: world.ask("p1", "10.96.0.9"))  # P-20
    assert refused(lambda: world.ask_udp("p1", "10.96.0.9"))  # P-21
    assert refused(lambda: world.ask("node", "10.96.0.9"))  # P-22
    assert refused(lambda: world.ask("client", "10.96.0.9"))  # P-23
    assert refused(lambda: world.ask("client", NODE, 30089))  # P-24
    assert refused(lambda: world.ask("client", "192.168.99.33"))  # P-25


def test_established_connections_outlive_endpoint_and_proxy(world: World) -> None:
    world.api.put(service("one", "10.96.0.1"))
    world.api.put(endpoints("one", POD1))
    proxy = world.start_proxy()
    proxy.wait_synced()
    with world.connect("p2", "10.96.0.1") as sock:
        assert talk(sock) == f"p1 {POD2}"
        proxy.put(endpoints("one"))
        eventually(lambda: refused(lambda: world.ask("p2", "10.96.0.1")))  # P-48
        assert talk(sock) == f"p1 {POD2}"
        proxy.put(endpoints("one", POD2))
        eventually(lambda: not refused(lambda: world.ask("client", "10.96.0.1")))
        proxy.stop()
        assert talk(sock) == f"p1 {POD2}"
        assert world.ask("client", "10.96.0.1") == f"p2 {BRIDGE}"  # a stopped proxy leaves its rules
        # Meanwhile the world moved on; a new proxy takes over what is there.
        world.api.put(service("two", "10.96.0.2"))
        world.api.put(endpoints("two", POD1))
        world.api.put(service("one", "10.96.0.1"), delete=True)
        world.start_proxy().wait_synced()
        assert talk(sock) == f"p1 {POD2}"
        assert world.ask("p2", "10.96.0.2") == f"p1 {POD2}"
        saved = netns.run_in(world.path("node"), firewall.save, 4)
        assert "10.96.0.2/32" in saved and "10.96.0.1/32" not in saved


def test_udp_clients_move_when_their_endpoint_goes(world: World) -> None:
    world.api.put(service("udp", "10.96.0.5", 30085, "UDP"))
    world.api.put(endpoints("udp", POD1, protocol="UDP"))
    proxy = world.start_proxy()
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

        eventually(moved)  # K-03, K-09


def test_nothing_is_programmed_before_everything_is_known(world: World) -> None:
    world.api.put(service("one", "10.96.0.1"))
    world.api.put(endpoints("one", POD1))
    world.api.hold.set()
    proxy = world.start_proxy()
    eventually(lambda: any(request.startswith("EndpointSlice") for request in world.api.requests))
    eventually(lambda: any(request.startswith("Node") for request in world.api.requests))
    assert not proxy.synced
    assert "KUBE" not in netns.run_in(world.path("node"), firewall.save, 4)
    world.api.hold.clear()
    proxy.wait_synced()
    assert world.ask("p2", "10.96.0.1") == f"p1 {POD2}"


def test_deleted_rules_come_back_within_the_sync_period(world: World) -> None:
    world.api.put(service("one", "10.96.0.1"))
    world.api.put(endpoints("one", POD1))
    world.start_proxy(sync_period=0.3).wait_synced()
    flush = ["-t", "nat", "-F"]
    netns.run_in(world.path("node"), firewall.run_iptables, flush, 4, check=True)

    def back() -> bool:
        return "10.96.0.1/32" in netns.run_in(world.path("node"), firewall.save, 4, "nat")

    eventually(back)
    assert world.ask("p2", "10.96.0.1") == f"p1 {POD2}"
