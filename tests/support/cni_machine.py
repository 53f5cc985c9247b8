"""A small machine of namespaces on which the CNI plugin is tried: nodes, and pods wired to them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_interface
from typing import Any

from netsim.host import exec as exec_
from netsim.host import firewall, netns
from netsim.host.netlink import Netlink
from netsim_cni.plugin import invoke
from support.labs import until

MODES = ("routed", "bridge")
# Where Debian and the plugins' own releases put the reference plugins.
PLUGIN_PATHS = ("/opt/cni/bin", "/usr/lib/cni")


def plugin_path(name: str) -> str | None:
    """A reference plugin's executable, None where it is not installed."""
    return next((path for part in PLUGIN_PATHS if os.access(path := f"{part}/{name}", os.X_OK)), None)


@dataclass
class Machine:
    """Namespaces below one directory; nodes and pods are known by their names, a node's last part is its number."""

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
        ipam = {"type": "host-local", "ranges": [[{"subnet": f"10.244.{number}.0/24"}]]}
        extra = {"bridge": "cni0", "isDefaultGateway": True, "hairpinMode": True} if mode == "bridge" else {}
        own = {"cniVersion": "1.1.0", "name": node, "type": "netsim", "mode": mode, "dataDir": self.directory}
        return {**own, "ipam": ipam, **extra, **more}

    def env(self, pod: str) -> dict[str, str]:
        args = f"K8S_POD_NAMESPACE=shop;K8S_POD_NAME={pod}"
        return {
            "CNI_CONTAINERID": f"id-{pod}",
            "CNI_NETNS": self.path(pod),
            "CNI_IFNAME": "eth0",
            "CNI_ARGS": args,
            "CNI_PATH": ":".join(PLUGIN_PATHS),
        }

    def cni(self, command: str, node: str, pod: str, conf: dict[str, Any] | None = None, **env: str) -> dict[str, Any]:
        result = netns.run_in(self.path(node), invoke, command, conf or self.conf(node), self.env(pod) | env)
        return result or {}

    def add(self, node: str, pod: str, conf: dict[str, Any] | None = None) -> tuple[dict[str, Any], str]:
        """A new pod: ADD's result, and the address."""
        self.make(pod)
        result = self.cni("ADD", node, pod, conf)
        return result, str(ip_interface(result["ips"][0]["address"]).ip)

    def execute(self, node: str, command: str, pod: str, stdin: str) -> subprocess.CompletedProcess[str]:
        """The plugin by the exec protocol."""
        argv = ["nsenter", f"--net={self.path(node)}", sys.executable, "-m", "netsim_cni.plugin"]
        env = os.environ | self.env(pod) | {"CNI_COMMAND": command, "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.run(argv, input=stdin, env=env, capture_output=True, text=True, timeout=60, check=False)

    def reference(self, node: str, name: str, command: str, pod: str, conf: dict[str, Any]) -> dict[str, Any]:
        """A reference plugin by the exec protocol: its result, which is no error."""
        path = plugin_path(name)
        assert path is not None
        env = os.environ | self.env(pod) | {"CNI_COMMAND": command}
        argv = ["nsenter", f"--net={self.path(node)}", path]
        done = subprocess.run(argv, input=json.dumps(conf), env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        found: dict[str, Any] = json.loads(done.stdout or "{}")
        return found

    def run(self, where: str, *argv: str) -> int:
        return netns.run_in(self.path(where), exec_.run, argv, check=False, timeout=15).returncode

    def shown(self, where: str, *argv: str) -> str:
        return netns.run_in(self.path(where), exec_.run, argv, timeout=15).stdout.decode()

    def ping(self, pod: str, ip: str) -> bool:
        """One echo, not waited for long: `reaches` asks again."""
        return self.run(pod, "ping", "-n", "-c", "1", "-W", "0.3", ip) == 0

    def reaches(self, pod: str, ip: str) -> bool:
        """Whether an echo is answered, however busy the machine is."""
        until(lambda: self.ping(pod, ip), 20, f"{pod} reaches {ip}")
        return True

    def facts(self, node: str) -> tuple[object, ...]:
        """All that an attachment changes in a node."""
        with Netlink(self.path(node)) as netlink:
            # Of neighbours those that somebody set: the kernel adds multicast groups when it likes.
            neighbours = [entry for entry in netlink.neighbours() if entry.state == 0x80]
            return [link.name for link in netlink.links()], netlink.addresses(), netlink.routes(), neighbours

    def rules(self, node: str) -> str:
        text = netns.run_in(self.path(node), firewall.save, 4, "nat")
        return "\n".join(line for line in text.splitlines() if not line.startswith(("#", ":")))

    def fabric(self) -> None:
        """Two nodes, .11 and .12, on the bridge of a fabric namespace."""
        self.make("fabric")
        with Netlink(self.path("fabric")) as fabric:
            fabric.add_bridge("br0", up=True)
            for number in (1, 2):
                node = f"node-{number}"
                self.make(node)
                fabric.add_veth(f"to-{node}", "eth0", self.path(node), up=True)
                fabric.set_master(f"to-{node}", "br0")
                with Netlink(self.path(node)) as netlink:
                    netlink.set_up("eth0")
                    netlink.add_address("eth0", f"172.30.0.1{number}/24")

    def close(self) -> None:
        for name in self.names:
            netns.delete(self.path(name))


@contextmanager
def answering(path: str, kind: socket.SocketKind, port: int, host: str = "0.0.0.0") -> Iterator[None]:
    """A server in a namespace that answers each client with the address it sees it under."""
    server = netns.open_socket(path, socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((host, port))
    if kind == socket.SOCK_STREAM:
        server.listen()
    server.settimeout(0.1)
    done = threading.Event()
    thread = threading.Thread(target=_answer, args=(server, kind, done))
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        server.close()


def _answer(server: socket.socket, kind: socket.SocketKind, done: threading.Event) -> None:
    step: Callable[[], None] = (lambda: _accept(server)) if kind == socket.SOCK_STREAM else (lambda: _reply(server))
    while not done.is_set():
        try:
            step()
        except TimeoutError:
            continue


def _accept(server: socket.socket) -> None:
    client, peer = server.accept()
    with client:
        client.sendall(peer[0].encode())


def _reply(server: socket.socket) -> None:
    _, peer = server.recvfrom(64)
    server.sendto(peer[0].encode(), peer)


def ask(path: str, kind: socket.SocketKind, ip: str, port: int, source: int = 0, seconds: float = 2.0) -> str:
    """Ask such a server from a namespace: the address it saw, or the name of the error."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with netns.open_socket(path, family, kind) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        client.settimeout(seconds)
        try:
            if source:
                client.bind(("", source))
            client.connect((ip, port))
            client.send(b"?" if kind == socket.SOCK_DGRAM else b"")
            return client.recv(64).decode()
        except OSError as error:
            return type(error).__name__
